package postgres

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
)

// What follows reads the values of several rows at once, as the decoders of the same names read each. They return false for
// what is unusual, and leave it to those.

func decodeAllBool(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	out, n := to.RoomForBools(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case 1:
			out[n] = data[c.From] != 0
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

// decodeAllInts reads integers as wide as T.
func decodeAllInts[T int16 | int32 | int64 | uint32](to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	width := int32(unsafe.Sizeof(T(0)))
	out, n := to.RoomForInts(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case width:
			switch octets := data[c.From:]; width { // which is known when this is compiled for T
			case 2:
				out[n] = int64(T(binary.BigEndian.Uint16(octets)))
			case 4:
				out[n] = int64(T(binary.BigEndian.Uint32(octets)))
			default:
				out[n] = int64(binary.BigEndian.Uint64(octets))
			}
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

func decodeAllFloat4(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	out, n := to.RoomForFloats(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case 4:
			out[n] = float64(math.Float32frombits(binary.BigEndian.Uint32(data[c.From:])))
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

func decodeAllFloat8(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	out, n := to.RoomForFloats(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case 8:
			out[n] = math.Float64frombits(binary.BigEndian.Uint64(data[c.From:]))
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

func decodeAllDate(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	out, n := to.RoomForDays(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case 4:
			days := int64(int32(binary.BigEndian.Uint32(data[c.From:]))) + epochDays
			if days < minDays || days > maxDays {
				return false
			}
			out[n] = int32(days)
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

func decodeAllTime(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	return decodeAllMicros(to, data, cells, math.MinInt64, dayMicros-1, 0)
}

func decodeAllTimestamp(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	return decodeAllMicros(to, data, cells, minMicros-epochMicros, maxMicros-epochMicros, epochMicros)
}

// decodeAllMicros reads microseconds that are counted from an epoch, if all of them are within bounds.
func decodeAllMicros(to *parquet.Vector, data []byte, cells []parquet.Cell, least, most, epoch int64) bool {
	out, n := to.RoomForInts(len(cells)), 0
	for _, c := range cells {
		switch c.Size {
		case 8:
			micros := int64(binary.BigEndian.Uint64(data[c.From:]))
			if micros < least || micros > most {
				return false
			}
			out[n] = micros + epoch
			n++
		case -1:
		default:
			return false
		}
	}
	to.Filled(cells, n)
	return true
}

func decodeAllBytes(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	to.AppendCells(data, cells, 0)
	return true
}

func decodeAllJSONB(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	for _, c := range cells {
		if c.Size == 0 || c.Size > 0 && data[c.From] != 1 {
			return false
		}
	}
	return extract.AppendTexts(to, data, cells, 1)
}

// readAll reads numbers of a column that are all short.
func (s *short) readAll(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	out, n := to.RoomForInts(len(cells)), 0
	whole, up, down, inverse := s.whole, s.up, s.down, s.inverse
	for _, c := range cells {
		if c.Size < 0 {
			continue
		}
		from := int(c.From)
		head := binary.BigEndian.Uint64(data[from : from+8])
		digits, weight, sign := int(head>>48), int(int16(head>>32)), uint16(head>>16)
		if int(c.Size) != 8+2*digits || sign&^numericNegative != 0 {
			return false
		}
		var first, last uint64
		switch digits {
		case 0:
			out[n] = 0
			n++
			continue
		case 1:
			last = uint64(binary.BigEndian.Uint16(data[from+8 : from+10]))
		case 2:
			both := binary.BigEndian.Uint32(data[from+8 : from+12])
			first, last = uint64(both>>16), uint64(both&0xffff)
		case 3:
			first = uint64(binary.BigEndian.Uint16(data[from+8:from+10]))*10000 + uint64(binary.BigEndian.Uint16(data[from+10:from+12]))
			last = uint64(binary.BigEndian.Uint16(data[from+12 : from+14]))
		default:
			return false
		}
		var value uint64
		switch weight + 1 - digits + whole {
		case 0:
			value = (first*10000 + last) * up
		case -1:
			share := last * inverse >> 32
			if share*down != last {
				return false
			}
			value = first*up + share
		default:
			return false
		}
		if sign != 0 {
			value = -value
		}
		out[n] = int64(value)
		n++
	}
	to.Filled(cells, n)
	return true
}
