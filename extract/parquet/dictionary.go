package parquet

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
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

	table []uint32 // of places, counted from 1; 0 for none
	begin []uint32 // where each text lies in plain
	seed  maphash.Seed
}

// width returns how many bits a place takes.
func (d *dictionary) width() int { return max(bits.Len(uint(max(d.count-1, 0))), 1) }

// size returns about how many octets the dictionary and the places take.
func (d *dictionary) size() int { return len(d.plain) + len(d.indices)*d.width()/8 }

func (d *dictionary) reset(tableSize int) {
	d.plain, d.count, d.indices, d.begin = d.plain[:0], 0, d.indices[:0], d.begin[:0]
	if cap(d.table) < tableSize {
		d.table = make([]uint32, tableSize)
	}
	d.table = d.table[:tableSize]
	clear(d.table)
}

// integers takes integers that lie between low and low+span.
func integers[T int32 | int64](d *dictionary, values []T, low T, span int, plain func([]byte, T) []byte) {
	d.reset(span + 1)
	for _, x := range values {
		place := &d.table[x-low]
		if *place == 0 {
			d.plain = plain(d.plain, x)
			d.count++
			*place = uint32(d.count)
		}
		d.indices = append(d.indices, *place-1)
	}
}

// texts takes a vector's octets, and reports whether there were few enough that differ.
func (d *dictionary) texts(v *Vector) bool {
	const slots = mostTexts * 4
	d.reset(slots)
	begin := 0
	for _, end := range v.ends {
		x := v.data[begin:end]
		begin = end
		slot := maphash.Bytes(d.seed, x) % slots
		for {
			place := d.table[slot]
			if place == 0 {
				if d.count == mostTexts || len(d.plain)+len(x) > mostTextOctets {
					return false
				}
				d.begin = append(d.begin, uint32(len(d.plain)))
				d.plain = binary.LittleEndian.AppendUint32(d.plain, uint32(len(x)))
				d.plain = append(d.plain, x...)
				d.count++
				d.table[slot] = uint32(d.count)
				d.indices = append(d.indices, uint32(d.count-1))
				break
			}
			if d.is(place-1, x) {
				d.indices = append(d.indices, place-1)
				break
			}
			slot = (slot + 1) % slots
		}
	}
	return true
}

// is reports whether the text in that place is x.
func (d *dictionary) is(place uint32, x []byte) bool {
	at := d.begin[place]
	n := binary.LittleEndian.Uint32(d.plain[at:])
	return int(n) == len(x) && bytes.Equal(d.plain[at+4:at+4+n], x)
}
