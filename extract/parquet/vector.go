package parquet

import (
	"encoding/binary"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// layout is how the values of a kind lie in a Vector.
type layout int

const (
	inBools layout = iota
	inDays
	inInts
	inWide
	inFloats
	inOctets
)

// intDigits is how many decimal digits an int64 can hold whatever they are.
const intDigits = 18

func layoutOf(t elt.Type) layout {
	switch t.Kind {
	case elt.Bool:
		return inBools
	case elt.DateKind:
		return inDays
	case elt.Int64, elt.Uint64, elt.TimeKind, elt.Timestamp, elt.LocalTimestamp:
		return inInts
	case elt.Float64:
		return inFloats
	case elt.Decimal:
		if t.Precision > intDigits {
			return inWide
		}
		return inInts
	}
	return inOctets
}

// Definition levels. A scalar is absent or present; a list is absent, empty, or holds elements that are
// absent or present.
const (
	absent        = 0
	scalarPresent = 1
	listEmpty     = 1
	elemAbsent    = 2
	elemPresent   = 3
)

// Vector is one column of a Batch: dense non-NULL values of one layout, and the levels that say where they
// belong. Append to it with the method of the column's kind; a list's elements between BeginList and EndList.
type Vector struct {
	leaf    elt.Type // the list's element, or the column's own type
	layout  layout
	isList  bool
	present int16 // the definition level of a value

	flat     bool    // every row so far is a value: no levels are kept of them
	def, rep []int16 // of a vector that is not flat; rep for lists only
	rows     int
	inList   bool
	again    int16 // the repetition level of the open list's next element

	bools  []bool
	days   []int32
	ints   []int64
	wide   []Int128
	floats []float64
	data   []byte // octets in the encoding PLAIN: each value's length in four, and the value
	ends   []int  // where each value ends in data

	coded  bool        // the octets are places of a dictionary, and not in data
	places *dictionary // of the values in their order
	celled bool        // octets came by AppendCells
	few    bool        // few were different when they were last encoded: the next are coded

	low, high int64 // of the integers or days, once bounds has looked at so many
	looked    int

	least, most []byte // of the octets, cut to statsPrefix, once a dictionary knows them
	known       bool
}

// NewVector returns an empty vector for a column of type t.
func NewVector(t elt.Type) *Vector {
	v := &Vector{leaf: t, present: scalarPresent}
	if t.Kind == elt.List {
		v.isList, v.leaf, v.present = true, *t.Elem, elemPresent
	}
	v.layout, v.flat = layoutOf(v.leaf), !v.isList
	return v
}

// Reset empties the vector and keeps its memory, unless one huge value made it grow.
func (v *Vector) Reset() {
	if cap(v.data) > 2*batchBytes {
		v.data = nil
	}
	values := v.values()
	v.flat, v.def, v.rep, v.rows, v.inList, v.looked, v.known = !v.isList, v.def[:0], v.rep[:0], 0, false, 0, false
	v.bools, v.days, v.ints, v.wide, v.floats = v.bools[:0], v.days[:0], v.ints[:0], v.wide[:0], v.floats[:0]
	v.data, v.ends = v.data[:0], v.ends[:0]
	if v.coded = false; v.few {
		v.code(values)
	}
}

// roomFor makes room at once for as much as another vector holds, where there is none yet: growing bit by bit would copy
// everything several times.
func (v *Vector) roomFor(o *Vector) {
	v.def, v.rep = roomFor(v.def, o.def), roomFor(v.rep, o.rep)
	v.bools, v.days, v.ints = roomFor(v.bools, o.bools), roomFor(v.days, o.days), roomFor(v.ints, o.ints)
	v.wide, v.floats = roomFor(v.wide, o.wide), roomFor(v.floats, o.floats)
	if len(o.data) <= batchBytes && !v.coded { // and not one huge value
		v.data, v.ends = roomFor(v.data, o.data), roomFor(v.ends, o.ends)
	}
}

func roomFor[T any](have, other []T) []T {
	if cap(have) > 0 || len(other) == 0 {
		return have
	}
	return make([]T, 0, len(other)+len(other)/16) // the next may be a little larger
}

// widen makes room for several times as much as the vector holds.
func (v *Vector) widen() {
	v.def, v.rep = widen(v.def), widen(v.rep)
	v.bools, v.days, v.ints = widen(v.bools), widen(v.days), widen(v.ints)
	v.wide, v.floats = widen(v.wide), widen(v.floats)
	v.data, v.ends = widen(v.data), widen(v.ends)
}

func widen[T any](have []T) []T {
	room := widening * len(have)
	room += room / 16 // what comes may be a little larger
	if room <= cap(have) {
		return have
	}
	return append(make([]T, 0, room), have...)
}

// value notes that a value comes, inside the open list or as a row.
func (v *Vector) value() {
	if v.flat {
		v.rows++
		return
	}
	v.level(v.present)
}

// level notes that a value or a NULL comes, inside the open list or as a row.
func (v *Vector) level(def int16) {
	if v.flat {
		v.def = slices.Grow(v.def, v.rows+1)
		for range v.rows {
			v.def = append(v.def, v.present)
		}
		v.flat = false
	}
	v.def = append(v.def, def)
	if v.inList {
		v.rep = append(v.rep, v.again)
		v.again = 1
		return
	}
	v.rows++
	if v.isList {
		v.rep = append(v.rep, 0)
	}
}

// levels returns how many levels there are.
func (v *Vector) levels() int {
	if v.flat {
		return v.rows
	}
	return len(v.def)
}

// levelOf returns the definition level of that number.
func (v *Vector) levelOf(i int) int16 {
	if v.flat {
		return v.present
	}
	return v.def[i]
}

// Rows returns how many rows the vector holds.
func (v *Vector) Rows() int { return v.rows }

// DropRow takes the last row away again, as if it had never been appended.
func (v *Vector) DropRow() {
	if v.flat {
		v.dropValue()
		v.rows--
		return
	}
	for first := false; !first; {
		n := len(v.def) - 1
		if v.def[n] == v.present {
			v.dropValue()
		}
		first = !v.isList || v.rep[n] == 0
		v.def = v.def[:n]
		if v.isList {
			v.rep = v.rep[:n]
		}
	}
	v.rows--
}

func (v *Vector) dropValue() {
	switch v.layout {
	case inBools:
		v.bools = v.bools[:len(v.bools)-1]
	case inDays:
		v.days = v.days[:len(v.days)-1]
	case inInts:
		v.ints = v.ints[:len(v.ints)-1]
	case inWide:
		v.wide = v.wide[:len(v.wide)-1]
	case inFloats:
		v.floats = v.floats[:len(v.floats)-1]
	case inOctets:
		if v.coded { // what no value is any more must not be in a file's dictionary
			v.spell()
		}
		v.ends = v.ends[:len(v.ends)-1]
		v.data = v.data[:v.begin(len(v.ends))]
	}
}

// AppendNull appends a NULL: a row, or an element of the open list.
func (v *Vector) AppendNull() {
	if v.inList {
		v.level(elemAbsent)
	} else {
		v.level(absent)
	}
}

// BeginList opens a list: what is appended until EndList are its elements.
func (v *Vector) BeginList() { v.inList, v.again = true, 0 }

// EndList ends the row that BeginList began.
func (v *Vector) EndList() {
	v.inList = false
	if v.again == 0 {
		v.level(listEmpty)
	} else {
		v.rows++
	}
}

// AppendBool appends a bool.
func (v *Vector) AppendBool(x bool) { v.value(); v.bools = append(v.bools, x) }

// AppendDays appends a date as days since 1970-01-01.
func (v *Vector) AppendDays(x int32) { v.value(); v.days = append(v.days, x) }

// AppendInt appends an integer, or microseconds of a time or timestamp; a uint64 by its bits.
func (v *Vector) AppendInt(x int64) { v.value(); v.ints = append(v.ints, x) }

// AppendFloat appends a float64.
func (v *Vector) AppendFloat(x float64) { v.value(); v.floats = append(v.floats, x) }

// AppendDecimal appends a decimal scaled to the column's scale.
func (v *Vector) AppendDecimal(x Int128) {
	v.value()
	if v.layout == inInts {
		v.ints = append(v.ints, int64(x.Lo))
	} else {
		v.wide = append(v.wide, x)
	}
}

// Decimal returns the ith decimal that is not NULL, scaled.
func (v *Vector) Decimal(i int) Int128 {
	if v.layout == inInts {
		return ToInt128(v.ints[i])
	}
	return v.wide[i]
}

// AppendOctets appends a string, bytes, json or uuid by copying it.
func (v *Vector) AppendOctets(x []byte) {
	if !v.coded || !v.appendPlace(x) {
		copy(v.room(len(x)), x)
	}
}

// AppendString appends a string, json or uuid by copying it.
func (v *Vector) AppendString(x string) {
	copy(v.room(len(x)), x)
}

// room appends a value of octets, which the caller fills in.
func (v *Vector) room(n int) []byte {
	if v.coded {
		v.spell()
	}
	v.value()
	return v.append(n)
}

// append makes room for the octets of a value that has been noted.
func (v *Vector) append(n int) []byte {
	begin := len(v.data)
	end := begin + lengthOctets + n
	if end > cap(v.data) {
		v.data = slices.Grow(v.data, lengthOctets+n)
	}
	v.data = v.data[:end]
	binary.LittleEndian.PutUint32(v.data[begin:], uint32(n))
	v.ends = append(v.ends, end)
	return v.data[begin+lengthOctets:]
}

// values returns how many values, NULLs left out, the vector holds.
func (v *Vector) values() int {
	switch v.layout {
	case inBools:
		return len(v.bools)
	case inDays:
		return len(v.days)
	case inInts:
		return len(v.ints)
	case inWide:
		return len(v.wide)
	case inFloats:
		return len(v.floats)
	}
	if v.coded {
		return len(v.places.indices)
	}
	return len(v.ends)
}

// octetsHeld returns how many octets the values take in the encoding PLAIN.
func (v *Vector) octetsHeld() int {
	if v.coded {
		return v.places.spelt
	}
	return len(v.data)
}

// bounds returns the least and the greatest of the integers or days, of which there is at least one.
func (v *Vector) bounds() (low, high int64) {
	if n := v.values(); v.looked != n {
		v.looked = n
		if v.layout == inDays {
			v.low, v.high = bounds(v.days)
		} else {
			v.low, v.high = bounds(v.ints)
		}
	}
	return v.low, v.high
}

// bounds returns the least and the greatest of values that are at least one.
func bounds[T int32 | int64](values []T) (int64, int64) {
	low, high := values[0], values[0]
	for ; len(values) >= 4; values = values[4:] { // four at a time, of which only one has to wait for those before
		a, b, c, d := values[0], values[1], values[2], values[3]
		low, high = min(low, min(min(a, b), min(c, d))), max(high, max(max(a, b), max(c, d)))
	}
	for _, x := range values {
		low, high = min(low, x), max(high, x)
	}
	return int64(low), int64(high)
}

// lengthOctets is how many octets a value's length takes in the encoding PLAIN.
const lengthOctets = 4

// begin returns where the ith value of a vector of octets begins, its length before it.
func (v *Vector) begin(i int) int {
	if i == 0 {
		return 0
	}
	return v.ends[i-1]
}

// octets returns the ith value of a vector of octets; it is valid until the vector is reset.
func (v *Vector) octets(i int) []byte {
	if v.coded {
		return v.places.text(i)
	}
	return v.data[v.begin(i)+lengthOctets : v.ends[i] : v.ends[i]]
}
