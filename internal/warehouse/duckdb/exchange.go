package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// HandOut makes a new DuckDB file and copies relations into it, all as of one moment, for a program of its own
// process to work on: it could neither open the warehouse, which this process has locked, nor be let loose on what
// people read. The file is made here, so that it keeps this DuckDB's storage format whichever one writes it later.
func (w *Warehouse) HandOut(ctx context.Context, file string, relations []elt.Exchange) error {
	release, err := w.shared(ctx)
	if err != nil {
		return err
	}
	defer release()
	what := "hand out " + file
	return w.attached(ctx, what, file, func(db string) error {
		return w.transaction(ctx, what, func(tx *sql.Tx) error {
			for _, r := range relations {
				if _, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+qualified(db, r.Schema)); err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, "CREATE TABLE "+qualified(db, r.Schema)+"."+quote(r.Name)+" AS SELECT * FROM "+r.From); err != nil {
					return fmt.Errorf("copy %s: %w", r.Dataset, err)
				}
			}
			return nil
		})
	})
}

// TakeBack stages relations of such a file for the run, views as the rows that they show, and returns how many rows
// each has. Each is counted on both sides, and its columns are compared. A relation that is not there is the error
// relation_not_built; a file of another process's, file_busy; one that cannot be read, file_unreadable.
func (w *Warehouse) TakeBack(ctx context.Context, run elt.RunID, file string, relations []elt.Exchange) (rows map[elt.DatasetName]int64, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	rows = make(map[elt.DatasetName]int64, len(relations))
	err = w.attached(ctx, "take back "+file, file, func(db string) error {
		for _, r := range relations {
			n, err := w.takeBack(ctx, run, db, r)
			if err != nil {
				return err
			}
			rows[r.Dataset] = n
		}
		return nil
	})
	return rows, err
}

func (w *Warehouse) takeBack(ctx context.Context, run elt.RunID, db string, r elt.Exchange) (rows int64, err error) {
	what := "take back " + string(r.Dataset)
	from := qualified(db, r.Schema) + "." + quote(r.Name)
	var there bool
	err = w.db.QueryRowContext(ctx, `SELECT count(*) > 0 FROM information_schema.tables WHERE table_catalog = ? AND lower(table_schema) = lower(?)
		AND lower(table_name) = lower(?)`, db, r.Schema, r.Name).Scan(&there)
	if err != nil {
		return 0, w.fail(ctx, what, err)
	}
	if !there {
		return 0, warehouse.NotBuilt(r)
	}
	s, err := w.stage(ctx, run, r.Dataset)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			s.clear(ctx)
		}
	}()
	if _, err := w.db.ExecContext(ctx, "CREATE TABLE "+s.table()+" AS SELECT * FROM "+from); err != nil {
		return 0, w.refused(ctx, codeNotReadable, fmt.Sprintf("cannot read %s as it was built", r.Dataset),
			"make it a table instead of a view, for its SQL needs what only the program that built it has; then daybreak run --again", 0, err)
	}
	var before int64
	if err := w.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM "+from+"), (SELECT count(*) FROM "+s.table()+")").Scan(&before, &rows); err != nil {
		return 0, w.fail(ctx, what, err)
	}
	want, err := describe(ctx, w.db, from)
	if err != nil {
		return 0, w.fail(ctx, what, err)
	}
	got, err := describe(ctx, w.db, s.table())
	if err != nil {
		return 0, w.fail(ctx, what, err)
	}
	if before != rows || !slices.EqualFunc(want, got, func(a, b elt.ColumnDoc) bool { return a.Name == b.Name && a.Type == b.Type }) {
		return 0, warehouse.TakenWrong(r.Dataset, warehouse.Extent{Rows: before, Columns: len(want)}, warehouse.Extent{Rows: rows, Columns: len(got)},
			"if it is a view, make it a table: its SQL does not give the same rows twice")
	}
	return rows, s.finish(ctx, nil)
}

// Unstage drops what the run has staged for the datasets, so that nothing older can be taken for what is to come.
func (w *Warehouse) Unstage(ctx context.Context, run elt.RunID, datasets []elt.DatasetName) error {
	release, err := w.shared(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, d := range datasets {
		s, err := w.stage(ctx, run, d)
		if err != nil {
			return err
		}
		if err := s.replace(ctx, func(*sql.Tx) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// HasStaged reports whether the run has staged the dataset.
func (w *Warehouse) HasStaged(ctx context.Context, run elt.RunID, d elt.DatasetName) (bool, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	found, _, err := w.stagedShape(ctx, w.db, run, d)
	return found != nothing, w.fail(ctx, "look for "+string(d)+" in the staging of run "+string(run), err)
}

// attached calls do with the name under which the file is attached: that of the file, by which views in it call their
// tables. What do wrote is in the file, and not in a log beside it, when attached returns nil.
func (w *Warehouse) attached(ctx context.Context, what, file string, do func(db string) error) (err error) {
	if err := w.exchanging.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("%s: wait for another file: %w", what, err)
	}
	defer w.exchanging.Release(1)
	db := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if _, err := w.db.ExecContext(ctx, "ATTACH "+literal(file)+" AS "+quote(db)); err != nil {
		return w.exchangeError(ctx, what, file, err)
	}
	defer func() {
		_, detached := w.db.ExecContext(context.WithoutCancel(ctx), "DETACH "+quote(db))
		err = errors.Join(err, w.fail(ctx, what, detached))
	}()
	if err := do(db); err != nil {
		return w.fail(ctx, what, err)
	}
	_, err = w.db.ExecContext(ctx, "CHECKPOINT "+quote(db))
	return w.fail(ctx, what, err)
}

// exchangeError explains why a file could not be attached.
func (w *Warehouse) exchangeError(ctx context.Context, what, file string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	text := err.Error()
	if m := lockHolder.FindStringSubmatch(text); m != nil {
		return &elt.Error{
			Code: codeFileBusy, Class: elt.Conflict,
			What: fmt.Sprintf("cannot open %s: process %s (%s) still works on it", file, m[2], m[1]),
			Do:   fmt.Sprintf("nothing, if process %s is about to end: the step is tried again; otherwise stop it", m[2]),
		}
	}
	if full := exhausted(what, text); full != nil {
		return full
	}
	return &elt.Error{
		Code: codeFileUnreadable, Class: elt.Data,
		What: fmt.Sprintf("cannot read the DuckDB file %s: %s", file, essence(text)),
		Do:   "run the night again; if it happens again, use a dbt whose duckdb package is of the version that docs/dbt.md names",
	}
}
