package parquet

import (
	"encoding/binary"
	"slices"
)

// Cell is where a value of a column lies among the octets of several rows: rows whose values are taken column by column
// are decoded with less ado than one after the other. A negative size is NULL.
type Cell struct {
	From uint32
	Size int32
}

// RoomForInts returns room for the integers, or microseconds, of as many rows. Once the caller has filled it in, NULLs left
// out, it says so with Filled; until then nothing has been appended.
func (v *Vector) RoomForInts(rows int) []int64 {
	v.ints = slices.Grow(v.ints, rows)
	return v.ints[len(v.ints) : len(v.ints)+rows]
}

// RoomForDays is RoomForInts for dates.
func (v *Vector) RoomForDays(rows int) []int32 {
	v.days = slices.Grow(v.days, rows)
	return v.days[len(v.days) : len(v.days)+rows]
}

// RoomForFloats is RoomForInts for floats.
func (v *Vector) RoomForFloats(rows int) []float64 {
	v.floats = slices.Grow(v.floats, rows)
	return v.floats[len(v.floats) : len(v.floats)+rows]
}

// RoomForBools is RoomForInts for bools.
func (v *Vector) RoomForBools(rows int) []bool {
	v.bools = slices.Grow(v.bools, rows)
	return v.bools[len(v.bools) : len(v.bools)+rows]
}

// Filled appends the rows of the cells, whose values, so many as are not NULL, are where the vector made room for them.
func (v *Vector) Filled(cells []Cell, values int) {
	switch v.layout {
	case inBools:
		v.bools = v.bools[:len(v.bools)+values]
	case inDays:
		v.days = v.days[:len(v.days)+values]
	case inInts:
		v.ints = v.ints[:len(v.ints)+values]
	case inFloats:
		v.floats = v.floats[:len(v.floats)+values]
	}
	v.place(cells, values)
}

// place notes of which of the cells there are values.
func (v *Vector) place(cells []Cell, values int) {
	if v.flat && values == len(cells) {
		v.rows += values
		return
	}
	for _, c := range cells {
		if c.Size < 0 {
			v.level(absent)
		} else {
			v.level(v.present)
		}
	}
}

// copied is how many octets are copied at once of a value that has no more, whatever its length is.
const copied = 32

// AppendCells appends strings, bytes, json or uuids by copying them from data, without their first octets, so many. It
// reports whether all octets are ASCII.
func (v *Vector) AppendCells(data []byte, cells []Cell, without int) (ascii bool) {
	v.celled = true
	if v.coded {
		if ascii, ok := v.placeCells(data, cells, without); ok {
			return ascii
		}
	}
	all, longest, values := 0, 0, 0
	for _, c := range cells {
		if c.Size >= 0 {
			n := int(c.Size) - without
			all, longest, values = all+n, longest|n, values+1
		}
	}
	begin, at, value := len(v.data), len(v.data), 0
	v.data, v.ends = slices.Grow(v.data, all+lengthOctets*values+copied), slices.Grow(v.ends, values)
	out, ends := v.data[:begin+all+lengthOctets*values+copied], v.ends[len(v.ends):len(v.ends)+values]
	for _, c := range cells {
		if c.Size < 0 {
			continue
		}
		from, n := int(c.From)+without, int(c.Size)-without
		if n > copied || from+copied > len(data) {
			binary.LittleEndian.PutUint32(out[at:], uint32(n))
			copy(out[at+lengthOctets:], data[from:from+n])
		} else {
			copyShort((*[lengthOctets + copied]byte)(out[at:]), (*[copied]byte)(data[from:from+copied]), n)
		}
		at += lengthOctets + n
		ends[value] = at
		value++
	}
	v.data, v.ends = out[:at], v.ends[:len(v.ends)+values]
	v.place(cells, values)
	if longest < 0x80 { // then each length is ASCII, too
		return isASCII(v.data[begin:])
	}
	for i := len(v.ends) - values; i < len(v.ends); i++ {
		if !isASCII(v.octets(i)) {
			return false
		}
	}
	return true
}

// copyShort writes the length of a text and the octets that it begins with: those that are too many are overwritten by the next.
func copyShort(to *[lengthOctets + copied]byte, from *[copied]byte, n int) {
	a, b, c, d := binary.NativeEndian.Uint64(from[:]), binary.NativeEndian.Uint64(from[8:]), binary.NativeEndian.Uint64(from[16:]), binary.NativeEndian.Uint64(from[24:])
	binary.LittleEndian.PutUint32(to[:], uint32(n))
	binary.NativeEndian.PutUint64(to[4:], a)
	binary.NativeEndian.PutUint64(to[12:], b)
	binary.NativeEndian.PutUint64(to[20:], c)
	binary.NativeEndian.PutUint64(to[28:], d)
}

// isASCII reports whether there is nothing but ASCII.
func isASCII(x []byte) bool {
	const high = 0x8080808080808080
	var all uint64
	for ; len(x) >= 32; x = x[32:] {
		all |= binary.NativeEndian.Uint64(x) | binary.NativeEndian.Uint64(x[8:]) | binary.NativeEndian.Uint64(x[16:]) | binary.NativeEndian.Uint64(x[24:])
	}
	for ; len(x) >= 8; x = x[8:] {
		all |= binary.NativeEndian.Uint64(x)
	}
	for _, b := range x {
		all |= uint64(b)
	}
	return all&high == 0
}
