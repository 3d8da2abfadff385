package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// staging is one attempt at the staged relation of a dataset. It is built under a name of its own and takes
// the dataset's staging name in one transaction at the end, so a reader of the staging name never sees half
// of it, and an attempt that lost its lease cannot touch what a newer one staged or published.
type staging struct {
	w       *Warehouse
	run     elt.RunID
	dataset elt.DatasetName
	scratch string // name of the table being built, in the run's schema
	// base is the published relation that the staged rows will be merged into; empty when they are the whole.
	base     string
	strategy elt.Strategy
	key      []string
	carry    map[string]string // how older rows show a column that they have otherwise, or not at all
	// cursor and span are of the strategy Replace.
	cursor elt.Column
	span   *elt.CursorRange
	// deleted is the condition of rows that are flagged as deleted; empty when no column flags any.
	deleted string
}

// stage prepares the run's schema and returns an attempt at the dataset's staged relation.
func (w *Warehouse) stage(ctx context.Context, run elt.RunID, d elt.DatasetName) (*staging, error) {
	w.mu.Lock() // one at a time: two transactions that make the same schema conflict
	defer w.mu.Unlock()
	if !w.open[run] {
		if err := w.openRun(ctx, run); err != nil {
			return nil, w.fail(ctx, "prepare the staging schema of run "+string(run), err)
		}
		w.open[run] = true
	}
	return &staging{w: w, run: run, dataset: d, scratch: fmt.Sprint(d, attemptMark, w.serial.Add(1))}, nil
}

// openRun makes the run's schema, or clears it of attempts that a killed process left unfinished.
func (w *Warehouse) openRun(ctx context.Context, run elt.RunID) error {
	schema := runSchema(run)
	if _, err := w.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema)); err != nil {
		return err
	}
	kinds, err := relationKinds(ctx, w.db, schema)
	if err != nil {
		return err
	}
	for name, view := range kinds {
		if strings.Contains(name, attemptMark) {
			if err := drop(ctx, w.db, schema, name, view); err != nil {
				return err
			}
		}
	}
	return nil
}

// onto declares that the rows will be merged into the published relation if there is one. A view has no rows
// to merge into: what was a view must be built whole once.
func (s *staging) onto(ctx context.Context, relation string, strategy elt.Strategy, key []string) error {
	physical, published, err := behind(ctx, s.w.db, relation)
	if err != nil || !published {
		return err
	}
	if physical == "" {
		return warehouse.IsView(s.dataset)
	}
	s.base, s.strategy, s.key = relation, strategy, key
	return nil
}

// table returns the quoted name of the table being built.
func (s *staging) table() string { return qualified(runSchema(s.run), s.scratch) }

// clear drops what a failed attempt built.
func (s *staging) clear(ctx context.Context) {
	if err := drop(context.WithoutCancel(ctx), s.w.db, runSchema(s.run), s.scratch, false); err != nil {
		s.w.log.Warn("cannot drop a failed attempt's table", "dataset", s.dataset, "run", s.run, "error", err)
	}
}

// evolve works out how the published relation's rows will be shown among the manifest's; the error is schema_changed.
func (s *staging) evolve(ctx context.Context, columns elt.Schema, changes []elt.SchemaChange) error {
	if s.base == "" {
		return nil
	}
	_, carry, err := evolution(ctx, s.w.db, s.dataset, s.base, columns, changes)
	s.carry = carry
	return err
}

// hasKey checks that the key's columns are there and, when unique is wanted, that no two rows share a key.
func (s *staging) hasKey(ctx context.Context, columns elt.Schema, key []string, unique bool) error {
	if err := warehouse.HasColumns(s.dataset, columns, key); err != nil {
		return err
	}
	if len(key) == 0 || !unique {
		return nil
	}
	shown := make([]string, len(key))
	for i, k := range key {
		shown[i] = "CAST(" + quote(k) + " AS VARCHAR)"
		if c, _ := columns.Column(k); c.Masked != "" {
			shown[i] = "'(masked)'"
		}
	}
	var value string
	var times, keys int64
	err := s.w.db.QueryRowContext(ctx, fmt.Sprintf(
		`SELECT concat_ws(', ', %s), times, count(*) OVER () FROM
		(SELECT %s, count(*) AS times FROM %s GROUP BY ALL HAVING count(*) > 1) ORDER BY ALL LIMIT 1`,
		coalesced(shown), quoteAll("", key), s.table())).Scan(&value, &times, &keys)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return warehouse.DuplicateKey(s.dataset, key, value, times, keys)
}

func coalesced(exprs []string) string {
	out := make([]string, len(exprs))
	for i, e := range exprs {
		out[i] = "coalesce(" + e + ", 'NULL')"
	}
	return strings.Join(out, ", ")
}

// finish gives the table being built the dataset's staging name. For rows that will be merged it is the
// delta's name, and the staging name becomes a view of the table as it will be; columns are those of the rows.
func (s *staging) finish(ctx context.Context, columns []string) error {
	return s.replace(ctx, func(tx *sql.Tx) error {
		name, whole := string(s.dataset), s.base == "" && s.deleted == ""
		if !whole {
			name = deltaName(s.dataset)
		}
		if _, err := tx.ExecContext(ctx, "ALTER TABLE "+s.table()+" RENAME TO "+quote(name)); err != nil || whole {
			return err
		}
		_, err := tx.ExecContext(ctx, "CREATE VIEW "+s.w.Staged(s.run, s.dataset)+" AS "+s.candidate(columns, ""))
		return err
	})
}

// candidate is the SELECT of the published relation as it will be once the delta is merged, without the rows whose keys
// the table gone holds, if it is named.
func (s *staging) candidate(columns []string, gone string) string {
	delta := qualified(runSchema(s.run), deltaName(s.dataset))
	fresh := "SELECT " + quoteAll("", columns) + " FROM " + delta
	if s.deleted != "" {
		fresh += " WHERE NOT " + s.deleted
	}
	if s.base == "" {
		return fresh
	}
	older := make([]string, len(columns))
	for i, c := range columns {
		older[i] = "p." + quote(c)
		if expr, ok := s.carry[c]; ok {
			older[i] = expr + " AS " + quote(c)
		}
	}
	kept := "SELECT " + strings.Join(older, ", ") + " FROM " + publishedName(s.base) + " AS p"
	switch s.strategy {
	case elt.Append:
	case elt.Replace:
		kept += " WHERE NOT " + within("p", s.cursor, s.span)
	default:
		kept += " ANTI JOIN " + delta + " AS d ON (" + sameKey("d", s.key) + ")"
	}
	if gone != "" {
		kept += " ANTI JOIN " + gone + " AS g ON (" + sameKey("g", s.key) + ")"
	}
	return kept + " UNION ALL " + fresh
}

// sameKey is the null-safe condition that a row p and a row of another relation have the same key.
func sameKey(other string, key []string) string {
	terms := make([]string, len(key))
	for i, k := range key {
		terms[i] = "p." + quote(k) + " IS NOT DISTINCT FROM " + other + "." + quote(k)
	}
	return strings.Join(terms, " AND ")
}

// replace drops what the run staged for the dataset and calls put, in one transaction. What the run has
// published already is not touched any more: its tables are what people read.
func (s *staging) replace(ctx context.Context, put func(*sql.Tx) error) error {
	if err := s.w.publishing.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a publish to end: %w", err)
	}
	defer s.w.publishing.Release(1)
	schema := runSchema(s.run)
	return s.w.transaction(ctx, "stage "+string(s.dataset), func(tx *sql.Tx) error {
		done, err := versionsWhere(ctx, tx, "dataset = ? AND run_id = ?", string(s.dataset), string(s.run))
		if err != nil {
			return err
		}
		if len(done) > 0 {
			return warehouse.Published(s.run, s.dataset)
		}
		for _, name := range []string{string(s.dataset), deltaName(s.dataset), keysName(s.dataset), goneName(s.dataset)} {
			if err := dropAny(ctx, tx, schema, name); err != nil {
				return err
			}
		}
		return put(tx)
	})
}

// shape is what a run has staged for a dataset.
type shape int

const (
	nothing shape = iota // nothing is staged
	whole                // a table with all rows
	delta                // a table with the rows to merge, and a view of the result
	view                 // a view over other relations
)

// stagedShape returns what the run has staged, and the quoted name of the table that holds staged rows.
func (w *Warehouse) stagedShape(ctx context.Context, q queryer, run elt.RunID, d elt.DatasetName) (shape, string, error) {
	kinds, err := relationKinds(ctx, q, runSchema(run))
	if err != nil {
		return nothing, "", err
	}
	shape, table := w.shapeOf(kinds, run, d)
	return shape, table, nil
}

// shapeOf is stagedShape, of the relations of the run's schema.
func (w *Warehouse) shapeOf(kinds map[string]bool, run elt.RunID, d elt.DatasetName) (shape, string) {
	isView, staged := kinds[string(d)]
	_, hasDelta := kinds[deltaName(d)]
	switch {
	case !staged:
		return nothing, ""
	case hasDelta:
		return delta, qualified(runSchema(run), deltaName(d))
	case isView:
		return view, w.Staged(run, d)
	}
	return whole, w.Staged(run, d)
}
