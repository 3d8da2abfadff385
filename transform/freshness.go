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
	period, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[a.Period]
	if !ok || a.Count < 1 || a.Count > int64(10*365*24*time.Hour/period) {
		return 0, false
	}
	return time.Duration(a.Count) * period, true
}

// freshness is a test that a table's newest row is new enough. It looks at the rows that the night staged, and counts
// from the moment at which they were read: judging them again gives the same answer.
type freshness struct {
	field               string
	filter              string
	warnAfter, errAfter time.Duration // 0 for none
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
	f := &freshness{field: field, filter: doc.Filter}
	var warned, failed bool
	f.warnAfter, warned = doc.WarnAfter.duration()
	f.errAfter, failed = doc.ErrorAfter.duration()
	switch {
	case !warned || !failed:
		refuse("an age is a count from 1 and a period", "write {count: 12, period: hour}; the periods are minute, hour and day")
		return
	case f.errAfter > 0 && f.errAfter < f.warnAfter:
		refuse("error_after is sooner than warn_after", "exchange them")
		return
	}
	line, _ := s.file.At(slices.Concat(path, []any{"name"})...)
	severity := "warn"
	if f.errAfter > 0 {
		severity = "error"
	}
	r.project.tests[d] = append(r.project.tests[d], &test{
		name: "freshness(" + field + ")", kind: "freshness", dataset: d, file: s.file.Name(), line: line, column: field,
		freshness: f, severity: severity, warnIf: anyRow, errorIf: anyRow, reads: []elt.DatasetName{d},
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
func (f *freshness) staleSQL(relation string, readAt time.Time, most time.Duration) string {
	from := relation
	if f.filter != "" {
		from += " where " + f.filter
	}
	return fmt.Sprintf("select newest from (select max(cast(%s as timestamp)) as newest from %s) as rows_seen where newest is null or newest < cast('%s' as timestamp)",
		f.field, from, readAt.Add(-most).UTC().Format("2006-01-02 15:04:05.999999"))
}

// runFreshness judges a table's newest row.
func (e *Engine) runFreshness(ctx context.Context, s Scope, t *test) (elt.Check, error) {
	c := &compilation{engine: e, scope: s, sql: map[elt.DatasetName]string{}}
	relation, err := c.relation(t.dataset)
	if err != nil {
		return elt.Check{}, err
	}
	check := elt.Check{Name: t.name, Severity: t.severity, Passed: true}
	for _, level := range []struct {
		severity string
		most     time.Duration
	}{{"error", t.freshness.errAfter}, {"warn", t.freshness.warnAfter}} {
		if level.most == 0 {
			continue
		}
		stale, err := e.warehouse.Count(ctx, t.freshness.staleSQL(relation, s.readAt(), level.most))
		if err != nil {
			return elt.Check{}, e.testRefused(t, err)
		}
		if stale == 0 {
			continue
		}
		check.Passed, check.Severity, check.Failures = false, level.severity, stale
		check.Message = fmt.Sprintf("the newest %s of %s is more than %s before it was read", t.freshness.field, t.dataset, ageText(level.most))
		if newest := e.newest(ctx, t, relation); newest != "" {
			check.Message += ": " + newest
		}
		return check, nil
	}
	return check, nil
}

// newest returns the newest time of a table as text; "" where it cannot be told.
func (e *Engine) newest(ctx context.Context, t *test, relation string) string {
	if e.failures == nil {
		return ""
	}
	found, err := e.failures.Sample(ctx, fmt.Sprintf("select max(cast(%s as timestamp)) as newest from %s", t.freshness.field, relation), nil, 1)
	if err != nil || len(found.Rows) != 1 || found.Rows[0][0] == nil {
		return ""
	}
	return *found.Rows[0][0]
}

// readAt is when the run's rows were read: its own time where the scope says it, else the end of its night.
func (s Scope) readAt() time.Time {
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
