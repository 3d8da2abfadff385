package extract

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// complete adds to a manifest what follows from its rows, and compares them with what the source says of them.
func (x *Extractor) complete(job Job, r Request, to *parquet.Writer, m *elt.Manifest) error {
	digest, skipped, err := r.Facts.read()
	if err != nil {
		return fmt.Errorf("extract %s: %w", m.Dataset, err)
	}
	switch {
	case !r.Facts.Digest:
	case m.Quarantined != nil: // the source's digest is of these rows, too
		m.Uncompared = m.Schema.Names()
	default:
		if err := sameRows(m, digest, to.AsSource()); err != nil {
			return err
		}
		m.SourceDigest = &digest
		for _, c := range m.Schema {
			if c.Masked == MaskHash || r.Facts.Leaves(c.Name) {
				m.Uncompared = append(m.Uncompared, c.Name)
			}
		}
	}
	if r.Range == nil {
		return nil
	}
	i := slices.IndexFunc(m.Stats.Columns, func(c elt.ColumnStats) bool { return c.Column == r.Range.Cursor.Name })
	switch r.Range.Nulls {
	case elt.NullsSkip:
		m.NullCursors, m.NullPolicy = skipped, elt.NullsSkip
	case elt.NullsInclude:
		m.NullPolicy = elt.NullsInclude
		if i >= 0 {
			m.NullCursors = m.Stats.Rows - m.Stats.Columns[i].NonNull
		}
	}
	if m.Numbers == nil {
		return nil
	}
	var high *int64
	if i >= 0 && m.Stats.Columns[i].Max != "" {
		n, err := strconv.ParseInt(m.Stats.Columns[i].Max, 10, 64)
		if err != nil {
			return fmt.Errorf("extract %s: the cursor's greatest value is %q: %w", m.Dataset, m.Stats.Columns[i].Max, err)
		}
		high = &n
	}
	m.Numbers.First = job.Published == nil
	m.Numbers.Settle(high, job.Published, m.Source.OpenSince)
	return nil
}

// sameRows refuses rows that are not what the source's own digest of them says.
func sameRows(m *elt.Manifest, source, came elt.RowDigest) error {
	if source.Equal(came) {
		return nil
	}
	return &elt.Error{
		Code: "source_rows_differ", Class: elt.Data,
		What: fmt.Sprintf("%s %s: the rows that came are not the rows that source %s sees in the same snapshot: %s, expected %s", m.Dataset, m.Date, m.Source.Source, came, source),
		Do:   "report it with the table's definition; nothing was published. verify: columns leaves this comparison out",
	}
}

// keys reads every key of the table in the snapshot in which its rows were read, into parts beside theirs.
func (x *Extractor) keys(ctx context.Context, a *attempt, r Request, in *epoch, m *elt.Manifest) (*elt.KeySet, error) {
	k := &elt.KeySet{Max: a.Extraction.Deletes.Max}
	for _, name := range a.Extraction.Key {
		c, _ := r.Columns.Column(name) // choose has seen to it that it is there
		k.Schema = append(k.Schema, c)
	}
	all := Request{Extraction: r.Extraction, Columns: k.Schema, Key: r.Key, Mask: r.Mask, Facts: &Facts{}, Paused: r.Paused}
	to := parquet.NewWriter(k.Schema, parquet.Options{
		PartBytes: x.opts.PartBytes,
		Create: func(int) (parquet.Sink, error) {
			return newPart(ctx, x.opts.Lake, fmt.Sprintf("%skeys-%05d.parquet", m.Prefix(), a.next(&a.keys))), nil
		},
	})
	rows, err := in.snapshot.Read(ctx, all, to)
	if err != nil {
		to.Abort(err)
		if to.Failed() {
			return nil, fmt.Errorf("extract the keys of %s: %w", m.Dataset, err)
		}
		return nil, &sourceError{err}
	}
	if k.Parts, k.Stats, err = to.Close(); err != nil {
		return nil, fmt.Errorf("extract the keys of %s: %w", m.Dataset, err)
	}
	if k.Stats.Rows != rows {
		return nil, &elt.Error{
			Code: "rows_lost", Class: elt.Internal,
			What: fmt.Sprintf("%s: the source sent the keys of %s, %s came into the lake", m.Dataset, count(rows), count(k.Stats.Rows)),
			Do:   "report it with the step's log; nothing was published",
		}
	}
	return k, nil
}

// unlike returns the columns whose values are not as the source has them, because a rule gives them another type or says
// what becomes of values that cannot be held, or because the source does not have them any more.
func unlike(columns elt.Schema, rules map[string]elt.TypeRule, info TableInfo) (names []string) {
	for _, c := range columns {
		original, ok := info.Columns.Column(c.Name)
		_, ruled := rules[c.Name]
		if c.Absent || !ok || ruled || c.Masked == "" && !c.Type.Equal(original.Type) {
			names = append(names, c.Name)
		}
	}
	return names
}
