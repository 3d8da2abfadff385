package bigquerytest

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

var (
	datasetID = regexp.MustCompile(`^[A-Za-z0-9_]{1,1000}$`)
	tableID   = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{Pc}\p{Pd} ]{1,1000}$`)
)

func invalid(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: "invalid", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *refusal {
	return &refusal{status: http.StatusNotFound, reason: "notFound", message: "Not found: " + fmt.Sprintf(format, args...)}
}

func duplicate(format string, args ...any) *refusal {
	return &refusal{status: http.StatusConflict, reason: "duplicate", message: "Already Exists: " + fmt.Sprintf(format, args...)}
}

func (s *Server) insertDataset(c *call) (any, *refusal) {
	var d bq.Dataset
	if err := json.Unmarshal(c.body, &d); err != nil || d.DatasetReference == nil || !datasetID.MatchString(d.DatasetReference.DatasetId) {
		return nil, invalid("Invalid dataset: %v", err)
	}
	id := d.DatasetReference.DatasetId
	if d.Location != s.location {
		return nil, invalid("the datasets of this double are in %s, not in %q", s.location, d.Location)
	}
	if s.datasets[id] {
		return nil, duplicate("Dataset %s:%s", c.params["projectId"], id)
	}
	if _, err := s.db.Exec("CREATE SCHEMA IF NOT EXISTS " + quote(id)); err != nil {
		return nil, invalid("%v", err)
	}
	s.datasets[id], s.labels[id] = true, d.Labels
	d.Id, d.CreationTime = c.params["projectId"]+":"+id, s.tick()
	return &d, nil
}

// place is a table's name in DuckDB.
type place struct{ dataset, table string }

func (p place) key() string { return p.dataset + "." + p.table }
func (p place) sql() string { return quote(p.dataset) + "." + quote(p.table) }

func at(r *bq.TableReference) place { return place{r.DatasetId, r.TableId} }

// stands returns what is under a name: "BASE TABLE", "VIEW" or nothing.
func (s *Server) stands(p place) string {
	var kind string
	// The information schema knows as much, and takes ten times as long to say it.
	const look = `SELECT 'BASE TABLE' FROM duckdb_tables() WHERE schema_name = $1 AND table_name = $2
		UNION ALL SELECT 'VIEW' FROM duckdb_views() WHERE NOT internal AND schema_name = $1 AND view_name = $2`
	err := s.db.QueryRow(look, p.dataset, p.table).Scan(&kind)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.violate("look for %s: %v", p.key(), err)
	}
	return kind
}

func (s *Server) hasDataset(id string) bool {
	var n int
	if err := s.db.QueryRow("SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?", id).Scan(&n); err != nil {
		s.violate("look for dataset %s: %v", id, err)
	}
	return n > 0
}

func (s *Server) insertTable(c *call) (any, *refusal) {
	var t bq.Table
	if err := json.Unmarshal(c.body, &t); err != nil || t.TableReference == nil {
		return nil, invalid("Invalid table: %v", err)
	}
	p := at(t.TableReference)
	switch {
	case !s.hasDataset(p.dataset):
		return nil, notFound("Dataset %s:%s", c.params["projectId"], p.dataset)
	case !tableID.MatchString(p.table):
		return nil, invalid("Invalid table ID %q. Table IDs must be alphanumeric (plus underscores, dashes, and spaces)", p.table)
	case s.stands(p) != "":
		return nil, duplicate("Table %s:%s", c.params["projectId"], p.key())
	}
	if t.View != nil {
		if refused := s.createView(p, t.View); refused != nil {
			return nil, refused
		}
	} else {
		definitions, err := definitions(t.Schema)
		if err != nil {
			return nil, invalid("%v", err)
		}
		if _, err := s.db.Exec("CREATE TABLE " + p.sql() + " (" + definitions + ")"); err != nil {
			return nil, invalid("%v", err)
		}
	}
	t.CreationTime, t.Schema = s.tick(), nil
	if err := s.arrangeable(p, arrangement{t.TimePartitioning, t.Clustering}); t.View == nil && err != nil {
		if _, err := s.db.Exec("DROP TABLE " + p.sql()); err != nil {
			s.violate("drop %s: %v", p.key(), err)
		}
		return nil, invalid("%v", err)
	}
	s.tables[p.key()] = &t
	return s.table(c.params["projectId"], p)
}

func (s *Server) createView(p place, v *bq.ViewDefinition) *refusal {
	if v.UseLegacySql {
		return invalid("a view in legacy SQL")
	}
	statements, err := Translate(v.Query)
	if err != nil {
		return &refusal{status: http.StatusBadRequest, reason: "invalidQuery", message: err.Error()}
	}
	if len(statements) != 1 {
		return invalid("a view of %d statements", len(statements))
	}
	if _, err := s.db.Exec("CREATE OR REPLACE VIEW " + p.sql() + " AS " + statements[0]); err != nil {
		reason, message := explain(err)
		return &refusal{status: http.StatusBadRequest, reason: reason, message: message}
	}
	return nil
}

// table describes a table as it is now.
func (s *Server) table(project string, p place) (*bq.Table, *refusal) {
	kind := s.stands(p)
	if kind == "" {
		return nil, notFound("Table %s:%s", project, p.key())
	}
	fields, err := s.fields("SELECT * FROM " + p.sql())
	if err != nil && kind != "VIEW" { // of a view whose tables are gone the service tells what it knew
		reason, message := explain(err)
		return nil, &refusal{status: http.StatusBadRequest, reason: reason, message: message}
	}
	t := bq.Table{}
	if known := s.tables[p.key()]; known != nil {
		t = *known
	}
	t.TableReference = &bq.TableReference{ProjectId: project, DatasetId: p.dataset, TableId: p.table}
	t.Id, t.Schema, t.Type, t.Location = project+":"+p.key(), &bq.TableSchema{Fields: fields}, "TABLE", s.location
	if kind == "VIEW" {
		t.Type = "VIEW"
		return &t, nil
	}
	t.View = nil
	if err := s.db.QueryRow("SELECT count(*) FROM " + p.sql()).Scan(&t.NumRows); err != nil {
		return nil, invalid("%v", err)
	}
	return &t, nil
}

func (s *Server) getTable(c *call) (any, *refusal) {
	if r := s.answers[place{c.params["datasetId"], c.params["tableId"]}.key()]; r != nil {
		return &bq.Table{
			TableReference: &bq.TableReference{ProjectId: c.params["projectId"], DatasetId: c.params["datasetId"], TableId: c.params["tableId"]},
			Schema:         &bq.TableSchema{Fields: r.fields}, NumRows: uint64(len(r.rows)), Type: "TABLE", Location: s.location,
		}, nil
	}
	t, refused := s.table(c.params["projectId"], place{c.params["datasetId"], c.params["tableId"]})
	if refused != nil {
		return nil, refused
	}
	return t, nil
}

func (s *Server) patchTable(c *call) (any, *refusal) {
	p := place{c.params["datasetId"], c.params["tableId"]}
	var change bq.Table
	if err := json.Unmarshal(c.body, &change); err != nil {
		return nil, invalid("%v", err)
	}
	kind := s.stands(p)
	if kind == "" {
		return nil, notFound("Table %s:%s", c.params["projectId"], p.key())
	}
	if change.Schema != nil {
		if kind == "VIEW" {
			return nil, invalid("the double changes the columns of tables only")
		}
		if refused := s.addColumns(p, change.Schema); refused != nil {
			return nil, refused
		}
		return s.getTable(c)
	}
	if change.View != nil {
		if kind != "VIEW" {
			return nil, invalid("Cannot add a view to a table")
		}
		if refused := s.createView(p, change.View); refused != nil {
			return nil, refused
		}
	}
	known := s.tables[p.key()]
	if known == nil {
		known = &bq.Table{CreationTime: s.tick()}
		s.tables[p.key()] = known
	}
	known.View, known.Description = change.View, change.Description
	if known.Labels == nil {
		known.Labels = make(map[string]string)
	}
	maps.Copy(known.Labels, change.Labels)
	return s.getTable(c)
}

// addColumns gives a table further columns; those that it has must be named as they are, and none may be required.
func (s *Server) addColumns(p place, schema *bq.TableSchema) *refusal {
	have, err := s.fields("SELECT * FROM " + p.sql())
	if err != nil {
		return invalid("%v", err)
	}
	for i, f := range have {
		if i >= len(schema.Fields) || schema.Fields[i].Name != f.Name || standard(schema.Fields[i].Type) != standard(f.Type) {
			return invalid("Provided Schema does not match Table %s. Field %s is missing in new schema or has changed type", p.key(), f.Name)
		}
	}
	for _, f := range schema.Fields[len(have):] {
		name, err := duckType(f)
		if err != nil || f.Mode == "REQUIRED" {
			return invalid("Cannot add the field %s: %v", f.Name, err)
		}
		if _, err := s.db.Exec("ALTER TABLE " + p.sql() + " ADD COLUMN " + quote(f.Name) + " " + name); err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

// standard returns the one name of a type that has two.
func standard(name string) string {
	name = strings.ToUpper(name)
	if other, ok := map[string]string{"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}[name]; ok {
		return other
	}
	return name
}

func (s *Server) deleteTable(c *call) (any, *refusal) {
	p := place{c.params["datasetId"], c.params["tableId"]}
	kind := strings.TrimPrefix(s.stands(p), "BASE ")
	if kind == "" {
		return nil, notFound("Table %s:%s", c.params["projectId"], p.key())
	}
	if _, err := s.db.Exec("DROP " + kind + " " + p.sql()); err != nil {
		return nil, invalid("%v", err)
	}
	delete(s.tables, p.key())
	return nil, nil
}

func (s *Server) listTables(c *call) (any, *refusal) {
	if !s.hasDataset(c.params["datasetId"]) {
		return nil, notFound("Dataset %s:%s", c.params["projectId"], c.params["datasetId"])
	}
	rows, err := s.db.Query("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = ? ORDER BY table_name", c.params["datasetId"])
	if err != nil {
		return nil, invalid("%v", err)
	}
	defer rows.Close()
	list := &bq.TableList{Kind: "bigquery#tableList"}
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			return nil, invalid("%v", err)
		}
		list.Tables = append(list.Tables, &bq.TableListTables{
			Type:           strings.TrimPrefix(kind, "BASE "),
			TableReference: &bq.TableReference{ProjectId: c.params["projectId"], DatasetId: c.params["datasetId"], TableId: name},
		})
	}
	if err := rows.Err(); err != nil {
		return nil, invalid("%v", err)
	}
	const page = 50 // small, so that a reader must turn pages
	start := slices.IndexFunc(list.Tables, func(t *bq.TableListTables) bool { return t.TableReference.TableId > c.get("pageToken") })
	list.Tables = list.Tables[max(0, start):]
	if start < 0 && c.get("pageToken") != "" {
		list.Tables = nil
	}
	if len(list.Tables) > page {
		list.Tables = list.Tables[:page]
		list.NextPageToken = list.Tables[page-1].TableReference.TableId
	}
	return list, nil
}
