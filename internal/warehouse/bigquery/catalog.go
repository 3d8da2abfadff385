package bigquery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// catalogTables are Daybreak's own tables.
//
//	versions   every version that was ever published: a version is visible if and only if its row is here
//	verified   how deep a version was verified, and how many rows it deleted because the source no longer has them
//	fences     the highest fence under which each dataset was published
//	published  what each published name is: a table, a view, or only claimed so far by a first publication
//	restored   which earlier version's content a version brought back
//	kept       what it takes to bring a version back that is not published any more: a snapshot of its table, or the
//	           view's query
func catalogTables() map[string]bigquery.Schema {
	text := func(name string) *bigquery.FieldSchema {
		return &bigquery.FieldSchema{Name: name, Type: bigquery.StringFieldType, Required: true}
	}
	typed := func(name string, as bigquery.FieldType) *bigquery.FieldSchema {
		return &bigquery.FieldSchema{Name: name, Type: as, Required: true}
	}
	return map[string]bigquery.Schema{
		"versions": {
			text("version_id"), text("dataset"), typed("data_date", bigquery.DateFieldType), text("run_id"),
			typed("fence", bigquery.IntegerFieldType), text("manifest"), text("relation"), typed("rows", bigquery.IntegerFieldType),
			text("checks"), text("inputs"), typed("published_at", bigquery.TimestampFieldType),
		},
		"verified":  {text("version_id"), text("level"), typed("deletes", bigquery.IntegerFieldType)},
		"fences":    {text("dataset"), typed("fence", bigquery.IntegerFieldType)},
		"published": {text("relation"), text("dataset"), text("kind")},
		"restored":  {text("version_id"), text("restores")},
		"kept":      {text("version_id"), text("relation"), text("snapshot"), text("view_query")},
	}
}

// kind is what stands under a published name.
type kind string

const (
	unpublished kind = ""        // nothing of ours
	claimed     kind = "claimed" // a first publication was begun, and did not end
	asTable     kind = "table"
	asView      kind = "view"
	asHeld      kind = "held" // a table of the rows that a view showed, until the view's next version
)

// Versions returns every version that was published, oldest first.
func (w *Warehouse) Versions(ctx context.Context) ([]elt.Version, error) {
	versions, err := w.versionsWhere(ctx, "TRUE")
	if reason, _ := reasonOf(err); w.ReadOnly && reason == "notFound" {
		return nil, nil // no night has been here, and this one makes nothing
	}
	return versions, w.fail(ctx, "read the published versions", err)
}

// versionsWhere returns the versions that meet an SQL condition, oldest first.
func (w *Warehouse) versionsWhere(ctx context.Context, condition string) (versions []elt.Version, err error) {
	err = w.rows(ctx, statement{
		what: "read the published versions", step: "catalog", labels: labels("catalog", "", ""),
		sql: "SELECT version_id, dataset, CAST(data_date AS STRING), run_id, fence, manifest, `rows`, checks, inputs, UNIX_MICROS(published_at), COALESCE(restores, ''), COALESCE(level, ''), COALESCE(deletes, 0) FROM " +
			w.catalog("versions") + " LEFT JOIN " + w.catalog("restored") + " USING (version_id) LEFT JOIN " + w.catalog("verified") + " USING (version_id) WHERE " + condition + " ORDER BY published_at, version_id",
	}, func(row []bigquery.Value) error {
		v, err := versionOf(row)
		versions = append(versions, v)
		return err
	})
	return versions, err
}

func versionOf(row []bigquery.Value) (v elt.Version, err error) {
	var text [9]string
	var numbers [4]int64
	for i, at := range []int{0, 1, 2, 3, 5, 7, 8, 10, 11} {
		text[i] = fmt.Sprint(row[at])
	}
	for i, at := range []int{4, 6, 9, 12} {
		var ok bool
		if numbers[i], ok = row[at].(int64); !ok {
			return v, fmt.Errorf("version %s: column %d is %v, not an integer", text[0], at, row[at])
		}
	}
	v = elt.Version{
		ID: elt.VersionID(text[0]), Dataset: elt.DatasetName(text[1]), Run: elt.RunID(text[3]), Fence: numbers[0], Manifest: text[4],
		Rows: numbers[1], Checks: elt.Checks(text[5]), PublishedAt: time.UnixMicro(numbers[2]).UTC(), Restores: elt.VersionID(text[7]),
		Level: elt.Level(text[8]), Deletes: numbers[3],
	}
	if v.Date, err = elt.ParseDate(text[2]); err != nil {
		return v, fmt.Errorf("version %s: %w", v.ID, err)
	}
	if text[6] == "{}" {
		return v, nil
	}
	if err := json.Unmarshal([]byte(text[6]), &v.Inputs); err != nil {
		return v, fmt.Errorf("version %s: decode its inputs: %w", v.ID, err)
	}
	return v, nil
}

// behind returns what stands under a published name.
func (w *Warehouse) behind(ctx context.Context, relation string) (kind, error) {
	kinds, err := w.kinds(ctx, []string{relation})
	if kinds[relation] == claimed {
		return unpublished, err
	}
	return kinds[relation], err
}

// kinds returns what stands under each of the names that something of ours stands under.
func (w *Warehouse) kinds(ctx context.Context, relations []string) (map[string]kind, error) {
	out := make(map[string]kind)
	err := w.rows(ctx, statement{
		what: "read what is published", step: "catalog", labels: labels("catalog", "", ""),
		sql: "SELECT relation, kind FROM " + w.catalog("published") + " WHERE relation IN (" + literals(relations) + ")",
	}, func(row []bigquery.Value) error {
		out[fmt.Sprint(row[0])] = kind(fmt.Sprint(row[1]))
		return nil
	})
	return out, err
}

// PublishedRows returns how many rows the published relation holds, and whether there is one.
func (w *Warehouse) PublishedRows(ctx context.Context, relation string) (n int64, exists bool, err error) {
	what := "count the rows of " + relation
	stands, err := w.behind(ctx, relation)
	if err != nil || stands == unpublished {
		return 0, false, w.fail(ctx, what, err)
	}
	n, err = w.number(ctx, statement{
		what: what, step: "verify", labels: labels("verify", "", ""), sql: "SELECT COUNT(*) FROM " + w.Published(relation),
	})
	return n, true, w.fail(ctx, what, err)
}

// staleFence refuses a fence lower than one that any of the datasets was published under.
func (w *Warehouse) staleFence(ctx context.Context, fence int64, datasets []elt.DatasetName) error {
	var stale error
	err := w.rows(ctx, statement{
		what: "read the fences", step: "catalog", labels: labels("catalog", "", ""),
		sql: fmt.Sprintf("SELECT dataset, fence FROM %s WHERE dataset IN (%s) AND fence > %d", w.catalog("fences"), literals(datasets), fence),
	}, func(row []bigquery.Value) error {
		stale = warehouse.StaleFence(fmt.Sprintf("cannot publish %v under fence %d: it was published under fence %v since", row[0], fence, row[1]))
		return nil
	})
	if err != nil {
		return err
	}
	return stale
}

// mayTake refuses a name under which somebody else keeps a relation.
func (w *Warehouse) mayTake(ctx context.Context, relation string) error {
	md, err := metadata(ctx, w.published(relation), bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	is := "table"
	if md.Type != bigquery.RegularTable {
		is = strings.ToLower(string(md.Type))
	}
	return warehouse.RelationTaken(relation, is)
}
