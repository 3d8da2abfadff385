package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Stage loads the manifest's parts, local Parquet files in the manifest's order, into the run's staging
// relation for the dataset and returns how many rows it holds. Staging it again replaces it. An incremental
// dataset that is already published is staged as a delta; the errors are then schema_changed and
// duplicate_key as well. progress is told the rows so far after each part.
func (w *Warehouse) Stage(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string, progress func(rows int64)) (rows int64, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	definition, values, err := tableDefinition(m.Dataset, m.Schema)
	if err != nil {
		return 0, err
	}
	what := "stage " + string(m.Dataset)
	s, err := w.stage(ctx, run, m.Dataset)
	if err != nil {
		return 0, err
	}
	if m.Mode == elt.Incremental {
		if err := s.onto(ctx, relation, s.replaces(m), m.Key); err != nil {
			return 0, w.fail(ctx, what, err)
		}
	}
	if c, ok := m.Schema.Column(m.SoftDelete); ok {
		s.deleted = elt.Deleted(c.Type.Kind, quote(c.Name))
	}
	if err := s.evolve(ctx, m.Schema, m.Changes); err != nil {
		return 0, w.fail(ctx, what, err)
	}
	defer func() {
		if err != nil {
			s.clear(ctx)
		}
	}()
	if _, err := w.db.ExecContext(ctx, "CREATE TABLE "+s.table()+" ("+definition+")"); err != nil {
		return 0, w.fail(ctx, what, err)
	}
	for _, file := range files {
		n, err := s.insertPart(ctx, file, values)
		if err != nil {
			return 0, err
		}
		rows += n
		progress(rows)
	}
	if m.Mode == elt.Incremental {
		if err := s.hasKey(ctx, m.Schema, m.Key, true); err != nil {
			return 0, w.fail(ctx, what, err)
		}
	}
	return rows, s.finish(ctx, m.Schema.Names())
}

// insertPart adds one Parquet file. Folders such as date=2026-01-05 on its path are no columns.
func (s *staging) insertPart(ctx context.Context, file, values string) (int64, error) {
	res, err := s.w.db.ExecContext(ctx, "INSERT INTO "+s.table()+" SELECT "+values+
		" FROM read_parquet("+fileLiteral(file)+", hive_partitioning = false)")
	if err != nil {
		return 0, s.w.refused(ctx, warehouse.CodePartUnreadable, fmt.Sprintf("cannot load part %s of %s", filepath.Base(file), s.dataset),
			"extract the day again; if it happens again, report it with the part", 0, err)
	}
	return res.RowsAffected()
}

// tableDefinition returns the columns of a CREATE TABLE and the expressions that read them from Parquet.
func tableDefinition(d elt.DatasetName, schema elt.Schema) (definition, values string, err error) {
	invalid := func(why string) error {
		return &elt.Error{
			Code: warehouse.CodeSchemaInvalid, Class: elt.Data,
			What: fmt.Sprintf("cannot stage %s: %s", d, why), Do: "exclude the column, or report it",
		}
	}
	if len(schema) == 0 {
		return "", "", invalid("it has no columns, and DuckDB holds no table without one")
	}
	seen := make(map[string]string, len(schema))
	definitions, exprs := make([]string, len(schema)), make([]string, len(schema))
	for i, c := range schema {
		folded := strings.ToLower(c.Name)
		if other, ok := seen[folded]; ok {
			return "", "", invalid(fmt.Sprintf("the columns %q and %q differ only in case, which DuckDB ignores", other, c.Name))
		}
		seen[folded] = c.Name
		name, err := sqlType(c.Type)
		if err != nil {
			return "", "", invalid(fmt.Sprintf("column %q: %v", c.Name, err))
		}
		definitions[i] = quote(c.Name) + " " + name
		if exprs[i], err = fromParquet(quote(c.Name), c.Type); err != nil {
			return "", "", invalid(fmt.Sprintf("column %q: %v", c.Name, err))
		}
	}
	return strings.Join(definitions, ", "), strings.Join(exprs, ", "), nil
}
