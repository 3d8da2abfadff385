package parquet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// statsPrefix is how many octets of a text's least and greatest value are compared.
const statsPrefix = 64

// Tally takes the facts of elt.TableStats from batches.
type Tally struct {
	rows    int64
	columns []columnTally
	names   []string
	uses    map[use]int64
	digests []*Digest // of the rows as they are, and as their source sees them; none unless asked for
}

// NewTally returns a tally of no rows.
func NewTally(schema elt.Schema) *Tally {
	return &Tally{columns: make([]columnTally, len(schema)), names: schema.Names(), uses: make(map[use]int64)}
}

// WithDigests has the tally take digests of whole rows, too: as they are, and as their source sees them, for which
// the columns that are unlike are left out.
func (t *Tally) WithDigests(schema elt.Schema, unlike ...string) *Tally {
	t.digests = []*Digest{NewDigest(schema)}
	if source := NewSourceDigest(schema, unlike); !source.tellsAll() {
		t.digests = append(t.digests, source)
	}
	return t
}

// Add counts a batch.
func (t *Tally) Add(b *Batch) {
	for _, d := range t.digests {
		d.Add(b)
	}
	t.rows += int64(b.Rows())
	for i, v := range b.Columns {
		t.columns[i].add(v)
	}
	t.count(b.uses)
}

func (t *Tally) count(uses map[use]int64) {
	for u, n := range uses {
		t.uses[u] += n
	}
}

// Merge adds what another tally of the same schema has counted. The order in which rows or tallies were added
// never shows.
func (t *Tally) Merge(other *Tally) {
	t.rows += other.rows
	t.count(other.uses)
	for i, d := range t.digests {
		d.merge(other.digests[i])
	}
	for i := range t.columns {
		t.columns[i].merge(&other.columns[i])
	}
}

// Stats returns the facts about everything that was added.
func (t *Tally) Stats() elt.TableStats {
	s := elt.TableStats{Rows: t.rows, Columns: make([]elt.ColumnStats, len(t.columns))}
	for i := range t.columns {
		s.Columns[i] = t.columns[i].stats(t.names[i])
	}
	if len(t.digests) > 0 {
		digest := t.digests[0].Sum()
		s.Digest = &digest
	}
	return s
}

// AsSource returns the digest that the rows' source takes, where digests are taken.
func (t *Tally) AsSource() elt.RowDigest { return t.digests[len(t.digests)-1].Sum() }

// columnTally holds one column's facts. Integers are compared in their own width within a batch and widened
// once for each batch.
type columnTally struct {
	nonNull, length, nans int64
	integer               bool // has sum, least and most
	sum                   sum192
	least, most           Int128
	floating              bool // has low and high
	low, high             float64
	octets                bool // has first and last
	first, last           []byte
}

func (c *columnTally) add(v *Vector) {
	if v.isList {
		c.addList(v)
		return
	}
	c.nonNull += int64(v.values())
	switch v.layout {
	case inBools:
		for _, x := range v.bools {
			n := int64(0)
			if x {
				n = 1
			}
			c.widen(ToInt128(n), ToInt128(n))
			c.sum.add(ToInt128(n))
		}
	case inDays:
		addIntegers(c, v, v.days)
	case inInts:
		if v.leaf.Kind == elt.Uint64 {
			c.addUnsigned(v.ints)
		} else {
			addIntegers(c, v, v.ints)
		}
	case inWide:
		for _, x := range v.wide {
			c.widen(x, x)
			c.sum.add(x)
		}
	case inFloats:
		c.addFloats(v.floats)
	case inOctets:
		c.addOctets(v)
	}
}

// addList counts lists and their elements, NULL ones too.
func (c *columnTally) addList(v *Vector) {
	for i, def := range v.def {
		if v.rep[i] == 0 && def >= listEmpty {
			c.nonNull++
		}
		if def >= elemAbsent {
			c.length++
		}
	}
}

// addIntegers counts the integers of a vector, which are xs.
func addIntegers[T int32 | int64](c *columnTally, v *Vector, xs []T) {
	if len(xs) == 0 {
		return
	}
	low, high := v.bounds()
	c.widen(ToInt128(low), ToInt128(high))
	if -1<<40 < low && high < 1<<40 && len(xs) < 1<<22 { // their sum is an int64
		var sum int64
		for _, x := range xs {
			sum += int64(x)
		}
		c.sum.add(ToInt128(sum))
		return
	}
	// The two halves of each integer are summed apart: neither sum overflows in fewer than 2^31 values.
	for len(xs) > 0 {
		n := min(len(xs), 1<<30)
		var lower, upper int64
		for _, x := range xs[:n] {
			lower += int64(x) & math.MaxUint32
			upper += int64(x) >> 32
		}
		c.sum.add(ToInt128(lower))
		c.sum.add(Int128{upper >> 32, uint64(upper) << 32})
		xs = xs[n:]
	}
}

func (c *columnTally) addUnsigned(xs []int64) {
	for _, x := range xs {
		n := Int128{0, uint64(x)}
		c.widen(n, n)
		c.sum.add(n)
	}
}

func (c *columnTally) widen(low, high Int128) {
	if !c.integer || low.Compare(c.least) < 0 {
		c.least = low
	}
	if !c.integer || high.Compare(c.most) > 0 {
		c.most = high
	}
	c.integer = true
}

func (c *columnTally) addFloats(xs []float64) {
	for _, x := range xs {
		if math.IsNaN(x) {
			c.nans++
			continue
		}
		if !c.floating {
			c.floating, c.low, c.high = true, x, x
			continue
		}
		c.low, c.high = min(c.low, x), max(c.high, x)
	}
}

func (c *columnTally) addOctets(v *Vector) {
	c.length += int64(v.octetsHeld() - lengthOctets*v.values())
	if v.known {
		c.addPrefix(v.least)
		c.addPrefix(v.most)
		return
	}
	if v.coded {
		v.spell()
	}
	first, last := beginning(c.first, len(c.first)), beginning(c.last, len(c.last))
	from := 0
	for _, end := range v.ends {
		from += lengthOctets
		b := beginning(v.data[from:], end-from)
		x := v.data[from:min(end, from+statsPrefix)]
		from = end
		// Most values lie in between by their first octets, or come again and again.
		if c.octets && (first < b && b < last || string(x) == string(c.first) || string(x) == string(c.last)) {
			continue
		}
		c.addPrefix(x)
		first, last = beginning(c.first, len(c.first)), beginning(c.last, len(c.last))
	}
}

// beginning returns the first octets of a text of n, which others may follow, as a number that orders as they do, as far
// as it differs.
func beginning(x []byte, n int) uint64 {
	if len(x) >= 8 {
		first := binary.BigEndian.Uint64(x)
		if n >= 8 {
			return first
		}
		return first &^ (math.MaxUint64 >> (8 * n))
	}
	var first uint64
	for i, b := range x[:n] {
		first |= uint64(b) << (56 - 8*i)
	}
	return first
}

func (c *columnTally) addPrefix(x []byte) {
	switch {
	case !c.octets:
		c.octets, c.first, c.last = true, bytes.Clone(x), bytes.Clone(x)
	case bytes.Compare(x, c.first) < 0:
		c.first = append(c.first[:0], x...)
	case bytes.Compare(x, c.last) > 0:
		c.last = append(c.last[:0], x...)
	}
}

func (c *columnTally) merge(o *columnTally) {
	c.nonNull, c.length, c.nans = c.nonNull+o.nonNull, c.length+o.length, c.nans+o.nans
	c.sum.merge(o.sum)
	if o.integer {
		c.widen(o.least, o.most)
	}
	if o.floating {
		c.addFloats([]float64{o.low, o.high})
	}
	if o.octets {
		c.addPrefix(o.first)
		c.addPrefix(o.last)
	}
}

func (c *columnTally) stats(name string) elt.ColumnStats {
	s := elt.ColumnStats{Column: name, NonNull: c.nonNull, Length: c.length, NaNs: c.nans}
	switch {
	case c.integer:
		s.Sum, s.Min, s.Max = c.sum.String(), c.least.String(), c.most.String()
	case c.floating:
		s.Min, s.Max = FormatFloat(c.low), FormatFloat(c.high)
	case c.octets:
		s.Min, s.Max = hex.EncodeToString(c.first), hex.EncodeToString(c.last)
	}
	return s
}
