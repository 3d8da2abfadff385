package bigquery

import (
	"context"
	"fmt"
	"slices"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// evolve works out how the published table's rows will be shown among those of the schema; the error is schema_changed.
func (s *staging) evolve(ctx context.Context, columns bigquery.Schema, changes []elt.SchemaChange) error {
	if s.base == "" {
		return nil
	}
	md, err := metadata(ctx, s.w.published(s.base))
	if err != nil {
		return err
	}
	_, s.carry, err = evolution(s.dataset, md.Schema, columns, changes)
	return err
}

// evolution compares a published table with columns of rows that are to join it. carry says how a row of the table,
// called p, shows the columns that it has otherwise or not at all. The error is schema_changed.
func evolution(d elt.DatasetName, published, columns bigquery.Schema, changes []elt.SchemaChange) (elt.Evolution, map[string]string, error) {
	holds := func(a, b elt.Column) bool { return holdsAll(fieldOf(published, a.Name), fieldOf(columns, b.Name)) }
	e, unexplained := elt.Evolve(columnsOf(published), columnsOf(columns), changes, holds)
	if err := warehouse.SchemaChanged(d, unexplained); err != nil {
		return e, nil, err
	}
	carry := make(map[string]string)
	for _, c := range e.Added {
		carry[c.Name] = "NULL" // of the type that the rows have
	}
	for _, c := range e.Retyped {
		from := slices.IndexFunc(changes, func(x elt.SchemaChange) bool { return x.Column == c.Name })
		carry[c.Name] = converted("p."+quote(c.Name), fieldOf(published, c.Name), fieldOf(columns, c.Name), changes[from].From)
	}
	return e, carry, nil
}

// holdsAll reports whether a column holds every value of another as it is.
func holdsAll(a, b *bigquery.FieldSchema) bool {
	if a.Type == bigquery.BigNumericFieldType && b.Type == bigquery.NumericFieldType && a.Precision == 0 {
		return true
	}
	if kindOf(a) != kindOf(b) {
		return false
	}
	if a.Precision == 0 {
		return true
	}
	return b.Precision > 0 && a.Scale >= b.Scale && a.Precision-a.Scale >= b.Precision-b.Scale
}

// converted is a value of an older row in the type of the newer ones. was is the type as Daybreak calls it, which knows
// the digits behind a decimal's point.
func converted(expr string, from, to *bigquery.FieldSchema, was string) string {
	if to.Type != bigquery.StringFieldType {
		return fmt.Sprintf("CAST(%s AS %s)", expr, sqlType(to))
	}
	switch from.Type {
	case bigquery.NumericFieldType, bigquery.BigNumericFieldType:
		var precision, scale int
		if n, err := fmt.Sscanf(was, "decimal(%d,%d)", &precision, &scale); n == 2 && err == nil && scale > 0 {
			return fmt.Sprintf("FORMAT('%%.%df', %s)", scale, expr)
		}
	case bigquery.TimestampFieldType:
		return "FORMAT_TIMESTAMP('%F %H:%M:%E*S+00', " + expr + ", 'UTC')"
	case bigquery.DateTimeFieldType:
		return "FORMAT_DATETIME('%F %H:%M:%E*S', " + expr + ")"
	case bigquery.TimeFieldType:
		return "FORMAT_TIME('%H:%M:%E*S', " + expr + ")"
	case bigquery.BytesFieldType:
		return `CONCAT('\\x', TO_HEX(` + expr + "))"
	}
	return "CAST(" + expr + " AS STRING)"
}

// addColumns gives a published table the columns that a night's rows bring besides its own. Nothing is rewritten, and
// older rows have NULL there; an attempt that ends right after it has changed no row that anybody reads.
func (w *Warehouse) addColumns(ctx context.Context, p plan) error {
	if len(p.adds) == 0 {
		return nil
	}
	schema := slices.Clone(p.published.Schema)
	for _, c := range p.adds {
		schema = append(schema, fieldOf(p.staged.Schema, c.Name))
	}
	md, err := update(ctx, w.published(p.Relation), bigquery.TableMetadataToUpdate{Schema: schema})
	if err != nil {
		return err
	}
	p.published.Schema = md.Schema
	return nil
}
