package parquet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// memory is a store of parts for tests; it fails once it has taken failAt octets, if that is not zero.
type memory struct {
	parts  [][]byte
	failAt int
	taken  int
	aborts []error
}

type memorySink struct {
	m   *memory
	buf bytes.Buffer
}

func (m *memory) create(int) (Sink, error) { return &memorySink{m: m}, nil }

func (s *memorySink) Write(p []byte) (int, error) {
	s.m.taken += len(p)
	if s.m.failAt > 0 && s.m.taken >= s.m.failAt {
		return 0, fmt.Errorf("the disk is full after %d octets", s.m.failAt)
	}
	return s.buf.Write(p)
}

func (s *memorySink) Commit() (elt.Object, error) {
	sum := sha256.Sum256(s.buf.Bytes())
	s.m.parts = append(s.m.parts, s.buf.Bytes())
	return elt.Object{Key: fmt.Sprint(len(s.m.parts)), Bytes: int64(s.buf.Len()), SHA256: hex.EncodeToString(sum[:])}, nil
}

func (s *memorySink) Abort(err error) { s.m.aborts = append(s.m.aborts, err) }

// sources returns the parts as Measure wants them.
func (m *memory) sources() []File {
	out := make([]File, len(m.parts))
	for i, p := range m.parts {
		out[i] = bytes.NewReader(p)
	}
	return out
}

// leafTypes is every type that a list can hold.
func leafTypes() []elt.Type {
	types := []elt.Type{
		{Kind: elt.Decimal, Precision: 12, Scale: 2}, {Kind: elt.Decimal, Precision: 18, Scale: 18},
		{Kind: elt.Decimal, Precision: 19, Scale: 0}, {Kind: elt.Decimal, Precision: 38, Scale: 10},
	}
	for _, k := range []elt.Kind{elt.Bool, elt.Int64, elt.Uint64, elt.Float64, elt.String, elt.Bytes, elt.DateKind,
		elt.TimeKind, elt.Timestamp, elt.LocalTimestamp, elt.JSON, elt.UUID} {
		types = append(types, elt.Type{Kind: k})
	}
	return types
}

// everyType is a schema with each type once as a column and once as a list.
func everyType() elt.Schema {
	var s elt.Schema
	for i, t := range leafTypes() {
		s = append(s, elt.Column{Name: fmt.Sprintf("c%d", i), Type: t, Nullable: true},
			elt.Column{Name: fmt.Sprintf("l%d", i), Type: elt.Type{Kind: elt.List, Elem: &t}, Nullable: true})
	}
	return s
}

// drawCell appends a random value of the vector's leaf type.
func drawCell(t *rapid.T, v *Vector) {
	switch v.layout {
	case inBools:
		v.AppendBool(rapid.Bool().Draw(t, "bool"))
	case inDays:
		v.AppendDays(rapid.Int32().Draw(t, "days"))
	case inFloats:
		v.AppendFloat(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1),
			math.Copysign(0, -1), 5e-324, math.MaxFloat64})).Draw(t, "float"))
	case inOctets:
		v.AppendOctets(rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 8), rapid.SampledFrom([][]byte{nil, []byte("a"),
			bytes.Repeat([]byte{0xff}, 100)})).Draw(t, "octets"))
	case inWide:
		x := Int128{rapid.Int64Range(-5421010862427522170, 5421010862427522170).Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		v.AppendDecimal(x)
	case inInts:
		if v.leaf.Kind == elt.Decimal {
			v.AppendDecimal(ToInt128(rapid.Int64Range(-999999999999, 999999999999).Draw(t, "decimal")))
		} else {
			v.AppendInt(rapid.Int64().Draw(t, "int"))
		}
	}
}

func drawRow(t *rapid.T, b *Batch) {
	for _, v := range b.Columns {
		switch {
		case rapid.IntRange(0, 3).Draw(t, "null") == 0:
			v.AppendNull()
		case v.isList:
			v.BeginList()
			for range rapid.IntRange(0, 3).Draw(t, "len") {
				if rapid.Bool().Draw(t, "null element") {
					v.AppendNull()
				} else {
					drawCell(t, v)
				}
			}
			v.EndList()
		default:
			drawCell(t, v)
		}
	}
	b.EndRow(1)
}

// texts returns a batch as text, column by column, so that a difference can be read.
func texts(b *Batch) [][]string {
	out := make([][]string, len(b.Columns))
	for i, v := range b.Columns {
		out[i] = v.Texts()
	}
	return out
}

func TestRoundTripOfRandomBatches(t *testing.T) {
	schema := everyType()
	property.Check(t, func(t *rapid.T) {
		m := &memory{}
		w := NewWriter(schema, Options{Create: m.create, PartBytes: 4 << 10})
		b := w.Batch()
		var want [][][]string
		rows := int64(0)
		for range rapid.IntRange(0, 4).Draw(t, "row groups") {
			for range rapid.IntRange(1, 8).Draw(t, "rows") {
				drawRow(t, b)
				rows++
			}
			want = append(want, texts(b))
			var err error
			if b, err = w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		parts, stats, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		var got [][][]string
		tally := NewTally(schema)
		var inParts int64
		for i, p := range m.sources() {
			n, err := Read(p, schema, func(b *Batch) error {
				tally.Add(b)
				got = append(got, texts(b))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if n != parts[i].Rows || parts[i].Bytes != int64(len(m.parts[i])) {
				t.Fatalf("part %d holds %d rows in %d octets, reported are %+v", i, n, len(m.parts[i]), parts[i])
			}
			inParts += n
		}
		if inParts != rows || stats.Rows != rows {
			t.Fatalf("%d rows were written, %d are in parts, %d in the stats", rows, inParts, stats.Rows)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-written +read)\n%s", diff)
		}
		if diff := cmp.Diff(stats, tally.Stats()); diff != "" {
			t.Fatalf("(-stats while writing +stats of the parts)\n%s", diff)
		}
	})
}

func TestSumNeverOverflows(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		var sum sum192
		want := new(big.Int)
		for _, x := range rapid.SliceOf(rapid.Custom(func(t *rapid.T) Int128 {
			return Int128{rapid.Int64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		})).Draw(t, "values") {
			sum.add(x)
			b, _ := new(big.Int).SetString(x.String(), 10)
			want.Add(want, b)
		}
		if sum.String() != want.String() {
			t.Fatalf("sum is %s, expected %s", sum.String(), want)
		}
	})
}

// TestIntegerFacts compares the facts about integers and texts with those by the plainest way to take them.
func TestIntegerFacts(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		ints := rapid.SliceOfN(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, -1, 1 << 32, -1 << 32})), 1, 50).Draw(t, "integers")
		texts := rapid.SliceOfN(rapid.StringMatching(`[ab\x00]{0,10}`), 1, 30).Draw(t, "texts")
		numbers, words := NewVector(elt.Type{Kind: elt.Int64}), NewVector(elt.Type{Kind: elt.String})
		want := new(big.Int)
		for _, x := range ints {
			numbers.AppendInt(x)
			want.Add(want, big.NewInt(x))
		}
		for _, x := range texts {
			words.AppendString(x)
		}
		tally := NewTally(elt.Schema{{Name: "n"}, {Name: "s"}})
		tally.Add(&Batch{Columns: []*Vector{numbers, words}})
		n, s := tally.Stats().Columns[0], tally.Stats().Columns[1]
		if n.Sum != want.String() || n.Min != fmt.Sprint(slices.Min(ints)) || n.Max != fmt.Sprint(slices.Max(ints)) {
			t.Errorf("%v has the facts %+v", ints, n)
		}
		if s.Min != hex.EncodeToString([]byte(slices.Min(texts))) || s.Max != hex.EncodeToString([]byte(slices.Max(texts))) {
			t.Errorf("%q has the facts %+v", texts, s)
		}
	})
}

func TestInt128AgainstBig(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		x := Int128{rapid.Int64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		want := new(big.Int).Lsh(big.NewInt(x.Hi), 64)
		want.Or(want, new(big.Int).SetUint64(x.Lo))
		if x.String() != want.String() {
			t.Fatalf("%v is written %s, expected %s", x, x, want)
		}
		if got := fromBigEndian(x.bigEndian(nil)); got != x {
			t.Fatalf("%v came back as %v", x, got)
		}
	})
}

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		text             string
		precision, scale int
		want             string // empty when it is refused
	}{
		{"0.10", 12, 2, "0.10"}, {"0.1", 12, 2, "0.10"}, {"-0.01", 12, 2, "-0.01"}, {"12", 12, 2, "12.00"},
		{"1.20e2", 12, 2, "120.00"}, {"1200e-2", 12, 2, "12.00"}, {"1e-3", 12, 2, ""}, {"0.100", 12, 2, "0.10"},
		{"0.101", 12, 2, ""}, {"9999999999.99", 12, 2, "9999999999.99"}, {"10000000000.00", 12, 2, ""},
		{"-0", 12, 2, "0.00"}, {"0e9", 12, 2, "0.00"}, {"", 12, 2, ""}, {".", 12, 2, ""}, {"1.2.3", 12, 2, ""},
		{"--1", 12, 2, ""}, {"+1", 12, 2, "1.00"}, {"NaN", 12, 2, ""}, {"1e", 12, 2, ""}, {" 1", 12, 2, ""}, {"1e9999999", 38, 0, ""},
		{"99999999999999999999999999999999999999", 38, 0, "99999999999999999999999999999999999999"},
		{"-99999999999999999999999999999999999999", 38, 0, "-99999999999999999999999999999999999999"},
		{"100000000000000000000000000000000000000", 38, 0, ""},
		{"0.00000000000000000000000000000000000001", 38, 38, "0.00000000000000000000000000000000000001"},
	} {
		v, ok := ParseDecimal(c.text, c.precision, c.scale)
		got := ""
		if ok {
			got = FormatDecimal(v, c.scale)
		}
		if got != c.want {
			t.Errorf("%q as decimal(%d,%d) is %q, expected %q", c.text, c.precision, c.scale, got, c.want)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	f.Add("-12.30e1", 10, 2)
	f.Add("0.000", 5, 5)
	f.Fuzz(func(t *testing.T, text string, precision, scale int) {
		if precision < 1 || precision > MaxPrecision || scale < 0 || scale > precision {
			return // no such type
		}
		v, ok := ParseDecimal(text, precision, scale)
		if !ok {
			return
		}
		again, ok := ParseDecimal(FormatDecimal(v, scale), precision, scale)
		if !ok || again != v {
			t.Errorf("%q is %v, written %q and read again %v", text, v, FormatDecimal(v, scale), again)
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q was taken for a number", text)
		}
		got, _ := new(big.Rat).SetString(FormatDecimal(v, scale))
		if got.Cmp(want) != 0 {
			t.Errorf("%q became %s", text, got)
		}
	})
}
