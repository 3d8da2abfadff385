package parquet

import (
	"bytes"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// patterns are columns of a length that ends within blocks, groups and miniblocks, with the encoding that each is
// to come in.
var patterns = []struct {
	name     string
	typ      elt.Type
	encoding string
	fill     func(v *Vector, i int, r *rand.Rand)
}{
	{"one", elt.Type{Kind: elt.Int64}, "RLE_DICTIONARY", func(v *Vector, _ int, _ *rand.Rand) { v.AppendInt(-7) }},
	{"few", elt.Type{Kind: elt.Decimal, Precision: 12, Scale: 2}, "RLE_DICTIONARY", func(v *Vector, i int, _ *rand.Rand) { v.AppendDecimal(ToInt128(int64(i%11) - 5)) }},
	{"runs", elt.Type{Kind: elt.Int64}, "RLE_DICTIONARY", func(v *Vector, i int, _ *rand.Rand) { v.AppendInt(int64(i / 23 % 5 * 1000)) }},
	{"span", elt.Type{Kind: elt.Int64}, "RLE_DICTIONARY", func(v *Vector, i int, r *rand.Rand) { v.AppendInt(math.MaxInt64 - r.Int64N(widestSpan)) }},
	{"steps", elt.Type{Kind: elt.Int64}, "DELTA_BINARY_PACKED", func(v *Vector, i int, _ *rand.Rand) { v.AppendInt(int64(i) * 1e9) }},
	{"stamps", elt.Type{Kind: elt.Timestamp}, "DELTA_BINARY_PACKED", func(v *Vector, _ int, r *rand.Rand) { v.AppendInt(r.Int64N(1 << 40)) }},
	{"turns", elt.Type{Kind: elt.Int64}, "DELTA_BINARY_PACKED", func(v *Vector, i int, _ *rand.Rand) { v.AppendInt([2]int64{math.MinInt64, math.MaxInt64}[i%2]) }},
	{"any", elt.Type{Kind: elt.Int64}, "PLAIN", func(v *Vector, _ int, r *rand.Rand) { v.AppendInt(int64(r.Uint64())) }},
	{"unsigned", elt.Type{Kind: elt.Uint64}, "PLAIN", func(v *Vector, _ int, r *rand.Rand) { v.AppendInt(int64(r.Uint64())) }},
	{"days", elt.Type{Kind: elt.DateKind}, "RLE_DICTIONARY", func(v *Vector, i int, _ *rand.Rand) { v.AppendDays(int32(i % 3000)) }},
	{"far days", elt.Type{Kind: elt.DateKind}, "PLAIN", func(v *Vector, _ int, r *rand.Rand) { v.AppendDays(r.Int32N(2_000_000) - 700_000) }},
	{"floats", elt.Type{Kind: elt.Float64}, "PLAIN", func(v *Vector, i int, _ *rand.Rand) { v.AppendFloat(float64(i) / 3) }},
	{"bools", elt.Type{Kind: elt.Bool}, "PLAIN", func(v *Vector, _ int, r *rand.Rand) { v.AppendBool(r.IntN(2) == 0) }},
	{"wide", elt.Type{Kind: elt.Decimal, Precision: 38, Scale: 4}, "PLAIN", func(v *Vector, i int, _ *rand.Rand) { v.AppendDecimal(Int128{int64(i), 5}.Neg()) }},
	{"words", elt.Type{Kind: elt.String}, "RLE_DICTIONARY", func(v *Vector, i int, _ *rand.Rand) { v.AppendString(strings.Repeat("é", i%7)) }},
	{"names", elt.Type{Kind: elt.String}, "PLAIN", func(v *Vector, i int, _ *rand.Rand) { v.AppendString(fmt.Sprint("name ", i)) }},
	{"long", elt.Type{Kind: elt.String}, "PLAIN", func(v *Vector, i int, r *rand.Rand) { v.AppendString(fmt.Sprint(i, strings.Repeat("x", r.IntN(600)))) }},
	{"octets", elt.Type{Kind: elt.Bytes}, "RLE_DICTIONARY", func(v *Vector, i int, _ *rand.Rand) { v.AppendOctets([]byte{0, byte(i)}) }},
}

// lengths end pages, blocks and groups in every way.
var lengths = []int{0, 1, 2, 7, 8, 9, 31, 33, 128, 129, 130, 161, 1000, 8191, 8193, 20_011}

// TestEncodings writes each pattern without NULLs, with some, in runs and as lists, and has Arrow and DuckDB
// read what was written.
func TestEncodings(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, p := range patterns {
		for _, n := range lengths {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			list := elt.Type{Kind: elt.List, Elem: &p.typ}
			s := elt.Schema{{Name: "filled", Type: p.typ}, {Name: "some", Type: p.typ}, {Name: "runs", Type: p.typ}, {Name: "none", Type: p.typ}, {Name: "list", Type: list}}
			m := &memory{}
			var want [][]string
			_, stats, err := write(t, s, m, n, func(i int, b *Batch) {
				c := b.Columns
				p.fill(c[0], i, r)
				for k, null := range map[int]bool{1: r.IntN(3) == 0, 2: i/50%2 == 0, 3: true} {
					if null {
						c[k].AppendNull()
					} else {
						p.fill(c[k], i, r)
					}
				}
				switch {
				case i%5 == 0:
					c[4].AppendNull()
				default:
					c[4].BeginList()
					for k := range i % 4 {
						if k == 2 {
							c[4].AppendNull()
						} else {
							p.fill(c[4], i, r)
						}
					}
					c[4].EndList()
				}
				if i == n-1 {
					want = texts(b)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			got := [][]string(nil)
			tally := NewTally(s)
			if _, err := Read(m.sources()[0], s, func(b *Batch) error { got = texts(b); tally.Add(b); return nil }); err != nil {
				t.Fatalf("%s, %d rows: %v", p.name, n, err)
			}
			if !slices.EqualFunc(want, got, slices.Equal) { // cmp takes as long as all else
				t.Fatalf("%s, %d rows (-written +read)\n%s", p.name, n, cmp.Diff(want, got))
			}
			if diff := cmp.Diff(stats, tally.Stats()); diff != "" {
				t.Fatalf("%s, %d rows (-written +read)\n%s", p.name, n, diff)
			}
			if n > 10_000 {
				encodedAs(t, p.name, p.encoding, m.parts[0])
			}
			duckDBAgrees(t, db, p.name, p.typ, m.parts[0], n, want)
		}
	}
}

// encodedAs checks the encoding of the first column, and that the footer says so.
func encodedAs(t *testing.T, name, want string, part []byte) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := r.MetaData().RowGroup(0).ColumnChunk(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := chunk.Encodings()[0].String(); got != want {
		t.Errorf("%s is written as %s, expected %s", name, got, want)
	}
	if codec := chunk.Compression().String(); (codec == "UNCOMPRESSED") != (want == "RLE_DICTIONARY") {
		t.Errorf("%s as %s is compressed as %s", name, want, codec)
	}
	pages, err := r.RowGroup(0).GetColumnPageReader(0)
	if err != nil {
		t.Fatal(err)
	}
	for pages.Next() {
		if p, ok := pages.Page().(*file.DataPageV2); ok && p.Encoding().String() != strings.TrimPrefix(want, "RLE_") && p.Encoding().String() != want {
			t.Errorf("a page of %s is written as %s, expected %s", name, p.Encoding(), want)
		}
	}
	if err := pages.Err(); err != nil {
		t.Error(err)
	}
}

// duckDBAgrees compares the values, where they look the same as text, and everywhere which of them are NULL.
func duckDBAgrees(t *testing.T, db *sql.DB, name string, typ elt.Type, part []byte, count int, want [][]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part.parquet")
	if err := os.WriteFile(path, part, 0o600); err != nil {
		t.Fatal(err)
	}
	columns := []string{"filled", "some", "runs", "none"}
	alike := true
	switch typ.Kind {
	case elt.Float64, elt.Bytes, elt.Timestamp, elt.Bool, elt.DateKind:
		alike = false
	}
	// All values of a column as one text: a row at a time, most of the test would be about database/sql.
	const end = "\x01"
	var all []string
	for _, c := range columns {
		value := "'written otherwise'"
		if alike {
			value = `"` + c + `"::text`
		}
		all = append(all, fmt.Sprintf(`coalesce(string_agg(CASE WHEN "%s" IS NULL THEN 'NULL' ELSE %s END || chr(1), '' ORDER BY file_row_number), '')`, c, value))
	}
	query := `SELECT count(*), count(*) FILTER (len(list) > 0), ` + strings.Join(all, ", ") + ` FROM read_parquet('` + path + `', file_row_number = true)`
	var rows, lists int
	read := make([]string, len(columns))
	if err := db.QueryRow(query).Scan(&rows, &lists, &read[0], &read[1], &read[2], &read[3]); err != nil || rows != count {
		t.Fatalf("%s: DuckDB reads %d rows of %d: %v", name, rows, count, err)
	}
	for c, column := range columns {
		n := 0
		for got := range strings.SplitSeq(strings.TrimSuffix(read[c], end), end) {
			if n == count { // there are none: what was split is the empty text
				break
			}
			if expected := want[c][n]; got != expected && (alike || got == "NULL" || expected == "NULL") {
				t.Fatalf("%s: row %d of column %s is %q in DuckDB, expected %q", name, n, column, got, expected)
			}
			n++
		}
		if n != count {
			t.Fatalf("%s: DuckDB reads %d rows of column %s", name, n, column)
		}
	}
	elements := 0
	for i := range count {
		if i%5 != 0 && i%4 > 0 {
			elements++
		}
	}
	if lists != elements {
		t.Fatalf("%s: DuckDB reads %d lists with elements of %d", name, lists, elements)
	}
}

// TestRandomIntegers draws steps, so that blocks of every width come about.
func TestRandomIntegers(t *testing.T) {
	s := elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}, {Name: "d", Type: elt.Type{Kind: elt.DateKind}}}
	property.Check(t, func(r *rapid.T) {
		var ints []int64
		at := rapid.Int64().Draw(r, "first")
		for range rapid.IntRange(1, 8).Draw(r, "stretches") {
			width := rapid.IntRange(0, 63).Draw(r, "width")
			for range rapid.IntRange(1, 200).Draw(r, "length") {
				at += rand.Int64N(1<<min(width, 62)) - 1<<min(width, 62)/2
				ints = append(ints, at)
			}
		}
		m := &memory{}
		if _, _, err := write(t, s, m, len(ints), func(i int, b *Batch) {
			b.Columns[0].AppendInt(ints[i])
			b.Columns[1].AppendDays(int32(ints[i]))
		}); err != nil {
			r.Fatal(err)
		}
		if _, err := Read(m.sources()[0], s, func(b *Batch) error {
			if diff := cmp.Diff(ints, b.Columns[0].ints); diff != "" {
				r.Errorf("(-written +read)\n%s", diff)
			}
			for i, d := range b.Columns[1].days {
				if d != int32(ints[i]) {
					r.Errorf("day %d is %d, expected %d", i, d, int32(ints[i]))
				}
			}
			return nil
		}); err != nil {
			r.Fatal(err)
		}
	})
}

// TestPacked packs values of every width, bit by bit and as it is done.
func TestPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 20).Draw(t, "width")
		values := rapid.SliceOfN(rapid.Uint32Range(0, 1<<width-1), 0, 100).Draw(t, "values")
		count := (len(values) + 7) / 8 * 8
		want := append([]byte("before"), make([]byte, width*count/8)...)
		for i, x := range values {
			for bit := range width {
				at := i*width + bit
				want[len("before")+at/8] |= byte(x>>bit&1) << (at % 8)
			}
		}
		if got := appendPacked([]byte("before"), values, width, count); !bytes.Equal(got, want) {
			t.Fatalf("%d values of %d bits are %x and not %x", len(values), width, got, want)
		}
	})
}

// TestDictionary: each value's place is that of an equal one, however long they are and however alike.
func TestDictionary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, v := newDictionary(), NewVector(elt.Type{Kind: elt.String})
		alike := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00")), 0, 40, -1)
		texts := rapid.SliceOfN(alike, 1, 60).Draw(t, "texts")
		for _, x := range texts {
			v.AppendString(x)
		}
		if !d.texts(v) {
			t.Fatal("they are too many")
		}
		places := map[string]uint32{}
		for i, x := range texts {
			place, again := places[x]
			if !again {
				place = uint32(len(places))
				places[x] = place
			}
			if d.indices[i] != place {
				t.Fatalf("%q is in place %d and not %d", x, d.indices[i], place)
			}
		}
		if d.count != len(places) {
			t.Fatalf("%d different texts are %d", len(places), d.count)
		}
	})
}
