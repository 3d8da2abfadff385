package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// failuresSchema holds the rows of tests with store_failures, a table for each; failuresKept is for how long.
const (
	failuresSchema = "_daybreak_failures"
	failuresKept   = 14 * 24 * time.Hour
)

// Sample returns at most most rows of a SELECT as text, without the hidden columns. Which rows is not determined.
func (w *Warehouse) Sample(ctx context.Context, query string, hide []string, most int) (s elt.Sample, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return s, err
	}
	defer release()
	return w.sample(ctx, query, hide, most)
}

// SampleIn is Sample of what a file holds that was handed out.
func (w *Warehouse) SampleIn(ctx context.Context, file, query string, hide []string, most int) (s elt.Sample, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return s, err
	}
	defer release()
	err = w.attached(ctx, "read "+file, file, func(string) error {
		s, err = w.sample(ctx, query, hide, most)
		return err
	})
	return s, err
}

func (w *Warehouse) sample(ctx context.Context, query string, hide []string, most int) (s elt.Sample, err error) {
	refuse := func(err error) error {
		return w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query", "correct the SQL", linesBefore, err)
	}
	if s.Columns, err = visible(ctx, w.db, query, hide); err != nil || len(s.Columns) == 0 {
		return s, refuse(err)
	}
	exprs := make([]string, len(s.Columns))
	for i, c := range s.Columns {
		exprs[i] = "CAST(" + quote(c) + " AS VARCHAR)"
	}
	rows, err := w.db.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s LIMIT %d", strings.Join(exprs, ", "), wrapped(query), most))
	if err != nil {
		return elt.Sample{}, refuse(err)
	}
	defer rows.Close()
	for rows.Next() {
		texts, dests := make([]sql.NullString, len(exprs)), make([]any, len(exprs))
		for i := range texts {
			dests[i] = &texts[i]
		}
		if err := rows.Scan(dests...); err != nil {
			return elt.Sample{}, refuse(err)
		}
		row := make([]*string, len(exprs))
		for i, t := range texts {
			if t.Valid {
				row[i] = new(elt.ShortText(t.String))
			}
		}
		s.Rows = append(s.Rows, row)
	}
	return s, refuse(rows.Err())
}

// visible returns the columns of a SELECT that are not hidden.
func visible(ctx context.Context, q queryer, query string, hide []string) (names []string, err error) {
	docs, err := describe(ctx, q, wrapped(query))
	for _, d := range docs {
		if !slices.ContainsFunc(hide, func(h string) bool { return strings.EqualFold(h, d.Name) }) {
			names = append(names, d.Name)
		}
	}
	return names, err
}

// KeepFailures replaces the table of that name with at most most rows of a SELECT, without the hidden columns, and
// returns how people name it; "" when there is no column to keep. It is dropped after two weeks.
func (w *Warehouse) KeepFailures(ctx context.Context, name, query string, hide []string, most int) (table string, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return w.keepFailures(ctx, name, query, hide, most)
}

// KeepFailuresIn is KeepFailures of what a file holds that was handed out.
func (w *Warehouse) KeepFailuresIn(ctx context.Context, file, name, query string, hide []string, most int) (table string, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	err = w.attached(ctx, "read "+file, file, func(string) error {
		table, err = w.keepFailures(ctx, name, query, hide, most)
		return err
	})
	return table, err
}

func (w *Warehouse) keepFailures(ctx context.Context, name, query string, hide []string, most int) (table string, err error) {
	columns, err := visible(ctx, w.db, query, hide)
	if err != nil || len(columns) == 0 {
		return "", w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query", "correct the SQL", linesBefore, err)
	}
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return "", fmt.Errorf("wait for a publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	failpoint.Here("duckdb.keep_failures")
	return failuresSchema + "." + name, w.transaction(ctx, "keep the failing rows "+name, func(tx *sql.Tx) error {
		for _, statement := range []string{
			"CREATE SCHEMA IF NOT EXISTS " + failuresSchema,
			fmt.Sprintf("CREATE OR REPLACE TABLE %s AS SELECT %s FROM %s LIMIT %d", qualified(failuresSchema, name), quoteAll("", columns), wrapped(query), most),
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO _daybreak.failures VALUES (?, ?)", name, w.now().UTC())
		return err
	})
}

// sweepFailures drops the tables of failing rows that are too old.
func (w *Warehouse) sweepFailures(ctx context.Context) error {
	rows, err := w.db.QueryContext(ctx, "SELECT name FROM _daybreak.failures WHERE kept_at < ?", w.now().Add(-failuresKept).UTC())
	if err != nil {
		return err
	}
	defer rows.Close()
	var old []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		old = append(old, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range old {
		if err := drop(ctx, w.db, failuresSchema, name, false); err != nil {
			return err
		}
		if _, err := w.db.ExecContext(ctx, "DELETE FROM _daybreak.failures WHERE name = ?", name); err != nil {
			return err
		}
	}
	return nil
}
