package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Publish makes every item visible in one transaction, or none: it checks the fences, points the published
// views at what the run staged, merges the deltas of incremental datasets, and records the versions. An item
// whose version is there already is left as it is, so publishing again is harmless. A view must come after
// the items that it reads; one that is held back keeps the rows that it shows. Afterwards it drops what no published name needs any more and renews the read
// copy; an error of that last step comes with the versions, which are committed.
//
// The errors are stale_fence, relation_taken, staging_missing and, for an incremental dataset that changed
// since it was staged, schema_changed.
func (w *Warehouse) Publish(ctx context.Context, p elt.Publication) ([]elt.Version, error) {
	versions, err := w.publish(ctx, p)
	if err != nil {
		return nil, err
	}
	failpoint.Here("duckdb.published")
	return versions, w.RefreshReadCopy(ctx)
}

func (w *Warehouse) publish(ctx context.Context, p elt.Publication) ([]elt.Version, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for another publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	var versions []elt.Version
	err = w.transaction(ctx, "publish run "+string(p.Run), func(tx *sql.Tx) error {
		if err := w.hold(ctx, tx, p); err != nil {
			return err
		}
		now, names := w.now().UTC().Truncate(time.Microsecond), &names{q: tx, of: make(map[string]map[string]bool)}
		for _, item := range p.Items {
			v, err := w.publishItem(ctx, tx, p, item, now, names)
			if err != nil {
				return err
			}
			failpoint.Here("duckdb.publish_item")
			versions = append(versions, v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	delete(w.open, p.Run)
	w.mu.Unlock()
	if err := w.sweep(ctx, p.Run); err != nil {
		w.log.Warn("cannot drop what nothing needs any more; the next publish tries again", "run", p.Run, "error", err)
	}
	return versions, nil
}

// names are the relations of schemas as they were when a publication first asked: DuckDB reads its whole catalog for
// each question, and a night may have a thousand items.
type names struct {
	q  queryer
	of map[string]map[string]bool
}

func (n *names) in(ctx context.Context, schema string) (kinds map[string]bool, err error) {
	if kinds, known := n.of[schema]; known {
		return kinds, nil
	}
	kinds, err = relationKinds(ctx, n.q, schema)
	n.of[schema] = kinds
	return kinds, err
}

func (w *Warehouse) publishItem(ctx context.Context, tx *sql.Tx, p elt.Publication, item elt.PublicationItem, now time.Time, names *names) (elt.Version, error) {
	v := item.Version
	there, err := versionsWhere(ctx, tx, "version_id = ?", string(v.ID))
	if err != nil {
		return v, err
	}
	if len(there) > 0 {
		return there[0], nil
	}
	v.Fence = p.Fence
	if v.PublishedAt.IsZero() {
		v.PublishedAt = now
	}
	if err := checkFence(ctx, tx, v.Dataset, p.Fence); err != nil {
		return v, err
	}
	current, published, err := behind(ctx, tx, item.Relation)
	if err != nil {
		return v, err
	}
	schema, table := splitRelation(item.Relation)
	if !published {
		if err := mayTake(ctx, names, schema, table, item.Relation); err != nil {
			return v, err
		}
	}
	settled, err := w.settle(ctx, tx, p.Run, item, current, names)
	if err != nil {
		return v, err
	}
	if err := keep(ctx, tx, item, settled); err != nil {
		return v, err
	}
	physical, selects := settled.physical, settled.selects
	if _, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema)); err != nil {
		return v, err
	}
	if physical != current || selects != "" || settled.renewed {
		if selects == "" {
			selects = "SELECT * FROM " + physical
		}
		if _, err := tx.ExecContext(ctx, "CREATE OR REPLACE VIEW "+qualified(schema, table)+" AS "+selects); err != nil {
			return v, w.modelRefused(ctx, v.Dataset, err)
		}
	}
	return v, record(ctx, tx, v, item.Relation, physical)
}

// hold gives each held view over published names a table of the rows that it shows now, before the items under
// it change: it would show rows that nobody has tested, or none at all. Its next version makes it a view again.
func (w *Warehouse) hold(ctx context.Context, tx *sql.Tx, p elt.Publication) error {
	for _, relation := range p.Held {
		physical, published, err := behind(ctx, tx, relation)
		if err != nil {
			return err
		}
		if !published || physical != "" {
			continue // it has rows of its own, or nobody has seen it yet
		}
		if _, err := describe(ctx, tx, publishedName(relation)); err != nil {
			w.log.Warn("a view that is held back shows nothing that could be kept", "relation", relation, "error", err)
			continue
		}
		held := qualified(runSchema(p.Run), relation+":held")
		for _, statement := range []string{
			"CREATE SCHEMA IF NOT EXISTS " + quote(runSchema(p.Run)),
			"CREATE OR REPLACE TABLE " + held + " AS SELECT * FROM " + publishedName(relation),
			"CREATE OR REPLACE VIEW " + publishedName(relation) + " AS SELECT * FROM " + held,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("keep the rows of %s: %w", relation, err)
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE _daybreak.published SET physical = ? WHERE relation = ?", held, relation); err != nil {
			return err
		}
	}
	return nil
}

// settled is where an item's rows are, and what it takes to have those back that were there before.
type settled struct {
	physical string // the quoted name of the table; empty for a view over published names
	selects  string // the view's SELECT
	merged   string // the rows that were merged into the table, where they were
	undo     string // the rows that they took the place of
	renewed  bool   // the table has further columns, which its view must show
}

// settle brings the item's rows to where its published view will read them.
func (w *Warehouse) settle(ctx context.Context, tx *sql.Tx, run elt.RunID, item elt.PublicationItem, current string, names *names) (settled, error) {
	if item.ViewSQL != "" {
		return settled{selects: wrapped(item.ViewSQL)}, nil
	}
	d := item.Version.Dataset
	kinds, err := names.in(ctx, runSchema(run))
	if err != nil {
		return settled{}, err
	}
	shape, staged := w.shapeOf(kinds, run, d)
	switch {
	case shape == nothing:
		return settled{}, warehouse.StagingMissing(run, d)
	case shape == whole && (item.Strategy == "" || current == ""):
		return settled{physical: staged}, nil
	case shape == delta && current == "" && item.SoftDelete != "": // a first load, of which deleted rows were verified, too
		columns, err := columnsOf(ctx, tx, staged)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM "+staged+" WHERE "+deletedIn(columns, item.SoftDelete))
		}
		return settled{physical: staged}, err
	case shape == view || item.Strategy == "" || current == "":
		return settled{}, fmt.Errorf("publish %s: run %s staged what strategy %q cannot publish as %s", d, run, item.Strategy, item.Relation)
	}
	// Rows that were staged whole because nothing was published then, and now something is, merge as well.
	columns, err := columnsOf(ctx, tx, staged)
	if err != nil {
		return settled{}, err
	}
	changed, carry, err := evolution(ctx, tx, d, item.Relation, columns, item.Changes)
	if err != nil {
		return settled{}, err
	}
	gone, err := goneTable(ctx, tx, run, d)
	if err != nil {
		return settled{}, err
	}
	if !changed.IsZero() && !changed.OnlyAdds() {
		return w.anew(ctx, tx, run, item, columns, carry, gone)
	}
	if err := widen(ctx, tx, current, changed.Added); err != nil {
		return settled{}, err
	}
	out := settled{physical: current, merged: staged, renewed: changed.OnlyAdds()}
	if w.keep > 0 {
		out.undo = qualified(runSchema(run), undoName(d))
		if _, err := tx.ExecContext(ctx, "CREATE OR REPLACE TABLE "+out.undo+" AS SELECT * FROM "+current+" WHERE false"); err != nil {
			return settled{}, err
		}
	}
	if gone != "" {
		if err := out.remove(ctx, tx, gone, sameKey("d", item.Key)); err != nil {
			return settled{}, err
		}
	}
	return out, out.merge(ctx, tx, columns, item)
}

// deletedIn is the condition of rows that the soft-delete column flags.
func deletedIn(columns elt.Schema, name string) string {
	c, _ := columns.Column(name)
	return elt.Deleted(c.Type.Kind, quote(name))
}

// goneTable returns the quoted name of the table of the keys of which the run found that the source no longer has them,
// or nothing.
func goneTable(ctx context.Context, q queryer, run elt.RunID, d elt.DatasetName) (string, error) {
	kinds, err := relationKinds(ctx, q, runSchema(run))
	if _, found := kinds[goneName(d)]; err != nil || !found {
		return "", err
	}
	return qualified(runSchema(run), goneName(d)), nil
}

// merge puts the merged rows into the table behind a published name.
func (s settled) merge(ctx context.Context, tx *sql.Tx, columns elt.Schema, item elt.PublicationItem) error {
	switch item.Strategy {
	case elt.Append:
	case elt.Replace:
		cursor, ok := columns.Column(item.Cursor)
		if !ok || item.Range == nil {
			return fmt.Errorf("publish %s: strategy %q without a range of a cursor", item.Version.Dataset, item.Strategy)
		}
		if err := s.remove(ctx, tx, "", within("p", cursor, item.Range)); err != nil {
			return err
		}
	default:
		if len(item.Key) == 0 {
			return fmt.Errorf("publish %s: strategy %q without a key", item.Version.Dataset, item.Strategy)
		}
		if err := s.remove(ctx, tx, s.merged, sameKey("d", item.Key)); err != nil {
			return err
		}
	}
	list := quoteAll("", columns.Names())
	insert := "INSERT INTO " + s.physical + " (" + list + ") SELECT " + list + " FROM " + s.merged
	if item.SoftDelete != "" {
		insert += " WHERE NOT " + deletedIn(columns, item.SoftDelete)
	}
	_, err := tx.ExecContext(ctx, insert)
	return err
}

// remove deletes the rows p of the table that meet the condition, of which the rows d of another relation may be part, and
// keeps them for a rollback. Whatever a merge deletes must go this way.
func (s settled) remove(ctx context.Context, tx *sql.Tx, from, condition string) error {
	matching, using := " AS p WHERE "+condition, ""
	if from != "" {
		matching, using = " AS p SEMI JOIN "+from+" AS d ON ("+condition+")", " USING "+from+" AS d"
	}
	if s.undo != "" {
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+s.undo+" BY NAME SELECT p.* FROM "+s.physical+matching); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM "+s.physical+" AS p"+using+" WHERE "+condition)
	return err
}

// checkFence refuses a fence lower than one that the dataset was published under.
func checkFence(ctx context.Context, tx *sql.Tx, d elt.DatasetName, fence int64) error {
	var seen int64
	err := tx.QueryRowContext(ctx, "SELECT fence FROM _daybreak.fences WHERE dataset = ?", string(d)).Scan(&seen)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && seen <= fence:
		return nil
	case err != nil:
		return err
	}
	return warehouse.PublishedUnder(d, fence, seen)
}

// mayTake refuses a name under which somebody else keeps a relation.
func mayTake(ctx context.Context, names *names, schema, table, relation string) error {
	kinds, err := names.in(ctx, schema)
	if err != nil {
		return err
	}
	view, taken := kinds[table]
	if !taken {
		return nil
	}
	kind := "table"
	if view {
		kind = "view"
	}
	return warehouse.RelationTaken(relation, kind)
}

// record writes what an item's publication is into Daybreak's own tables.
func record(ctx context.Context, tx *sql.Tx, v elt.Version, relation, physical string) error {
	inputs := v.Inputs
	if inputs == nil {
		inputs = map[elt.DatasetName]elt.VersionID{}
	}
	encoded, err := json.Marshal(inputs)
	if err != nil {
		return fmt.Errorf("encode the inputs of %s: %w", v.ID, err)
	}
	type statement struct {
		query string
		args  []any
	}
	statements := []statement{
		{`INSERT OR REPLACE INTO _daybreak.published VALUES (?, ?, ?)`, []any{relation, string(v.Dataset), physical}},
		{`INSERT OR REPLACE INTO _daybreak.fences VALUES (?, ?)`, []any{string(v.Dataset), v.Fence}},
		{`INSERT INTO _daybreak.versions BY NAME
			SELECT ? AS version_id, CAST(? AS VARCHAR) AS dataset, CAST(CAST(? AS VARCHAR) AS DATE) AS data_date, ? AS run_id, ? AS fence, ? AS manifest, ? AS relation,
			? AS "rows", ? AS checks, CAST(? AS JSON) AS inputs, ? AS published_at, ? AS deletes, ? AS level`, []any{
			string(v.ID), string(v.Dataset), v.Date.String(), string(v.Run), v.Fence, v.Manifest, relation, v.Rows,
			string(v.Checks), string(encoded), v.PublishedAt, v.Deletes, string(v.Level),
		}},
	}
	if v.Restores != "" {
		statements = append(statements, statement{`INSERT INTO _daybreak.restored VALUES (?, ?)`, []any{string(v.ID), string(v.Restores)}})
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}
