package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
)

// tables are published tables that can be compared.
type tables interface {
	Measure(ctx context.Context, relation string, schema elt.Schema) (elt.TableStats, error)
	Digest(ctx context.Context, relation string, schema elt.Schema) (elt.RowDigest, error)
	Buckets(ctx context.Context, relation string, schema, key elt.Schema) (map[string]elt.RowDigest, error)
	Prints(ctx context.Context, relation string, schema, key elt.Schema, bucket string) ([]elt.RowPrint, error)
}

// publishedTables are those of a warehouse, with what it knows to be published.
type publishedTables interface {
	tables
	Versions(ctx context.Context) ([]elt.Version, error)
	Close() error
}

// openPublished opens what people read of the warehouse.
func openPublished(ctx context.Context, ws *workspace, log *slog.Logger) (publishedTables, error) {
	if ws.config.Warehouse.BigQuery == nil {
		return openReader(ctx, ws.config.Warehouse)
	}
	p := &parts{ws: ws, log: log}
	if err := p.openWarehouse(ctx, ""); err != nil {
		return nil, err
	}
	w, ok := p.warehouse.(*bigquery.Warehouse)
	if !ok {
		return nil, fmt.Errorf("a warehouse of type %T cannot be compared", p.warehouse)
	}
	return openedReader{w.Reader(), p}, nil
}

// openedReader closes the warehouse that it was opened with.
type openedReader struct {
	*bigquery.Reader
	with *parts
}

// Close closes the warehouse.
func (r openedReader) Close() error { return r.with.closeAll() }

// verification compares one dataset.
type verification struct {
	level     elt.Level
	dataset   elt.Dataset
	layout    elt.Layout
	published publishedTables
	lake      lake.Store
	log       *slog.Logger
}

// verify rebuilds the dataset from the lake and compares it with what is published, or, where a date is given, the
// date's parts with its manifest. It returns what it can vouch for. An error of the class data is a difference.
func (v verification) verify(ctx context.Context, versions []elt.Version, date elt.Date) (said string, err error) {
	chain, err := v.chain(ctx, versions, date)
	if err != nil {
		return "", err
	}
	rebuilt, err := newScratch(ctx, v.log, v.lake, v.dataset, v.layout, chain)
	if err != nil {
		return "", err
	}
	defer func() { err = rebuilt.close(err) }()
	parts := 0
	for _, m := range chain {
		parts += len(m.Parts)
	}
	if !date.IsZero() {
		return fmt.Sprintf("%s rows of %s in %s of the lake are what was extracted, at level %s", count(rebuilt.last.Rows()), date, plural(parts, "part"), reached(rebuilt.last)) + otherwise(chain), nil
	}
	rows, err := v.compare(ctx, rebuilt.reader, rebuilt.last.Schema, rebuilt.last.Key)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s rows in the warehouse = %s in the lake, at level %s", count(rows), plural(parts, "part"), v.level) + otherwise(chain), nil
}

// reached is how deep a manifest can be compared with its parts.
func reached(m *elt.Manifest) elt.Level {
	if m.Stats.Digest == nil {
		return elt.LevelColumns
	}
	return elt.LevelRows
}

// otherwise says what is not as in the source because a policy says so.
func otherwise(chain []*elt.Manifest) string {
	var b strings.Builder
	for _, u := range elt.SumUses(chain) {
		fmt.Fprintf(&b, "\n    not as in the source: %s", u)
	}
	return b.String()
}

// chain returns the manifests that a dataset's published content was made from, or a date's alone.
func (v verification) chain(ctx context.Context, versions []elt.Version, date elt.Date) ([]*elt.Manifest, error) {
	if date.IsZero() {
		return chainOf(ctx, v.lake, v.dataset.Name, versions)
	}
	var last elt.Version
	for _, o := range versions {
		if o.Dataset == v.dataset.Name && o.Date == date && o.Manifest != "" && !o.PublishedAt.Before(last.PublishedAt) {
			last = o
		}
	}
	if last.ID == "" {
		return nil, &elt.Error{
			Code: "nothing_published", Class: elt.Data,
			What: fmt.Sprintf("%s has no published version of %s", v.dataset.Name, date), Do: "daybreak status shows the dates that there are",
		}
	}
	m, err := readManifest(ctx, v.lake, last.Manifest)
	return []*elt.Manifest{m}, err
}

// compare compares the rebuilt table with the published one and returns how many rows they have.
func (v verification) compare(ctx context.Context, rebuilt tables, schema elt.Schema, key []string) (int64, error) {
	var columns elt.Schema
	if v.level != elt.LevelCounts {
		columns = schema
	}
	want, err := v.facts(ctx, rebuilt, columns)
	if err != nil {
		return 0, err
	}
	got, err := v.facts(ctx, v.published, columns)
	if err != nil {
		return 0, err
	}
	differ := want.Compare(got)
	if len(differ) == 0 {
		return got.Rows, nil
	}
	what := fmt.Sprintf("the warehouse holds other data than the lake: %s rows against %s", count(got.Rows), count(want.Rows))
	switch {
	case v.level == elt.LevelRows:
		rows, err := v.rows(ctx, rebuilt, schema, key)
		if err != nil {
			return 0, err
		}
		what += "; " + rows
	case v.level == elt.LevelColumns:
		facts := make([]string, len(differ))
		for i, m := range differ {
			facts[i] = strings.TrimPrefix(m.Column+"."+m.Fact, ".")
		}
		what += "; they differ in " + strings.Join(facts, ", ")
	}
	return 0, &elt.Error{
		Code: "verification_failed", Class: elt.Data, What: what,
		Do: "find out who changed the warehouse; daybreak run --again brings a new version",
	}
}

func (v verification) facts(ctx context.Context, of tables, columns elt.Schema) (elt.TableStats, error) {
	stats, err := of.Measure(ctx, v.dataset.Relation, columns)
	if err != nil || v.level != elt.LevelRows {
		return stats, err
	}
	digest, err := of.Digest(ctx, v.dataset.Relation, columns)
	stats.Digest = &digest
	return stats, err
}
