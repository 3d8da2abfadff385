package duckdb

import (
	"context"
	"database/sql"
	"errors"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Rehearsal is a warehouse in memory whose tables stay empty: models are built in it to learn their columns, without
// data and without a look at the warehouse itself.
type Rehearsal struct {
	db    *sql.DB
	texts *Warehouse // explains errors, and holds nothing
}

// NewRehearsal returns one without tables.
func NewRehearsal(ctx context.Context) (*Rehearsal, error) {
	db, err := connect(ctx, "", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA rehearsal"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Rehearsal{db, &Warehouse{}}, nil
}

// Close forgets it.
func (r *Rehearsal) Close() error { return r.db.Close() }

// Table makes an extracted table.
func (r *Rehearsal) Table(ctx context.Context, d elt.DatasetName, schema elt.Schema) error {
	definition, _, err := tableDefinition(d, schema)
	if err == nil {
		_, err = r.db.ExecContext(ctx, "CREATE TABLE "+r.Staged("", d)+" ("+definition+")")
	}
	return r.texts.fail(ctx, "rehearse "+string(d), err)
}

// Staged returns the name of any dataset, Published a name that nothing has.
func (r *Rehearsal) Staged(_ elt.RunID, d elt.DatasetName) string {
	return qualified("rehearsal", string(d))
}

// Published returns the name that a relation has in the warehouse.
func (r *Rehearsal) Published(relation string) string { return publishedName(relation) }

// Build makes an empty table of a SELECT's columns.
func (r *Rehearsal) Build(ctx context.Context, b elt.Build) (elt.BuiltModel, error) {
	_, err := r.db.ExecContext(ctx, "CREATE TABLE "+r.Staged(b.Run, b.Dataset)+" AS SELECT * FROM "+wrapped(b.SQL)+" LIMIT 0")
	return elt.BuiltModel{}, r.texts.modelRefused(ctx, b.Dataset, err)
}

// SeedCSV makes an empty table of a seed's columns.
func (r *Rehearsal) SeedCSV(ctx context.Context, _ elt.RunID, d elt.DatasetName, path string, types map[string]string) (int64, error) {
	_, err := r.db.ExecContext(ctx, "CREATE TABLE "+r.Staged("", d)+" AS SELECT * FROM "+readCSV(path, types)+" LIMIT 0")
	return 0, r.texts.refused(ctx, warehouse.CodeSeedUnreadable, "cannot load the seed "+string(d), "correct the file, or the column types that schema.yml gives it", 0, err)
}

// Count returns how many rows a SELECT finds in empty tables: it tells whether the SQL is right.
func (r *Rehearsal) Count(ctx context.Context, query string) (n int64, err error) {
	err = r.db.QueryRowContext(ctx, "SELECT count(*) FROM "+wrapped(query)).Scan(&n)
	return n, r.texts.refused(ctx, warehouse.CodeRefused, "the warehouse refuses the SQL of a query", "correct the SQL", linesBefore, err)
}

// Columns returns the columns of what was made.
func (r *Rehearsal) Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error) {
	docs, err := describe(ctx, r.db, relationSQL(relation))
	return docs, r.texts.fail(ctx, "read the columns of "+relation, err)
}
