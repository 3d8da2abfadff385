package bigquery

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// refit compares the columns of a model's SELECT, by a dry run, with those that are published, and returns the query
// whose rows can join them, and what has changed. Differences that the model's on_schema_change does not allow are the
// error schema_changed.
func (s *staging) refit(ctx context.Context, b elt.Build, query string) (string, []elt.SchemaChange, error) {
	if s.base == "" {
		return query, nil, nil
	}
	statistics, err := s.w.dryRun(ctx, query, labels("estimate", b.Run, b.Dataset))
	if err != nil {
		return "", nil, s.w.modelRefused(ctx, b.Dataset, err)
	}
	md, err := metadata(ctx, s.w.published(s.base))
	if err != nil {
		return "", nil, err
	}
	fits := func(was, is elt.Column) bool {
		return holdsAll(fieldOf(md.Schema, was.Name), fieldOf(statistics.Schema, is.Name))
	}
	r, refused := b.OnSchemaChange.Refit(columnsOf(md.Schema), columnsOf(statistics.Schema), b.Key, fits)
	if err := warehouse.SchemaChanged(b.Dataset, refused); err != nil || r.Plain() {
		return query, nil, err
	}
	for _, c := range r.Retyped {
		if err := s.keepsValues(ctx, fieldOf(md.Schema, c.Name), fieldOf(statistics.Schema, c.Name)); err != nil {
			return "", nil, err
		}
	}
	var list []string
	for _, name := range r.Take {
		list = append(list, quote(name))
	}
	for _, c := range r.Absent {
		list = append(list, "CAST(NULL AS "+sqlType(fieldOf(md.Schema, c.Name))+") AS "+quote(c.Name))
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + wrapped(b.SQL), r.Changes, nil
}

// keepsValues checks that every published value of a column can become of another type and would be the same value
// again if it came back.
func (s *staging) keepsValues(ctx context.Context, was, is *bigquery.FieldSchema) error {
	if is.Type == bigquery.StringFieldType {
		return nil
	}
	from, to, name := sqlType(was), sqlType(is), quote(was.Name)
	lost, err := s.w.number(ctx, statement{
		what: "compare values of " + string(s.dataset), step: "transform", labels: labels("transform", s.run, s.dataset), guard: true,
		sql: fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE SAFE_CAST(SAFE_CAST(%s AS %s) AS %s) IS DISTINCT FROM %[2]s", s.w.Published(s.base), name, to, from),
	})
	err = s.w.refused(ctx, warehouse.CodeRefused, "compare values of "+string(s.dataset), "report it", 0, err)
	switch {
	case elt.CodeOf(err) == warehouse.CodeRefused:
		return warehouse.SchemaChanged(s.dataset, []string{fmt.Sprintf("column %q was %s and is %s, and no value of the one can be one of the other", was.Name, from, to)})
	case err != nil:
		return err
	case lost > 0:
		return warehouse.SchemaChanged(s.dataset, []string{fmt.Sprintf("column %q was %s and is %s, and %d published values would not be the same as that", was.Name, from, to, lost)})
	}
	return nil
}
