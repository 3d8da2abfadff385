package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// listTables selects what can be extracted: tables, partitioned and foreign ones, views, materialized views.
const listTables = `
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1, 2`

// findTable selects a table by name. A partitioned table has its leaves' size.
const findTable = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text,
  has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
  CASE WHEN c.relkind = 'p' THEN size.rows ELSE c.reltuples::float8 END,
  CASE WHEN c.relkind = 'p' THEN size.pages ELSE c.relpages::bigint END * current_setting('block_size')::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT coalesce(sum(greatest(leaf.reltuples, 0)), 0)::float8 AS rows, coalesce(sum(leaf.relpages), 0)::bigint AS pages
  FROM pg_partition_tree(c.oid) AS part JOIN pg_catalog.pg_class leaf ON leaf.oid = part.relid
  WHERE c.relkind = 'p' AND part.isleaf) AS size ON true
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = $2
  AND (n.nspname = $1 OR $1 = '' AND pg_catalog.pg_table_is_visible(c.oid))`

// findColumns selects a table's columns with their types, domains resolved to what they are made of.
const findColumns = `
WITH RECURSIVE resolved AS (
  SELECT attnum, atttypid AS type, atttypmod AS modifier FROM pg_catalog.pg_attribute
  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT r.attnum, t.typbasetype, CASE WHEN r.modifier < 0 THEN t.typtypmod ELSE r.modifier END
  FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.type WHERE t.typtype = 'd')
SELECT a.attname, a.attnotnull, pg_catalog.format_type(a.atttypid, a.atttypmod), r.type, r.modifier,
  coalesce((SELECT e.oid FROM pg_catalog.pg_type e WHERE e.typarray = r.type), 0::oid)
FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = r.attnum
ORDER BY a.attnum`

// findKey selects the columns of a table's primary key.
const findKey = `
SELECT a.attname
FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1 AND i.indisprimary AND k.position <= i.indnkeyatts
ORDER BY k.position`

// listIndexed selects the columns that valid, whole B-tree indexes begin with.
const listIndexed = `
SELECT DISTINCT i.indrelid, a.attname
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indisvalid AND i.indpred IS NULL
ORDER BY 1, 2`

// table is a table as the catalog has it.
type table struct {
	info    extract.TableInfo
	oid     uint32
	name    tableName // with its schema
	kind    string    // pg_class.relkind
	columns []column
}

func (t table) column(name string) (column, bool) {
	for _, c := range t.columns {
		if c.Name == name {
			return c, true
		}
	}
	return column{}, false
}

// find looks a table up by its name as a schedule writes it, without its columns.
func (s *Source) find(ctx context.Context, conn *pgx.Conn, written string) (t table, err error) {
	name, err := parseTableName(written)
	if err != nil {
		return t, &elt.Error{Code: "table_name", Class: elt.Config, What: fmt.Sprintf("source %s: %v", s.opts.Name, err), Do: "correct the table's name"}
	}
	ctx, cancel := s.soon(ctx)
	defer cancel()
	t.info = extract.TableInfo{Name: written}
	var readable bool
	var rows float64
	err = conn.QueryRow(ctx, findTable, name.schema, name.table).
		Scan(&t.oid, &t.name.schema, &t.name.table, &t.kind, &readable, &rows, &t.info.Bytes)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return t, &elt.Error{
			Code: "table_missing", Class: elt.Config,
			What: fmt.Sprintf("source %s has no table %s", s.opts.Name, written),
			Do:   "correct the name (upper and lower case count), or leave the table out; daybreak discover lists what is there",
		}
	case err != nil:
		return t, fault(ctx, err, "cannot describe table %s of source %s", written, s.opts.Name)
	case !readable:
		return t, &elt.Error{
			Code: "permission_denied", Class: elt.Config,
			What: fmt.Sprintf("user %s may not read table %s of source %s", s.config.User, written, s.opts.Name),
			Do: fmt.Sprintf("run: GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s", pgx.Identifier{t.name.schema}.Sanitize(),
				pgx.Identifier{s.config.User}.Sanitize(), t.name.sql(), pgx.Identifier{s.config.User}.Sanitize()),
		}
	}
	t.info.Rows = int64(rows)
	if t.kind == "v" || t.kind == "f" && rows <= 0 {
		t.info.Rows = -1
	}
	return t, nil
}

// describe looks a table up with its columns and key.
func (s *Source) describe(ctx context.Context, conn *pgx.Conn, written string) (table, error) {
	t, err := s.find(ctx, conn, written)
	if err != nil {
		return t, err
	}
	ctx, cancel := s.soon(ctx)
	defer cancel()
	failed := func(err error) (table, error) {
		return t, fault(ctx, err, "cannot describe table %s of source %s", written, s.opts.Name)
	}
	rows, err := conn.Query(ctx, findColumns, t.oid)
	if err != nil {
		return failed(err)
	}
	t.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (column, error) {
		var (
			name, sourceType string
			notNull          bool
			typ              catalogType
		)
		err := row.Scan(&name, &notNull, &sourceType, &typ.oid, &typ.modifier, &typ.element)
		return newColumn(name, typ, notNull, sourceType), err
	})
	if err != nil {
		return failed(err)
	}
	for _, c := range t.columns {
		t.info.Columns = append(t.info.Columns, c.Column)
	}
	if rows, err = conn.Query(ctx, findKey, t.oid); err != nil {
		return failed(err)
	}
	if t.info.Key, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return failed(err)
	}
	return t, nil
}
