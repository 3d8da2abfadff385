package bigquery

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Publish makes the items visible. Everything is checked before anything is changed: fences, names, columns, and that
// every item is staged. What is merged, and every table when the warehouse publishes together, is then put in place by
// one transaction that checks the fence again and records the versions; otherwise each table is copied over the
// published one, which BigQuery does at once, and recorded afterwards. An item whose version is there already is left
// as it is, so publishing again is harmless. A view must come after the items that it reads.
//
// The errors are stale_fence, relation_taken, staging_missing and, for an incremental dataset that changed since it
// was staged, schema_changed.
func (w *Warehouse) Publish(ctx context.Context, p elt.Publication) ([]elt.Version, error) {
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for another publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	what := "publish run " + string(p.Run)
	there, plans, err := w.plan(ctx, p)
	if err != nil {
		return nil, w.fail(ctx, what, err)
	}
	if len(plans) > 0 {
		if err := w.keepPublished(ctx, plans); err != nil {
			return nil, w.fail(ctx, what, err)
		}
		if err := w.hold(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, item := range plans {
		if err := w.addColumns(ctx, item); err != nil {
			return nil, w.fail(ctx, fmt.Sprintf("add columns to %s", item.Version.Dataset), err)
		}
	}
	var group []plan
	if w.Together {
		if group, plans, err = w.together(ctx, plans); err != nil {
			return nil, w.fail(ctx, what, err)
		}
	}
	if len(group) > maxTables {
		w.Log.Warn("one transaction changes too few tables for the night: it is published in several, one after the other", "tables", len(group), "each", maxTables)
	}
	for part := range slices.Chunk(group, maxTables) {
		if err := w.transact(ctx, p, part); err != nil {
			return nil, w.fail(ctx, what, err)
		}
	}
	for _, item := range plans {
		if err := w.publishItem(ctx, p, item); err != nil {
			return nil, w.fail(ctx, fmt.Sprintf("publish %s", item.Version.Dataset), err)
		}
	}
	w.mu.Lock()
	delete(w.open, p.Run)
	w.mu.Unlock()
	if err := w.sweep(ctx, p.Run); err != nil {
		w.Log.Warn("cannot drop what nothing needs any more; the next publish tries again", "run", p.Run, "error", err)
	}
	if len(there) == len(p.Items) {
		return there, nil
	}
	return w.visible(ctx, p)
}

// visible returns the items' versions as the warehouse has them, in the items' order.
func (w *Warehouse) visible(ctx context.Context, p elt.Publication) ([]elt.Version, error) {
	recorded, err := w.recorded(ctx, p)
	if err != nil {
		return nil, w.fail(ctx, "read the published versions", err)
	}
	versions := make([]elt.Version, 0, len(p.Items))
	for _, item := range p.Items {
		if v, ok := recorded[item.Version.ID]; ok {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

func (w *Warehouse) recorded(ctx context.Context, p elt.Publication) (map[elt.VersionID]elt.Version, error) {
	out := make(map[elt.VersionID]elt.Version)
	if len(p.Items) == 0 {
		return out, nil
	}
	ids := make([]elt.VersionID, len(p.Items))
	for i, item := range p.Items {
		ids[i] = item.Version.ID
	}
	versions, err := w.versionsWhere(ctx, "version_id IN ("+literals(ids)+")")
	for _, v := range versions {
		out[v.ID] = v
	}
	return out, err
}

// publishItem publishes one item by itself.
func (w *Warehouse) publishItem(ctx context.Context, p elt.Publication, item plan) error {
	if item.inPlace || item.placed {
		return w.transact(ctx, p, []plan{item})
	}
	if err := w.staleFence(ctx, p.Fence, []elt.DatasetName{item.Version.Dataset}); err != nil {
		return err
	}
	if item.stands == unpublished {
		schema, _ := splitRelation(item.Relation)
		if err := w.makeDataset(ctx, w.DatasetPrefix+schema, 0); err != nil {
			return err
		}
		if err := w.claim(ctx, item); err != nil {
			return err
		}
	}
	if item.merges() && item.partition == "" && !item.rebuilt {
		if err := w.rebuild(ctx, &item); err != nil {
			return err
		}
	}
	if err := w.clearFor(ctx, item); err != nil {
		return err
	}
	if item.ViewSQL != "" {
		marks := map[string]string{"daybreak": "published"}
		err := w.putView(ctx, w.published(item.Relation), "SELECT * FROM "+wrapped(item.ViewSQL), "", marks)
		if err != nil {
			return w.modelRefused(ctx, item.Version.Dataset, err)
		}
	} else if err := w.copyItem(ctx, p, item); err != nil {
		return err
	}
	return w.transact(ctx, p, []plan{item})
}

// claim notes that a name is Daybreak's before anything stands under it: a process that is killed in between finds
// its own table there, not a stranger's.
func (w *Warehouse) claim(ctx context.Context, item plan) error {
	_, _, err := w.execute(ctx, statement{
		what: "claim " + item.Relation, step: "publish", labels: labels("publish", item.Version.Run, item.Version.Dataset),
		sql: fmt.Sprintf("INSERT INTO %s (relation, dataset, kind) SELECT %s, %s, %s FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM %[1]s WHERE relation = %[2]s)",
			w.catalog("published"), literal(item.Relation), literal(string(item.Version.Dataset)), literal(string(claimed))),
	})
	return err
}

// clearFor drops a view where a table will be, a table where a view will be, and a table that is arranged in another
// way than the one that will be: BigQuery turns none into the other. Until the next request nothing stands under the
// name. It looks at what is there, because an attempt that ended before its record may have got further than the record
// says.
func (w *Warehouse) clearFor(ctx context.Context, item plan) error {
	if item.stands == unpublished {
		return nil
	}
	at := w.published(item.Relation)
	md, err := metadata(ctx, at, bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if err == nil && item.replacesTable(md) {
		err = remove(ctx, at)
	}
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// copyTable copies a staged table over a published one, all of it at once. The job's ID has the fence in it: who comes
// back with a newer one copies again, because a newer night may have been published in between.
func (w *Warehouse) copyTable(ctx context.Context, run elt.RunID, fence int64, what string, from, into *bigquery.Table) error {
	_, _, err := w.run(ctx, job{
		what: "copy " + what, id: "daybreak_publish_" + digest(what, run, fence, from.TableID),
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			c := into.CopierFrom(from)
			c.JobIDConfig = id
			c.CreateDisposition, c.WriteDisposition = bigquery.CreateIfNeeded, bigquery.WriteTruncate
			c.Labels = labels("publish", run, elt.DatasetName(what))
			c.DestinationEncryptionConfig = w.encryption()
			return c.Run(ctx)
		},
		same: func(c bigquery.JobConfig) bool {
			found, ok := c.(*bigquery.CopyConfig)
			return ok && found.Dst.FullyQualifiedName() == into.FullyQualifiedName() &&
				len(found.Srcs) == 1 && found.Srcs[0].FullyQualifiedName() == from.FullyQualifiedName()
		},
	})
	return err
}

// replacesTable reports whether what stands under the name must go before the item can.
func (p plan) replacesTable(md *bigquery.TableMetadata) bool {
	isView := md.Type == bigquery.ViewTable
	return isView != (p.ViewSQL != "") || !isView && p.staged != nil && !sameLayout(md, p.staged)
}

// copyItem copies what an item's run staged over what is published: all of it, or the one partition that it is.
func (w *Warehouse) copyItem(ctx context.Context, p elt.Publication, item plan) error {
	from, into := item.from, w.published(item.Relation)
	if item.partition != "" {
		from = w.client.DatasetInProject(from.ProjectID, from.DatasetID).Table(from.TableID + "$" + item.partition)
		into = w.client.DatasetInProject(into.ProjectID, into.DatasetID).Table(into.TableID + "$" + item.partition)
	}
	return w.copyTable(ctx, p.Run, p.Fence, string(item.Version.Dataset), from, into)
}
