package warehousetest

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A Row holds one value for each column: nil for NULL, or by the column's kind
//
//	bool                                       bool
//	int64, date (days since 1970-01-01)        int64
//	time, timestamp, local_timestamp           int64, microseconds since midnight or since 1970-01-01
//	uint64                                     uint64
//	float64                                    float64
//	decimal                                    *big.Int, the scaled integer
//	string, json, uuid                         string
//	bytes                                      []byte
//	list                                       []any of the element's kind
type Row []any

// Stats computes the facts of the rows.
func Stats(schema elt.Schema, rows []Row) elt.TableStats {
	stats := elt.TableStats{Rows: int64(len(rows)), Columns: make([]elt.ColumnStats, len(schema))}
	for i, c := range schema {
		var values []any
		for _, r := range rows {
			if r[i] != nil {
				values = append(values, r[i])
			}
		}
		stats.Columns[i] = columnStats(c, values)
	}
	return stats
}

func columnStats(c elt.Column, values []any) elt.ColumnStats {
	s := elt.ColumnStats{Column: c.Name, NonNull: int64(len(values))}
	if len(values) == 0 {
		return s
	}
	switch c.Type.Kind {
	case elt.List:
		for _, v := range values {
			s.Length += int64(len(v.([]any)))
		}
	case elt.Float64:
		floatStats(&s, values)
	case elt.String, elt.JSON, elt.UUID, elt.Bytes:
		octets := make([][]byte, len(values))
		for i, v := range values {
			if text, ok := v.(string); ok {
				octets[i] = []byte(text)
			} else {
				octets[i] = v.([]byte)
			}
			s.Length += int64(len(octets[i]))
		}
		least, greatest := slices.MinFunc(octets, bytes.Compare), slices.MaxFunc(octets, bytes.Compare)
		s.Min, s.Max = hex.EncodeToString(least[:min(64, len(least))]), hex.EncodeToString(greatest[:min(64, len(greatest))])
	default:
		numbers := make([]*big.Int, len(values))
		sum := new(big.Int)
		for i, v := range values {
			numbers[i] = integer(v)
			sum.Add(sum, numbers[i])
		}
		s.Sum = sum.String()
		s.Min, s.Max = slices.MinFunc(numbers, (*big.Int).Cmp).String(), slices.MaxFunc(numbers, (*big.Int).Cmp).String()
	}
	return s
}

func integer(v any) *big.Int {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewInt(1)
		}
		return new(big.Int)
	case int64:
		return big.NewInt(v)
	case uint64:
		return new(big.Int).SetUint64(v)
	}
	return v.(*big.Int)
}

func floatStats(s *elt.ColumnStats, values []any) {
	var numbers []float64
	for _, v := range values {
		if f := v.(float64); math.IsNaN(f) {
			s.NaNs++
		} else {
			numbers = append(numbers, f)
		}
	}
	if len(numbers) > 0 {
		s.Min, s.Max = shortest(slices.Min(numbers)), shortest(slices.Max(numbers))
	}
}

func shortest(f float64) string {
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
