package transform

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// freshnessDoc is a source's or a table's freshness block; null takes back what the source says.
type freshnessDoc struct {
	WarnAfter  *ageDoc `yaml:"warn_after"`
	ErrorAfter *ageDoc `yaml:"error_after"`
	Filter     string  `yaml:"filter"`
}

// ageDoc is {count: 12, period: hour}.
type ageDoc struct {
	Count  int64  `yaml:"count"`
	Period string `yaml:"period"`
}

func (a *ageDoc) duration() (time.Duration, bool) {
	if a == nil {
		return 0, true
	}
	return Age(a.Count, a.Period)
}

// Age returns how long a count of periods is, and whether that is an age.
func Age(count int64, period string) (age time.Duration, ok bool) {
	one, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[period]
	if !ok || count < 1 || count > int64(10*365*24*time.Hour/one) {
		return 0, false
	}
	return time.Duration(count) * one, true
}

// Freshness is a test that a table's newest row is new enough. It looks at the rows that the night staged, and counts
// from the moment at which they were read: judging them again gives the same answer.
type Freshness struct {
	Field                 string        // says when a row came
	Filter                string        // which rows are looked at; empty for all
	WarnAfter, ErrorAfter time.Duration // 0 for none
}

// Name is the test's.
func (f *Freshness) Name() string { return "freshness(" + f.Field + ")" }

// Severity is that of the worse of what it may find.
func (f *Freshness) Severity() string {
	if f.ErrorAfter > 0 {
		return "error"
	}
	return "warn"
}

// declaredFreshness adds the test of a table that has one.
func (r *reader) declaredFreshness(s *schemaFile, d elt.DatasetName, source sourceDoc, e entityDoc, path []any) {
	var doc *freshnessDoc
	for _, candidate := range []*freshnessDoc{e.Freshness, e.Config.Freshness, source.Freshness, source.Config.Freshness} {
		if doc = candidate; doc != nil {
			break
		}
	}
	if declaredNull(s, path, "freshness") {
		return
	}
	field := cmp.Or(e.LoadedAtField, e.Config.LoadedAtField, source.LoadedAtField, source.Config.LoadedAtField)
	if doc == nil || doc.WarnAfter == nil && doc.ErrorAfter == nil {
		return
	}
	refuse := func(what, do string) {
		r.problems = append(r.problems, s.file.Problem(CodeSchema, what, do, slices.Concat(path, []any{"freshness"})...))
	}
	if field == "" {
		refuse(fmt.Sprintf("the freshness of %s has no loaded_at_field", d), "add loaded_at_field: with the column that says when a row came")
		return
	}
	f := &Freshness{Field: field, Filter: doc.Filter}
	var warned, failed bool
	f.WarnAfter, warned = doc.WarnAfter.duration()
	f.ErrorAfter, failed = doc.ErrorAfter.duration()
	switch {
	case !warned || !failed:
		refuse("an age is a count from 1 and a period", "write {count: 12, period: hour}; the periods are minute, hour and day")
		return
	case f.ErrorAfter > 0 && f.ErrorAfter < f.WarnAfter:
		refuse("error_after is sooner than warn_after", "exchange them")
		return
	}
	line, _ := s.file.At(slices.Concat(path, []any{"name"})...)
	r.project.tests[d] = append(r.project.tests[d], &test{
		name: f.Name(), kind: "freshness", dataset: d, file: s.file.Name(), line: line, column: field,
		freshness: f, severity: f.Severity(), warnIf: anyRow, errorIf: anyRow, reads: []elt.DatasetName{d},
	})
}

// declaredNull reports whether a table takes a key back that its source has.
func declaredNull(s *schemaFile, path []any, key string) bool {
	n := s.file.Root()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			n = n.Get(step)
		case int:
			n = n.Items()[step]
		}
	}
	v := n.Get(key)
	return v != nil && v.Kind == yamlfile.Null
}

// staleSQL returns a query with one row if the newest row of the relation is older than the age allows, and none if it
// is young enough. A table without rows is as old as can be.
func (f *Freshness) staleSQL(relation string, readAt time.Time, most time.Duration) string {
	from := relation
	if f.Filter != "" {
		from += " where " + f.Filter
	}
	return fmt.Sprintf("select newest from (select max(cast(%s as timestamp)) as newest from %s) as rows_seen where newest is null or newest < cast('%s' as timestamp)",
		f.Field, from, readAt.Add(-most).UTC().Format("2006-01-02 15:04:05.999999"))
}

// SQL returns the query of the worse of the two ages over a relation that was read then.
func (f *Freshness) SQL(relation string, readAt time.Time) string {
	return f.staleSQL(relation, readAt, cmp.Or(f.ErrorAfter, f.WarnAfter))
}

// Counter counts rows.
type Counter interface {
	// Count returns how many rows a SELECT returns.
	Count(ctx context.Context, sql string) (int64, error)
}

// Judge judges the newest row of a table, which is in the relation and was read then. Without failures, nothing tells
// how old the row is.
func (f *Freshness) Judge(ctx context.Context, in Counter, failures Failures, d elt.DatasetName, relation string, readAt time.Time) (elt.Check, error) {
	check := elt.Check{Name: f.Name(), Severity: f.Severity(), Passed: true}
	for _, level := range []struct {
		severity string
		most     time.Duration
	}{{"error", f.ErrorAfter}, {"warn", f.WarnAfter}} {
		if level.most == 0 {
			continue
		}
		stale, err := in.Count(ctx, f.staleSQL(relation, readAt, level.most))
		if err != nil {
			return elt.Check{}, err
		}
		if stale == 0 {
			continue
		}
		check.Passed, check.Severity, check.Failures = false, level.severity, stale
		check.Message = fmt.Sprintf("the newest %s of %s is more than %s before it was read", f.Field, d, ageText(level.most))
		if newest := f.newest(ctx, failures, relation); newest != "" {
			check.Message += ": " + newest
		}
		return check, nil
	}
	return check, nil
}

// newest returns the newest time of a table as text; "" where it cannot be told.
func (f *Freshness) newest(ctx context.Context, failures Failures, relation string) string {
	if failures == nil {
		return ""
	}
	found, err := failures.Sample(ctx, fmt.Sprintf("select max(cast(%s as timestamp)) as newest from %s", f.Field, relation), nil, 1)
	if err != nil || len(found.Rows) != 1 || found.Rows[0][0] == nil {
		return ""
	}
	return *found.Rows[0][0]
}

// runFreshness judges a table's newest row.
func (e *Engine) runFreshness(ctx context.Context, s Scope, t *test) (elt.Check, error) {
	c := &compilation{engine: e, scope: s, sql: map[elt.DatasetName]string{}}
	relation, err := c.relation(t.dataset)
	if err != nil {
		return elt.Check{}, err
	}
	check, err := t.freshness.Judge(ctx, e.warehouse, e.failures, t.dataset, relation, s.ReadTime())
	if err != nil {
		return elt.Check{}, e.testRefused(t, err)
	}
	return check, nil
}

// ReadTime is when the run's rows were read: its own time where the scope says it, else the end of its night.
func (s Scope) ReadTime() time.Time {
	if s.ReadAt.IsZero() {
		return s.Window.To
	}
	return s.ReadAt
}

// ageText writes 36h0m0s as 1 day 12 hours.
func ageText(d time.Duration) string {
	var parts []string
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if n := d / unit.size; n > 0 {
			parts = append(parts, count(int(n), unit.name))
			d %= unit.size
		}
	}
	return strings.Join(parts, " ")
}
