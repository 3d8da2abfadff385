package parquet

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// The encodings of the Parquet format that this package writes, besides PLAIN.

// longRun is how often a value must come in a row to be written as a run rather than in packed bits.
const longRun = 16

// appendHybrid appends small values, each of width bits, in the encoding RLE: runs of equal values and groups of
// eight packed ones.
func appendHybrid[T int16 | uint32](to []byte, values []T, width int) []byte {
	for i := 0; i < len(values); {
		if n := runLength(values[i:]); n >= longRun || n == len(values)-i {
			to = appendRun(to, values[i], n, width)
			i += n
			continue
		}
		end := i
		for end < len(values) {
			end = min(end+8, len(values))
			if end+longRun <= len(values) && values[end] == values[end+1] && runLength(values[end:end+longRun]) == longRun {
				break
			}
		}
		groups := (end - i + 7) / 8
		to = binary.AppendUvarint(to, uint64(groups)<<1|1)
		to = appendPacked(to, values[i:end], width, groups*8)
		i = end
	}
	return to
}

// appendRun appends a value that comes so often.
func appendRun[T int16 | uint32](to []byte, value T, times, width int) []byte {
	to = binary.AppendUvarint(to, uint64(times)<<1)
	for shift := 0; shift < width; shift += 8 {
		to = append(to, byte(uint32(value)>>shift))
	}
	return to
}

// runLength returns how many values at the beginning are equal.
func runLength[T int16 | uint32](values []T) int {
	n := 1
	for n < len(values) && values[n] == values[0] {
		n++
	}
	return n
}

// appendPacked appends values of width bits each, the least significant bit first, and zeros up to count values.
func appendPacked[T int16 | uint32 | uint64](to []byte, values []T, width, count int) []byte {
	whole := len(to) + (width*count+7)/8
	if width <= widestEights {
		to = slices.Grow(to, whole-len(to)+2*8)
		for ; len(values) >= 8; values = values[8:] {
			to = appendEight(to, (*[8]T)(values), width)
		}
	}
	var word uint64
	used := 0
	for _, x := range values {
		word |= uint64(x) << used
		if used += width; used >= 64 {
			to = binary.LittleEndian.AppendUint64(to, word)
			used -= 64
			word = uint64(x) >> (width - used)
		}
	}
	for ; len(to) < whole; word >>= 8 {
		to = append(to, byte(word))
	}
	return to
}

// widestEights is how wide values may be that are packed eight at a time.
const widestEights = 15

// appendEight appends eight values of width bits each, which are as many octets. There is room for 16.
func appendEight[T int16 | uint32 | uint64](to []byte, x *[8]T, width int) []byte {
	w := uint(width) & widestEights
	low := uint64(x[0]) | uint64(x[1])<<w | uint64(x[2])<<(2*w) | uint64(x[3])<<(3*w)
	high := uint64(x[4]) | uint64(x[5])<<w | uint64(x[6])<<(2*w) | uint64(x[7])<<(3*w)
	n := len(to)
	word := to[n : n+16]
	binary.LittleEndian.PutUint64(word, low|high<<(4*w))
	if width > 8 {
		binary.LittleEndian.PutUint64(word[8:], high>>(64-4*w))
	}
	return to[:n+width]
}

const (
	deltaBlock = 128 // values for which there is one least difference
	deltaMini  = 32  // values for which there is one width
)

// appendDeltas appends integers in the encoding DELTA_BINARY_PACKED: each as its difference to the one before. It gives
// up, and returns false, when that takes more than limit octets. Differences wrap around in the integers' own width,
// as readers expect.
func appendDeltas[T int32 | int64](to []byte, values []T, limit int) ([]byte, bool) {
	limit += len(to)
	to = binary.AppendUvarint(to, deltaBlock)
	to = binary.AppendUvarint(to, deltaBlock/deltaMini)
	to = binary.AppendUvarint(to, uint64(len(values)))
	if len(values) == 0 {
		return binary.AppendVarint(to, 0), true
	}
	to = binary.AppendVarint(to, int64(values[0]))
	var deltas [deltaBlock]T
	var packed [deltaBlock]uint64
	for last, rest := values[0], values[1:]; len(rest) > 0; {
		n := min(len(rest), deltaBlock)
		least := rest[0] - last
		for i, x := range rest[:n] {
			deltas[i] = x - last
			least, last = min(least, deltas[i]), x
		}
		to = binary.AppendVarint(to, int64(least))
		widths := len(to)
		to = append(to, 0, 0, 0, 0)
		for from := 0; from < n; from += deltaMini {
			end := min(from+deltaMini, n)
			var all uint64
			for i := from; i < end; i++ {
				packed[i] = unsigned(deltas[i] - least)
				all |= packed[i]
			}
			width := bits.Len64(all)
			to[widths+from/deltaMini] = byte(width)
			to = appendPacked(to, packed[from:end], width, deltaMini)
		}
		if len(to) > limit {
			return to, false
		}
		rest = rest[n:]
	}
	return to, true
}

// unsigned returns the bits of x.
func unsigned[T int32 | int64](x T) uint64 {
	if _, narrow := any(x).(int32); narrow {
		return uint64(uint32(x))
	}
	return uint64(x)
}

// appendPlain appends the values from one to another in the encoding PLAIN, in which octets are already.
func (v *Vector) appendPlain(to []byte, from, until int) []byte {
	switch v.layout {
	case inBools:
		for i := from; i < until; i += 8 {
			var octet byte
			for k, x := range v.bools[i:min(i+8, until)] {
				if x {
					octet |= 1 << k
				}
			}
			to = append(to, octet)
		}
	case inDays:
		for _, x := range v.days[from:until] {
			to = binary.LittleEndian.AppendUint32(to, uint32(x))
		}
	case inInts:
		for _, x := range v.ints[from:until] {
			to = binary.LittleEndian.AppendUint64(to, uint64(x))
		}
	case inFloats:
		for _, x := range v.floats[from:until] {
			to = binary.LittleEndian.AppendUint64(to, math.Float64bits(x))
		}
	case inWide:
		for _, x := range v.wide[from:until] {
			to = x.bigEndian(to)
		}
	}
	return to
}
