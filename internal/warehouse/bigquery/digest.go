package bigquery

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Digest takes the digest of every row that the run staged for the dataset, of the delta where it staged one.
func (w *Warehouse) Digest(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.RowDigest, error) {
	what := "take the digest of " + string(d)
	shape, table, err := w.stagedShape(ctx, run, d)
	if err != nil {
		return elt.RowDigest{}, w.fail(ctx, what, err)
	}
	if shape == nothing || shape == view {
		return elt.RowDigest{}, warehouse.StagingMissing(run, d)
	}
	sum, err := w.rowDigest(ctx, statement{what: what, step: "verify", labels: labels("verify", run, d)}, nameOf(table), schema)
	return sum, w.fail(ctx, what, err)
}

func (w *Warehouse) rowDigest(ctx context.Context, s statement, table string, schema elt.Schema) (sum elt.RowDigest, err error) {
	s.sql = "SELECT COUNT(*) AS n, " + sumOfSlice(1) + " AS a, " + sumOfSlice(17) + " AS b FROM (SELECT TO_HEX(MD5(" + rowText(schema) + ")) AS h FROM " + table + ")"
	err = w.rows(ctx, s, func(row []bigquery.Value) (err error) {
		sum, err = digestOf(row)
		return err
	})
	return sum, err
}

// sumOfSlice adds up 60 bits of each MD5 h.
func sumOfSlice(from int) string {
	return "SUM(CAST(CAST(CONCAT('0x', SUBSTR(h, " + strconv.Itoa(from) + ", 15)) AS INT64) AS NUMERIC))"
}

// digestOf reads a number of rows and two sums.
func digestOf(row []bigquery.Value) (sum elt.RowDigest, err error) {
	if err := integer(&sum.Rows)(row[0]); err != nil || sum.Rows == 0 {
		return sum, err
	}
	if err := scaled(&sum.A, 0)(row[1]); err != nil {
		return sum, err
	}
	return sum, scaled(&sum.B, 0)(row[2])
}

// rowText returns the expression of a row's canonical text, as extract/parquet's Digest describes it.
func rowText(schema elt.Schema) string {
	fields := make([]string, len(schema))
	for i, c := range schema {
		fields[i] = fieldText(c.Type, quote(c.Name))
	}
	return "CONCAT(" + strings.Join(fields, ", ") + ")"
}

// fieldText puts the length in octets before a value's canonical text, unless the value is NULL.
func fieldText(t elt.Type, value string) string {
	text := canonical(t, value)
	return fmt.Sprintf("IF(%s IS NULL, '-', CONCAT(CAST(BYTE_LENGTH(CAST(%s AS BYTES)) AS STRING), ':', %[2]s))", value, text)
}

func canonical(t elt.Type, value string) string {
	switch t.Kind {
	case elt.Bool:
		return "IF(" + value + ", '1', '0')"
	case elt.Uint64: // kept as NUMERIC, of which what stands before a point is all
		text := "CONCAT(CAST(" + value + " AS STRING), '.')"
		return "SUBSTR(" + text + ", 1, STRPOS(" + text + ", '.') - 1)"
	case elt.Decimal:
		return "CAST(SAFE_MULTIPLY(" + value + ", BIGNUMERIC '1" + strings.Repeat("0", t.Scale) + "') AS STRING)"
	case elt.Float64:
		return floatDigits(value)
	case elt.DateKind:
		return "CAST(UNIX_DATE(" + value + ") AS STRING)"
	case elt.TimeKind:
		return "CAST(TIME_DIFF(" + value + ", TIME '00:00:00', MICROSECOND) AS STRING)"
	case elt.Timestamp:
		return "CAST(UNIX_MICROS(" + value + ") AS STRING)"
	case elt.LocalTimestamp:
		return "CAST(UNIX_MICROS(TIMESTAMP(" + value + ")) AS STRING)"
	case elt.Bytes:
		return "TO_HEX(" + value + ")"
	case elt.List:
		return "COALESCE((SELECT STRING_AGG(" + fieldText(*t.Elem, "e.element") + ", '' ORDER BY o) FROM UNNEST(" + value + ".list) AS e WITH OFFSET AS o), '')"
	}
	return "CAST(" + value + " AS STRING)"
}

// The digits that a double can need, and those that one below the least normal number can do with.
const (
	leastDigits, mostDigits = 15, 17
	leastNormal             = "2.2250738585072014e-308"
)

// floatDigits returns the digits and the exponent of the shortest text that reads back equal. BigQuery gives no such
// text, so the fewest digits are looked for. A table may have many such columns, and a query at most 1 MB.
func floatDigits(value string) string {
	positive := "ABS(" + value + ")"
	format := func(digits int) string { return fmt.Sprintf("FORMAT('%%.%de', %s)", digits-1, positive) }
	first := func(texts []string) string {
		out := format(mostDigits)
		for _, text := range slices.Backward(texts) {
			out = "IF(CAST(" + text + " AS FLOAT64) = " + positive + ", " + text + ", " + out + ")"
		}
		return out
	}
	var texts []string
	for n := 1; n < mostDigits; n++ {
		texts = append(texts, format(n))
	}
	normal := append(slices.Clone(texts[leastDigits-1:]), nextAbove(format(mostDigits-1)))
	text := "IF(" + positive + " < " + leastNormal + ", " + first(texts) + ", " + first(normal) + ")"
	return "IF(" + value + " = 0, '0', IF(IS_NAN(" + value + "), 'nan', IF(IS_INF(" + value + "), IF(" + value + " > 0, 'inf', '-inf'), CONCAT(IF(" + value +
		" < 0, '-', ''), REGEXP_REPLACE(" + text + ", " + literal(formatted) + ", " + literal(`\1\2e\3\4`) + ")))))"
}

// formatted matches what FORMAT makes of a positive double, 1.50e-07, with what is left when the point and every zero
// that says nothing are gone, 15e-7.
const formatted = `^([0-9])[.]?([0-9]*?)0*e[+]?(-?)0*([0-9]+)$`

// nextAbove returns a formatted number with one more in its last digit. Of a power of two, whose neighbour above is
// twice as far as the one below, that may read back equal where the nearest number of as many digits does not.
func nextAbove(text string) string {
	digits := "CAST(CAST(REPLACE(SUBSTR(" + text + ", 1, STRPOS(" + text + ", 'e') - 1), '.', '') AS INT64) + 1 AS STRING)"
	return "CONCAT(SUBSTR(" + digits + ", 1, 1), '.', SUBSTR(" + digits + ", 2), SUBSTR(" + text + ", STRPOS(" + text + ", 'e')))"
}
