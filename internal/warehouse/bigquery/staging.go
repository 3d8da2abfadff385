package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// staging is one attempt at the staged relation of a dataset: a table of its own, to which the dataset's staging name
// is pointed at the end, so that a reader of that name never sees half of it.
type staging struct {
	w        *Warehouse
	run      elt.RunID
	dataset  elt.DatasetName
	physical string // the ID of the table, in the staging dataset
	// base is the published relation that the staged rows will be merged into; empty when they are the whole.
	base     string
	strategy elt.Strategy
	key      []string
	layout   elt.Layout
	carry    map[string]string // how older rows show a column that they have otherwise, or not at all
	// cursor and span are of the strategy Replace.
	cursor elt.Column
	span   *elt.CursorRange
	// deleted is the condition of rows that are flagged as deleted; empty when no column flags any.
	deleted string
}

// stage begins an attempt at the dataset's staged relation, as a table that nothing else is called by.
func (w *Warehouse) stage(run elt.RunID, d elt.DatasetName) *staging {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[run] = true
	return &staging{w: w, run: run, dataset: d, physical: stagedID(run, d) + tableMark + unique(), layout: w.layoutFor(d)}
}

func (s *staging) table() *bigquery.Table { return s.w.staged(s.physical) }

// onto declares that the rows will be merged into the published relation if there is one. A view has no rows to merge
// into: what was a view must be built whole once.
func (s *staging) onto(ctx context.Context, relation string, strategy elt.Strategy, key []string) error {
	kind, err := s.w.behind(ctx, relation)
	if err != nil || kind == unpublished {
		return err
	}
	if kind != asTable {
		return warehouse.IsView(s.dataset)
	}
	s.base, s.strategy, s.key = relation, strategy, key
	return nil
}

// fitsTable reports an error schema_changed when the columns are not those of the table.
func fitsTable(d elt.DatasetName, md *bigquery.TableMetadata, columns elt.Schema) error {
	return warehouse.SchemaChanged(d, columnsOf(md.Schema).Diff(columns))
}

// hasKey checks that the key's columns are there and, when unique is wanted, that no two rows share a key.
func (s *staging) hasKey(ctx context.Context, columns elt.Schema, key []string, unique bool) error {
	if err := warehouse.HasColumns(s.dataset, columns, key); err != nil {
		return err
	}
	if len(key) == 0 || !unique {
		return nil
	}
	exprs := make([]string, len(key))
	for i, k := range key {
		exprs[i] = "COALESCE(CAST(" + quote(k) + " AS STRING), 'NULL')"
		if c, _ := columns.Column(k); c.Masked != "" {
			exprs[i] = "'(masked)'"
		}
	}
	var found error
	err := s.w.rows(ctx, statement{
		what: "look for duplicate keys of " + string(s.dataset), step: "load", labels: labels("load", s.run, s.dataset),
		sql: fmt.Sprintf("SELECT CONCAT(%s), n, COUNT(*) OVER () FROM (SELECT %s, COUNT(*) AS n FROM %s GROUP BY %s HAVING COUNT(*) > 1) ORDER BY n DESC LIMIT 1",
			strings.Join(exprs, ", ', ', "), quoteAll("", key), nameOf(s.table()), quoteAll("", key)),
	}, func(row []bigquery.Value) error {
		var rows, values int64
		if err := errors.Join(integer(&rows)(row[1]), integer(&values)(row[2])); err != nil {
			return err
		}
		found = warehouse.DuplicateKey(s.dataset, key, fmt.Sprint(row[0]), rows, values)
		return nil
	})
	if err != nil {
		return err
	}
	return found
}

// finish points the dataset's staging name at the table. For rows that will be merged it shows the published table as
// it will be; columns are those of the rows.
func (s *staging) finish(ctx context.Context, columns []string) error {
	shape, query := whole, "SELECT * FROM "+nameOf(s.table())
	if s.deleted != "" {
		query += " WHERE NOT " + s.deleted
	}
	if s.base != "" {
		shape, query = delta, s.candidate(columns, nil)
	}
	return s.point(ctx, shape, query)
}

// candidate is the SELECT of the published relation as it will be once the delta is merged, without the rows whose keys
// the table gone holds, if there is one.
func (s *staging) candidate(columns []string, gone *bigquery.Table) string {
	published, staged := s.w.Published(s.base), nameOf(s.table())
	older := make([]string, len(columns))
	for i, c := range columns {
		older[i] = "p." + quote(c)
		if expr, ok := s.carry[c]; ok {
			older[i] = expr + " AS " + quote(c)
		}
	}
	var kept []string
	switch s.strategy {
	case elt.Append:
	case elt.Replace:
		kept = append(kept, outside("p", s.cursor.Name, s.cursor.Type.Kind, s.span))
	default:
		kept = append(kept, keyOf("p", s.key)+" NOT IN (SELECT "+keyOf("d", s.key)+" FROM "+staged+" AS d)")
	}
	if gone != nil {
		kept = append(kept, keyOf("p", s.key)+" NOT IN (SELECT "+keyOf("g", s.key)+" FROM "+nameOf(gone)+" AS g)")
	}
	query := "SELECT " + strings.Join(older, ", ") + " FROM " + published + " AS p"
	if len(kept) > 0 {
		query += " WHERE " + strings.Join(kept, " AND ")
	}
	query += " UNION ALL SELECT " + quoteAll("d.", columns) + " FROM " + staged + " AS d"
	if s.deleted != "" {
		query += " WHERE NOT " + s.deleted
	}
	return query
}

// shape is what a run has staged for a dataset. The view of its staging name carries it as a label.
type shape string

const (
	nothing shape = ""
	whole   shape = "whole" // a table with all rows
	delta   shape = "delta" // a table with the rows to merge; the view is of the result
	view    shape = "view"  // a view over other relations
)

const shapeLabel = "daybreak_shape"

// point points the staging name at what was staged, in one request. What the run has published already is not touched
// any more.
func (s *staging) point(ctx context.Context, as shape, query string) error {
	done, err := s.w.versionsWhere(ctx, "dataset = "+literal(string(s.dataset))+" AND run_id = "+literal(string(s.run)))
	if err != nil {
		return err
	}
	if len(done) > 0 {
		return warehouse.Published(s.run, s.dataset)
	}
	physical := s.physical
	if as == view {
		physical = ""
	}
	return s.w.putView(ctx, s.w.staged(stagedID(s.run, s.dataset)), query, physical, map[string]string{shapeLabel: string(as)})
}

// putView makes a view or changes the one that is there, in one request each.
func (w *Warehouse) putView(ctx context.Context, at *bigquery.Table, query, description string, marks map[string]string) error {
	err := create(ctx, at, &bigquery.TableMetadata{ViewQuery: query, Description: description, Labels: marks})
	if !isStatus(err, http.StatusConflict) {
		return err
	}
	change := bigquery.TableMetadataToUpdate{ViewQuery: query, Description: description}
	for name, value := range marks {
		change.SetLabel(name, value)
	}
	_, err = update(ctx, at, change)
	return err
}

// stagedShape returns what the run has staged, and the table that holds staged rows.
func (w *Warehouse) stagedShape(ctx context.Context, run elt.RunID, d elt.DatasetName) (shape, *bigquery.Table, error) {
	md, err := metadata(ctx, w.staged(stagedID(run, d)), bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if isStatus(err, http.StatusNotFound) {
		return nothing, nil, nil
	}
	if err != nil {
		return nothing, nil, err
	}
	return shape(md.Labels[shapeLabel]), w.staged(md.Description), nil
}
