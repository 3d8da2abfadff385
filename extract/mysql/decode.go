package mysql

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
)

// refuse refuses a value that can be shown as it came.
func refuse(raw []byte, why string) *extract.Misfit { return extract.Refuse(string(raw), why) }

// cutDigits reads decimal digits; ok is false for anything else, for none, and for more than a uint64 holds.
func cutDigits(raw []byte) (n uint64, ok bool) {
	const always = 19 // digits fit, whatever they are
	for i, c := range raw {
		d := uint64(c - '0')
		if d > 9 || i >= always && n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(raw) > 0
}

// cutSign takes a minus off.
func cutSign(raw []byte) (rest []byte, negative bool) {
	if len(raw) > 0 && raw[0] == '-' {
		return raw[1:], true
	}
	return raw, false
}

func decodeInt(to *parquet.Vector, raw []byte) error {
	digits, negative := cutSign(raw)
	n, ok := cutDigits(digits)
	switch {
	case ok && negative && n <= 1<<63:
		to.AppendInt(-int64(n))
	case ok && n <= math.MaxInt64:
		to.AppendInt(int64(n))
	default:
		return refuse(raw, "is no integer of 64 bits")
	}
	return nil
}

func decodeUint(to *parquet.Vector, raw []byte) error {
	n, ok := cutDigits(raw)
	if !ok {
		return refuse(raw, "is no unsigned integer of 64 bits")
	}
	to.AppendInt(int64(n))
	return nil
}

func decodeBits(to *parquet.Vector, raw []byte) error {
	if len(raw) > 8 {
		return refuse(raw, "has more than 64 bits")
	}
	var n uint64
	for _, b := range raw {
		n = n<<8 | uint64(b)
	}
	to.AppendInt(int64(n))
	return nil
}

func decodeBool(to *parquet.Vector, raw []byte) error {
	if len(raw) != 1 || raw[0] > 1 {
		return extract.Refuse(fmt.Sprintf(`\x%x`, raw), "is neither 0 nor 1")
	}
	to.AppendBool(raw[0] == 1)
	return nil
}

func decodeFloat(to *parquet.Vector, raw []byte) error {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return refuse(raw, "is no floating-point number")
	}
	to.AppendFloat(f)
	return nil
}

// decodeDecimal reads decimals, which the server writes with all digits of their scale.
func decodeDecimal(precision, scale int) decoder {
	return func(to *parquet.Vector, raw []byte) error {
		if n, ok := shortDecimal(raw, scale); ok {
			to.AppendDecimal(parquet.ToInt128(n))
			return nil
		}
		v, ok := parquet.ParseDecimal(string(raw), precision, scale)
		if !ok {
			return tooWide(raw, precision, scale)
		}
		to.AppendDecimal(v)
		return nil
	}
}

// decodeDeclared reads numbers whose column does not keep them from having more digits than that.
func decodeDeclared(precision, scale int) decoder {
	return func(to *parquet.Vector, raw []byte) error {
		v, ok := parquet.ParseDecimal(string(raw), precision, scale)
		if !ok {
			return tooWide(raw, precision, scale)
		}
		to.AppendDecimal(v)
		return nil
	}
}

// tooWide is the misfit of a number that has more digits than its column.
func tooWide(raw []byte, precision, scale int) *extract.Misfit {
	m := refuse(raw, fmt.Sprintf("does not fit decimal(%d,%d)", precision, scale))
	if nearest, ok := parquet.NearestDecimal(string(raw), precision, scale); ok {
		m.Nearest = func(to *parquet.Vector) { to.AppendDecimal(nearest) }
	}
	return m
}

// shortDecimal reads a decimal of at most 18 characters that has exactly that many digits after its point.
func shortDecimal(raw []byte, scale int) (n int64, ok bool) {
	digits, negative := cutSign(raw)
	const most = 18
	point := len(digits)
	if scale > 0 {
		point -= scale + 1
	}
	if len(digits) > most || point < 1 || scale > 0 && digits[point] != '.' {
		return 0, false
	}
	for i, c := range digits {
		if i == point {
			continue
		}
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func decodeBytes(to *parquet.Vector, raw []byte) error {
	to.AppendOctets(raw)
	return nil
}

// decodeGeometry reads the server's own form, an SRID before well-known binary. An SRID that is not 0 goes to
// where extended well-known binary has it.
func decodeGeometry(to *parquet.Vector, raw []byte) error {
	const head = 9 // SRID, byte order, type
	if len(raw) < head || raw[4] != 1 {
		return extract.Refuse(fmt.Sprintf(`\x%x`, raw[:min(len(raw), 64)]), "is no geometry as it is known")
	}
	srid, wkb := raw[:4], raw[4:]
	if binary.LittleEndian.Uint32(srid) == 0 {
		to.AppendOctets(wkb)
		return nil
	}
	const hasSRID = 0x20000000
	extended := make([]byte, 0, len(raw))
	extended = append(extended, wkb[0])
	extended = binary.LittleEndian.AppendUint32(extended, binary.LittleEndian.Uint32(wkb[1:])|hasSRID)
	extended = append(extended, srid...)
	to.AppendOctets(append(extended, wkb[5:]...))
	return nil
}
