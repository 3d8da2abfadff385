package postgres

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

func TestTableNames(t *testing.T) {
	for written, want := range map[string]tableName{
		"users": {"", "users"}, "public.users": {"public", "users"}, `"a.b".c`: {"a.b", "c"}, `a."b""c"`: {"a", `b"c`},
		"Öffentlich.Tä ble": {"Öffentlich", "Tä ble"},
	} {
		got, err := parseTableName(written)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", written, got, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a.b.c", `"a`, `"a"b`, `a"b`, `""`, `"a".`} {
		if got, err := parseTableName(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestTableNamesRoundTrip(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-zé". ]{1,6}`)
		n := tableName{rapid.OneOf(rapid.Just(""), part).Draw(t, "schema"), part.Draw(t, "table")}
		got, err := parseTableName(n.String())
		if err != nil || got != n {
			t.Fatalf("%+v is written %s and read %+v, %v", n, n, got, err)
		}
	})
}

func FuzzTableName(f *testing.F) {
	f.Add(`"a.b"."c""d"`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseTableName(s)
		if err != nil {
			return
		}
		if again, err := parseTableName(n.String()); err != nil || again != n {
			t.Errorf("%q is %+v, written %s and read %+v, %v", s, n, n, again, err)
		}
	})
}

// reader returns a rowReader of an integer, a text and a list, and the writer behind it.
func reader() (*rowReader, *parquet.Writer) {
	schema := elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "s", Type: elt.Type{Kind: elt.String}},
		{Name: "l", Type: elt.Type{Kind: elt.List, Elem: &elt.Type{Kind: elt.Decimal, Precision: 6, Scale: 2}}}}
	to := parquet.NewWriter(schema, parquet.Options{})
	return &rowReader{
		request: extract.Request{Extraction: elt.Extraction{Table: "t"}, Columns: schema, Key: []string{"id"}, Facts: &extract.Facts{}},
		to:      to, batch: to.Batch(), fields: make([]field, len(schema)), block: newBlock(len(schema)),
		decoders: []decoder{{decodeInt8, decodeAllInts[int64]}, asText, decodeArray(decodeNumeric(6, 2))},
	}, to
}

// stream returns a binary COPY of two rows.
func stream() []byte {
	b := append([]byte(copyHeader), 0, 0, 0, 0, 0, 0, 0, 3, 'e', 'x', 't')
	value := func(v ...byte) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...) }
	null := func() { b = append(b, 0xff, 0xff, 0xff, 0xff) }
	b = append(b, 0, 3)
	value(0, 0, 0, 0, 0, 0, 0, 7)
	value([]byte("seven")...)
	// One dimension, with NULLs, of numeric, two elements from 1: 1.50 and NULL.
	value(0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 6, 0xa4, 0, 0, 0, 2, 0, 0, 0, 1,
		0, 0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0x13, 0x88, 0xff, 0xff, 0xff, 0xff)
	b = append(b, 0, 3)
	null()
	value()
	null()
	return append(b, 0xff, 0xff)
}

// TestCopyInPieces feeds the same stream in pieces of every size.
func TestCopyInPieces(t *testing.T) {
	whole := stream()
	for size := 1; size <= len(whole); size++ {
		r, to := reader()
		for rest := whole; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := r.Write(rest[:n]); err != nil {
				t.Fatalf("in pieces of %d: %v", size, err)
			}
			rest = rest[n:]
		}
		var got [][]string
		for _, c := range r.batch.Columns {
			got = append(got, c.Texts())
		}
		if diff := cmp.Diff([][]string{{"7", "NULL"}, {"seven", ""}, {"[1.50 NULL]", "NULL"}}, got); diff != "" || !r.ended || len(r.rest) != 0 {
			t.Errorf("in pieces of %d (-want +got)\n%s", size, diff)
		}
		to.Abort(nil)
	}
}

// FuzzCopy feeds what no server would send: it must end in an error or be waited for, and never panic.
func FuzzCopy(f *testing.F) {
	f.Add(stream(), 5)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		r, to := reader()
		defer to.Abort(nil)
		for rest := data; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			if _, err := r.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		for i, c := range r.batch.Columns {
			if int64(c.Rows()) != r.rows {
				t.Errorf("column %d has %d rows of %d", i, c.Rows(), r.rows)
			}
		}
	})
}

// TestShortNumbers: what is read the short way is what is read the long way.
func TestShortNumbers(t *testing.T) {
	usual := newShort(2)
	if got, ok := usual.read([]byte{0, 1, 0x09, 0x29, 0x1a, 0x2c}, -1); got != 1234567 || !ok {
		t.Errorf("12345.67 is %d, %v", got, ok)
	}
	property.Check(t, func(t *rapid.T) {
		n, scale := rapid.IntRange(0, shortDigits).Draw(t, "digits"), rapid.IntRange(0, shortDecimal).Draw(t, "scale")
		var digits []byte
		for range n {
			digit := rapid.OneOf(rapid.Uint16Range(0, 9999), rapid.SampledFrom([]uint16{0, 1, 10, 100, 1000, 9000, 9900, 9990}))
			digits = binary.BigEndian.AppendUint16(digits, digit.Draw(t, "digit"))
		}
		weight := rapid.IntRange(-8, 8).Draw(t, "weight")
		s := newShort(scale)
		got, ok := s.read(digits, weight+1-n)
		if !ok {
			return
		}
		if want, fits := scaled(digits, weight, scale); !fits || want != parquet.ToInt128(got) {
			t.Fatalf("%d digits %x, the first worth 10000^%d, are %d at scale %d, and %v, %v the long way", n, digits, weight, got, scale, want, fits)
		}
	})
}
