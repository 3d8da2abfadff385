package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// systemDatabases hold the server's own tables.
const systemDatabases = "('mysql', 'information_schema', 'performance_schema', 'sys')"

// table is a table as the catalog has it.
type table struct {
	info    extract.TableInfo
	name    tableName // with its database
	columns []column
	created string // the second in which it, or what took its name, was made; a view has none
	data    int64  // octets of its rows, without what other indexes take
	key     key    // to cut it by; without columns where there is none

	partitions []partition
}

func (t table) column(name string) (column, bool) {
	for _, c := range t.columns {
		if c.Name == name {
			return c, true
		}
	}
	return column{}, false
}

// same reports whether u is the table that t was: neither swapped for another nor altered.
func (t table) same(u table) bool {
	if t.created != u.created || len(t.columns) != len(u.columns) || len(t.partitions) != len(u.partitions) {
		return false
	}
	for i, p := range t.partitions {
		if q := u.partitions[i]; p.name != q.name || p.created != q.created {
			return false
		}
	}
	for i, c := range t.columns {
		d := u.columns[i]
		if c.Name != d.Name || c.SourceType != d.SourceType || c.item != d.item || c.charset != d.charset {
			return false
		}
	}
	return true
}

// tables lists what can be extracted: tables and views, the server's own left out.
func (w *session) tables(ctx context.Context) ([]tableName, error) {
	database := w.source.config.DBName
	where := "NOT IN " + systemDatabases
	if database != "" {
		where = "= " + literal(database)
	}
	rows, err := w.list(ctx, `SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES
		WHERE TABLE_SCHEMA `+where+` AND TABLE_TYPE IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED') ORDER BY 1, 2`)
	if err != nil {
		return nil, fault(ctx, err, "cannot list the tables of source %s", w.source.opts.Name)
	}
	names := make([]tableName, len(rows))
	for i, row := range rows {
		names[i].table = row[1]
		if database == "" {
			names[i].database = row[0]
		}
	}
	return names, nil
}

// describe looks a table up by its name as a schedule writes it.
func (w *session) describe(ctx context.Context, written string) (table, error) {
	source := w.source.opts.Name
	t := table{info: extract.TableInfo{Name: written, Rows: -1}}
	name, err := parseTableName(written)
	if err != nil {
		return t, &elt.Error{Code: "table_name", Class: elt.Config, What: fmt.Sprintf("source %s: %v", source, err), Do: "correct the table's name"}
	}
	if name.database == "" {
		name.database = w.source.config.DBName
	}
	if name.database == "" {
		return t, &elt.Error{
			Code: "table_name", Class: elt.Config, What: fmt.Sprintf("source %s: nothing says in which database the table %s is", source, written),
			Do: "end the source's URL with /database, or write the table as database.table",
		}
	}
	t.name = name
	// Asking for nothing of the table tells what the catalog hides: that the user may not read it, or that a
	// migration holds it.
	if _, err := w.list(ctx, "SELECT 1 FROM "+name.sql()+" LIMIT 0"); err != nil {
		return t, w.unreadable(ctx, t, err)
	}
	failed := func(err error) (table, error) {
		return t, fault(ctx, err, "cannot describe table %s of source %s", written, source)
	}
	if err := w.find(ctx, &t); err != nil {
		return failed(err)
	}
	if err := w.columns(ctx, &t); err != nil {
		return failed(err)
	}
	return t, nil
}

// unreadable returns the error of a table that the server does not let us read.
func (w *session) unreadable(ctx context.Context, t table, err error) error {
	source, user := w.source.opts.Name, w.source.config.User
	server, ok := serverError(err)
	switch {
	case ok && server.Number == errMissing:
		return &elt.Error{
			Code: "table_missing", Class: elt.Config, What: fmt.Sprintf("source %s has no table %s", source, t.info.Name),
			Do: "correct the name (upper and lower case may count), or leave the table out; daybreak discover lists what is there",
		}
	case ok && verdictOf(server.Number) == grant:
		return &elt.Error{
			Code: "permission_denied", Class: elt.Config, What: fmt.Sprintf("user %s may not read table %s of source %s", user, t.info.Name, source),
			Do: fmt.Sprintf("run: GRANT SELECT ON %s TO %s", t.name.sql(), literal(user)),
		}
	}
	return fault(ctx, err, "cannot read table %s of source %s", t.info.Name, source)
}

// catalog returns rows of a view of the catalog that are about the table. The catalog compares names without their
// case, even where two tables differ by it.
func (w *session) catalog(ctx context.Context, t table, columns, view, order string) ([][]string, error) {
	schema := "TABLE_SCHEMA"
	if view == "CHECK_CONSTRAINTS" {
		schema = "CONSTRAINT_SCHEMA"
	}
	rows, err := w.list(ctx, "SELECT TABLE_NAME, "+columns+" FROM information_schema."+view+
		" WHERE "+schema+" = "+literal(t.name.database)+" AND TABLE_NAME = "+literal(t.name.table)+order)
	if err != nil {
		return nil, err
	}
	name := t.name.table
	if !slices.ContainsFunc(rows, func(row []string) bool { return row[0] == name }) {
		name = strings.ToLower(name) // the server keeps names in lower case
	}
	var out [][]string
	for _, row := range rows {
		if row[0] == name || strings.ToLower(row[0]) == name && name != t.name.table {
			out = append(out, row[1:])
		}
	}
	return out, nil
}

// find fills in what the catalog says about the table as a whole, and refuses one that no snapshot holds.
func (w *session) find(ctx context.Context, t *table) error {
	rows, err := w.catalog(ctx, *t, "TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH, CREATE_TIME, DATA_LENGTH, CREATE_OPTIONS", "TABLES", "")
	if err != nil || len(rows) == 0 || rows[0][0] == "VIEW" {
		return err
	}
	row := rows[0]
	if engine := row[1]; !strings.EqualFold(engine, "InnoDB") {
		return &elt.Error{
			Code: "table_engine", Class: elt.Config,
			What: fmt.Sprintf("table %s of source %s is kept by %s, which has no snapshots: its rows could change while they are read", t.info.Name, w.source.opts.Name, engine),
			Do:   fmt.Sprintf("run ALTER TABLE %s ENGINE = InnoDB, or leave the table out", t.name.sql()),
		}
	}
	if n, err := strconv.ParseInt(row[2], 10, 64); err == nil {
		t.info.Rows = n
	}
	if n, err := strconv.ParseInt(row[3], 10, 64); err == nil {
		t.info.Bytes = n
	}
	if n, err := strconv.ParseInt(row[5], 10, 64); err == nil {
		t.data = n
	}
	t.created = row[4]
	if !strings.Contains(row[6], "partitioned") {
		return nil
	}
	return w.partitions(ctx, t)
}

// partitions fills in the table's partitions. Those of a table that keeps its past are not told apart: they hold it.
func (w *session) partitions(ctx context.Context, t *table) error {
	rows, err := w.catalog(ctx, *t, "PARTITION_NAME, DATA_LENGTH, CREATE_TIME, PARTITION_METHOD", "PARTITIONS",
		" ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION")
	for _, row := range rows {
		p := partition{name: row[0], bytes: int64(number(row[1])), created: row[2], past: row[3] == "SYSTEM_TIME"}
		if last := len(t.partitions) - 1; last >= 0 && t.partitions[last].name == p.name { // they are within one
			t.partitions[last].bytes += p.bytes
			t.partitions[last].created += " " + p.created
			continue
		}
		t.partitions = append(t.partitions, p)
	}
	return err
}

// columns fills in the table's columns, hidden and computed ones among them, and its key.
func (w *session) columns(ctx context.Context, t *table) error {
	checked := make(map[string]bool) // MariaDB's JSON columns
	if w.mariadb {
		rows, err := w.catalog(ctx, *t, "CONSTRAINT_NAME, CHECK_CLAUSE", "CHECK_CONSTRAINTS", "")
		if err != nil {
			return err
		}
		for _, row := range rows {
			checked[row[0]] = row[1] == "json_valid("+identifier(row[0])+")"
		}
	}
	rows, err := w.catalog(ctx, *t, "COLUMN_NAME, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_SET_NAME",
		"COLUMNS", " ORDER BY ORDINAL_POSITION")
	if err != nil {
		return err
	}
	types := make(map[string]catalogType, len(rows))
	for _, row := range rows {
		typ := catalogType{
			name: strings.ToLower(row[2]), full: row[3], precision: number(row[4]), scale: number(row[5]), charset: row[6], json: checked[row[0]],
		}
		types[row[0]] = typ
		c := newColumn(row[0], typ, row[1] == "YES")
		t.columns, t.info.Columns = append(t.columns, c), append(t.info.Columns, c.Column)
	}
	t.info.Key, t.key, err = w.keys(ctx, *t, types)
	return err
}

// indexed returns the columns that an index of the table begins with.
func (w *session) indexed(ctx context.Context, t table) ([]string, error) {
	rows, err := w.catalog(ctx, t, "COLUMN_NAME", "STATISTICS", " AND SEQ_IN_INDEX = 1 ORDER BY COLUMN_NAME")
	out := []string{}
	for _, row := range rows {
		out = append(out, row[0])
	}
	return slices.Compact(out), err
}
