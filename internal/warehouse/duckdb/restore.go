package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Restore makes a version that was published before visible again, in one transaction that checks the fence and records
// the new version. What is there already is left as it is, so restoring again is harmless. The errors are stale_fence
// and version_not_kept; an error that comes with a version is that of renewing the read copy.
//
// A table that was published whole is pointed at again. One that nights were merged into is copied, and the nights
// after the version are taken out of the copy, the last one first.
func (w *Warehouse) Restore(ctx context.Context, r elt.Restoration) (elt.Version, error) {
	v, err := w.restore(ctx, r)
	if err != nil {
		return elt.Version{}, err
	}
	failpoint.Here("duckdb.restored")
	return v, w.RefreshReadCopy(ctx)
}

func (w *Warehouse) restore(ctx context.Context, r elt.Restoration) (v elt.Version, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return v, err
	}
	defer release()
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return v, fmt.Errorf("wait for a publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	err = w.transaction(ctx, "restore "+string(r.Version.Restores), func(tx *sql.Tx) error {
		v, err = w.restoreIn(ctx, tx, r)
		return err
	})
	if err != nil {
		return elt.Version{}, err
	}
	if err := w.sweep(ctx, r.Version.Run); err != nil {
		w.log.Warn("cannot drop what nothing needs any more; the next publish tries again", "run", r.Version.Run, "error", err)
	}
	return v, nil
}

func (w *Warehouse) restoreIn(ctx context.Context, tx *sql.Tx, r elt.Restoration) (elt.Version, error) {
	v := r.Version
	there, err := versionsWhere(ctx, tx, "version_id = ?", string(v.ID))
	if err != nil || len(there) > 0 {
		return append(there, v)[0], err
	}
	if err := checkFence(ctx, tx, v.Dataset, r.Fence); err != nil {
		return v, err
	}
	kept, err := keptOf(ctx, tx, r.Relation)
	if err != nil {
		return v, err
	}
	at := slices.IndexFunc(kept, func(k keptVersion) bool { return k.id == v.Restores || k.restores == v.Restores })
	if at < 0 {
		return v, w.notKept(v.Restores, kept)
	}
	to, later := kept[at], kept[at+1:]
	settled := settled{physical: to.physical, selects: to.view}
	if merges := slices.DeleteFunc(slices.Clone(later), func(k keptVersion) bool { return k.merged == "" || k.physical != to.physical }); len(merges) > 0 {
		if settled.physical, err = w.takeOut(ctx, tx, v, to, merges); err != nil {
			return v, err
		}
	}
	selects := settled.selects
	if selects == "" {
		selects = "SELECT * FROM " + settled.physical
	}
	if _, err := tx.ExecContext(ctx, "CREATE OR REPLACE VIEW "+publishedName(r.Relation)+" AS "+selects); err != nil {
		return v, w.modelRefused(ctx, v.Dataset, err)
	}
	v.Fence = r.Fence
	if v.PublishedAt.IsZero() {
		v.PublishedAt = w.now().UTC().Truncate(time.Microsecond)
	}
	if err := keep(ctx, tx, elt.PublicationItem{Version: v, Relation: r.Relation}, settled); err != nil {
		return v, err
	}
	return v, record(ctx, tx, v, r.Relation, settled.physical)
}

// takeOut copies the table that a version was in, and takes out of the copy what was merged into it since.
func (w *Warehouse) takeOut(ctx context.Context, tx *sql.Tx, v elt.Version, to keptVersion, merges []keptVersion) (table string, err error) {
	schema := runSchema(v.Run)
	table = qualified(schema, string(v.Dataset))
	statements := []string{"CREATE SCHEMA IF NOT EXISTS " + quote(schema), "CREATE OR REPLACE TABLE " + table + " AS SELECT * FROM " + to.physical}
	for _, m := range slices.Backward(merges) {
		switch {
		case m.undo == "":
			return "", w.notKept(v.Restores, nil)
		case len(m.key) == 0: // of each row that was added as many as were added go
			left := qualified(schema, string(v.Dataset)+attemptMark)
			statements = append(statements,
				"CREATE OR REPLACE TABLE "+left+" AS SELECT * FROM "+table+
					" EXCEPT ALL (SELECT * FROM "+table+" WHERE false UNION ALL BY NAME SELECT * FROM "+m.merged+")",
				"DROP TABLE "+table, "ALTER TABLE "+left+" RENAME TO "+quote(string(v.Dataset)))
		default:
			statements = append(statements, "DELETE FROM "+table+" AS p USING "+m.merged+" AS d WHERE "+sameKey("d", m.key))
		}
		statements = append(statements, "INSERT INTO "+table+" BY NAME SELECT * FROM "+m.undo)
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return "", err
		}
	}
	return table, nil
}

func (w *Warehouse) notKept(id elt.VersionID, kept []keptVersion) error {
	var oldest elt.VersionID
	if len(kept) > 1 { // the last one is what people read
		oldest = kept[0].id
	}
	return warehouse.NotKept(id, oldest, "daybreak load --publish brings a table's data from the lake; a model is built again by daybreak run --again")
}

// Restorable returns the versions of a published relation that can be restored, oldest first; the last one is what
// people read.
func (w *Warehouse) Restorable(ctx context.Context, relation string) (ids []elt.VersionID, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	kept, err := keptOf(ctx, w.db, relation)
	for _, k := range kept {
		ids = append(ids, k.id)
	}
	return ids, w.fail(ctx, "read what can be restored of "+relation, err)
}

// keptVersion is a row of _daybreak.kept.
type keptVersion struct {
	id           elt.VersionID
	restores     elt.VersionID // the version whose content it brought back itself
	physical     string
	view         string
	merged, undo string
	key          []string
}

// keptOf returns what is kept of a published relation, oldest first.
func keptOf(ctx context.Context, q queryer, relation string) ([]keptVersion, error) {
	rows, err := q.QueryContext(ctx, `SELECT version_id, physical, view_sql, merged, undo, CAST("key" AS VARCHAR), coalesce(restores, '')
		FROM _daybreak.kept LEFT JOIN _daybreak.restored USING (version_id) WHERE relation = ? ORDER BY place`, relation)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var kept []keptVersion
	for rows.Next() {
		var k keptVersion
		var key string
		if err := rows.Scan(&k.id, &k.physical, &k.view, &k.merged, &k.undo, &key, &k.restores); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(key), &k.key); err != nil {
			return nil, fmt.Errorf("kept version %s: decode its key: %w", k.id, err)
		}
		kept = append(kept, k)
	}
	return kept, rows.Err()
}

// keep notes what it takes to bring the item's version back once another one is published.
func keep(ctx context.Context, tx *sql.Tx, item elt.PublicationItem, s settled) error {
	key := item.Key
	if item.Strategy == elt.Append || item.Strategy == elt.Replace || key == nil {
		key = []string{}
	}
	encoded, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("encode the key of %s: %w", item.Version.Dataset, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO _daybreak.kept
		SELECT ?, CAST(? AS VARCHAR), coalesce(max(place), 0) + 1, ?, ?, ?, ?, CAST(? AS JSON) FROM _daybreak.kept`,
		string(item.Version.ID), item.Relation, s.physical, s.selects, s.merged, s.undo, string(encoded))
	return err
}

// forget drops the rows of what need not be kept any longer. What is published stays, and of everything before it as
// many versions as the options say.
func (w *Warehouse) forget(ctx context.Context) error {
	_, err := w.db.ExecContext(ctx, `DELETE FROM _daybreak.kept WHERE version_id IN (
		SELECT version_id FROM (SELECT version_id, row_number() OVER (PARTITION BY relation ORDER BY place DESC) AS nth FROM _daybreak.kept)
		WHERE nth > ?)`, w.keep+1)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("forget old versions: %w", err)
	}
	return err
}
