package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Signs of a binary numeric.
const (
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericPosInf   = 0xD000
	numericNegInf   = 0xF000
)

// powers are those powers of ten that a base-10000 digit is cut or shifted by.
var powers = [...]uint64{1, 10, 100, 1000, 10000}

// decodeNumeric reads numerics whose column allows that precision and scale.
func decodeNumeric(precision, scale int) decoder {
	return numericDecoder(precision, scale, precision <= shortDecimal)
}

// numericDecoder returns the decoder for vectors of int64, or of 128 bits.
func numericDecoder(precision, scale int, narrow bool) decoder {
	short := newShort(scale)
	one := func(to *parquet.Vector, raw []byte) error {
		if len(raw) < 8 {
			return errShort
		}
		head := binary.BigEndian.Uint64(raw)
		n, weight, sign := int(head>>48), int(int16(head>>32)), uint16(head>>16)
		if sign&0xC000 == numericNaN { // infinities have its bits
			return noNumber(sign, precision)
		}
		if len(raw) != 8+2*n {
			return errShort
		}
		if narrow && n <= shortDigits {
			if value, ok := short.read(raw[8:], weight+1-n); ok {
				if sign == numericNegative {
					value = -value
				}
				to.AppendInt(value)
				return nil
			}
		}
		value, ok := scaled(raw[8:], weight, scale)
		if !ok {
			return tooWide(raw[8:], weight, sign, precision, scale)
		}
		if sign == numericNegative {
			value = value.Neg()
		}
		to.AppendDecimal(value)
		return nil
	}
	if !narrow {
		return decoder{one: one}
	}
	return decoder{one, short.readAll}
}

// decodeNumericWithin reads numerics whose column does not keep them from having more digits than that.
func decodeNumericWithin(precision, scale int) decoder {
	decode, most := numericDecoder(precision, scale, false), parquet.MostDecimal(precision)
	wide := parquet.NewVector(elt.Type{Kind: elt.Decimal, Precision: elt.MaxPrecision, Scale: scale})
	return decoder{one: func(to *parquet.Vector, raw []byte) error {
		wide.Reset()
		if err := decode.one(wide, raw); err != nil {
			return err
		}
		value := wide.Decimal(0)
		if value.Abs().Compare(most) > 0 {
			return tooWide(raw[8:], int(int16(binary.BigEndian.Uint16(raw[2:]))), binary.BigEndian.Uint16(raw[4:]), precision, scale)
		}
		to.AppendDecimal(value)
		return nil
	}}
}

// noNumber is the misfit of a numeric that is no finite number.
func noNumber(sign uint16, precision int) *extract.Misfit {
	text := map[uint16]string{numericNaN: "NaN", numericPosInf: "Infinity", numericNegInf: "-Infinity"}[sign]
	m := extract.Refuse(text, "is no decimal")
	if nearest, ok := parquet.NearestDecimal(text, precision, 0); ok {
		m.Nearest = func(to *parquet.Vector) { to.AppendDecimal(nearest) }
	}
	return m
}

// tooWide is the misfit of a number that has more digits than its column.
func tooWide(digits []byte, weight int, sign uint16, precision, scale int) *extract.Misfit {
	text := numericText(digits, weight, sign)
	m := extract.Refuse(text, fmt.Sprintf("does not fit decimal(%d,%d)", precision, scale))
	if nearest, ok := parquet.NearestDecimal(text, precision, scale); ok {
		m.Nearest = func(to *parquet.Vector) { to.AppendDecimal(nearest) }
	}
	return m
}

// numericText writes the number of the base-10000 digits, the first worth 10000^weight.
func numericText(digits []byte, weight int, sign uint16) string {
	var b strings.Builder
	if sign == numericNegative {
		b.WriteByte('-')
	}
	if weight < 0 {
		b.WriteString("0.")
		for range -weight - 1 {
			b.WriteString("0000")
		}
	}
	for i := 0; i < len(digits)/2 || i <= weight; i++ {
		var d uint16
		if 2*i < len(digits) {
			d = binary.BigEndian.Uint16(digits[2*i:])
		}
		if i == weight+1 && weight >= 0 {
			b.WriteByte('.')
		}
		if i == 0 && weight >= 0 {
			fmt.Fprintf(&b, "%d", d)
		} else {
			fmt.Fprintf(&b, "%04d", d)
		}
	}
	return b.String()
}

const (
	// shortDecimal is how many decimal digits an int64 holds whatever they are.
	shortDecimal = 18
	// shortDigits is how many base-10000 digits may come before an int64 has no room for the decimal ones behind them.
	shortDigits = 3
)

// short reads numbers of few base-10000 digits, the last of which is cut by the end of the column's scale or stands right
// before that: most are.
type short struct {
	whole    int    // base-10000 digits of the scale before the one that it ends in
	up, down uint64 // ten to the power of what the scale takes of that digit, and of what it leaves
	inverse  uint64 // 2^32 ÷ down, rounded up: a base-10000 digit times that, shifted back, is divided by down
}

func newShort(scale int) short {
	whole := (scale+3)/4 - 1
	up := scale - 4*whole
	down := powers[4-up]
	return short{whole, powers[up], down, 1<<32/down + 1}
}

// read returns the number of the digits, at most shortDigits, behind which so many more would stand before the point, or
// of which so many stand behind it. It leaves the unusual to others.
func (s *short) read(digits []byte, tail int) (int64, bool) {
	var n uint64
	switch len(digits) {
	case 0:
		return 0, true
	case 4:
		n = uint64(binary.BigEndian.Uint16(digits))
	case 6:
		n = uint64(binary.BigEndian.Uint16(digits))*10000 + uint64(binary.BigEndian.Uint16(digits[2:]))
	}
	last := uint64(binary.BigEndian.Uint16(digits[len(digits)-2:]))
	switch tail + s.whole {
	case 0:
		return int64((n*10000 + last) * s.up), true
	case -1:
		share := last * s.inverse >> 32
		return int64(n*s.up + share), share*s.down == last
	}
	return 0, false
}

// scaled returns the number of the base-10000 digits, the first worth 10000^weight, times 10^scale.
func scaled(digits []byte, weight, scale int) (v parquet.Int128, ok bool) {
	if len(digits) == 0 {
		return v, true
	}
	// How many decimal digits come after the last digit of the number; below zero, how many of the last
	// base-10000 digit are zeros behind the scale.
	tail := 4*(weight-(len(digits)/2-1)) + scale
	for len(digits) > 0 {
		d := uint64(binary.BigEndian.Uint16(digits))
		digits = digits[2:]
		base := powers[4]
		if len(digits) == 0 && tail < 0 {
			if tail < -4 || d%powers[-tail] != 0 {
				return v, false
			}
			base, d = powers[4+tail], d/powers[-tail]
		}
		if v, ok = v.MulAdd(base, d); !ok {
			return v, false
		}
	}
	for ; tail > 0; tail -= 4 {
		if v, ok = v.MulAdd(powers[min(tail, 4)], 0); !ok {
			return v, false
		}
	}
	return v, true
}
