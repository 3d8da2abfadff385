package dbt

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// Failing says how the rows that fail tests are shown to operators.
type Failing struct {
	// Keep takes the rows, at most Rows of each test; nil shows none.
	Keep func(context.Context, elt.FailingRows) error
	Rows int
}

// keepFailures shows operators some of the rows that failed the session's tests, while what dbt built is still where it
// built it, and keeps them where a test has store_failures. It changes nothing about a verdict: what cannot be shown is
// a line in the log.
func (e *Engine) keepFailures(ctx context.Context, s transform.Scope, x *session, site Site, results map[string]result) {
	f := e.options.Failing
	if f.Keep == nil || site.Failures == nil {
		return
	}
	for _, t := range x.selection.tests {
		r := results[t.ID]
		if r.status != "fail" && r.status != "warn" || r.sql == "" {
			continue
		}
		d := e.project.testedBy(t)
		log := e.options.Command.Log.With("run", s.Run, "dataset", d, "test", t.title)
		hide, known := e.project.hiddenFrom(t)
		if !known {
			log.InfoContext(ctx, "failing rows are not shown: the test is of a personal column, and may show it under any name")
			continue
		}
		kept := elt.FailingRows{Run: s.Run, Dataset: d, Date: s.Date, Test: t.title}
		var err error
		if t.Config.Store {
			if kept.Table, err = site.Failures.KeepFailures(ctx, transform.FailuresTable(d, t.title), r.sql, hide, transform.MostKept); err != nil {
				log.WarnContext(ctx, "failing rows are not kept", "error", err)
			}
		}
		if f.Rows > 0 {
			if kept.Sample, err = site.Failures.Sample(ctx, r.sql, hide, f.Rows); err != nil {
				log.WarnContext(ctx, "failing rows are not shown", "error", err)
			}
		}
		if kept.Table == "" && len(kept.Sample.Rows) == 0 {
			continue
		}
		if err := f.Keep(ctx, kept); err != nil {
			log.WarnContext(ctx, "failing rows are not shown", "error", err)
		}
	}
}

// testedBy returns the dataset whose test it is.
func (p *Project) testedBy(t *node) elt.DatasetName {
	for d, tests := range p.tests {
		if slices.Contains(tests, t) {
			return d
		}
	}
	return ""
}

// personal returns the columns that are marked with meta: {pii: true} or {masked: true}, or the tag pii.
func (n *node) personal() []string {
	var out []string
	for _, c := range n.Columns {
		if c.hidden() {
			out = append(out, c.Name)
		}
	}
	return out
}

// shownAs are the names under which dbt's own tests show the column that they are about.
var shownAs = map[string][]string{"unique": {"unique_field"}, "accepted_values": {"value_field"}, "relationships": {"from_field"}, "not_null": nil}

// hiddenFrom returns the columns that no sample of a test's rows shows: those that are masked or marked as personal
// anywhere in what the test reads, and in everything that it is made from. known is false where one of them may be shown
// under a name that nobody can tell.
func (p *Project) hiddenFrom(t *node) (columns []string, known bool) {
	hidden := make(map[string]bool)
	seen := make(map[string]bool)
	var visit func(n *node)
	visit = func(n *node) {
		for _, in := range p.parents(n) {
			if seen[in.ID] {
				continue
			}
			seen[in.ID] = true
			for _, c := range slices.Concat(p.masked[in.dataset], in.personal()) {
				hidden[strings.ToLower(c)] = true
			}
			visit(in)
		}
	}
	visit(t)
	if hidden[strings.ToLower(t.ColumnName)] {
		own := t.TestMeta != nil && t.TestMeta.Namespace == ""
		names, ok := shownAs[""], false
		if own {
			names, ok = shownAs[t.TestMeta.Name]
		}
		if !ok {
			return nil, false
		}
		for _, name := range names {
			hidden[name] = true
		}
	}
	return slices.Sorted(maps.Keys(hidden)), true
}
