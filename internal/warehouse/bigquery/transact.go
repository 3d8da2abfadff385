package bigquery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// maxTables is how many tables one transaction changes beside Daybreak's own five: BigQuery allows a hundred.
const maxTables = 95

// together splits off the items that one transaction can put in place. A table is made first, empty, where there is
// none. Views, and tables whose columns changed, cannot be changed in a transaction; they follow by themselves.
func (w *Warehouse) together(ctx context.Context, plans []plan) (group, rest []plan, err error) {
	for _, item := range plans {
		switch {
		case item.ViewSQL != "" || item.stands == asView || item.stands == asHeld:
			rest = append(rest, item)
			continue
		case item.stands != asTable:
			err = w.makeEmpty(ctx, item)
		case item.rebuilt || item.placed || item.published == nil || item.carry != nil || !sameLayout(item.staged, item.published):
			w.Log.Warn("published by itself, not together with the others: it is arranged in another way than it was", "dataset", item.Version.Dataset)
			rest = append(rest, item)
			continue
		case !item.inPlace:
			err = fitsTable(item.Version.Dataset, item.published, item.schema)
		}
		if elt.CodeOf(err) == warehouse.CodeSchemaChanged {
			w.Log.Warn("published by itself, not together with the others", "dataset", item.Version.Dataset, "reason", err)
			rest = append(rest, item)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		item.inPlace = true
		group = append(group, item)
	}
	return group, rest, nil
}

// makeEmpty makes the table of a first publication, without rows.
func (w *Warehouse) makeEmpty(ctx context.Context, item plan) error {
	schema, _ := splitRelation(item.Relation)
	if err := w.makeDataset(ctx, w.DatasetPrefix+schema, 0); err != nil {
		return err
	}
	if err := w.claim(ctx, item); err != nil {
		return err
	}
	md, err := metadata(ctx, item.from)
	if err != nil {
		return err
	}
	into := w.published(item.Relation)
	if item.stands == claimed { // an earlier attempt may have made it with other columns
		if err := remove(ctx, into); err != nil && !isStatus(err, http.StatusNotFound) {
			return err
		}
	}
	return create(ctx, into, &bigquery.TableMetadata{Schema: md.Schema, TimePartitioning: md.TimePartitioning, Clustering: md.Clustering, EncryptionConfig: w.encryption()})
}

// transact records the items' versions, and puts those in place that are put in place by DML, in one transaction. It
// checks the fence within; BigQuery rolls it back when that fails, or anything else does.
func (w *Warehouse) transact(ctx context.Context, p elt.Publication, items []plan) error {
	script, err := w.script(ctx, p, items)
	if err != nil {
		return err
	}
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = string(item.Version.ID)
	}
	_, _, err = w.execute(ctx, statement{
		what: "publish " + strings.Join(ids, ", "), step: "publish", labels: labels("publish", p.Run, ""),
		sql: script, id: digest(p.Fence, script),
	})
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), staleMark):
		return warehouse.StaleFence(fmt.Sprintf("cannot publish run %s under fence %d: one of its datasets was published under a newer one since", p.Run, p.Fence))
	case strings.Contains(err.Error(), recordedMark):
		return &elt.Error{
			Code: warehouse.CodeBusy, Class: elt.Transient, What: fmt.Sprintf("another worker has published a version of run %s in the meantime", p.Run),
			Do: "nothing: the step is tried again and leaves it as it is",
		}
	}
	return err
}

// What the transaction's own checks fail with.
const (
	staleMark    = "stale_fence"
	recordedMark = "already_recorded"
)

// script renders the transaction.
func (w *Warehouse) script(ctx context.Context, p elt.Publication, items []plan) (string, error) {
	var statements []string
	add := func(format string, args ...any) { statements = append(statements, fmt.Sprintf(format, args...)) }
	var ids []elt.VersionID
	var datasets []elt.DatasetName
	var relations, versions, fences, kinds []string
	for _, item := range items {
		v := item.Version
		row, err := versionRow(v, item.Relation)
		if err != nil {
			return "", err
		}
		is := asTable
		if item.ViewSQL != "" {
			is = asView
		}
		ids, datasets, relations = append(ids, v.ID), append(datasets, v.Dataset), append(relations, item.Relation)
		versions = append(versions, row)
		fences = append(fences, fmt.Sprintf("(%s, %d)", literal(string(v.Dataset)), p.Fence))
		kinds = append(kinds, "("+literals([]string{item.Relation, string(v.Dataset), string(is)})+")")
	}
	add("BEGIN TRANSACTION")
	add("SELECT IF((SELECT COUNT(*) FROM %s WHERE dataset IN (%s) AND fence > %d) > 0, ERROR('%s'), 'ok')", w.catalog("fences"), literals(datasets), p.Fence, staleMark)
	add("SELECT IF((SELECT COUNT(*) FROM %s WHERE version_id IN (%s)) > 0, ERROR('%s'), 'ok')", w.catalog("versions"), literals(ids), recordedMark)
	for _, item := range items {
		if !item.inPlace {
			continue
		}
		puts, err := w.putRows(ctx, item)
		if err != nil {
			return "", err
		}
		statements = append(statements, puts...)
	}
	add("INSERT INTO %s (version_id, dataset, data_date, run_id, fence, manifest, relation, `rows`, checks, inputs, published_at) VALUES %s", w.catalog("versions"), strings.Join(versions, ", "))
	for _, item := range items {
		if v := item.Version; v.Level != "" {
			add("INSERT INTO %s (version_id, level, deletes) VALUES (%s, %s, %d)", w.catalog("verified"), literal(string(v.ID)), literal(string(v.Level)), v.Deletes)
		}
		if v := item.Version; v.Restores != "" {
			add("INSERT INTO %s (version_id, restores) VALUES (%s)", w.catalog("restored"), literals([]elt.VersionID{v.ID, v.Restores}))
		}
	}
	add("DELETE FROM %s WHERE dataset IN (%s)", w.catalog("fences"), literals(datasets))
	add("INSERT INTO %s (dataset, fence) VALUES %s", w.catalog("fences"), strings.Join(fences, ", "))
	add("DELETE FROM %s WHERE relation IN (%s)", w.catalog("published"), literals(relations))
	add("INSERT INTO %s (relation, dataset, kind) VALUES %s", w.catalog("published"), strings.Join(kinds, ", "))
	add("COMMIT TRANSACTION")
	return strings.Join(statements, ";\n") + ";\n", nil
}

// putRows brings an item's rows into the published table: in place of all rows, of those with the same keys, of those of
// the same range, or beside them.
func (w *Warehouse) putRows(ctx context.Context, item plan) ([]string, error) {
	into, from, columns := w.Published(item.Relation), nameOf(item.from), quoteAll("", item.schema.Names())
	insert := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", into, columns, columns, from)
	if item.deleted != "" {
		insert += " WHERE NOT " + item.deleted
	}
	switch {
	case !item.merges():
		return []string{"TRUNCATE TABLE " + into, insert}, nil
	case item.Strategy == elt.Append:
		return []string{insert}, nil
	case item.Strategy == elt.Replace:
		k := kindOf(fieldOf(item.published.Schema, item.Cursor))
		return []string{"DELETE FROM " + into + " AS p WHERE " + within("p", item.Cursor, k, item.Range), insert}, nil
	}
	touches, err := w.touches(ctx, item)
	if err != nil {
		return nil, err
	}
	on := keyOf("p", item.Key) + " = d.k"
	out := []string{insert}
	if !touches.none {
		if touches.whole {
			touches.where = "TRUE"
		}
		out = slices.Insert(out, 0, fmt.Sprintf("MERGE INTO %s AS p USING (SELECT DISTINCT %s AS k FROM %s AS d) AS d ON %s AND %s WHEN MATCHED THEN DELETE",
			into, keyOf("d", item.Key), from, touches.where, on))
	}
	if item.gone != nil { // keys that are gone may be in any partition
		out = slices.Insert(out, 0, fmt.Sprintf("MERGE INTO %s AS p USING (SELECT DISTINCT %s AS k FROM %s AS d) AS d ON %s WHEN MATCHED THEN DELETE",
			into, keyOf("d", item.Key), nameOf(item.gone), on))
	}
	if !touches.whole {
		out = slices.Insert(out, 0, fmt.Sprintf("SELECT IF((%s) != %d, ERROR('%s'), 'ok')",
			w.versionsOf(item.Version.Dataset), touches.versions, recordedMark))
	}
	return out, nil
}

// versionRow is a version as a row of VALUES. Without a time of its own it gets BigQuery's.
func versionRow(v elt.Version, relation string) (string, error) {
	if v.Inputs == nil {
		v.Inputs = map[elt.DatasetName]elt.VersionID{}
	}
	inputs, err := json.Marshal(v.Inputs)
	if err != nil {
		return "", fmt.Errorf("encode the inputs of %s: %w", v.ID, err)
	}
	at := "CURRENT_TIMESTAMP()"
	if !v.PublishedAt.IsZero() {
		at = "TIMESTAMP '" + v.PublishedAt.UTC().Format("2006-01-02 15:04:05.000000") + "+00'"
	}
	return fmt.Sprintf("(%s, %s, DATE '%s', %s, %d, %s, %s, %d, %s, %s, %s)", literal(string(v.ID)), literal(string(v.Dataset)), v.Date,
		literal(string(v.Run)), v.Fence, literal(v.Manifest), literal(relation), v.Rows, literal(string(v.Checks)), literal(string(inputs)), at), nil
}
