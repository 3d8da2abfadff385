package parquet

import (
	"encoding/binary"
	"slices"
)

// fewTexts is how many different texts a batch has at most of a column whose next ones are not copied, but looked up in a
// dictionary while they are appended; it is a power of two. Which dictionary is written is not changed by it.
const fewTexts = 512

// code has an empty vector of octets, about so many, take places of a dictionary in their stead.
func (v *Vector) code(values int) {
	if v.places == nil {
		d := newDictionary()
		v.places = &d
	}
	v.places.reset(fewTexts*slotsPerText, values)
	v.places.indices = v.places.indices[:0]
	v.coded, v.data, v.ends = true, nil, nil // which need no memory now
}

// spell has the vector hold its octets again, and not their places.
func (v *Vector) spell() {
	v.coded, v.few = false, false
	v.data, v.ends = slices.Grow(v.data, v.places.spelt), slices.Grow(v.ends, len(v.places.indices))
	for i := range v.places.indices {
		x := v.places.text(i)
		copy(v.append(len(x)), x)
	}
}

// appendPlace appends the place of a value, or nothing and returns false: then the vector holds octets again.
func (v *Vector) appendPlace(x []byte) bool {
	d := v.places
	place, ok := d.place(x)
	if !ok {
		v.spell()
		return false
	}
	d.indices, d.spelt = append(d.indices, place), d.spelt+lengthOctets+len(x)
	v.value()
	return true
}

// placeCells is AppendCells for places, or appends nothing and returns ok false: then the vector holds octets again.
func (v *Vector) placeCells(data []byte, cells []Cell, without int) (ascii, ok bool) {
	d, before, spelt, beyond := v.places, len(v.places.indices), v.places.spelt, false
	d.indices = slices.Grow(d.indices, len(cells))
	for rest := cells; ; {
		n, odd := d.soon(data, rest, without)
		beyond = beyond || odd
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		c := rest[0]
		place, ok := d.place(data[int(c.From)+without : int(c.From)+int(c.Size)])
		if !ok {
			d.indices, d.spelt = d.indices[:before], spelt
			v.spell()
			return false, false
		}
		d.indices, d.spelt = append(d.indices, place), d.spelt+lengthOctets+int(c.Size)-without
		beyond, rest = beyond || d.known[place].beyond, rest[1:]
	}
	v.place(cells, len(d.indices)-before)
	return !beyond, true
}

// soon appends the places of the cells' values, as long as these are not long and lie where they are looked for first. It returns
// how many cells it has settled, and whether one of them is not ASCII alone. It calls nothing, which would take longer than all of it.
func (d *dictionary) soon(data []byte, cells []Cell, without int) (settled int, beyond bool) {
	const longest = 2 * shortText
	keys, table, known, plain := d.keys, d.table, d.known, d.plain
	out, value := d.indices[len(d.indices):cap(d.indices)], 0
	spelt := 0
	for _, c := range cells {
		if c.Size < 0 {
			settled++
			continue
		}
		from, n := int(c.From)+without, int(c.Size)-without
		if n-1 >= longest || n < 1 || from+longest > len(data) {
			break
		}
		x := (*[longest]byte)(data[from:])
		first, last := binary.LittleEndian.Uint64(x[:]), uint64(0)
		if n < 8 {
			first &= 1<<(8*n&63) - 1
		} else {
			last = binary.LittleEndian.Uint64(x[(n-8)&(longest-1):][:8])
		}
		h, second, third := product(first^keys[0], last^keys[1]^uint64(n)<<56), uint64(0), uint64(0)
		if n > shortText {
			second, third = binary.LittleEndian.Uint64(x[8:]), binary.LittleEndian.Uint64(x[n-shortText:][:8])
			h ^= product(second^keys[2], third^keys[3])
		}
		place := table[h&uint64(len(table)-1)] - 1
		if int(place) >= len(known) {
			break
		}
		k := &known[place]
		if int(k.size) != n || k.ends[0] != first || k.ends[1] != last {
			break
		}
		if n > shortText {
			text := plain[k.at:][:n]
			if binary.LittleEndian.Uint64(text[8:]) != second || binary.LittleEndian.Uint64(text[n-shortText:]) != third {
				break
			}
		}
		beyond = beyond || k.beyond
		out[value] = place
		spelt += n
		value++
		settled++
	}
	d.indices, d.spelt = d.indices[:len(d.indices)+value], d.spelt+spelt+value*lengthOctets
	return settled, beyond
}
