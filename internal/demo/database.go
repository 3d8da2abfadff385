package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// batch is how many rows go into one INSERT: enough to make the calls cheap, few enough for SQLite's
// limit on parameters.
const batch = 50

// buildDatabase writes the world into a new SQLite file and makes it appear under path, whole, or not at all.
func buildDatabase(ctx context.Context, path string, w *world, progress func(done, total int)) error {
	unfinished := path + ".unfinished"
	for _, leftover := range []string{unfinished, unfinished + "-journal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("clear what an interrupted demo left: %w", err)
		}
	}
	if err := fill(ctx, unfinished, w, progress); err != nil {
		if ctx.Err() != nil { // whatever it broke first
			err = ctx.Err()
		}
		return errors.Join(fmt.Errorf("write the demo's production database: %w", err), os.Remove(unfinished))
	}
	return settleFile(unfinished, path)
}

func fill(ctx context.Context, path string, w *world, progress func(done, total int)) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	// The file is worthless until it is complete, so nothing is gained by a journal meanwhile.
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF"); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if undo := tx.Rollback(); !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
	}()
	total, done := w.rows(), 0
	for _, t := range w.tables() {
		err := insert(ctx, tx, t, func(rows int) {
			done += rows
			progress(done, total)
		})
		if err != nil {
			return fmt.Errorf("fill table %s: %w", t.name, err)
		}
	}
	return tx.Commit()
}

// insert creates the table and writes its rows, many to a statement.
func insert(ctx context.Context, tx *sql.Tx, t table, progress func(rows int)) error {
	if _, err := tx.ExecContext(ctx, "CREATE TABLE "+t.name+" (\n  "+strings.Join(t.columns, ",\n  ")+"\n)"); err != nil {
		return err
	}
	rest, err := insertBatches(ctx, tx, t, progress)
	if err != nil {
		return err
	}
	if rows := len(rest) / len(t.columns); rows > 0 {
		if _, err := tx.ExecContext(ctx, insertRows(t, rows), rest...); err != nil {
			return err
		}
		progress(rows)
	}
	if t.index == "" {
		return nil
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("CREATE INDEX %s_%s ON %[1]s (%[2]s)", t.name, t.index))
	return err
}

// insertBatches writes every full batch of rows and returns the values of those that are left.
func insertBatches(ctx context.Context, tx *sql.Tx, t table, progress func(rows int)) (values []any, err error) {
	many, err := tx.PrepareContext(ctx, insertRows(t, batch))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, many.Close()) }()
	full := batch * len(t.columns)
	for row := range t.rows {
		if values = append(values, row...); len(values) < full {
			continue
		}
		if _, err := many.ExecContext(ctx, values...); err != nil {
			return nil, err
		}
		progress(batch)
		values = values[:0]
	}
	return values, nil
}

// insertRows returns the statement that inserts that many rows.
func insertRows(t table, rows int) string {
	row := "(?" + strings.Repeat(",?", len(t.columns)-1) + ")"
	return "INSERT INTO " + t.name + " VALUES " + row + strings.Repeat(","+row, rows-1)
}
