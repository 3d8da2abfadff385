package status

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

const codeNoSQL elt.Code = "sql_unknown"

// testRow is one test with what it said last.
type testRow struct {
	Name    string
	Pill    pill
	Rows    string
	Message string
}

// checkPill is a test's outcome as icon, word and colour.
func checkPill(c elt.Check) pill {
	switch {
	case c.Passed:
		return pill{"ready", "✓", "Passed"}
	case c.Severity == "warn":
		return pill{"late", "!", "Warning"}
	}
	return pill{"failed", "✕", "Failed"}
}

func testRows(checks []elt.Check) (rows []testRow) {
	for _, c := range checks {
		r := testRow{Name: c.Name, Pill: checkPill(c), Message: c.Message}
		if c.Failures > 0 {
			r.Rows = grouped(c.Failures)
		}
		rows = append(rows, r)
	}
	return rows
}

// testsData is how a dataset's tests ended when they last ran.
type testsData struct {
	Rows []testRow
	Day  link
}

// lastTests finds the newest day of which the dataset's tests have said something.
func (s *Service) lastTests(ctx context.Context, v view, set *dataset, today elt.Date) (*testsData, []elt.Check, error) {
	const looked = 3 // days back: a day that failed before its tests says nothing of them
	days := v.days(set)
	for _, d := range slices.Backward(days[max(0, len(days)-looked):]) {
		if d.Run == "" {
			continue
		}
		steps, err := s.opts.Ledger.Steps(ctx, d.Run)
		if err != nil {
			return nil, nil, ledgerAway(err)
		}
		for _, st := range steps {
			if st.Dataset == set.Name && st.Kind == elt.TestStep && len(st.Result.Notes) > 0 {
				return &testsData{testRows(st.Result.Notes), link{shortDate(d.Date, today), dayHref(set.Name, d.Date)}}, st.Result.Notes, nil
			}
		}
	}
	return nil, nil, nil
}

// columnRow is a column with the tests that it has and what they said last.
type columnRow struct {
	elt.ColumnDoc
	Tests []columnTest
}

type columnTest struct {
	Kind string
	Pill pill // empty while nothing is known
}

// columnRows joins the documentation with the outcomes.
func columnRows(columns []elt.ColumnDoc, checks []elt.Check) []columnRow {
	rows := make([]columnRow, len(columns))
	for i, c := range columns {
		rows[i].ColumnDoc = c
		for _, kind := range c.Tests {
			t := columnTest{Kind: kind}
			for _, check := range checks {
				if rest, ok := strings.CutPrefix(check.Name, kind+"("+c.Name); ok && strings.IndexAny(rest, "), →") == 0 {
					t.Pill = checkPill(check)
				}
			}
			rows[i].Tests = append(rows[i].Tests, t)
		}
	}
	return rows
}

// failingTest is some of the rows that failed one test.
type failingTest struct {
	Test, Table string
	Columns     []string
	Rows        [][]cellText
}

type cellText struct {
	Text string
	Null bool
}

// failingTests returns what an operator may see of the rows that failed; nothing for anybody else.
func (s *Service) failingTests(c echo.Context, run elt.RunID, d elt.DatasetName) ([]failingTest, error) {
	if run == "" || !callerOf(c).Role.Includes(elt.Operator) {
		return nil, nil
	}
	found, err := s.opts.Ledger.FailingRows(c.Request().Context(), run, d)
	if err != nil {
		return nil, ledgerAway(err)
	}
	var out []failingTest
	for _, f := range found {
		t := failingTest{Test: f.Test, Table: f.Table, Columns: f.Sample.Columns}
		for _, row := range f.Sample.Rows {
			cells := make([]cellText, len(row))
			for i, v := range row {
				if cells[i].Null = v == nil; v != nil {
					cells[i].Text = *v
				}
			}
			t.Rows = append(t.Rows, cells)
		}
		out = append(out, t)
	}
	if len(out) > 0 {
		c.Response().Header().Set("Cache-Control", "no-store") // rows of production stay nowhere
	}
	return out, nil
}

// sqlOf returns a model's SQL for an operator; nil for anybody else, and for what is no model.
func (s *Service) sqlOf(c echo.Context, d elt.DatasetName) *api.ModelSQL {
	if s.opts.SQL == nil || !s.moment.IsZero() || !callerOf(c).Role.Includes(elt.Operator) {
		return nil
	}
	sql, ok := s.opts.SQL(d)
	if !ok {
		return nil
	}
	return &sql
}

func (s *Service) getSQL(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	sql := s.sqlOf(c, set.Name)
	if sql == nil {
		return refuse(http.StatusNotFound, codeNoSQL, fmt.Sprintf("%s is made by no SQL that this service knows", set.Name), "ask for a model of the workspace's sql folder")
	}
	return s.answer(c, v, false, sql, &sql.Meta)
}

func (s *Service) getFailingRows(c echo.Context) error {
	v, set, err := s.lookAt(c)
	if err != nil {
		return err
	}
	date, err := dateText("date", c.Param("date"))
	if err != nil {
		return err
	}
	d, _, err := s.dayView(c.Request().Context(), v, set, date)
	if err != nil {
		return err
	}
	body := &api.FailingRows{Dataset: set.Name, Date: date, Run: d.Run, Tests: []elt.FailingRows{}}
	if d.Run != "" {
		found, err := s.opts.Ledger.FailingRows(c.Request().Context(), d.Run, set.Name)
		if err != nil {
			return ledgerAway(err)
		}
		body.Tests = append(body.Tests, found...)
	}
	return s.answer(c, v, false, body, &body.Meta)
}
