package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Restore makes a version that was published before visible again. Its table comes back from a snapshot by one copy job,
// which BigQuery does at once; the version is recorded after it, by a transaction that checks the fence. What is
// there already is left as it is, so restoring again is harmless. The errors are stale_fence and version_not_kept.
func (w *Warehouse) Restore(ctx context.Context, r elt.Restoration) (elt.Version, error) {
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return elt.Version{}, fmt.Errorf("wait for a publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	v, err := w.restore(ctx, r)
	if err != nil {
		return elt.Version{}, w.fail(ctx, "restore "+string(r.Version.Restores), err)
	}
	if err := w.sweep(ctx, r.Version.Run); err != nil {
		w.Log.Warn("cannot drop what nothing needs any more; the next publish tries again", "run", r.Version.Run, "error", err)
	}
	return v, nil
}

func (w *Warehouse) restore(ctx context.Context, r elt.Restoration) (elt.Version, error) {
	v := r.Version
	p := elt.Publication{Run: v.Run, Fence: r.Fence, Items: []elt.PublicationItem{{Version: v, Relation: r.Relation}}}
	if there, err := w.recorded(ctx, p); err != nil || there[v.ID].ID != "" {
		return there[v.ID], err
	}
	if err := w.staleFence(ctx, r.Fence, []elt.DatasetName{v.Dataset}); err != nil {
		return v, err
	}
	item := plan{PublicationItem: p.Items[0]}
	item.Version.Fence = r.Fence
	kinds, err := w.kinds(ctx, []string{r.Relation})
	if err != nil {
		return v, err
	}
	item.stands = kinds[r.Relation]
	kept, err := w.keptOf(ctx, r.Relation)
	if err != nil {
		return v, err
	}
	at := slices.IndexFunc(kept, func(k keptVersion) bool { return k.id == v.Restores || k.restores == v.Restores })
	if at < 0 {
		return v, notKept(v.Restores, kept)
	}
	item.ViewSQL = kept[at].query
	if err := w.keepPublished(ctx, []plan{item}); err != nil {
		return v, err
	}
	if snapshot := kept[at].snapshot; snapshot != "" { // what was published since may be arranged in another way
		if item.staged, err = metadata(ctx, w.client.Dataset(w.DatasetPrefix+catalogDataset).Table(snapshot)); err != nil {
			return v, err
		}
	}
	if err := w.clearFor(ctx, item); err != nil {
		return v, err
	}
	if err := w.putBack(ctx, r, kept[at]); err != nil {
		return v, err
	}
	if err := w.transact(ctx, p, []plan{item}); err != nil {
		return v, err
	}
	recorded, err := w.recorded(ctx, p)
	return recorded[v.ID], err
}

// putBack brings what is kept back under the published name.
func (w *Warehouse) putBack(ctx context.Context, r elt.Restoration, k keptVersion) error {
	into := w.published(r.Relation)
	if k.query != "" {
		err := w.putView(ctx, into, k.query, "", map[string]string{"daybreak": "published"})
		return w.modelRefused(ctx, r.Version.Dataset, err)
	}
	from := w.client.Dataset(w.DatasetPrefix + catalogDataset).Table(k.snapshot)
	return w.cloneTable(ctx, cloning{
		what: "restore " + string(r.Version.Restores), run: r.Version.Run, dataset: r.Version.Dataset, operation: bigquery.RestoreOperation,
		write: bigquery.WriteTruncate, from: from, into: into, id: digest("restore", r.Version.ID, r.Fence),
	})
}

func notKept(id elt.VersionID, kept []keptVersion) error {
	var oldest elt.VersionID
	if len(kept) > 0 {
		oldest = kept[0].id
	}
	return warehouse.NotKept(id, oldest, "daybreak load --publish brings a table's data from the lake; a model is built again by daybreak run --again; BigQuery's own time travel reaches back up to seven days")
}

// Restorable returns the versions of a published relation that can be restored, oldest first; the last one is what
// people read.
func (w *Warehouse) Restorable(ctx context.Context, relation string) (ids []elt.VersionID, err error) {
	what := "read what can be restored of " + relation
	kept, err := w.keptOf(ctx, relation)
	if err != nil {
		return nil, w.fail(ctx, what, err)
	}
	for _, k := range kept {
		ids = append(ids, k.id)
	}
	current, err := w.current(ctx, []string{relation})
	if id, ok := current[relation]; ok {
		ids = append(slices.DeleteFunc(ids, func(k elt.VersionID) bool { return k == id }), id)
	}
	return ids, w.fail(ctx, what, err)
}

// keptVersion is a row of the catalog's kept.
type keptVersion struct {
	id              elt.VersionID
	snapshot, query string
	restores        elt.VersionID // the version whose content it brought back itself
}

// keptOf returns what is kept of a published relation, oldest first.
func (w *Warehouse) keptOf(ctx context.Context, relation string) (kept []keptVersion, err error) {
	err = w.rows(ctx, statement{
		what: "read what is kept of " + relation, step: "catalog", labels: labels("catalog", "", ""),
		sql: fmt.Sprintf("SELECT k.version_id, k.snapshot, k.view_query, COALESCE(r.restores, '') FROM %s AS k JOIN %s AS v ON k.version_id = v.version_id LEFT JOIN %s AS r ON k.version_id = r.version_id WHERE v.relation = %s ORDER BY v.published_at, v.version_id",
			w.catalog("kept"), w.catalog("versions"), w.catalog("restored"), literal(relation)),
	}, func(row []bigquery.Value) error {
		kept = append(kept, keptVersion{elt.VersionID(fmt.Sprint(row[0])), fmt.Sprint(row[1]), fmt.Sprint(row[2]), elt.VersionID(fmt.Sprint(row[3]))})
		return nil
	})
	return kept, err
}

// current returns the version of each relation that people read: that of the highest fence.
func (w *Warehouse) current(ctx context.Context, relations []string) (map[string]elt.VersionID, error) {
	out := make(map[string]elt.VersionID)
	err := w.rows(ctx, statement{
		what: "read what is published", step: "catalog", labels: labels("catalog", "", ""),
		sql: fmt.Sprintf("SELECT v.relation, v.version_id FROM %s AS v JOIN %s AS f ON v.dataset = f.dataset AND v.fence = f.fence WHERE v.relation IN (%s) ORDER BY v.published_at",
			w.catalog("versions"), w.catalog("fences"), literals(relations)),
	}, func(row []bigquery.Value) error {
		out[fmt.Sprint(row[0])] = elt.VersionID(fmt.Sprint(row[1]))
		return nil
	})
	return out, err
}

// keepPublished keeps what is published under the items' names before it changes: a snapshot of a table, which costs
// what is changed afterwards, or a view's query. What is kept already is the version whole, whatever a later attempt
// has done to the published table since.
func (w *Warehouse) keepPublished(ctx context.Context, items []plan) error {
	var relations []string
	for _, item := range items {
		if w.Keep > 0 && (item.stands == asTable || item.stands == asView) {
			relations = append(relations, item.Relation)
		}
	}
	if len(relations) == 0 {
		return nil
	}
	current, err := w.current(ctx, relations)
	if err != nil {
		return err
	}
	for _, item := range items {
		if id := current[item.Relation]; id != "" && slices.Contains(relations, item.Relation) {
			if err := w.keep(ctx, item, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Warehouse) keep(ctx context.Context, item plan, id elt.VersionID) error {
	at := w.published(item.Relation)
	k := keptVersion{id: id}
	if item.stands == asView {
		md, err := metadata(ctx, at, bigquery.WithMetadataView(bigquery.BasicMetadataView))
		if isStatus(err, http.StatusNotFound) || err == nil && md.Type != bigquery.ViewTable {
			return nil // an attempt before this one has got further, and has kept it
		}
		if err != nil {
			return err
		}
		k.query = md.ViewQuery
	} else {
		k.snapshot = "kept-" + digest(id)
		err := w.cloneTable(ctx, cloning{
			what: "keep " + string(id), run: item.Version.Run, dataset: item.Version.Dataset, operation: bigquery.SnapshotOperation,
			write: bigquery.WriteEmpty, from: at, into: w.client.Dataset(w.DatasetPrefix + catalogDataset).Table(k.snapshot), id: digest("keep", id),
		})
		if err != nil {
			return err
		}
	}
	_, _, err := w.execute(ctx, statement{
		what: "note that " + string(id) + " is kept", step: "publish", labels: labels("publish", item.Version.Run, item.Version.Dataset),
		sql: fmt.Sprintf("INSERT INTO %s (version_id, relation, snapshot, view_query) SELECT %s FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM %[1]s WHERE version_id = %[3]s)",
			w.catalog("kept"), literals([]string{string(id), item.Relation, k.snapshot, k.query}), literal(string(id))),
	})
	return err
}

// cloning is a copy job that makes a snapshot or restores one.
type cloning struct {
	what       string
	run        elt.RunID
	dataset    elt.DatasetName
	operation  bigquery.TableCopyOperationType
	write      bigquery.TableWriteDisposition
	from, into *bigquery.Table
	id         string
}

func (w *Warehouse) cloneTable(ctx context.Context, c cloning) error {
	if c.operation == bigquery.SnapshotOperation {
		_, err := metadata(ctx, c.into, bigquery.WithMetadataView(bigquery.BasicMetadataView))
		if err == nil || !isStatus(err, http.StatusNotFound) {
			return err // it is there, whole: a snapshot is made at once
		}
	}
	_, _, err := w.run(ctx, job{
		what: c.what, id: "daybreak_clone_" + c.id,
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			copier := c.into.CopierFrom(c.from)
			copier.JobIDConfig, copier.OperationType = id, c.operation
			copier.CreateDisposition, copier.WriteDisposition = bigquery.CreateIfNeeded, c.write
			copier.Labels = labels("publish", c.run, c.dataset)
			copier.DestinationEncryptionConfig = w.encryption()
			return copier.Run(ctx)
		},
		same: func(config bigquery.JobConfig) bool {
			found, ok := config.(*bigquery.CopyConfig)
			return ok && found.Dst.FullyQualifiedName() == c.into.FullyQualifiedName() &&
				len(found.Srcs) == 1 && found.Srcs[0].FullyQualifiedName() == c.from.FullyQualifiedName()
		},
	})
	return err
}

// forget drops what need not be kept any longer: of each dataset, everything before the last versions that the options
// say. A snapshot goes after its row.
func (w *Warehouse) forget(ctx context.Context) error {
	over := make(map[string]string) // by version, the snapshot
	seen := make(map[string]int)
	err := w.rows(ctx, statement{
		what: "look for what need not be kept", step: "catalog", labels: labels("catalog", "", ""),
		sql: fmt.Sprintf("SELECT v.relation, k.version_id, k.snapshot FROM %s AS k JOIN %s AS v ON k.version_id = v.version_id JOIN %s AS f ON v.dataset = f.dataset WHERE v.fence < f.fence ORDER BY v.published_at DESC",
			w.catalog("kept"), w.catalog("versions"), w.catalog("fences")),
	}, func(row []bigquery.Value) error {
		relation := fmt.Sprint(row[0])
		if seen[relation]++; seen[relation] > w.Keep {
			over[fmt.Sprint(row[1])] = fmt.Sprint(row[2])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, snapshot := range over {
		_, _, err := w.execute(ctx, statement{
			what: "forget " + id, step: "publish", labels: labels("publish", "", ""),
			sql: fmt.Sprintf("DELETE FROM %s WHERE version_id = %s", w.catalog("kept"), literal(id)),
		})
		if err != nil {
			return err
		}
		if snapshot == "" {
			continue
		}
		err = remove(ctx, w.client.Dataset(w.DatasetPrefix+catalogDataset).Table(snapshot))
		if err != nil && !isStatus(err, http.StatusNotFound) {
			return err
		}
	}
	return nil
}
