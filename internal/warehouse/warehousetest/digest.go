package warehousetest

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Digest computes the digest of the rows, as extract/parquet describes it and in another way than that package does.
func Digest(schema elt.Schema, rows []Row) elt.RowDigest {
	sums := [2]*big.Int{new(big.Int), new(big.Int)}
	for _, r := range rows {
		var text strings.Builder
		for i, c := range schema {
			text.WriteString(field(c.Type, r[i]))
		}
		hash := fmt.Sprintf("%x", md5.Sum([]byte(text.String())))
		for i, from := range []int{0, 16} {
			slice, _ := new(big.Int).SetString(hash[from:from+15], 16)
			sums[i].Add(sums[i], slice)
		}
	}
	return elt.RowDigest{Rows: int64(len(rows)), A: sums[0].String(), B: sums[1].String()}
}

func field(t elt.Type, value any) string {
	if value == nil {
		return "-"
	}
	text := ""
	switch v := value.(type) {
	case bool:
		text = map[bool]string{false: "0", true: "1"}[v]
	case float64:
		text = scientific(v)
	case []byte:
		text = hex.EncodeToString(v)
	case []any:
		for _, e := range v {
			text += field(*t.Elem, e)
		}
	default: // integers, and text
		text = fmt.Sprint(v)
	}
	return strconv.Itoa(len(text)) + ":" + text
}

// scientific is 1.5 as 15e0.
func scientific(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return map[bool]string{true: "inf", false: "-inf"}[f > 0]
	case f == 0:
		return "0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(mantissa, ".", "") + "e" + strconv.Itoa(n)
}
