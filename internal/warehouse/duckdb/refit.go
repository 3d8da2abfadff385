package duckdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// refit compares the columns of a model's SELECT, before it runs, with those that are published, and returns the query
// whose rows can join them, and what has changed. Differences that the model's on_schema_change does not allow are the
// error schema_changed.
func (s *staging) refit(ctx context.Context, b elt.Build) (query string, changes []elt.SchemaChange, err error) {
	query = wrapped(b.SQL)
	if s.base == "" {
		return query, nil, nil
	}
	selected, err := columnsOf(ctx, s.w.db, query)
	if err != nil {
		return "", nil, s.w.modelRefused(ctx, b.Dataset, err)
	}
	base := publishedName(s.base)
	published, err := columnsOf(ctx, s.w.db, base)
	if err != nil {
		return "", nil, err
	}
	r, refused := b.OnSchemaChange.Refit(published, selected, b.Key, func(a, b elt.Column) bool { return a.Type.Equal(b.Type) })
	if err := warehouse.SchemaChanged(b.Dataset, refused); err != nil || r.Plain() {
		return query, nil, err
	}
	types, err := typesOf(ctx, s.w.db, base)
	if err != nil {
		return "", nil, err
	}
	becomes, err := typesOf(ctx, s.w.db, query)
	if err != nil {
		return "", nil, err
	}
	for _, c := range r.Retyped {
		if err := s.keepsValues(ctx, c, types[c.Name], becomes[c.Name]); err != nil {
			return "", nil, err
		}
	}
	list := strings.Split(quoteAll("", r.Take), ", ")
	if len(r.Take) == 0 {
		list = nil
	}
	for _, c := range r.Absent {
		list = append(list, "CAST(NULL AS "+types[c.Name]+") AS "+quote(c.Name))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + query, r.Changes, nil
}

// typesOf returns DuckDB's types of a relation's columns.
func typesOf(ctx context.Context, q queryer, relation string) (map[string]string, error) {
	docs, err := describe(ctx, q, relation)
	types := make(map[string]string, len(docs))
	for _, d := range docs {
		types[d.Name] = d.Type
	}
	return types, err
}

// keepsValues checks that every published value of a column can become of another type and would be the same value
// again if it came back.
func (s *staging) keepsValues(ctx context.Context, c elt.Column, from, to string) error {
	if to == "VARCHAR" {
		return nil
	}
	name := quote(c.Name)
	query := fmt.Sprintf("SELECT count(*) FROM %s WHERE TRY_CAST(TRY_CAST(%s AS %s) AS %s) IS DISTINCT FROM %[2]s", publishedName(s.base), name, to, from)
	var lost int64
	err := s.w.refused(ctx, warehouse.CodeRefused, "compare values", "report it", 0, s.w.db.QueryRowContext(ctx, query).Scan(&lost))
	switch {
	case elt.CodeOf(err) == warehouse.CodeRefused:
		return warehouse.SchemaChanged(s.dataset, []string{fmt.Sprintf("column %q was %s and is %s, and no value of the one can be one of the other", c.Name, from, to)})
	case err != nil:
		return err
	case lost > 0:
		return warehouse.SchemaChanged(s.dataset, []string{fmt.Sprintf("column %q was %s and is %s, and %d published values would not be the same as that", c.Name, from, to, lost)})
	}
	return nil
}
