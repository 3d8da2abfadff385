package parquet

import (
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// MaxPrecision is the number of digits of the widest decimal that has a type of its own.
const MaxPrecision = elt.MaxPrecision

// ParseDecimal reads text such as "-12.3" or "1.5e3" as a decimal with that precision and scale, scaled to an
// integer. ok is false when the text is no number or when the value would have to be rounded or cut.
func ParseDecimal(text string, precision, scale int) (v Int128, ok bool) {
	negative := strings.HasPrefix(text, "-")
	mantissa := strings.TrimLeft(text, "+-")
	if len(text)-len(mantissa) > 1 {
		return v, false
	}
	mantissa, exponent, ok := cutExponent(mantissa)
	if !ok {
		return v, false
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" {
		return v, false
	}
	digits := whole + fraction
	// The value is digits × 10^(exponent-len(fraction)); what is kept is that × 10^scale.
	shift := exponent - len(fraction) + scale
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return v, false
		}
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return v, true
	}
	if shift < 0 {
		kept := strings.TrimRight(digits, "0")
		if len(digits)-len(kept) < -shift {
			return v, false
		}
		digits, shift = digits[:len(digits)+shift], 0
	}
	if len(digits)+shift > precision {
		return v, false
	}
	for i := range len(digits) + shift {
		d := uint64(0)
		if i < len(digits) {
			d = uint64(digits[i] - '0')
		}
		if v, ok = v.MulAdd(10, d); !ok {
			return v, false
		}
	}
	if negative {
		v = v.Neg()
	}
	return v, true
}

// cutExponent splits "1.5e3" into "1.5" and 3.
func cutExponent(s string) (mantissa string, exponent int, ok bool) {
	at := strings.IndexAny(s, "eE")
	if at < 0 {
		return s, 0, true
	}
	mantissa, tail := s[:at], s[at+1:]
	sign := 1
	if tail != "" && (tail[0] == '-' || tail[0] == '+') {
		if tail[0] == '-' {
			sign = -1
		}
		tail = tail[1:]
	}
	if tail == "" || len(tail) > 6 {
		return "", 0, false
	}
	for i := range len(tail) {
		if tail[i] < '0' || tail[i] > '9' {
			return "", 0, false
		}
		exponent = exponent*10 + int(tail[i]-'0')
	}
	return mantissa, sign * exponent, true
}

// FormatDecimal returns the scaled integer v as a decimal with all of its scale: 120 with scale 2 is "1.20".
func FormatDecimal(v Int128, scale int) string {
	s := v.String()
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if scale == 0 {
		return sign + s
	}
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}
