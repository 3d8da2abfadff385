package parquet

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The tests here hold the faults of Arrow's Parquet writer that this package works around.

// write writes rows to one part, with fill called once for each row.
func write(t *testing.T, s elt.Schema, m *memory, rows int, fill func(row int, b *Batch)) ([]elt.Part, elt.TableStats, error) {
	t.Helper()
	w := NewWriter(s, Options{Create: m.create})
	b := w.Batch()
	for i := range rows {
		fill(i, b)
		b.EndRow(8)
		if !b.Full() {
			continue
		}
		var err error
		if b, err = w.Flush(); err != nil {
			w.Abort(err)
			return nil, elt.TableStats{}, err
		}
	}
	return w.Close()
}

// TestFailingSinkIsSeen fails the sink after many numbers of octets, on nullable columns of
// each type: the library forgets such an error, or panics on it.
func TestFailingSinkIsSeen(t *testing.T) {
	s := everyType()
	fill := func(row int, b *Batch) {
		for _, v := range b.Columns {
			v.AppendNull()
		}
	}
	whole := &memory{}
	if _, _, err := write(t, s, whole, 3, fill); err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= whole.taken; at += 211 {
		m := &memory{failAt: at}
		if _, _, err := write(t, s, m, 3, fill); err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Fatalf("a sink that fails after %d of %d octets gave %v", at, whole.taken, err)
		}
		if len(m.parts) != 0 || len(m.aborts) != 1 {
			t.Fatalf("a sink that fails after %d octets kept %d parts, and was aborted %d times", at, len(m.parts), len(m.aborts))
		}
	}
}

func TestRefusedPartIsSeen(t *testing.T) {
	refused := errors.New("no room for another part")
	w := NewWriter(elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}}, Options{Create: func(int) (Sink, error) { return nil, refused }})
	if _, _, err := w.Close(); !errors.Is(err, refused) {
		t.Errorf("the error is %v", err)
	}
}

// TestShortStoreIsSeen: a store that kept less than was written is found out.
func TestShortStoreIsSeen(t *testing.T) {
	w := NewWriter(elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}}, Options{Create: func(int) (Sink, error) { return &shortSink{}, nil }})
	_, _, err := w.Close()
	if f := elt.NewFailure(err); f == nil || f.Code != "lake_short_write" {
		t.Errorf("the error is %v", err)
	}
}

type shortSink struct{ n int64 }

func (s *shortSink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }
func (s *shortSink) Commit() (elt.Object, error) { return elt.Object{Key: "k", Bytes: s.n - 1}, nil }
func (s *shortSink) Abort(error)                 {}

// TestPagesAreOfVersion2 looks at the pages: version 1 costs time quadratic in the rows.
func TestPagesAreOfVersion2(t *testing.T) {
	m := &memory{}
	s := elt.Schema{{Name: "s", Type: elt.Type{Kind: elt.String}, Nullable: true}}
	if _, _, err := write(t, s, m, 5000, func(row int, b *Batch) { b.Columns[0].AppendString(fmt.Sprint(row)) }); err != nil {
		t.Fatal(err)
	}
	r, err := file.NewParquetReader(bytes.NewReader(m.parts[0]))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := r.RowGroup(0).GetColumnPageReader(0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for pages.Next() {
		switch p := pages.Page().(type) {
		case *file.DictionaryPage:
		case *file.DataPageV2:
			seen++
		default:
			t.Errorf("a page is a %T", p)
		}
	}
	if err := pages.Err(); err != nil || seen == 0 {
		t.Errorf("%d data pages were seen: %v", seen, err)
	}
}

// TestLogicalTypes: a time without zone is not adjusted to UTC, an instant is, the root is required.
func TestLogicalTypes(t *testing.T) {
	root, err := fileSchema(elt.Schema{
		{Name: "l", Type: elt.Type{Kind: elt.LocalTimestamp}}, {Name: "i", Type: elt.Type{Kind: elt.Timestamp}}, {Name: "t", Type: elt.Type{Kind: elt.TimeKind}},
	})
	if err != nil {
		t.Fatal(err)
	}
	local := root.Field(0).LogicalType().(*schema.TimestampLogicalType)
	instant := root.Field(1).LogicalType().(*schema.TimestampLogicalType)
	clock := root.Field(2).LogicalType().(*schema.TimeLogicalType)
	if local.IsAdjustedToUTC() || !instant.IsAdjustedToUTC() || clock.IsAdjustedToUTC() {
		t.Errorf("adjusted to UTC are local: %v, instant: %v, time: %v", local.IsAdjustedToUTC(), instant.IsAdjustedToUTC(), clock.IsAdjustedToUTC())
	}
	if root.RepetitionType().String() != "required" {
		t.Errorf("the root is %s", root.RepetitionType())
	}
}

func TestTypesWithoutAPlace(t *testing.T) {
	list := elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.Int64}}
	for _, typ := range []elt.Type{{Kind: elt.Decimal, Precision: 39}, {Kind: elt.Decimal, Precision: 2, Scale: 3},
		{Kind: elt.Decimal}, {Kind: elt.List, Elem: &list}, {Kind: "colour"}} {
		if _, err := fileSchema(elt.Schema{{Name: "v", Type: typ}}); err == nil {
			t.Errorf("%s has a place", typ)
		}
	}
}

// TestDuckDB reads a part with an independent reader, which uses statistics to skip rows: the library leaves
// the empty text out of a dictionary's, and lets those of octets point into memory that is used again.
func TestDuckDB(t *testing.T) {
	m := &memory{}
	s := elt.Schema{
		{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "s", Type: elt.Type{Kind: elt.String}},
		{Name: "d", Type: elt.Type{Kind: elt.Decimal, Precision: 38, Scale: 2}}, {Name: "p", Type: elt.Type{Kind: elt.Decimal, Precision: 10, Scale: 2}},
		{Name: "l", Type: elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.String}}},
		{Name: "lt", Type: elt.Type{Kind: elt.LocalTimestamp}}, {Name: "ts", Type: elt.Type{Kind: elt.Timestamp}},
		{Name: "u", Type: elt.Type{Kind: elt.Uint64}}, {Name: "b", Type: elt.Type{Kind: elt.Bool}}, {Name: "dt", Type: elt.Type{Kind: elt.DateKind}},
		{Name: "tm", Type: elt.Type{Kind: elt.TimeKind}}, {Name: "f", Type: elt.Type{Kind: elt.Float64}}, {Name: "o", Type: elt.Type{Kind: elt.Bytes}},
	}
	const rows = batches*RowGroupRows + 10 // a row group more than there are batches: the last is written from the memory of the first
	_, stats, err := write(t, s, m, rows, func(i int, b *Batch) {
		c := b.Columns
		c[0].AppendInt(int64(i))
		switch i % 3 {
		case 0:
			c[1].AppendString("")
		case 1:
			c[1].AppendNull()
		default:
			c[1].AppendString(fmt.Sprint("value ", i%1000))
		}
		c[2].AppendDecimal(ToInt128(int64(-i)))
		c[3].AppendDecimal(ToInt128(int64(i)))
		c[4].BeginList()
		for k := range i % 3 {
			c[4].AppendString(fmt.Sprint(k))
		}
		if i == 7 { // longer than the library's own batches, whose cut would never end
			for range 5000 {
				c[4].AppendNull()
			}
		}
		c[4].EndList()
		c[5].AppendInt(int64(i) * 1_000_000)
		c[6].AppendInt(int64(i) * 1_000_000)
		c[7].AppendInt(-1 - int64(i))
		c[8].AppendBool(i%2 == 0)
		c[9].AppendDays(int32(i))
		c[10].AppendInt(int64(i))
		c[11].AppendFloat(float64(i) / 2)
		c[12].AppendOctets([]byte{0, byte(i)})
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Measure(s, m.sources()...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stats, again); diff != "" {
		t.Errorf("(-stats while writing +stats of the parts)\n%s", diff)
	}
	path := filepath.Join(t.TempDir(), "part.parquet")
	if err := os.WriteFile(path, m.parts[0], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sum := fmt.Sprint(int64(rows) * (rows - 1) / 2)
	for query, want := range map[string]string{
		`count(*)`:                                 fmt.Sprint(rows),
		`count(*) FILTER (s = '')`:                 fmt.Sprint((rows + 2) / 3),
		`(SELECT count(*) FROM p WHERE s = '')`:    fmt.Sprint((rows + 2) / 3),
		`(SELECT count(*) FROM p WHERE s IS NULL)`: fmt.Sprint((rows + 1) / 3),
		`(SELECT count(*) FROM p WHERE d = -1)`:    "1",
		`sum((d * 100)::hugeint)`:                  "-" + sum,
		`sum((p * 100)::hugeint)`:                  sum,
		`sum(id)`:                                  sum,
		`max(u)`:                                   "18446744073709551615",
		`max(len(l))`:                              fmt.Sprint(5000 + 7%3),
		`any_value(l) FILTER (id = 2)`:             "[0, 1]",
		`any_value(l) FILTER (id = 0)`:             "[]",
		`any_value(typeof(lt))`:                    "TIMESTAMP",
		`any_value(typeof(ts))`:                    "TIMESTAMP WITH TIME ZONE",
		`any_value(typeof(tm))`:                    "TIME",
		`any_value(typeof(d)) || any_value(typeof(p)) || any_value(typeof(dt)) || any_value(typeof(o)) || any_value(typeof(f)) || any_value(typeof(b))`: "DECIMAL(38,2)DECIMAL(10,2)DATEBLOBDOUBLEBOOLEAN",
		`sum(epoch_us(lt)) // 1000000`: sum,
		`sum(epoch_us(ts)) // 1000000`: sum,
		`max(o)`:                       `\x00\xFF`,
	} {
		var got string
		if err := db.QueryRow(`WITH p AS (FROM read_parquet('` + path + `')) SELECT (` + query + `)::text FROM p`).Scan(&got); err != nil {
			t.Errorf("%s: %v", query, err)
		} else if got != want {
			t.Errorf("%s is %s, expected %s", query, got, want)
		}
	}
}

func TestPartsAreCutBySize(t *testing.T) {
	m := &memory{}
	s := elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}}
	w := NewWriter(s, Options{Create: m.create, PartBytes: 1})
	for range 3 {
		b := w.Batch()
		b.Columns[0].AppendInt(1)
		b.EndRow(8)
		if _, err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	parts, stats, err := w.Close()
	if err != nil || len(parts) != 3 || stats.Rows != 3 {
		t.Errorf("%d parts of %d rows, %v", len(parts), stats.Rows, err)
	}
	for i, p := range parts {
		if p.Rows != 1 || len(m.parts[i]) != int(p.Bytes) {
			t.Errorf("part %d is %+v", i, p)
		}
	}
}

// TestReadRefusesRubbish: damage is an error, never other rows.
func TestReadRefusesRubbish(t *testing.T) {
	m := &memory{}
	s := elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}}
	if _, _, err := write(t, s, m, 10, func(i int, b *Batch) { b.Columns[0].AppendInt(int64(i)) }); err != nil {
		t.Fatal(err)
	}
	whole := m.parts[0]
	for name, part := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)-20], "rubbish": bytes.Repeat([]byte("x"), 100)} {
		if _, err := Measure(s, bytes.NewReader(part)); err == nil {
			t.Errorf("a part that is %s was read", name)
		}
	}
	for name, other := range map[string]elt.Schema{
		"another name":  {{Name: "m", Type: elt.Type{Kind: elt.Int64}}},
		"another type":  {{Name: "n", Type: elt.Type{Kind: elt.Uint64}}},
		"a column more": append(elt.Schema{{Name: "a", Type: elt.Type{Kind: elt.Bool}}}, s...),
	} {
		if _, err := Measure(other, bytes.NewReader(whole)); err == nil {
			t.Errorf("a part was read under a schema with %s", name)
		}
	}
}

func TestStats(t *testing.T) {
	text := NewVector(elt.Type{Kind: elt.String})
	for _, s := range []string{"b", "", strings.Repeat("z", 70), "é"} {
		text.AppendString(s)
	}
	text.AppendNull()
	unsigned := NewVector(elt.Type{Kind: elt.Uint64})
	for _, x := range []int64{-1, 0, 5, -1} {
		unsigned.AppendInt(x)
	}
	unsigned.AppendNull()
	none := NewVector(elt.Type{Kind: elt.Timestamp})
	for range 5 {
		none.AppendNull()
	}
	tally := NewTally(elt.Schema{{Name: "t"}, {Name: "u"}, {Name: "n"}})
	tally.Add(&Batch{Columns: []*Vector{text, unsigned, none}, rows: 5})
	want := elt.TableStats{Rows: 5, Columns: []elt.ColumnStats{
		{Column: "t", NonNull: 4, Length: 73, Min: "", Max: "c3a9"},
		{Column: "u", NonNull: 4, Sum: "36893488147419103235", Min: "0", Max: "18446744073709551615"},
		{Column: "n"},
	}}
	if diff := cmp.Diff(want, tally.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
