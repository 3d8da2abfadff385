package duckdb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Names of what stands beside a delta in its run's schema. No dataset's name has a colon.
func keysName(d elt.DatasetName) string { return string(d) + ":keys" }
func goneName(d elt.DatasetName) string { return string(d) + ":gone" }

// Deletes finds out which rows the source no longer has: those that the manifest's soft-delete column flags, or the
// published ones whose key is not among the manifest's keys, whose parts are local Parquet files. What the run staged
// for the dataset must be there. The staging relation shows the table without them from then on, and Publish deletes
// them. Nothing is deleted where nothing is published yet. Asking again comes to the same.
func (w *Warehouse) Deletes(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string) (found elt.Deletion, err error) {
	release, err := w.shared(ctx)
	if err != nil {
		return found, err
	}
	defer release()
	what := "find the deletes of " + string(m.Dataset)
	shape, staged, err := w.stagedShape(ctx, w.db, run, m.Dataset)
	if err != nil {
		return found, w.fail(ctx, what, err)
	}
	if shape == nothing {
		return found, warehouse.StagingMissing(run, m.Dataset)
	}
	if m.SoftDelete != "" {
		c, _ := m.Schema.Column(m.SoftDelete)
		err := w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+staged+" WHERE "+elt.Deleted(c.Type.Kind, quote(c.Name))).Scan(&found.Gone)
		return found, w.fail(ctx, what, err)
	}
	if m.Keys == nil || shape != delta {
		return found, nil
	}
	if err := w.stageKeys(ctx, run, m, files); err != nil {
		return found, err
	}
	s := &staging{w: w, run: run, dataset: m.Dataset, base: relation, strategy: elt.Merge, key: m.Key}
	if err := s.evolve(ctx, m.Schema, m.Changes); err != nil {
		return found, w.fail(ctx, what, err)
	}
	found, err = s.compareKeys(ctx, m, staged)
	return found, w.fail(ctx, what, err)
}

// stageKeys loads the manifest's keys in place of what an earlier attempt loaded.
func (w *Warehouse) stageKeys(ctx context.Context, run elt.RunID, m *elt.Manifest, files []string) (err error) {
	definition, values, err := tableDefinition(m.Dataset, m.Keys.Schema)
	if err != nil {
		return err
	}
	what := "stage the keys of " + string(m.Dataset)
	s, err := w.stage(ctx, run, m.Dataset)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.clear(ctx)
		}
	}()
	if _, err := w.db.ExecContext(ctx, "CREATE TABLE "+s.table()+" ("+definition+")"); err != nil {
		return w.fail(ctx, what, err)
	}
	for _, file := range files {
		if _, err := s.insertPart(ctx, file, values); err != nil {
			return err
		}
	}
	if err := s.hasKey(ctx, m.Keys.Schema, m.Key, true); err != nil {
		return w.fail(ctx, what, err)
	}
	return w.transaction(ctx, what, func(tx *sql.Tx) error {
		if err := drop(ctx, tx, runSchema(run), keysName(m.Dataset), false); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "ALTER TABLE "+s.table()+" RENAME TO "+quote(keysName(m.Dataset)))
		return err
	})
}

// compareKeys keeps the keys of the published rows that the source no longer has, and takes them out of the staging
// relation.
func (s *staging) compareKeys(ctx context.Context, m *elt.Manifest, staged string) (found elt.Deletion, err error) {
	schema := runSchema(s.run)
	keys, gone := qualified(schema, keysName(s.dataset)), qualified(schema, goneName(s.dataset))
	if found.Keys, err = measure(ctx, s.w.db, keys, m.Keys.Schema); err != nil {
		return found, err
	}
	missing := " AS p ANTI JOIN " + keys + " AS k ON (" + sameKey("k", s.key) + ")"
	published := publishedName(s.base)
	for _, count := range []struct {
		from string
		to   *int64
	}{{staged + missing, &found.Unknown}, {published + missing, &found.Gone}, {published, &found.Published}} {
		if err := s.w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+count.from).Scan(count.to); err != nil {
			return found, err
		}
	}
	err = s.w.transaction(ctx, "find the deletes of "+string(s.dataset), func(tx *sql.Tx) error {
		for _, statement := range []string{
			fmt.Sprintf("CREATE OR REPLACE TABLE %s AS SELECT DISTINCT %s FROM %s%s", gone, quoteAll("p.", s.key), published, missing),
			fmt.Sprintf("CREATE OR REPLACE VIEW %s AS %s", s.w.Staged(s.run, s.dataset), s.candidate(m.Schema.Names(), gone)),
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}
