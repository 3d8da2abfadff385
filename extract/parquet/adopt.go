package parquet

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Adopt counts a chunk in that another table's writer has written, elsewhere, with the same schema and options: its parts come
// in the chunks' order, and its facts are merged as if the rows had been written here. Facts that do not fit change nothing.
func (w *Writer) Adopt(chunk int, c *elt.BroughtChunk) error {
	t := w.table
	tally, err := t.restore(c)
	if err != nil {
		return fmt.Errorf("the facts of chunk %d do not fit: %w", chunk, err)
	}
	var bytes int64
	for _, p := range c.Parts {
		bytes += p.Bytes
	}
	t.parts.adopt(chunk, c.Parts)
	if c.Quarantined != nil {
		t.aside.adopt(chunk, c.Quarantined.Parts)
	}
	t.add(tally)
	t.progress(c.Stats.Rows, bytes)
	return nil
}

func (s *series) adopt(chunk int, parts []elt.Part) {
	adopted := make([]finished, len(parts))
	for i, p := range parts {
		adopted[i] = finished{chunk, s.number(), p}
	}
	s.keep(adopted)
}

// restore returns the tally of which the facts are. What a tally compares and adds is all in them.
func (t *table) restore(c *elt.BroughtChunk) (*Tally, error) {
	if n := rowsOf(c.Parts); n != c.Stats.Rows || len(c.Stats.Columns) != len(t.schema) {
		return nil, fmt.Errorf("parts of %d rows, facts of %d rows and %d columns", n, c.Stats.Rows, len(c.Stats.Columns))
	}
	if q := c.Quarantined; q != nil && (rowsOf(q.Parts) != q.Rows || t.opts.CreateAside == nil) {
		return nil, fmt.Errorf("%d rows are quarantined in parts of %d", q.Rows, rowsOf(q.Parts))
	}
	tally := t.newTally()
	tally.rows = c.Stats.Rows
	for i, s := range c.Stats.Columns {
		if s.Column != t.schema[i].Name {
			return nil, fmt.Errorf("column %d is %q, expected %q", i+1, s.Column, t.schema[i].Name)
		}
		if err := tally.columns[i].restore(t.schema[i].Type, s); err != nil {
			return nil, fmt.Errorf("column %q: %w", s.Column, err)
		}
	}
	for _, u := range c.Fidelity {
		i := slices.Index(tally.names, u.Column)
		if i < 0 {
			return nil, fmt.Errorf("there is no column %q", u.Column)
		}
		tally.uses[use{i, u.Policy}] += u.Values
	}
	return tally, tally.restoreDigests(c)
}

func rowsOf(parts []elt.Part) (n int64) {
	for _, p := range parts {
		n += p.Rows
	}
	return n
}

func (t *Tally) restoreDigests(c *elt.BroughtChunk) error {
	for i, d := range t.digests {
		sum := &c.AsSource
		if i == 0 {
			sum = c.Stats.Digest
		}
		if sum == nil || sum.Rows != c.Stats.Rows {
			return fmt.Errorf("there is no digest of its %d rows", c.Stats.Rows)
		}
		d.rows = sum.Rows
		for to, text := range map[*sum128]string{&d.a: sum.A, &d.b: sum.B} {
			words, err := wordsOf(text)
			if err != nil {
				return err
			}
			*to = sum128{hi: words[1], lo: words[0]}
		}
	}
	return nil
}

func (c *columnTally) restore(of elt.Type, s elt.ColumnStats) (err error) {
	c.nonNull, c.length, c.nans = s.NonNull, s.Length, s.NaNs
	switch layout := layoutOf(of); {
	case of.Kind == elt.List || s.NonNull == s.NaNs: // nothing is compared, or there is nothing to compare
		return nil
	case layout == inOctets:
		c.octets = true
		if c.first, err = hex.DecodeString(s.Min); err == nil {
			c.last, err = hex.DecodeString(s.Max)
		}
		return err
	case layout == inFloats:
		c.floating = true
		if c.low, err = strconv.ParseFloat(s.Min, 64); err == nil {
			c.high, err = strconv.ParseFloat(s.Max, 64)
		}
		return err
	}
	c.integer = true
	words, err := wordsOf(s.Sum)
	c.sum = sum192{lo: words[0], mid: words[1], hi: int64(words[2])}
	for to, text := range map[*Int128]string{&c.least: s.Min, &c.most: s.Max} {
		var bound [3]uint64
		if err == nil {
			bound, err = wordsOf(text)
			*to = Int128{int64(bound[1]), bound[0]}
		}
	}
	return err
}

// wordsOf returns an integer in base ten as two's complement, the lowest word first.
func wordsOf(text string) (words [3]uint64, err error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 191 {
		return words, fmt.Errorf("%q is no sum", text)
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 192))
	}
	lowest := new(big.Int).SetUint64(math.MaxUint64)
	for i := range words {
		words[i] = new(big.Int).And(n, lowest).Uint64()
		n.Rsh(n, 64)
	}
	return words, nil
}
