package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// linesBefore is how many lines stand ahead of a person's SQL in the statements that wrap it. In parentheses,
// it can be one SELECT and nothing else.
const linesBefore = 1

func wrapped(query string) string {
	return "(\n" + strings.TrimRight(query, "; \t\r\n") + "\n)"
}

// Build makes the staging relation of a model and returns how many rows it built; for a view, how many it
// shows. Building it again replaces it. SQL that DuckDB refuses is the error sql_refused.
func (w *Warehouse) Build(ctx context.Context, b elt.Build) (built elt.BuiltModel, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return built, err
	}
	defer release()
	s, err := w.stage(ctx, b.Run, b.Dataset)
	if err != nil {
		return built, err
	}
	switch b.Materialized {
	case elt.AsView:
		built.Rows, err = s.buildView(ctx, b)
		return built, err
	case elt.AsTable, elt.AsIncremental:
		return s.buildTable(ctx, b)
	}
	return built, fmt.Errorf("build %s: %q makes no relation", b.Dataset, b.Materialized)
}

func (s *staging) buildView(ctx context.Context, b elt.Build) (rows int64, err error) {
	name := s.w.Staged(b.Run, b.Dataset)
	err = s.replace(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE VIEW "+name+" AS "+wrapped(b.SQL)); err != nil {
			return s.w.modelRefused(ctx, b.Dataset, err)
		}
		return s.w.modelRefused(ctx, b.Dataset, tx.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&rows))
	})
	return rows, err
}

func (s *staging) buildTable(ctx context.Context, b elt.Build) (built elt.BuiltModel, err error) {
	what := "build " + string(b.Dataset)
	query := wrapped(b.SQL)
	if b.Materialized == elt.AsIncremental && b.Strategy != "" {
		if err := s.onto(ctx, b.Relation, b.Strategy, b.Key); err != nil {
			return built, s.w.fail(ctx, what, err)
		}
		if query, built.Changes, err = s.refit(ctx, b); err != nil {
			return built, s.w.fail(ctx, what, err)
		}
	}
	defer func() {
		if err != nil {
			s.clear(ctx)
		}
	}()
	if _, err := s.w.db.ExecContext(ctx, "CREATE TABLE "+s.table()+" AS "+query); err != nil {
		return built, s.w.modelRefused(ctx, b.Dataset, err)
	}
	columns, err := columnsOf(ctx, s.w.db, s.table())
	if err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	if err := s.mergeable(ctx, columns, b); err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	if err := s.evolve(ctx, columns, built.Changes); err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	if err := s.w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+s.table()).Scan(&built.Rows); err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	return built, s.finish(ctx, columns.Names())
}

// mergeable checks that an incremental model's rows can be merged, today or on a later night.
func (s *staging) mergeable(ctx context.Context, columns elt.Schema, b elt.Build) error {
	if b.Materialized != elt.AsIncremental {
		return nil
	}
	if len(b.Key) == 0 && (b.Strategy == elt.Merge || b.Strategy == elt.DeleteInsert) {
		return warehouse.NeedsKey(b)
	}
	return s.hasKey(ctx, columns, b.Key, b.Strategy == elt.Merge)
}

func (w *Warehouse) modelRefused(ctx context.Context, d elt.DatasetName, err error) error {
	return w.refused(ctx, warehouse.CodeRefused, fmt.Sprintf("the warehouse refuses the SQL of %s", d),
		"correct the model's SQL; the line counts in the SQL as it was rendered", linesBefore, err)
}

// Count returns how many rows a SELECT returns.
func (w *Warehouse) Count(ctx context.Context, query string) (n int64, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	err = w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+wrapped(query)).Scan(&n)
	return n, w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query",
		"correct the SQL; the line counts in the SQL as it was rendered", linesBefore, err)
}
