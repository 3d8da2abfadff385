package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// prefixDigits is how many hexadecimal digits of a least or greatest value are kept: 64 octets.
const prefixDigits = 128

// Measure takes the facts of elt.TableStats over what the run staged for the dataset, the delta where it
// staged one, in a single aggregate query.
func (w *Warehouse) Measure(ctx context.Context, run elt.RunID, d elt.DatasetName, schema elt.Schema) (elt.TableStats, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return elt.TableStats{}, err
	}
	defer release()
	what := "measure " + string(d)
	shape, table, err := w.stagedShape(ctx, w.db, run, d)
	if err != nil {
		return elt.TableStats{}, w.fail(ctx, what, err)
	}
	if shape == nothing {
		return elt.TableStats{}, warehouse.StagingMissing(run, d)
	}
	stats, err := measure(ctx, w.db, table, schema)
	return stats, w.fail(ctx, what, err)
}

func measure(ctx context.Context, q queryer, table string, schema elt.Schema) (elt.TableStats, error) {
	stats := elt.TableStats{Columns: make([]elt.ColumnStats, len(schema))}
	var m measurement
	m.take("count(*)", &stats.Rows)
	for i, c := range schema {
		stats.Columns[i].Column = c.Name
		m.column(c, &stats.Columns[i])
	}
	if err := q.QueryRowContext(ctx, "SELECT "+strings.Join(m.exprs, ", ")+" FROM "+table).Scan(m.dests...); err != nil {
		return elt.TableStats{}, err
	}
	for _, settle := range m.settle {
		if err := settle(); err != nil {
			return elt.TableStats{}, err
		}
	}
	return stats, nil
}

// measurement gathers the aggregates of one query, where each result goes, and what is left to do once they
// are there.
type measurement struct {
	exprs  []string
	dests  []any
	settle []func() error
}

func (m *measurement) take(expr string, dest any) {
	m.exprs = append(m.exprs, expr)
	m.dests = append(m.dests, dest)
}

// text takes an aggregate as text; NULL, that of no value, is empty.
func (m *measurement) text(expr string, to *string) {
	m.then(expr, to, func(s string) (string, error) { return s, nil })
}

// then takes an aggregate as text and converts it.
func (m *measurement) then(expr string, to *string, convert func(string) (string, error)) {
	got := new(sql.NullString)
	m.take("CAST("+expr+" AS VARCHAR)", got)
	m.settle = append(m.settle, func() (err error) {
		if got.Valid {
			*to, err = convert(got.String)
		}
		return err
	})
}

func (m *measurement) column(c elt.Column, s *elt.ColumnStats) {
	name := quote(c.Name)
	m.take("count("+name+")", &s.NonNull)
	switch c.Type.Kind {
	case elt.Bool:
		m.integers("CAST("+name+" AS INTEGER)", s)
	case elt.DateKind:
		m.integers("("+name+" - DATE '1970-01-01')", s)
	case elt.TimeKind, elt.Timestamp, elt.LocalTimestamp:
		m.integers("epoch_us("+name+")", s)
	case elt.Decimal:
		m.decimals(name, c.Type, s)
	case elt.Float64:
		m.floats(name, s)
	case elt.List:
		m.take("coalesce(CAST(sum(len("+name+")) AS BIGINT), 0)", &s.Length)
	case elt.Bytes:
		m.octets("octet_length("+name+")", func(fn string) string { return fn + "(" + name + ")" }, s)
	case elt.UUID: // 36 octets as text, in the same order
		m.octets("CASE WHEN "+name+" IS NOT NULL THEN 36 END", func(fn string) string { return "CAST(" + fn + "(" + name + ") AS VARCHAR)" }, s)
	case elt.String, elt.JSON:
		text := "CAST(" + name + " AS VARCHAR)"
		m.octets("strlen("+text+")", func(fn string) string { return fn + "(" + text + ")" }, s)
	default:
		m.integers(name, s)
	}
}

// integers takes the facts of a kind whose values count as integers. DuckDB sums 64-bit integers in 128 bits.
func (m *measurement) integers(value string, s *elt.ColumnStats) {
	m.text("sum("+value+")", &s.Sum)
	m.text("min("+value+")", &s.Min)
	m.text("max("+value+")", &s.Max)
}

// decimals takes the facts of scaled integers. DuckDB keeps a decimal's sum in 128 bits, which 10^11 rows
// of 27 digits cannot overflow; wider ones are summed in two halves.
func (m *measurement) decimals(name string, t elt.Type, s *elt.ColumnStats) {
	m.then("min("+name+")", &s.Min, unscaled)
	m.then("max("+name+")", &s.Max, unscaled)
	if t.Precision <= 27 {
		m.then("sum("+name+")", &s.Sum, unscaled)
		return
	}
	const half = "10000000000000000000" // 10^19
	integer := "CAST(replace(CAST(" + name + " AS VARCHAR), '.', '') AS HUGEINT)"
	var high string
	m.text("sum("+integer+" // "+half+"::HUGEINT)", &high)
	m.then("sum("+integer+" % "+half+"::HUGEINT)", &s.Sum, func(low string) (string, error) {
		h, okHigh := new(big.Int).SetString(high, 10)
		l, okLow := new(big.Int).SetString(low, 10)
		if !okHigh || !okLow {
			return "", fmt.Errorf("the sum of %s came back as %q and %q", name, high, low)
		}
		base, _ := new(big.Int).SetString(half, 10)
		return h.Add(h.Mul(h, base), l).String(), nil
	})
}

// unscaled returns the integer of a decimal's text: "-.05" is "-5".
func unscaled(text string) (string, error) {
	n, ok := new(big.Int).SetString(strings.Replace(text, ".", "", 1), 10)
	if !ok {
		return "", fmt.Errorf("%q is no decimal", text)
	}
	return n.String(), nil
}

// octets takes the facts of a kind that is compared octet by octet. extreme returns the expression of the
// value that min or max finds.
func (m *measurement) octets(length string, extreme func(fn string) string, s *elt.ColumnStats) {
	m.take("coalesce(CAST(sum("+length+") AS BIGINT), 0)", &s.Length)
	m.text(fmt.Sprintf("lower(left(hex(%s), %d))", extreme("min"), prefixDigits), &s.Min)
	m.text(fmt.Sprintf("lower(left(hex(%s), %d))", extreme("max"), prefixDigits), &s.Max)
}

// floats takes the facts of floats: order and sums of NaN mean nothing, so they are counted apart.
func (m *measurement) floats(name string, s *elt.ColumnStats) {
	m.take("count(*) FILTER (WHERE isnan("+name+"))", &s.NaNs)
	for _, fact := range []struct {
		fn string
		to *string
	}{{"min", &s.Min}, {"max", &s.Max}} {
		got := new(sql.NullFloat64)
		m.take(fact.fn+"("+name+") FILTER (WHERE NOT isnan("+name+"))", got)
		m.settle = append(m.settle, func() error {
			if got.Valid {
				*fact.to = warehouse.FloatText(got.Float64)
			}
			return nil
		})
	}
}
