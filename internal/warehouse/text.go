package warehouse

import "strconv"

// FloatText returns the shortest decimal that reads back equal: 0 for both zeros, inf, -inf.
func FloatText(f float64) string {
	switch text := strconv.FormatFloat(f, 'g', -1, 64); text {
	case "-0":
		return "0"
	case "+Inf":
		return "inf"
	case "-Inf":
		return "-inf"
	default:
		return text
	}
}
