package dbt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// freshness is what a source's manifest says of how old its newest row may be; dbt writes empty ages where the project
// says nothing.
type freshness struct {
	WarnAfter  age    `json:"warn_after"`
	ErrorAfter age    `json:"error_after"`
	Filter     string `json:"filter"`
}

type age struct {
	Count  int64  `json:"count"`
	Period string `json:"period"`
}

func (a age) given() bool { return a != age{} }

// fresh gives an extracted table the freshness that the project declares of it, or says why that cannot be judged.
// dbt itself is not asked: it would count from now, and look at what is published instead of the night.
func (r *reader) fresh(n *node) {
	f := n.Freshness
	if f == nil || !f.WarnAfter.given() && !f.ErrorAfter.given() {
		return
	}
	refuse := func(why, do string) {
		r.problem(n, transform.CodeSchema, fmt.Sprintf("the freshness of the source %s.%s %s", n.SourceName, n.Name, why), do)
	}
	out := &transform.Freshness{Field: n.LoadedAt, Filter: f.Filter}
	var warned, failed bool
	out.WarnAfter, warned = transform.Age(f.WarnAfter.Count, f.WarnAfter.Period)
	out.ErrorAfter, failed = transform.Age(f.ErrorAfter.Count, f.ErrorAfter.Period)
	switch {
	case n.LoadedAtQuery != "":
		refuse("is asked by a loaded_at_query, which reads what is published and not the night", "name the column, or an expression, as its loaded_at_field")
	case n.LoadedAt == "":
		refuse("has no loaded_at_field, and that Daybreak wrote the table tonight says nothing about its rows", "add loaded_at_field: with the column that says when a row came; or freshness: null")
	case f.WarnAfter.given() && !warned || f.ErrorAfter.given() && !failed:
		refuse("has an age that is no count from 1 and a period", "write {count: 12, period: hour}; the periods are minute, hour and day")
	case strings.Contains(out.Field+out.Filter, exampleNight.date.String()):
		refuse("depends on the night's date, which dbt does not know when it reads a source", "compare with the database's own clock, or leave the date out of it")
	default:
		r.freshness[n.dataset] = out
	}
}

// Freshness returns what is declared of a table's newest row; nil where nothing is.
func (p *Project) Freshness(d elt.DatasetName) *transform.Freshness { return p.freshness[d] }

// freshnessOf judges the newest row of a table that the run has staged, or that is published, where the project says how
// old it may be.
func (e *Engine) freshnessOf(ctx context.Context, s transform.Scope, d elt.DatasetName) (checks []elt.Check, err error) {
	f := e.project.freshness[d]
	if f == nil {
		return nil, nil
	}
	relation := e.warehouse.Published(e.tables[d])
	if s.Staged[d] {
		relation = e.warehouse.Staged(s.Run, d)
	}
	check, err := f.Judge(ctx, e.warehouse, e.options.Samples, d, relation, s.ReadTime())
	if err != nil {
		n := e.project.datasets[d]
		if cause, known := errors.AsType[*elt.Error](err); !known || cause.Class != elt.Data && cause.Class != elt.Config {
			return nil, fmt.Errorf("the test %s of %s: %w", f.Name(), d, err)
		}
		return nil, &elt.Error{
			Code: transform.CodeTestRefused, Class: elt.Config, Err: err,
			What: fmt.Sprintf("%s/%s: the test %s of %s cannot run: %v", e.project.folder, n.File, f.Name(), d, err), Do: "correct the loaded_at_field or the filter of the source",
		}
	}
	return []elt.Check{check}, nil
}

// line returns where in its file a source's table is declared; 0 where it cannot be told.
func (r *reader) line(n *node) int {
	if n.Resource != sourceNode {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(r.options.Command.Project, filepath.FromSlash(n.File)))
	if err != nil {
		return 0
	}
	wanted := []*regexp.Regexp{named(n.SourceName), named(n.Name)}
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		for len(wanted) > 0 && wanted[0].MatchString(line) {
			if wanted = wanted[1:]; len(wanted) == 0 {
				return number
			}
		}
	}
	return 0
}

// named finds the name of something in a line of YAML.
func named(name string) *regexp.Regexp {
	return regexp.MustCompile(`\bname:\s*["']?` + regexp.QuoteMeta(name) + `["']?\s*(?:[,}#]|$)`)
}
