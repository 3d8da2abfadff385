package elt

import "fmt"

// ColumnStats are facts about one column's values, taken over the column batches while they pass,
// and taken again by the warehouse. Equal data gives equal stats on every engine.
//
// Every value is canonical text, so that no engine's number type gets in the way:
//
//	Sum     the exact sum as an integer: of the value itself (bool as 0 and 1, integers), of the scaled
//	        integer (decimal: 1.20 with scale 2 is 120), of days since 1970-01-01 (date), of microseconds
//	        since 1970-01-01 or since midnight (timestamp, local_timestamp, time). Empty for float64,
//	        string, bytes, json, uuid and list, and for a column without any value.
//	Length  the total number of octets (string, bytes, json, uuid) or of elements (list), else 0.
//	Min/Max of the same integers for the kinds that have a Sum; for string, json, uuid and bytes the least and
//	        greatest value by octets, cut to its first 64 octets and written in hexadecimal; for float64 the
//	        shortest decimal that reads back equal ("-0" is "0", infinities "inf" and "-inf"), NaN left out.
//	        Empty for list and for a column without any value.
//	NaNs    how many values of a float64 column are NaN.
type ColumnStats struct {
	Column  string `json:"column"`
	NonNull int64  `json:"non_null"`
	Sum     string `json:"sum,omitempty"`
	Length  int64  `json:"length,omitempty"`
	Min     string `json:"min,omitempty"`
	Max     string `json:"max,omitempty"`
	NaNs    int64  `json:"nans,omitempty"`
}

// TableStats are the facts that the verification levels compare.
type TableStats struct {
	Rows    int64         `json:"rows"`
	Columns []ColumnStats `json:"columns"`
	// Digest is of every row; only the level "rows" takes it.
	Digest *RowDigest `json:"digest,omitempty"`
}

// Mismatch is one fact on which two sides disagree.
type Mismatch struct {
	Column string // empty for the row count
	Fact   string // "rows", "non_null", "sum", "length", "min", "max", "nans", "digest", "missing", "extra"
	Want   string
	Got    string
}

// String returns the mismatch as "amount: sum is 120, expected 119".
func (m Mismatch) String() string {
	where := m.Column
	if where == "" {
		where = "table"
	}
	return fmt.Sprintf("%s: %s is %s, expected %s", where, m.Fact, m.Got, m.Want)
}

// Compare returns every fact on which got differs from s; none means that they agree.
func (s TableStats) Compare(got TableStats) []Mismatch {
	var out []Mismatch
	differ := func(column, fact string, want, have any) {
		if w, h := fmt.Sprint(want), fmt.Sprint(have); w != h {
			out = append(out, Mismatch{column, fact, w, h})
		}
	}
	differ("", "rows", s.Rows, got.Rows)
	if s.Digest != nil && got.Digest != nil && !s.Digest.Equal(*got.Digest) {
		out = append(out, Mismatch{"", "digest", s.Digest.String(), got.Digest.String()})
	}
	have := make(map[string]ColumnStats, len(got.Columns))
	for _, c := range got.Columns {
		have[c.Column] = c
	}
	for _, w := range s.Columns {
		g, ok := have[w.Column]
		if !ok {
			out = append(out, Mismatch{w.Column, "missing", "a column", "none"})
			continue
		}
		differ(w.Column, "non_null", w.NonNull, g.NonNull)
		differ(w.Column, "sum", w.Sum, g.Sum)
		differ(w.Column, "length", w.Length, g.Length)
		differ(w.Column, "min", w.Min, g.Min)
		differ(w.Column, "max", w.Max, g.Max)
		differ(w.Column, "nans", w.NaNs, g.NaNs)
		delete(have, w.Column)
	}
	for _, g := range got.Columns {
		if _, unwanted := have[g.Column]; unwanted {
			out = append(out, Mismatch{g.Column, "extra", "none", "a column"})
		}
	}
	return out
}
