package warehousetest

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var kinds = []elt.Kind{
	elt.Bool, elt.Int64, elt.Uint64, elt.Float64, elt.Decimal, elt.String, elt.Bytes, elt.DateKind, elt.TimeKind,
	elt.Timestamp, elt.LocalTimestamp, elt.JSON, elt.UUID, elt.List,
}

// The widest instants that are surely held by every warehouse: years 1 to 9999.
const (
	firstMicro, lastMicro = -62135596800000000, 253402300799999999
	firstDay, lastDay     = -719162, 2932896
)

// RandomSchema draws a column of every kind, decimals and lists with parameters of their own, within the limits.
func RandomSchema(t *rapid.T, l Limits) elt.Schema {
	schema := make(elt.Schema, len(kinds))
	for i, k := range kinds {
		schema[i] = elt.Column{Name: fmt.Sprintf("%s_%d", k, i), Type: randomType(t, k, l), Nullable: true}
	}
	return schema
}

func randomType(t *rapid.T, k elt.Kind, l Limits) elt.Type {
	typ := elt.Type{Kind: k}
	switch k {
	case elt.Decimal:
		typ.Precision = rapid.IntRange(1, 38).Draw(t, "precision")
		typ.Scale = rapid.IntRange(0, typ.Precision).Draw(t, "scale")
	case elt.List:
		elements := slices.DeleteFunc(slices.Clone(kinds[:len(kinds)-1]), func(of elt.Kind) bool { return !l.holds(elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: of}}) })
		elem := randomType(t, rapid.SampledFrom(elements).Draw(t, "element"), l)
		typ.Elem = &elem
	}
	return typ
}

// RandomRows draws rows of the schema, with NULLs and the kinds' extremes among them.
func RandomRows(t *rapid.T, schema elt.Schema) []Row {
	rows := make([]Row, rapid.IntRange(0, 12).Draw(t, "rows"))
	for i := range rows {
		rows[i] = make(Row, len(schema))
		for j, c := range schema {
			if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
				rows[i][j] = randomValue(t, c.Type)
			}
		}
	}
	return rows
}

func randomValue(t *rapid.T, typ elt.Type) any {
	switch typ.Kind {
	case elt.Bool:
		return rapid.Bool().Draw(t, "bool")
	case elt.Int64:
		return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, math.MinInt64, math.MaxInt64})).Draw(t, "int64")
	case elt.Uint64:
		return rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, math.MaxUint64})).Draw(t, "uint64")
	case elt.Float64:
		return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1),
			math.SmallestNonzeroFloat64, math.MaxFloat64, -1e-5, 1e21, 0.1})).Draw(t, "float64")
	case elt.Decimal:
		return randomDecimal(t, typ.Precision)
	case elt.String:
		return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", "é", "日本", "a\x00b", "''", "\\x41", longText})).Draw(t, "string")
	case elt.Bytes:
		return rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.SampledFrom([][]byte{{}, {0}, {255}, []byte("\\x41")})).Draw(t, "bytes")
	case elt.DateKind:
		return rapid.OneOf(rapid.Int64Range(firstDay, lastDay), rapid.SampledFrom([]int64{firstDay, -1, 0, lastDay})).Draw(t, "date")
	case elt.TimeKind:
		return rapid.OneOf(rapid.Int64Range(0, 86399999999), rapid.SampledFrom([]int64{0, 1, 86399999999})).Draw(t, "time")
	case elt.Timestamp, elt.LocalTimestamp:
		return rapid.OneOf(rapid.Int64Range(firstMicro, lastMicro), rapid.SampledFrom([]int64{firstMicro, -1, 0, 1, lastMicro})).Draw(t, "instant")
	case elt.JSON:
		return rapid.SampledFrom([]string{`{"a": 1.10, "a": 18446744073709551616}`, `[]`, ` null `, `"é"`, `1e400`, `{"u":"\u0000"}`, `0.1000`}).Draw(t, "json")
	case elt.UUID:
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	}
	list := make([]any, rapid.IntRange(0, 3).Draw(t, "elements"))
	for i := range list {
		if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
			list[i] = randomValue(t, *typ.Elem)
		}
	}
	return list
}

// longText is longer than what min and max keep, and cut there in the middle of a character.
const longText = "éééééééééééééééééééééééééééééééxéééééééééééééééééééééé"

// randomDecimal draws a scaled integer of at most that many digits, its extremes among them.
func randomDecimal(t *rapid.T, precision int) *big.Int {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	limit.Sub(limit, big.NewInt(1))
	switch rapid.IntRange(0, 5).Draw(t, "decimal") {
	case 0:
		return limit
	case 1:
		return new(big.Int).Neg(limit)
	}
	n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "digits"))
	n.Rem(n, limit.Add(limit, big.NewInt(1)))
	if rapid.Bool().Draw(t, "negative") {
		n.Neg(n)
	}
	return n
}
