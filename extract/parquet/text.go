package parquet

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Texts returns each row as canonical text: for messages, keys and hashes. NULL is "NULL", instants end in "+00",
// bytes begin with \x, and a list is "[a b]".
func (v *Vector) Texts() []string {
	var out []string
	value := 0
	for i := range v.levels() {
		def, text := v.levelOf(i), "NULL"
		if def == v.present {
			text = v.text(value)
			value++
		}
		switch {
		case !v.isList || def == absent:
			out = append(out, text)
		case def == listEmpty:
			out = append(out, "[]")
		case v.rep[i] == 0:
			out = append(out, "["+text+"]")
		default:
			last := &out[len(out)-1]
			*last = strings.TrimSuffix(*last, "]") + " " + text + "]"
		}
	}
	return out
}

// Layouts of canonical text.
const (
	clockLayout = "15:04:05.999999"
	stampLayout = "2006-01-02 15:04:05.999999"
)

func (v *Vector) text(i int) string {
	switch v.layout {
	case inBools:
		return strconv.FormatBool(v.bools[i])
	case inDays:
		return time.Unix(int64(v.days[i])*86400, 0).UTC().Format(time.DateOnly)
	case inWide:
		return FormatDecimal(v.wide[i], v.leaf.Scale)
	case inFloats:
		return FormatFloat(v.floats[i])
	case inInts:
		return v.intText(v.ints[i])
	}
	if v.leaf.Kind == elt.Bytes {
		return `\x` + hex.EncodeToString(v.octets(i))
	}
	return string(v.octets(i))
}

func (v *Vector) intText(x int64) string {
	switch v.leaf.Kind {
	case elt.Uint64:
		return strconv.FormatUint(uint64(x), 10)
	case elt.Decimal:
		return FormatDecimal(ToInt128(x), v.leaf.Scale)
	case elt.TimeKind:
		return time.UnixMicro(x).UTC().Format(clockLayout)
	case elt.LocalTimestamp:
		return time.UnixMicro(x).UTC().Format(stampLayout)
	case elt.Timestamp:
		return time.UnixMicro(x).UTC().Format(stampLayout) + "+00"
	}
	return strconv.FormatInt(x, 10)
}

// FormatFloat returns the shortest decimal that reads back equal: "-0" is "0", infinities "inf" and "-inf".
func FormatFloat(f float64) string {
	switch {
	case f == 0:
		return "0"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
