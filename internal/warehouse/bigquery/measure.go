package bigquery

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// prefixDigits is how many hexadecimal digits of a least or greatest value are kept: 64 octets.
const prefixDigits = 128

// maxColumnsRead is how many columns one query measures: each takes up to six of the 10,000 that a result may have, and
// a few hundred of the million characters that a query may.
const maxColumnsRead = 250

// Measure takes the facts of elt.TableStats over what the run staged for the dataset, the delta where it staged one,
// in one aggregate query for as many columns as a query may have. BigQuery bills each column once.
func (w *Warehouse) Measure(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.TableStats, error) {
	what := "measure " + string(d)
	shape, table, err := w.stagedShape(ctx, run, d)
	if err != nil {
		return elt.TableStats{}, w.fail(ctx, what, err)
	}
	if shape == nothing || shape == view {
		return elt.TableStats{}, warehouse.StagingMissing(run, d)
	}
	stats, err := w.facts(ctx, statement{what: what, step: "verify", labels: labels("verify", run, d)}, table, schema)
	return stats, w.fail(ctx, what, err)
}

// facts takes the facts of a table, of its number of rows alone where no columns are named.
func (w *Warehouse) facts(ctx context.Context, s statement, table *bigquery.Table, schema elt.Schema) (stats elt.TableStats, err error) {
	if len(schema) == 0 {
		s.sql = "SELECT COUNT(*) FROM " + nameOf(table)
		stats.Rows, err = w.number(ctx, s)
		return stats, err
	}
	for columns := range slices.Chunk(schema, maxColumnsRead) {
		part := elt.TableStats{Columns: make([]elt.ColumnStats, len(columns))}
		var m measurement
		m.take("COUNT(*)", integer(&part.Rows))
		for i, c := range columns {
			part.Columns[i].Column = c.Name
			m.column(c, &part.Columns[i])
		}
		if err := w.measure(ctx, s, table, m); err != nil {
			return elt.TableStats{}, err
		}
		stats.Rows, stats.Columns = part.Rows, append(stats.Columns, part.Columns...)
	}
	return stats, nil
}

func (w *Warehouse) measure(ctx context.Context, s statement, table *bigquery.Table, m measurement) error {
	exprs := make([]string, len(m.exprs))
	for i, e := range m.exprs {
		exprs[i] = e + " AS f" + strconv.Itoa(i)
	}
	s.sql = "SELECT " + strings.Join(exprs, ", ") + " FROM " + nameOf(table)
	err := w.rows(ctx, s, func(row []bigquery.Value) error {
		for i, v := range row {
			if v == nil { // an aggregate of no value
				continue
			}
			if err := m.dests[i](v); err != nil {
				return fmt.Errorf("%s: %w", m.exprs[i], err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, settle := range m.settle {
		settle()
	}
	return nil
}

// measurement gathers the aggregates of one query, where each result goes, and what is left to do once they are there.
type measurement struct {
	exprs  []string
	dests  []func(bigquery.Value) error
	settle []func()
}

func (m *measurement) take(expr string, dest func(bigquery.Value) error) {
	m.exprs = append(m.exprs, expr)
	m.dests = append(m.dests, dest)
}

func (m *measurement) column(c elt.Column, s *elt.ColumnStats) {
	name := quote(c.Name)
	m.take("COUNT("+name+")", integer(&s.NonNull))
	switch c.Type.Kind {
	case elt.Bool:
		m.integers("CAST("+name+" AS INT64)", s)
	case elt.DateKind:
		m.integers("UNIX_DATE("+name+")", s)
	case elt.TimeKind:
		m.integers("TIME_DIFF("+name+", TIME '00:00:00', MICROSECOND)", s)
	case elt.Timestamp:
		m.integers("UNIX_MICROS("+name+")", s)
	case elt.LocalTimestamp:
		m.integers("UNIX_MICROS(TIMESTAMP("+name+"))", s)
	case elt.Decimal:
		m.decimals(name, c.Type, s)
	case elt.Float64:
		m.floats(name, s)
	case elt.List:
		m.take("SUM(ARRAY_LENGTH("+name+".list))", integer(&s.Length))
	case elt.Bytes:
		m.octets("BYTE_LENGTH("+name+")", name, func(extreme string) string { return extreme }, s)
	case elt.String, elt.JSON, elt.UUID:
		m.octets("BYTE_LENGTH(CAST("+name+" AS BYTES))", name, func(extreme string) string { return "CAST(" + extreme + " AS BYTES)" }, s)
	default:
		m.integers(name, s)
	}
}

// integers takes the facts of a kind whose values count as integers. Their sum is one of NUMERIC, whose 29 digits ten
// thousand million of the largest do not fill.
func (m *measurement) integers(value string, s *elt.ColumnStats) {
	m.take("SUM(CAST("+value+" AS NUMERIC))", scaled(&s.Sum, 0))
	m.take("MIN("+value+")", scaled(&s.Min, 0))
	m.take("MAX("+value+")", scaled(&s.Max, 0))
}

// decimals takes the facts of scaled integers. A sum that might not fit is taken in two halves of 19 digits.
func (m *measurement) decimals(name string, t elt.Type, s *elt.ColumnStats) {
	m.take("MIN("+name+")", scaled(&s.Min, t.Scale))
	m.take("MAX("+name+")", scaled(&s.Max, t.Scale))
	if t.Precision <= 27 && (t.Precision-t.Scale <= 18 || !fitsNumeric(t)) {
		m.take("SUM("+name+")", scaled(&s.Sum, t.Scale))
		return
	}
	const half = "10000000000000000000" // 10^19
	whole := "SAFE_MULTIPLY(" + name + ", BIGNUMERIC '1" + strings.Repeat("0", t.Scale) + "')"
	var high, low string
	m.take("SUM(DIV("+whole+", BIGNUMERIC '"+half+"'))", scaled(&high, 0))
	m.take("SUM(MOD("+whole+", BIGNUMERIC '"+half+"'))", scaled(&low, 0))
	m.settle = append(m.settle, func() {
		h, ok := new(big.Int).SetString(high, 10)
		l, okLow := new(big.Int).SetString(low, 10)
		if !ok || !okLow {
			return // a column without any value
		}
		unit, _ := new(big.Int).SetString(half, 10)
		s.Sum = h.Add(h.Mul(h, unit), l).String()
	})
}

// octets takes the facts of a kind that is compared octet by octet, as BigQuery compares texts, too.
func (m *measurement) octets(length, name string, octets func(extreme string) string, s *elt.ColumnStats) {
	m.take("SUM("+length+")", integer(&s.Length))
	for fn, to := range map[string]*string{"MIN": &s.Min, "MAX": &s.Max} {
		m.take(fmt.Sprintf("SUBSTR(TO_HEX(%s), 1, %d)", octets(fn+"("+name+")"), prefixDigits), text(to))
	}
}

// floats takes the facts of floats: order and sums of NaN mean nothing, so they are counted apart.
func (m *measurement) floats(name string, s *elt.ColumnStats) {
	m.take("COUNTIF(IS_NAN("+name+"))", integer(&s.NaNs))
	for fn, to := range map[string]*string{"MIN": &s.Min, "MAX": &s.Max} {
		m.take(fn+"(IF(IS_NAN("+name+"), NULL, "+name+"))", func(v bigquery.Value) error {
			f, ok := v.(float64)
			if !ok {
				return unexpected(v)
			}
			*to = warehouse.FloatText(f)
			return nil
		})
	}
}

func unexpected(v bigquery.Value) error { return fmt.Errorf("BigQuery answers with %v, a %T", v, v) }

func integer(to *int64) func(bigquery.Value) error {
	return func(v bigquery.Value) (err error) {
		var digits string
		if err = scaled(&digits, 0)(v); err == nil {
			*to, err = strconv.ParseInt(digits, 10, 64)
		}
		return err
	}
}

func text(to *string) func(bigquery.Value) error {
	return func(v bigquery.Value) error {
		s, ok := v.(string)
		if !ok {
			return unexpected(v)
		}
		*to = s
		return nil
	}
}

// scaled takes an exact number as the digits of its scaled integer.
func scaled(to *string, scale int) func(bigquery.Value) error {
	return func(v bigquery.Value) error {
		switch v := v.(type) {
		case int64:
			*to = strconv.FormatInt(v, 10)
			return nil
		case *big.Rat:
			unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
			n := new(big.Rat).Mul(v, new(big.Rat).SetInt(unit))
			if !n.IsInt() {
				return fmt.Errorf("%s has more than %d digits after the point", v.FloatString(38), scale)
			}
			*to = n.Num().String()
			return nil
		}
		return unexpected(v)
	}
}
