package bigquery

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cloud.google.com/go/bigquery"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Stage loads the manifest's parts, local Parquet files in the manifest's order, into the run's staging relation for
// the dataset and returns how many rows the load jobs report. Staging it again finds the jobs of the time before and
// loads nothing twice. An incremental dataset that is already published is staged as a delta; the errors are then
// schema_changed and duplicate_key as well. progress is told the rows so far after each part.
func (w *Warehouse) Stage(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, files []string, progress func(rows int64)) (int64, error) {
	if _, _, err := tableSchema(m.Dataset, m.Schema); err != nil {
		return 0, err
	}
	for _, path := range files {
		if err := checkPart(m, path); err != nil {
			return 0, err
		}
	}
	if len(files) != len(m.Parts) {
		return 0, fmt.Errorf("stage %s: %d files for %d parts", m.Dataset, len(files), len(m.Parts))
	}
	return w.StageStreams(ctx, run, m, relation, func(_ context.Context, part int) (io.ReadCloser, error) {
		f, err := os.Open(files[part])
		if err != nil {
			return nil, &elt.Error{
				Code: warehouse.CodePartUnreadable, Class: elt.Transient,
				What: fmt.Sprintf("cannot read part %s of %s: %v", filepath.Base(files[part]), m.Dataset, err), Do: "check the lake's or the spool's disk",
			}
		}
		return f, nil
	}, progress)
}

// StageStreams is Stage with parts that pass through as they are read, so that nothing lies on this machine's disk: at a
// time it reads a few parts, and of each it holds one chunk in memory. open returns a part from its start; it is asked
// again when a part must be sent again. A reader that ends in an error leaves nothing of its part behind.
func (w *Warehouse) StageStreams(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, open func(ctx context.Context, part int) (io.ReadCloser, error), progress func(rows int64)) (int64, error) {
	s := w.stage(run, m.Dataset)
	schema, converted, err := tableSchema(m.Dataset, m.Schema)
	if err != nil {
		return 0, err
	}
	if err := s.layout.Fits(m.Schema); err != nil {
		return 0, layoutInvalid(m.Dataset, err)
	}
	what := "stage " + string(m.Dataset)
	if c, soft := m.Schema.Column(m.SoftDelete); soft {
		s.deleted = elt.Deleted(c.Type.Kind, quote(c.Name))
	}
	if m.Mode == elt.Incremental {
		if err := s.onto(ctx, relation, s.replaces(m), m.Key); err != nil {
			return 0, w.fail(ctx, what, err)
		}
		if err := s.evolve(ctx, converted.schema, m.Changes); err != nil {
			return 0, w.fail(ctx, what, err)
		}
	}
	s.physical = stagedID(run, m.Dataset) + tableMark + digest(contentDigest(m), s.layout, w.Bucket)
	target, layout := s.physical, s.layout
	if converted.sql != "" {
		target, layout = target+tableMark+"raw", elt.Layout{}
	}
	rows, err := s.load(ctx, loading{
		manifest: m, open: open, progress: progress, into: w.staged(target), made: &bigquery.TableMetadata{
			Schema: schema, TimePartitioning: partitioning(layout), Clustering: clustering(layout),
			Labels: labels("load", run, m.Dataset), EncryptionConfig: w.encryption(),
		},
	})
	if err != nil {
		return 0, err
	}
	if err := s.convert(ctx, converted.sql, w.staged(target)); err != nil {
		return 0, w.fail(ctx, what, err)
	}
	if m.Mode == elt.Incremental {
		if err := s.hasKey(ctx, m.Schema, m.Key, true); err != nil {
			return 0, w.fail(ctx, what, err)
		}
	}
	return rows, w.fail(ctx, what, s.finish(ctx, m.Schema.Names()))
}

// replaces returns how the manifest's rows meet those that are published.
func (s *staging) replaces(m *elt.Manifest) elt.Strategy {
	if !s.layout.ReplacePartitions || m.Range == nil {
		return elt.Merge
	}
	s.cursor, _ = m.Schema.Column(m.Cursor)
	s.span = m.Range
	return elt.Replace
}

// contentDigest names what a manifest brings: the same parts as the same columns are the same table.
func contentDigest(m *elt.Manifest) string {
	parts := []any{m.Attempt}
	for _, p := range m.Parts {
		parts = append(parts, p.Key, p.SHA256)
	}
	for _, c := range m.Schema {
		parts = append(parts, c.Name, c.Type)
	}
	return digest(parts...)
}

// conversion turns a table as it was loaded into the table as it is kept.
type conversion struct {
	schema bigquery.Schema // of the result
	sql    string          // the columns of its SELECT; empty when there is nothing to turn
}

// tableSchema returns the columns of the table that the parts are loaded into, and what follows.
func tableSchema(d elt.DatasetName, columns elt.Schema) (bigquery.Schema, conversion, error) {
	invalid := func(err error) error {
		return &elt.Error{
			Code: warehouse.CodeSchemaInvalid, Class: elt.Data,
			What: fmt.Sprintf("cannot stage %s: %v", d, err), Do: "exclude the column, or rename it in the source",
		}
	}
	if err := checkNames(columns.Names()); err != nil {
		return nil, conversion{}, invalid(err)
	}
	var loaded bigquery.Schema
	var kept conversion
	exprs := make([]string, len(columns))
	needed := false
	for i, c := range columns {
		f, convert, err := landing(c.Name, c.Type)
		if err != nil {
			return nil, conversion{}, invalid(fmt.Errorf("column %q: %w", c.Name, err))
		}
		k, err := field(c.Name, c.Type)
		if err != nil {
			return nil, conversion{}, invalid(fmt.Errorf("column %q: %w", c.Name, err))
		}
		loaded, kept.schema = append(loaded, f), append(kept.schema, k)
		exprs[i] = quote(c.Name)
		if convert != "" {
			needed = true
			exprs[i] = convert + " AS " + quote(c.Name)
		}
	}
	if needed {
		kept.sql = strings.Join(exprs, ", ")
	}
	return loaded, kept, nil
}

// checkPart reads the footer of a part: BigQuery would take a column that is missing for one of NULLs.
func checkPart(m *elt.Manifest, path string) error {
	unreadable := func(why any) error {
		return &elt.Error{
			Code: warehouse.CodePartUnreadable, Class: elt.Data,
			What: fmt.Sprintf("cannot load part %s of %s: %v", filepath.Base(path), m.Dataset, why),
			Do:   "extract the day again; if it happens again, report it with the part",
		}
	}
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return unreadable(err)
	}
	root := r.MetaData().Schema.Root()
	have := make(map[string]bool, root.NumFields())
	for i := range root.NumFields() {
		have[root.Field(i).Name()] = true
	}
	if err := r.Close(); err != nil {
		return unreadable(err)
	}
	for _, c := range m.Schema {
		if !have[c.Name] {
			return unreadable(fmt.Sprintf("it has no column %q", c.Name))
		}
	}
	if len(have) != len(m.Schema) {
		return unreadable(fmt.Sprintf("it has %d columns, the manifest %d", len(have), len(m.Schema)))
	}
	return nil
}

// convert makes the table as it is kept from the one that was loaded, in place of what an earlier attempt made.
func (s *staging) convert(ctx context.Context, columns string, from *bigquery.Table) error {
	if columns == "" {
		return nil
	}
	_, _, err := s.w.execute(ctx, statement{
		what: "convert the columns of " + string(s.dataset), step: "convert", labels: labels("convert", s.run, s.dataset),
		sql: "SELECT " + columns + " FROM " + nameOf(from), into: s.table(), layout: s.layout,
	})
	return err
}
