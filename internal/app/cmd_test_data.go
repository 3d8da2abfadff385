package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Test runs the tests of published data.
type Test struct {
	Selectors []string `arg:"" optional:"" name:"selector" help:"As for daybreak run --select; everything when none is given."`
	Exclude   []string `sep:"none" placeholder:"SELECTOR" help:"Without these."`
	Rows      int      `placeholder:"N" help:"Print up to N failing rows of each test, without masked and personal columns."`
	Vars      string   `placeholder:"YAML" help:"Variables of the SQL, over those of daybreak.yaml: '{since: 2026-01-01}'."`
}

// Help is the long help of the command.
func (Test) Help() string {
	return `Runs the tests of the selected datasets on what is published, each for the date that it was last published for. Nothing is changed: nothing is held back afterwards, and no page shows the result. Freshness counts from now. Of a dbt project, the team's own dbt runs the tests, over views of what is published.

Exit code 65 when a test of severity error fails; warnings do not fail.

  daybreak test
  daybreak test revenue+ --rows 5
  daybreak test tag:finance --exclude revenue`
}

// Run runs the command.
func (t *Test) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	vars, err := parseVars(t.Vars)
	if err != nil {
		return err
	}
	ws, err := loadWorkspaceWith(ctx, g.workspace(), vars)
	if err != nil {
		return err
	}
	names, err := ws.project.Pick(Choice{Select: t.Selectors, Exclude: t.Exclude}.selection())
	if err != nil {
		return err
	}
	log := c.Logger(g, slog.LevelWarn)
	data, closeData, err := ws.openPublished(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeData()) }()
	current, _, err := ws.current(ctx, log)
	if err != nil {
		return err
	}
	report := testReport{c: c, failing: make(map[string]elt.Sample)}
	var due []elt.DatasetName
	for _, name := range names {
		if len(ws.project.Tests(name)) == 0 {
			continue
		}
		if _, published := current[name]; published {
			due = append(due, name)
		} else {
			report.unpublished = append(report.unpublished, string(name))
		}
	}
	tests := publishedTests{ws: ws, data: data, current: current, now: time.Now(), log: log, rows: t.Rows, vars: vars, keep: report.keep}
	found, err := tests.run(ctx, due)
	if err != nil {
		return err
	}
	for _, name := range due {
		report.add(name, found[name])
	}
	return report.print()
}

// testReport is what the tests said.
type testReport struct {
	c                      *Console
	rows                   [][4]string
	failing                map[string]elt.Sample
	shown                  []string // headings of failing rows, in order
	passed, warned, failed int
	unpublished            []string
}

// keep takes the rows that failed a test.
func (r *testReport) keep(_ context.Context, f elt.FailingRows) error {
	r.failing[string(f.Dataset)+"\x00"+f.Test] = f.Sample
	return nil
}

func (r *testReport) add(d elt.DatasetName, notes []elt.Check) {
	for _, n := range notes {
		verdict := "✓ passed"
		switch {
		case n.Passed:
			r.passed++
		case n.Severity == "error":
			verdict = "✕ failed"
			r.failed++
		default:
			verdict = "! warning"
			r.warned++
		}
		rows := ""
		if n.Failures > 0 {
			rows = count(n.Failures)
		}
		r.rows = append(r.rows, [4]string{string(d), n.Name, verdict, rows})
		if key := string(d) + "\x00" + n.Name; len(r.failing[key].Rows) > 0 {
			r.shown = append(r.shown, key)
		}
	}
}

func (r *testReport) print() error {
	w := tabwriter.NewWriter(r.c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATASET\tTEST\tRESULT\tROWS FOUND")
	for _, row := range r.rows {
		fmt.Fprintln(w, strings.Join(row[:], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, key := range r.shown {
		dataset, test, _ := strings.Cut(key, "\x00")
		r.c.printf("\n%s of %s:\n", test, dataset)
		if err := printSample(r.c, r.failing[key]); err != nil {
			return err
		}
	}
	for _, name := range r.unpublished {
		fmt.Fprintf(r.c.Err, "daybreak: %s has tests and is not published yet\n", name)
	}
	r.c.printf("\n%s: %d passed, %s, %d failed\n", plural(len(r.rows), "test"), r.passed, plural(r.warned, "warning"), r.failed)
	if r.failed > 0 {
		return exitStatus(ExitData)
	}
	return nil
}

// printSample prints rows under their columns' names.
func printSample(c *Console, s elt.Sample) error {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  "+strings.Join(s.Columns, "\t"))
	for _, row := range s.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = "NULL"
			if v != nil {
				cells[i] = strings.Join(strings.Fields(*v), " ")
			}
		}
		fmt.Fprintln(w, "  "+strings.Join(cells, "\t"))
	}
	return w.Flush()
}
