package parquet

import (
	"math/big"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// mostExponent bounds what is computed exactly: beyond it, a number is the type's greatest or zero.
const mostExponent = 20_000

// NearestDecimal returns the decimal of that precision and scale that is nearest to the number which text is; halves go
// away from zero, and what is too large becomes the greatest. ok is false when the text is no number.
func NearestDecimal(text string, precision, scale int) (v Int128, ok bool) {
	switch text {
	case "Infinity", "inf", "+Inf":
		return MostDecimal(precision), true
	case "-Infinity", "-inf", "-Inf":
		return MostDecimal(precision).Neg(), true
	}
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return v, false
	}
	if _, exponent, valid := cutExponent(text); !valid || exponent > mostExponent || exponent < -mostExponent {
		return v, false
	}
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		return v, false
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	number.Mul(number, new(big.Rat).SetInt(unit))
	// Twice the number, rounded towards zero, and one more for a half: an integer division rounds it.
	double := new(big.Int).Mul(new(big.Int).Abs(number.Num()), big.NewInt(2))
	double.Add(double, number.Denom())
	rounded := double.Quo(double, new(big.Int).Mul(number.Denom(), big.NewInt(2)))
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	most.Sub(most, big.NewInt(1))
	if rounded.Cmp(most) > 0 {
		rounded = most
	}
	digits := rounded.String()
	if number.Sign() < 0 {
		digits = "-" + digits
	}
	return ParseDecimal(digits, elt.MaxPrecision, 0)
}

// MostDecimal returns the greatest integer of that many digits.
func MostDecimal(precision int) (v Int128) {
	for range precision {
		v, _ = v.MulAdd(10, 9)
	}
	return v
}
