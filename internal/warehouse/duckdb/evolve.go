package duckdb

import (
	"context"
	"database/sql"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// evolution compares a published relation with columns of rows that are to join it. carry says how a row of the
// relation, called p, shows the columns that it has otherwise or not at all. The error is schema_changed.
func evolution(ctx context.Context, q queryer, d elt.DatasetName, base string, columns elt.Schema, changes []elt.SchemaChange) (elt.Evolution, map[string]string, error) {
	published, err := columnsOf(ctx, q, publishedName(base))
	if err != nil {
		return elt.Evolution{}, nil, err
	}
	e, unexplained := elt.Evolve(published, columns, changes, func(a, b elt.Column) bool { return a.Type.Equal(b.Type) })
	if err := warehouse.SchemaChanged(d, unexplained); err != nil {
		return e, nil, err
	}
	carry := make(map[string]string)
	for _, c := range e.Added {
		name, err := typeName(c.Type)
		if err != nil {
			return e, nil, err
		}
		carry[c.Name] = "CAST(NULL AS " + name + ")"
	}
	for _, c := range e.Retyped {
		name, err := typeName(c.Type)
		if err != nil {
			return e, nil, err
		}
		was, _ := published.Column(c.Name)
		carry[c.Name] = "CAST(p." + quote(c.Name) + " AS " + name + ")"
		if c.Type.Kind == elt.String {
			carry[c.Name] = textOf("p."+quote(c.Name), was.Type)
		}
	}
	return e, carry, nil
}

// textOf is the canonical text of a value, as an extraction would write it.
func textOf(expr string, t elt.Type) string {
	switch t.Kind {
	case elt.Timestamp:
		return "CAST((" + expr + " AT TIME ZONE 'UTC') AS VARCHAR) || '+00'"
	case elt.Bytes:
		return `'\x' || lower(hex(` + expr + "))"
	case elt.Float64:
		return "regexp_replace(CAST(" + expr + ` AS VARCHAR), '\.0$', '')`
	}
	return "CAST(" + expr + " AS VARCHAR)"
}

// widen gives the table behind a published name further columns.
func widen(ctx context.Context, tx *sql.Tx, table string, added elt.Schema) error {
	for _, c := range added {
		name, err := typeName(c.Type)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "ALTER TABLE "+table+" ADD COLUMN "+quote(c.Name)+" "+name); err != nil {
			return err
		}
	}
	return nil
}

// wholeName is what the table is called that is made anew because columns changed their types or went.
func wholeName(d elt.DatasetName) string { return string(d) + ":whole" }

// anew makes the whole table as it will be, beside the one that is published, which stays as it is for who restores it.
func (w *Warehouse) anew(ctx context.Context, tx *sql.Tx, run elt.RunID, item elt.PublicationItem, columns elt.Schema, carry map[string]string, gone string) (settled, error) {
	d := item.Version.Dataset
	s := staging{w: w, run: run, dataset: d, base: item.Relation, strategy: item.Strategy, key: item.Key, span: item.Range, carry: carry}
	s.cursor, _ = columns.Column(item.Cursor)
	if item.SoftDelete != "" {
		s.deleted = deletedIn(columns, item.SoftDelete)
	}
	physical := qualified(runSchema(run), wholeName(d))
	_, err := tx.ExecContext(ctx, "CREATE OR REPLACE TABLE "+physical+" AS "+s.candidate(columns.Names(), gone))
	return settled{physical: physical}, err
}
