package bigquery

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// linesBefore is how many lines stand ahead of a person's SQL in the statements that wrap it. In parentheses, it can
// be one SELECT and nothing else.
const linesBefore = 1

func wrapped(query string) string {
	return "(\n" + strings.TrimRight(query, "; \t\r\n") + "\n)"
}

// Build makes the staging relation of a model and returns how many rows it built; for a view, how many it shows.
// Building it again replaces it. SQL that BigQuery refuses is the error sql_refused.
func (w *Warehouse) Build(ctx context.Context, b elt.Build) (built elt.BuiltModel, err error) {
	s := w.stage(b.Run, b.Dataset)
	switch b.Materialized {
	case elt.AsView:
		built.Rows, err = s.buildView(ctx, b)
		return built, err
	case elt.AsTable, elt.AsIncremental:
		return s.buildTable(ctx, b)
	}
	return built, fmt.Errorf("build %s: %q makes no relation", b.Dataset, b.Materialized)
}

func (s *staging) buildView(ctx context.Context, b elt.Build) (int64, error) {
	if err := s.point(ctx, view, "SELECT * FROM "+wrapped(b.SQL)); err != nil {
		return 0, s.w.modelRefused(ctx, b.Dataset, err)
	}
	n, err := s.w.number(ctx, statement{
		what: "count the rows of " + string(b.Dataset), step: "transform", labels: labels("transform", b.Run, b.Dataset),
		sql: "SELECT COUNT(*) FROM " + s.w.Staged(b.Run, b.Dataset), guard: true,
	})
	return n, s.w.modelRefused(ctx, b.Dataset, err)
}

func (s *staging) buildTable(ctx context.Context, b elt.Build) (built elt.BuiltModel, err error) {
	what := "build " + string(b.Dataset)
	query := "SELECT * FROM " + wrapped(b.SQL)
	if b.Materialized == elt.AsIncremental && b.Strategy != "" {
		if err := s.onto(ctx, b.Relation, b.Strategy, b.Key); err != nil {
			return built, s.w.fail(ctx, what, err)
		}
		if query, built.Changes, err = s.refit(ctx, b, query); err != nil {
			return built, s.w.fail(ctx, what, err)
		}
	}
	if err := s.arrangeable(ctx, b); err != nil {
		return built, err
	}
	_, _, err = s.w.execute(ctx, statement{
		what: what, step: "transform", labels: labels("transform", b.Run, b.Dataset),
		sql: query, into: s.table(), layout: s.layout, guard: true,
	})
	if err != nil {
		return built, s.w.modelRefused(ctx, b.Dataset, err)
	}
	md, err := metadata(ctx, s.table())
	if err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	columns := columnsOf(md.Schema)
	if err := s.mergeable(ctx, columns, b); err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	if err := s.evolve(ctx, md.Schema, built.Changes); err != nil {
		return built, s.w.fail(ctx, what, err)
	}
	built.Rows = int64(md.NumRows)
	return built, s.w.fail(ctx, what, s.finish(ctx, columns.Names()))
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
func (w *Warehouse) Count(ctx context.Context, query string) (int64, error) {
	n, err := w.number(ctx, statement{
		what: "count the rows of a query", step: "test", labels: labels("test", "", ""),
		sql: "SELECT COUNT(*) FROM " + wrapped(query), guard: true,
	})
	return n, w.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query",
		"correct the SQL; the line counts in the SQL as it was rendered", linesBefore, err)
}

// Columns returns the names and BigQuery types of a relation's columns. The relation is a published name
// ("shop.users") or a quoted one, as Staged and Published return it.
func (w *Warehouse) Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error) {
	md, err := metadata(ctx, w.named(relation))
	if err != nil {
		return nil, w.refused(ctx, warehouse.CodeRefused, "cannot read the columns of "+relation, "build the relation first", 0, err)
	}
	docs := make([]elt.ColumnDoc, len(md.Schema))
	for i, f := range md.Schema {
		docs[i] = elt.ColumnDoc{Name: f.Name, Type: sqlType(f)}
	}
	return docs, nil
}

// sqlType returns a column's type as it is written in SQL.
func sqlType(f *bigquery.FieldSchema) string {
	name := string(f.Type)
	switch f.Type {
	case bigquery.IntegerFieldType:
		name = "INT64"
	case bigquery.FloatFieldType:
		name = "FLOAT64"
	case bigquery.BooleanFieldType:
		name = "BOOL"
	case bigquery.RecordFieldType:
		inner := make([]string, len(f.Schema))
		for i, c := range f.Schema {
			inner[i] = c.Name + " " + sqlType(c)
		}
		name = "STRUCT<" + strings.Join(inner, ", ") + ">"
	}
	if f.Precision > 0 {
		name += fmt.Sprintf("(%d, %d)", f.Precision, f.Scale)
	}
	if f.Repeated {
		name = "ARRAY<" + name + ">"
	}
	return name
}
