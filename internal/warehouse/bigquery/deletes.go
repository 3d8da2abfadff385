package bigquery

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// beside returns a table that belongs to a staged one and goes with it.
func (w *Warehouse) beside(staged *bigquery.Table, what string) *bigquery.Table {
	return w.staged(staged.TableID + tableMark + what)
}

// Deletes finds out which rows the source no longer has: those that the manifest's soft-delete column flags, or the
// published ones whose key is not among the manifest's keys, whose parts are local Parquet files. What the run staged
// for the dataset must be there. The staging relation shows the table without them from then on, and Publish deletes
// them. Nothing is deleted where nothing is published yet. Asking again comes to the same.
func (w *Warehouse) Deletes(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string) (found elt.Deletion, err error) {
	what := "find the deletes of " + string(m.Dataset)
	shape, staged, err := w.stagedShape(ctx, run, m.Dataset)
	if err != nil {
		return found, w.fail(ctx, what, err)
	}
	if shape == nothing || shape == view {
		return found, warehouse.StagingMissing(run, m.Dataset)
	}
	if c, soft := m.Schema.Column(m.SoftDelete); soft {
		found.Gone, err = w.number(ctx, statement{
			what: what, step: "verify", labels: labels("verify", run, m.Dataset),
			sql: "SELECT COUNT(*) FROM " + nameOf(staged) + " WHERE " + elt.Deleted(c.Type.Kind, quote(c.Name)),
		})
		return found, w.fail(ctx, what, err)
	}
	if m.Keys == nil || shape != delta {
		return found, nil
	}
	s := &staging{w: w, run: run, dataset: m.Dataset, physical: staged.TableID, base: relation, strategy: elt.Merge, key: m.Key}
	keys, err := s.loadKeys(ctx, m, files)
	if err != nil {
		return found, err
	}
	_, kept, err := tableSchema(m.Dataset, m.Schema)
	if err != nil {
		return found, err
	}
	if err := s.evolve(ctx, kept.schema, m.Changes); err != nil {
		return found, w.fail(ctx, what, err)
	}
	found, err = s.compareKeys(ctx, m, keys)
	return found, w.fail(ctx, what, err)
}

// loadKeys loads the manifest's keys beside the delta.
func (s *staging) loadKeys(ctx context.Context, m *elt.Manifest, files []string) (*bigquery.Table, error) {
	schema, converted, err := tableSchema(m.Dataset, m.Keys.Schema)
	if err != nil {
		return nil, err
	}
	keys := *m // the rows of a manifest, of which these are another kind
	keys.Schema, keys.Parts = m.Keys.Schema, m.Keys.Parts
	for _, path := range files {
		if err := checkPart(&keys, path); err != nil {
			return nil, err
		}
	}
	k := *s
	k.physical = s.w.beside(s.table(), "keys").TableID
	target := k.table()
	if converted.sql != "" {
		target = s.w.beside(k.table(), "raw")
	}
	_, err = k.load(ctx, loading{
		manifest: &keys, into: target, progress: func(int64) {},
		open: func(_ context.Context, part int) (io.ReadCloser, error) { return os.Open(files[part]) },
		made: &bigquery.TableMetadata{Schema: schema, Labels: labels("load", s.run, s.dataset), EncryptionConfig: s.w.encryption()},
	})
	if err != nil {
		return nil, err
	}
	what := "stage the keys of " + string(m.Dataset)
	if err := k.convert(ctx, converted.sql, target); err != nil {
		return nil, s.w.fail(ctx, what, err)
	}
	return k.table(), s.w.fail(ctx, what, k.hasKey(ctx, keys.Schema, m.Key, true))
}

// compareKeys keeps the keys of the published rows that the source no longer has, and takes them out of the staging
// relation.
func (s *staging) compareKeys(ctx context.Context, m *elt.Manifest, keys *bigquery.Table) (found elt.Deletion, err error) {
	found.Keys = elt.TableStats{Columns: make([]elt.ColumnStats, len(m.Keys.Schema))}
	var facts measurement
	facts.take("COUNT(*)", integer(&found.Keys.Rows))
	for i, c := range m.Keys.Schema {
		found.Keys.Columns[i].Column = c.Name
		facts.column(c, &found.Keys.Columns[i])
	}
	ask := func(query string) statement {
		return statement{what: "find the deletes of " + string(s.dataset), step: "verify", labels: labels("verify", s.run, s.dataset), sql: query}
	}
	if err := s.w.measure(ctx, ask(""), keys, facts); err != nil {
		return found, err
	}
	missing := " AS p WHERE " + keyOf("p", s.key) + " NOT IN (SELECT " + keyOf("k", s.key) + " FROM " + nameOf(keys) + " AS k)"
	published := s.w.Published(s.base)
	for _, count := range []struct {
		from string
		to   *int64
	}{{nameOf(s.table()) + missing, &found.Unknown}, {published + missing, &found.Gone}, {published, &found.Published}} {
		if *count.to, err = s.w.number(ctx, ask("SELECT COUNT(*) FROM "+count.from)); err != nil {
			return found, err
		}
	}
	gone := s.w.beside(s.table(), "gone")
	find := ask("SELECT DISTINCT " + quoteAll("p.", s.key) + " FROM " + published + missing)
	find.into = gone
	if _, _, err := s.w.execute(ctx, find); err != nil {
		return found, err
	}
	return found, s.point(ctx, delta, s.candidate(m.Schema.Names(), gone))
}

// withoutDeleted completes the plan of an item whose staged rows may be flagged as deleted, or beside which the run has
// found keys that are gone.
func (w *Warehouse) withoutDeleted(ctx context.Context, run elt.RunID, p *plan) error {
	if c, soft := p.schema.Column(p.SoftDelete); soft {
		p.deleted = elt.Deleted(c.Type.Kind, quote(c.Name))
	}
	if p.merges() && p.Strategy != elt.Append {
		gone := w.beside(p.from, "gone")
		_, err := metadata(ctx, gone, bigquery.WithMetadataView(bigquery.BasicMetadataView))
		switch {
		case err == nil:
			p.gone = gone
		case !isStatus(err, http.StatusNotFound):
			return err
		}
		return nil
	}
	if p.deleted == "" {
		return nil
	}
	// A first load is copied, and a copy takes every row: what was verified stays as it is, and another table is copied.
	live := w.beside(p.from, "live")
	_, _, err := w.execute(ctx, statement{
		what: "leave out the deleted rows of " + string(p.Version.Dataset), step: "publish", labels: labels("publish", run, p.Version.Dataset),
		sql: fmt.Sprintf("SELECT * FROM %s WHERE NOT %s", nameOf(p.from), p.deleted), into: live, layout: layoutOf(p.staged),
	})
	p.from, p.deleted = live, ""
	return err
}
