package postgres

import (
	"encoding/binary"
	"fmt"

	"github.com/daybreak-data/daybreak/extract/parquet"
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
	return func(to *parquet.Vector, raw []byte) error {
		if len(raw) < 8 {
			return errShort
		}
		n := int(binary.BigEndian.Uint16(raw))
		weight := int(int16(binary.BigEndian.Uint16(raw[2:])))
		sign := binary.BigEndian.Uint16(raw[4:])
		switch sign {
		case numericNaN:
			return &unfit{"NaN", "is no decimal"}
		case numericPosInf:
			return &unfit{"Infinity", "is no decimal"}
		case numericNegInf:
			return &unfit{"-Infinity", "is no decimal"}
		}
		if len(raw) != 8+2*n {
			return errShort
		}
		value, ok := scaled(raw[8:], weight, scale)
		if !ok {
			return &unfit{"a numeric", fmt.Sprintf("does not fit decimal(%d,%d)", precision, scale)}
		}
		if sign == numericNegative {
			value = value.Neg()
		}
		to.AppendDecimal(value)
		return nil
	}
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
