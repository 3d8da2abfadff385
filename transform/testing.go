package transform

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Test runs every test of a dataset over what the run has staged of it, or over what is published where
// the run has staged nothing. The result has each test; when one of severity error fails, it comes with an
// error of code test_failed.
func (e *Engine) Test(ctx context.Context, s Scope, d elt.DatasetName) (elt.Result, error) {
	result := elt.Result{Checks: elt.ChecksNone}
	var failed []string
	for _, t := range e.project.tests[d] {
		check, err := e.runTest(ctx, s, t)
		if err != nil {
			return result, err
		}
		result.Notes = append(result.Notes, check)
		switch {
		case check.Passed && result.Checks == elt.ChecksNone:
			result.Checks = elt.ChecksPassed
		case check.Passed:
		case check.Severity == "error":
			failed = append(failed, fmt.Sprintf("%s found %s", t.name, rowCount(check.Failures)))
		default:
			result.Checks = elt.ChecksWarned
		}
	}
	if failed == nil {
		return result, nil
	}
	result.Checks = ""
	return result, &elt.Error{
		Code: CodeTestFailed, Class: elt.Data,
		What: fmt.Sprintf("%d of %s of %s failed: %s", len(failed), count(len(result.Notes), "test"), d, strings.Join(failed, "; ")),
		Do:   fmt.Sprintf("correct the data or the model, then retry the run; until then %s and what is made from it keep their last version", d),
	}
}

// runTest counts one test's failing rows and judges them.
func (e *Engine) runTest(ctx context.Context, s Scope, t *test) (elt.Check, error) {
	if t.freshness != nil {
		return e.runFreshness(ctx, s, t)
	}
	sql, err := e.testSQL(s, t)
	if err != nil {
		return elt.Check{}, err
	}
	failpoint.Here("transform.test")
	rows, err := e.warehouse.Count(ctx, sql)
	if err != nil {
		return elt.Check{}, e.testRefused(t, err)
	}
	check := elt.Check{Name: t.name, Severity: t.severity, Failures: rows, Passed: true}
	switch {
	case t.severity == "error" && t.errorIf.holds(rows):
		check.Passed = false
		check.Message = fmt.Sprintf("%s of %s found %s", t.name, t.dataset, rowCount(rows))
	case t.warnIf.holds(rows):
		check.Passed, check.Severity = false, "warn"
		check.Message = fmt.Sprintf("%s of %s found %s, which is a warning", t.name, t.dataset, rowCount(rows))
	}
	if !check.Passed {
		failpoint.Here("transform.failing_rows")
		e.keepFailures(ctx, s, t, sql)
	}
	return check, nil
}

func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// TestSQL returns the query of a dataset's test as it will run in the scope: its rows are the failing ones.
func (e *Engine) TestSQL(s Scope, d elt.DatasetName, name string) (string, error) {
	for _, t := range e.project.tests[d] {
		if t.name == name {
			return e.testSQL(s, t)
		}
	}
	return "", &elt.Error{Code: CodeTest, Class: elt.Config, What: fmt.Sprintf("%s has no test %q", d, name), Do: "its tests are " + strings.Join(e.project.Tests(d), ", ")}
}

func (e *Engine) testSQL(s Scope, t *test) (string, error) {
	c := &compilation{engine: e, scope: s, sql: map[elt.DatasetName]string{}}
	what := "test " + t.name
	if t.query != nil && t.kind == "" {
		sql, err := c.render(t.query, t.reads, &rendering{}, what)
		if err != nil {
			return "", err
		}
		return t.limited(c.withCTEs(sql)), nil
	}
	sql, err := e.kindSQL(c, s, t, what)
	return t.limited(sql), err
}

// limited bounds how many failing rows are counted.
func (t *test) limited(sql string) string {
	if t.limit == 0 || sql == "" {
		return sql
	}
	return fmt.Sprintf("select * from (\n%s\n) as failing limit %d", sql, t.limit)
}

// kindSQL returns the query of a test that is declared in schema.yml.
func (e *Engine) kindSQL(c *compilation, s Scope, t *test, what string) (string, error) {
	table, err := c.relation(t.dataset)
	if err != nil {
		return "", err
	}
	if t.where != nil {
		g := &rendering{this: table, thisName: t.dataset}
		where, err := c.render(t.where, t.reads, g, what)
		if err != nil {
			return "", err
		}
		table = "(select * from " + table + " where (\n" + where + "\n)) as tested"
	}
	if t.query != nil {
		g := &rendering{arguments: t.genericArguments(table, e.project.options.Schema)}
		sql, err := c.render(t.query, t.reads, g, what)
		if err != nil {
			return "", err
		}
		return c.withCTEs(sql), nil
	}
	col := t.column
	switch t.kind {
	case "freshness":
		return c.withCTEs(t.freshness.SQL(table, s.ReadTime())), nil
	case "unique":
		return c.withCTEs(fmt.Sprintf("select %s, count(*) as n from %s where %s is not null group by %s having count(*) > 1", col, table, col, col)), nil
	case "not_null":
		return c.withCTEs(fmt.Sprintf("select * from %s where %s is null", table, col)), nil
	case "accepted_values":
		return c.withCTEs(fmt.Sprintf("select %s, count(*) as n from %s where %s not in (%s) group by %s", col, table, col, strings.Join(t.values, ", "), col)), nil
	}
	parent, err := c.relation(t.parent)
	if err != nil {
		return "", err
	}
	// Both sides are derived tables with one name of ours, so that a column which does not exist is an error
	// and never another table's column of that name.
	return c.withCTEs(fmt.Sprintf("select child.tested_value from (select %s as tested_value from %s where %s is not null) as child"+
		" left join (select distinct %s as tested_value from %s) as parent on child.tested_value = parent.tested_value where parent.tested_value is null",
		col, table, col, t.field, parent)), nil
}

// testRefused places an error of the warehouse where the test is declared.
func (e *Engine) testRefused(t *test, err error) error {
	var cause *elt.Error
	if errors.As(err, &cause) && cause.Class != elt.Data && cause.Class != elt.Config || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("test %s of %s: %w", t.name, t.dataset, err)
	}
	place := t.file
	if t.line > 0 {
		place = fmt.Sprintf("%s:%d", t.file, t.line)
	}
	return &elt.Error{
		Code: CodeTestRefused, Class: elt.Config, What: fmt.Sprintf("%s: the test %s of %s cannot run: %v", place, t.name, t.dataset, err),
		Do: "correct the test, or the column that it names", Err: err,
	}
}
