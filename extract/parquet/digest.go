package parquet

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// maskedByHash is the rule of elt.Column.Masked under which a source cannot say what became of a value.
const maskedByHash = "hash"

// Digest takes elt.RowDigest of rows. A row is written as its fields one after the other, a NULL as "-" and a value as
// its length in octets, a colon and its canonical text:
//
//	bool                          0 or 1
//	int64, uint64                 decimal digits
//	decimal                       the digits of the integer that it is when scaled
//	float64                       digits and exponent, 1.5 as 15e0; 0, inf, -inf, nan
//	date                          days since 1970-01-01
//	time                          microseconds since midnight
//	timestamp, local_timestamp    microseconds since 1970-01-01
//	string, json, uuid            the text itself
//	bytes                         hexadecimal digits
//	list                          its elements as fields
//
// The digest that a source can take, too, tells of hashed columns only whether they are NULL, as "-" or "+", and leaves
// out the columns that are not as the source has them.
type Digest struct {
	columns []fieldCursor
	tells   []telling
	rows    int64
	a, b    sum128
	row     []byte
	list    []byte
	large   hash.Hash // of a row with a large value: what of it came before row; nil until there is one
	hashed  bool      // large holds the beginning of the present row
}

// largeField is the size in octets from which a value goes into the hash in pieces instead of being copied whole.
const largeField = 64 << 10

// telling is what a digest tells of a column.
type telling int

const (
	tellValues telling = iota
	tellPresence
	tellNothing
)

// NewDigest returns the digest of no rows.
func NewDigest(schema elt.Schema) *Digest {
	return &Digest{columns: make([]fieldCursor, len(schema)), tells: make([]telling, len(schema))}
}

// NewSourceDigest returns the digest of no rows as their source takes it, which leaves the columns out that are unlike.
func NewSourceDigest(schema elt.Schema, unlike []string) *Digest {
	d := NewDigest(schema)
	for i, c := range schema {
		switch {
		case slices.Contains(unlike, c.Name):
			d.tells[i] = tellNothing
		case c.Masked == maskedByHash:
			d.tells[i] = tellPresence
		}
	}
	return d
}

// tellsAll reports whether the digest is of every value.
func (d *Digest) tellsAll() bool {
	return !slices.ContainsFunc(d.tells, func(t telling) bool { return t != tellValues })
}

// Add takes the rows of a batch.
func (d *Digest) Add(b *Batch) {
	for i, v := range b.Columns {
		d.columns[i] = fieldCursor{v: v}
	}
	for range b.rows {
		d.row = d.row[:0]
		for i := range d.columns {
			switch d.tells[i] {
			case tellNothing:
			case tellPresence:
				d.row = d.field(d.row, &d.columns[i], true)
			default:
				if x := d.columns[i].large(); x != nil {
					d.stream(x, d.columns[i].v.leaf.Kind == elt.Bytes)
					continue
				}
				d.row = d.field(d.row, &d.columns[i], false)
			}
		}
		sum := d.rowSum()
		d.a.add(binary.BigEndian.Uint64(sum[:8]) >> 4)
		d.b.add(binary.BigEndian.Uint64(sum[8:]) >> 4)
	}
	d.rows += int64(b.rows)
}

// rowSum returns the MD5 of the row that was written.
func (d *Digest) rowSum() (sum [md5.Size]byte) {
	if !d.hashed {
		return md5.Sum(d.row)
	}
	d.large.Write(d.row) // a hash takes everything
	d.large.Sum(sum[:0])
	d.large.Reset()
	d.hashed = false
	return sum
}

// stream writes a large value's field to the hash.
func (d *Digest) stream(x []byte, inHex bool) {
	if d.large == nil {
		d.large = md5.New()
	}
	size := len(x)
	if inHex {
		size *= 2
	}
	d.row = append(strconv.AppendInt(d.row, int64(size), 10), ':')
	d.large.Write(d.row)
	d.row, d.hashed = d.row[:0], true
	if !inHex {
		d.large.Write(x)
		return
	}
	for piece := range slices.Chunk(x, largeField) {
		d.row = hex.AppendEncode(d.row[:0], piece)
		d.large.Write(d.row)
	}
	d.row = d.row[:0]
}

// large returns the next row's value and steps over it, if it is large; nil if it is not.
func (c *fieldCursor) large() []byte {
	if c.v.isList || c.v.layout != inOctets || c.v.levelOf(c.level) == absent {
		return nil
	}
	x := c.v.octets(c.value)
	if len(x) < largeField {
		return nil
	}
	c.level++
	c.value++
	return x
}

func (d *Digest) merge(o *Digest) {
	d.rows += o.rows
	d.a.merge(o.a)
	d.b.merge(o.b)
}

// Sum returns the digest of everything that was added.
func (d *Digest) Sum() elt.RowDigest {
	return elt.RowDigest{Rows: d.rows, A: d.a.String(), B: d.b.String()}
}

// sum128 is a sum of up to 2^68 slices of 60 bits.
type sum128 struct{ hi, lo uint64 }

func (s *sum128) add(x uint64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, x, 0)
	s.hi += carry
}

func (s *sum128) merge(o sum128) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, o.lo, 0)
	s.hi += o.hi + carry
}

func (s sum128) String() string {
	n := new(big.Int).SetUint64(s.hi)
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(s.lo)).String()
}

// fieldCursor is how far a column of a batch has been read.
type fieldCursor struct {
	v            *Vector
	level, value int
}

// field appends the next row's field of a column.
func (d *Digest) field(to []byte, c *fieldCursor, presence bool) []byte {
	if !c.v.isList {
		def := c.v.levelOf(c.level)
		c.level++
		switch {
		case def == absent:
			return append(to, '-')
		case presence:
			c.value++
			return append(to, '+')
		}
		c.value++
		return c.v.appendField(to, c.value-1)
	}
	def := c.v.def[c.level]
	if def == absent {
		c.level++
		return append(to, '-')
	}
	d.list = d.list[:0]
	for first := true; c.level < len(c.v.def) && (first || c.v.rep[c.level] != 0); first = false {
		switch c.v.def[c.level] {
		case elemAbsent:
			d.list = append(d.list, '-')
		case elemPresent:
			d.list = c.v.appendField(d.list, c.value)
			c.value++
		}
		c.level++
	}
	to = strconv.AppendInt(to, int64(len(d.list)), 10)
	to = append(to, ':')
	return append(to, d.list...)
}

// appendField appends the ith value's length and canonical text.
func (v *Vector) appendField(to []byte, i int) []byte {
	if v.layout == inOctets {
		x := v.octets(i)
		if v.leaf.Kind == elt.Bytes {
			to = strconv.AppendInt(to, int64(2*len(x)), 10)
			return hex.AppendEncode(append(to, ':'), x)
		}
		to = strconv.AppendInt(to, int64(len(x)), 10)
		return append(append(to, ':'), x...)
	}
	var room [64]byte
	text := v.appendCanonical(room[:0], i)
	to = strconv.AppendInt(to, int64(len(text)), 10)
	return append(append(to, ':'), text...)
}

// appendCanonical appends the canonical text of a value that is not one of octets.
func (v *Vector) appendCanonical(to []byte, i int) []byte {
	switch v.layout {
	case inBools:
		if v.bools[i] {
			return append(to, '1')
		}
		return append(to, '0')
	case inDays:
		return strconv.AppendInt(to, int64(v.days[i]), 10)
	case inWide:
		return append(to, v.wide[i].String()...)
	case inFloats:
		return appendFloat(to, v.floats[i])
	}
	if v.leaf.Kind == elt.Uint64 {
		return strconv.AppendUint(to, uint64(v.ints[i]), 10)
	}
	return strconv.AppendInt(to, v.ints[i], 10)
}

// appendFloat appends the shortest digits that read back equal, without a point, and the exponent of the first.
func appendFloat(to []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(to, "nan"...)
	case math.IsInf(f, 1):
		return append(to, "inf"...)
	case math.IsInf(f, -1):
		return append(to, "-inf"...)
	case f == 0:
		return append(to, '0')
	}
	var room [32]byte
	text := strconv.AppendFloat(room[:0], f, 'e', -1, 64) // -1.5e+00
	digits, exponent, _ := bytes.Cut(text, []byte("e"))
	for _, c := range digits {
		if c != '.' {
			to = append(to, c)
		}
	}
	to = append(to, 'e')
	if exponent[0] == '-' {
		to = append(to, '-')
	}
	exponent = bytes.TrimLeft(exponent[1:], "0")
	if len(exponent) == 0 {
		return append(to, '0')
	}
	return append(to, exponent...)
}
