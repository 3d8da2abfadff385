package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// catalogTables makes Daybreak's own tables.
//
//	versions   every version that was ever published: a version is visible if and only if its row is here
//	fences     the highest fence under which each dataset was published
//	failures   the tables of failing rows that tests asked for, with when each was made
//	published  what stands behind each published name: the table that holds its rows, or nothing for a view
//	           over other published names
//	restored   which earlier version's content a version brought back
//	kept       what it takes to bring a version back: the table that held its rows or the view's SELECT, and for one
//	           that was merged into a table the merged rows, and the rows that they took the place of
const catalogTables = `
CREATE SCHEMA IF NOT EXISTS _daybreak;
CREATE TABLE IF NOT EXISTS _daybreak.versions (
	version_id VARCHAR PRIMARY KEY, dataset VARCHAR NOT NULL, data_date DATE NOT NULL, run_id VARCHAR NOT NULL,
	fence BIGINT NOT NULL, manifest VARCHAR NOT NULL, relation VARCHAR NOT NULL, "rows" BIGINT NOT NULL,
	checks VARCHAR NOT NULL, inputs JSON NOT NULL, published_at TIMESTAMPTZ NOT NULL);
ALTER TABLE _daybreak.versions ADD COLUMN IF NOT EXISTS deletes BIGINT DEFAULT 0;
ALTER TABLE _daybreak.versions ADD COLUMN IF NOT EXISTS level VARCHAR DEFAULT '';
CREATE TABLE IF NOT EXISTS _daybreak.fences (dataset VARCHAR PRIMARY KEY, fence BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS _daybreak.published (
	relation VARCHAR PRIMARY KEY, dataset VARCHAR NOT NULL, physical VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS _daybreak.failures (name VARCHAR PRIMARY KEY, kept_at TIMESTAMPTZ NOT NULL);
CREATE TABLE IF NOT EXISTS _daybreak.restored (version_id VARCHAR PRIMARY KEY, restores VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS _daybreak.kept (
	version_id VARCHAR PRIMARY KEY, relation VARCHAR NOT NULL, place BIGINT NOT NULL, physical VARCHAR NOT NULL,
	view_sql VARCHAR NOT NULL, merged VARCHAR NOT NULL, undo VARCHAR NOT NULL, "key" JSON NOT NULL);`

// queryer is what *sql.DB and *sql.Tx have in common.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Versions returns every version that was published, oldest first.
func (w *Warehouse) Versions(ctx context.Context) ([]elt.Version, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	versions, err := versionsWhere(ctx, w.db, "true")
	return versions, w.fail(ctx, "read the published versions", err)
}

// versionsWhere returns the versions that meet an SQL condition, oldest first.
func versionsWhere(ctx context.Context, q queryer, condition string, args ...any) ([]elt.Version, error) {
	rows, err := q.QueryContext(ctx, `SELECT version_id, dataset, CAST(data_date AS VARCHAR), run_id, fence, manifest,
		"rows", checks, CAST(inputs AS VARCHAR), published_at, coalesce(restores, ''), deletes, level
		FROM _daybreak.versions LEFT JOIN _daybreak.restored USING (version_id)
		WHERE `+condition+` ORDER BY published_at, version_id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var versions []elt.Version
	for rows.Next() {
		var v elt.Version
		var date, inputs string
		if err := rows.Scan(&v.ID, &v.Dataset, &date, &v.Run, &v.Fence, &v.Manifest, &v.Rows, &v.Checks, &inputs, &v.PublishedAt, &v.Restores, &v.Deletes, &v.Level); err != nil {
			return nil, err
		}
		if v.Date, err = elt.ParseDate(date); err != nil {
			return nil, fmt.Errorf("version %s: %w", v.ID, err)
		}
		if err := json.Unmarshal([]byte(inputs), &v.Inputs); err != nil {
			return nil, fmt.Errorf("version %s: decode its inputs: %w", v.ID, err)
		}
		v.PublishedAt = v.PublishedAt.UTC()
		versions = append(versions, v)
	}
	return versions, rows.Err()
}

// PublishedRows returns how many rows the published relation holds, and whether there is one.
func (w *Warehouse) PublishedRows(ctx context.Context, relation string) (n int64, exists bool, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return 0, false, err
	}
	defer release()
	what := "count the rows of " + relation
	if _, exists, err = behind(ctx, w.db, relation); err != nil || !exists {
		return 0, false, w.fail(ctx, what, err)
	}
	err = w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+publishedName(relation)).Scan(&n)
	return n, true, w.fail(ctx, what, err)
}

// behind returns the quoted name of the table that holds a published relation's rows (empty for a view over
// other relations), and whether the relation is published.
func behind(ctx context.Context, q queryer, relation string) (physical string, published bool, err error) {
	err = q.QueryRowContext(ctx, "SELECT physical FROM _daybreak.published WHERE relation = ?", relation).Scan(&physical)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return physical, err == nil, err
}

// columnsOf returns the columns of a relation in order, as logical types.
func columnsOf(ctx context.Context, q queryer, relation string) (elt.Schema, error) {
	docs, err := describe(ctx, q, relation)
	schema := make(elt.Schema, len(docs))
	for i, d := range docs {
		schema[i] = elt.Column{Name: d.Name, Type: logicalType(d.Type), Nullable: true}
	}
	return schema, err
}

// Columns returns the names and DuckDB types of a relation's columns. The relation is a published name
// ("shop.users") or a quoted one, as Staged and Published return it.
func (w *Warehouse) Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	docs, err := describe(ctx, w.db, relationSQL(relation))
	return docs, w.refused(ctx, warehouse.CodeRefused, "cannot read the columns of "+relation, "build the relation first", 0, err)
}

func describe(ctx context.Context, q queryer, relation string) ([]elt.ColumnDoc, error) {
	rows, err := q.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+relation+")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var docs []elt.ColumnDoc
	for rows.Next() {
		var d elt.ColumnDoc
		if err := rows.Scan(&d.Name, &d.Type); err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, rows.Err()
}

// relationKinds returns the relations of a schema: false for a table, true for a view.
func relationKinds(ctx context.Context, q queryer, schema string) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, `SELECT table_name, table_type = 'VIEW' FROM information_schema.tables
		WHERE table_catalog = current_database() AND table_schema = ?`, schema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	kinds := make(map[string]bool)
	for rows.Next() {
		var name string
		var view bool
		if err := rows.Scan(&name, &view); err != nil {
			return nil, err
		}
		kinds[name] = view
	}
	return kinds, rows.Err()
}

// drop drops a table or a view.
func drop(ctx context.Context, q queryer, schema, name string, view bool) error {
	kind := "TABLE"
	if view {
		kind = "VIEW"
	}
	_, err := q.ExecContext(ctx, "DROP "+kind+" IF EXISTS "+qualified(schema, name))
	return err
}

// dropAny drops what has the name, a table or a view, if anything has. Asking the catalog which it is would read all of
// it; DuckDB says it at no cost, and the transaction goes on.
func dropAny(ctx context.Context, q queryer, schema, name string) error {
	err := drop(ctx, q, schema, name, true)
	if err != nil && strings.Contains(err.Error(), "is of type Table") {
		return drop(ctx, q, schema, name, false)
	}
	return err
}
