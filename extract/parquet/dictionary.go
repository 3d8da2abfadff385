package parquet

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
)

const (
	// widestSpan is how far the least and the greatest integer may be apart for a dictionary that is found by looking them
	// up in a table.
	widestSpan = 1 << 16
	// mostTexts is how many different texts a dictionary holds at most; it is a power of two.
	mostTexts = 1 << 13
	// mostTextOctets is how large a dictionary of texts is at most.
	mostTextOctets = 256 << 10
)

// dictionary replaces values by the place of their first coming.
type dictionary struct {
	plain   []byte   // the different values in the encoding PLAIN
	count   int      // of them
	indices []uint32 // a place for each value

	least, most []byte // of the texts, cut to statsPrefix

	table []uint32 // of places, counted from 1; 0 for none
	begin []uint32 // where each text lies in plain
	seed  maphash.Seed
	keys  [2]uint64 // for short texts
}

func newDictionary() dictionary {
	seed := maphash.MakeSeed()
	return dictionary{seed: seed, keys: [2]uint64{maphash.String(seed, "a"), maphash.String(seed, "b")}}
}

// width returns how many bits a place takes.
func (d *dictionary) width() int { return max(bits.Len(uint(max(d.count-1, 0))), 1) }

// size returns about how many octets the dictionary and the places take.
func (d *dictionary) size() int { return len(d.plain) + len(d.indices)*d.width()/8 }

// reset empties the dictionary for so many values.
func (d *dictionary) reset(tableSize, values int) {
	d.plain, d.count, d.begin = d.plain[:0], 0, d.begin[:0]
	d.indices = slices.Grow(d.indices[:0], values)[:values]
	if cap(d.table) < tableSize {
		d.table = make([]uint32, tableSize)
	}
	d.table = d.table[:tableSize]
	clear(d.table)
}

// integers takes integers that lie between low and low+span.
func integers[T int32 | int64](d *dictionary, values []T, low T, span int, plain func([]byte, T) []byte) {
	d.reset(span+1, len(values))
	for i, x := range values {
		place := &d.table[x-low]
		if *place == 0 {
			d.plain = plain(d.plain, x)
			d.count++
			*place = uint32(d.count)
		}
		d.indices[i] = *place - 1
	}
}

// texts takes a vector's octets, and reports whether there were few enough that differ.
func (d *dictionary) texts(v *Vector) bool {
	const slots = mostTexts * 4
	d.reset(slots, len(v.ends))
	begin := 0
	for i, end := range v.ends {
		x := v.data[begin+lengthOctets : end]
		begin = end
		slot := d.hash(x) % slots
		for {
			place := d.table[slot]
			if place == 0 {
				if d.count == mostTexts || len(d.plain)+len(x) > mostTextOctets {
					return false
				}
				place = d.add(x)
				d.table[slot] = place
			}
			if d.is(place-1, x) {
				d.indices[i] = place - 1
				break
			}
			slot = (slot + 1) % slots
		}
	}
	return true
}

// add adds a text and returns its place, counted from 1.
func (d *dictionary) add(x []byte) uint32 {
	begin := x[:min(len(x), statsPrefix)]
	if d.count == 0 || bytes.Compare(begin, d.least) < 0 {
		d.least = append(d.least[:0], begin...)
	}
	if d.count == 0 || bytes.Compare(begin, d.most) > 0 {
		d.most = append(d.most[:0], begin...)
	}
	d.begin = append(d.begin, uint32(len(d.plain)))
	d.plain = binary.LittleEndian.AppendUint32(d.plain, uint32(len(x)))
	d.plain = append(d.plain, x...)
	d.count++
	return uint32(d.count)
}

// hash returns a hash that nobody who writes texts can foresee. A short text's takes two looks and a multiplication.
func (d *dictionary) hash(x []byte) uint64 {
	n := len(x)
	var a, b uint64
	switch {
	case n > 16:
		return maphash.Bytes(d.seed, x)
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(x), binary.LittleEndian.Uint64(x[n-8:])
	case n >= 4:
		a, b = uint64(binary.LittleEndian.Uint32(x)), uint64(binary.LittleEndian.Uint32(x[n-4:]))
	case n > 0:
		a = uint64(x[0]) | uint64(x[n/2])<<8 | uint64(x[n-1])<<16
	}
	high, low := bits.Mul64(a^d.keys[0], b^d.keys[1]^uint64(n)<<56)
	return high ^ low
}

// is reports whether the text in that place is x.
func (d *dictionary) is(place uint32, x []byte) bool {
	at := d.begin[place]
	n := binary.LittleEndian.Uint32(d.plain[at:])
	return int(n) == len(x) && string(d.plain[at+4:at+4+n]) == string(x)
}
