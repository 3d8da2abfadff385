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
	// slotsPerText is how many places the table has for each text that a dictionary may hold; it is a power of two.
	slotsPerText = 4
	// mostTextOctets is how large a dictionary of texts is at most.
	mostTextOctets = 256 << 10
)

// dictionary replaces values by the place of their first coming.
type dictionary struct {
	plain   []byte   // the different values in the encoding PLAIN
	count   int      // of them
	indices []uint32 // a place for each value

	least, most []byte // of the texts, cut to statsPrefix

	spelt int // octets that the values take in the encoding PLAIN, where texts come one by one

	table []uint32 // of places, counted from 1; 0 for none
	known []known  // the different texts
	seed  maphash.Seed
	keys  [4]uint64 // for texts that are not long
}

// known is a text of a dictionary.
type known struct {
	ends   [2]uint64 // its first and its last octets, which are all of a short text
	size   uint32
	at     uint32 // where it lies in plain
	beyond bool   // not ASCII alone
}

// shortText is how long a text may be for its ends to be all of it.
const shortText = 16

func newDictionary() dictionary {
	d := dictionary{seed: maphash.MakeSeed()}
	for i := range d.keys {
		d.keys[i] = maphash.Bytes(d.seed, []byte{byte(i)})
	}
	return d
}

// width returns how many bits a place takes.
func (d *dictionary) width() int { return max(bits.Len(uint(max(d.count-1, 0))), 1) }

// size returns about how many octets the dictionary and the places take.
func (d *dictionary) size() int { return len(d.plain) + len(d.indices)*d.width()/8 }

// reset empties the dictionary for so many values.
func (d *dictionary) reset(tableSize, values int) {
	d.plain, d.count, d.known, d.spelt = d.plain[:0], 0, d.known[:0], 0
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
	d.reset(mostTexts*slotsPerText, len(v.ends))
	begin := 0
	for i, end := range v.ends {
		place, ok := d.place(v.data[begin+lengthOctets : end])
		if !ok {
			return false
		}
		d.indices[i], begin = place, end
	}
	return true
}

// place returns the place of a text, which is added if it is new; false if there is no room for it.
func (d *dictionary) place(x []byte) (uint32, bool) {
	first, last := ends(x)
	slots := len(d.table) // a power of two
	slot := int(d.hash(x, first, last)) & (slots - 1)
	for {
		place := d.table[slot]
		if place == 0 {
			if d.count == slots/slotsPerText || len(d.plain)+len(x) > mostTextOctets {
				return 0, false
			}
			place = d.add(x, first, last)
			d.table[slot] = place
			return place - 1, true
		}
		if d.is(place-1, x, first, last) {
			return place - 1, true
		}
		slot = (slot + 1) & (slots - 1)
	}
}

// text returns the ith value, which is a text; it is valid until the dictionary is reset.
func (d *dictionary) text(i int) []byte {
	k := &d.known[d.indices[i]]
	return d.plain[k.at : k.at+k.size : k.at+k.size]
}

// add adds a text and returns its place, counted from 1.
func (d *dictionary) add(x []byte, first, last uint64) uint32 {
	begin := x[:min(len(x), statsPrefix)]
	if d.count == 0 || bytes.Compare(begin, d.least) < 0 {
		d.least = append(d.least[:0], begin...)
	}
	if d.count == 0 || bytes.Compare(begin, d.most) > 0 {
		d.most = append(d.most[:0], begin...)
	}
	d.known = append(d.known, known{[2]uint64{first, last}, uint32(len(x)), uint32(len(d.plain)) + lengthOctets, !isASCII(x)})
	d.plain = binary.LittleEndian.AppendUint32(d.plain, uint32(len(x)))
	d.plain = append(d.plain, x...)
	d.count++
	return uint32(d.count)
}

// ends returns a text's first and last octets, eight each, or all and none where it has fewer: every octet of a short text is in
// one of them.
func ends(x []byte) (first, last uint64) {
	n := len(x)
	switch {
	case n >= 8:
		return binary.LittleEndian.Uint64(x), binary.LittleEndian.Uint64(x[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(x)) | uint64(binary.LittleEndian.Uint32(x[n-4:]))<<(8*(n-4)), 0
	case n > 0:
		return uint64(x[0]) | uint64(x[n/2])<<(8*(n/2)) | uint64(x[n-1])<<(8*(n-1)), 0
	}
	return 0, 0
}

// hash returns a hash that nobody who writes texts can foresee. That of a text that is not long takes a multiplication or two.
func (d *dictionary) hash(x []byte, first, last uint64) uint64 {
	n := len(x)
	if n > 2*shortText {
		return maphash.Bytes(d.seed, x)
	}
	h := product(first^d.keys[0], last^d.keys[1]^uint64(n)<<56)
	if n > shortText {
		h ^= product(binary.LittleEndian.Uint64(x[8:])^d.keys[2], binary.LittleEndian.Uint64(x[n-16:])^d.keys[3])
	}
	return h
}

func product(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// is reports whether the text in that place is x.
func (d *dictionary) is(place uint32, x []byte, first, last uint64) bool {
	k := &d.known[place]
	if int(k.size) != len(x) || k.ends != [2]uint64{first, last} {
		return false
	}
	return len(x) <= shortText || string(d.plain[k.at:k.at+k.size]) == string(x)
}
