package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// some are types whose rows are decoded together, with values of theirs: usual ones, those at the ends of what they can be, and
// some that are none.
var some = []struct {
	of     catalogType
	values [][]byte
}{
	{catalogType{oid: 16}, [][]byte{{0}, {1}, {0, 1}}},
	{catalogType{oid: 17}, [][]byte{{}, {0xff}, slices.Repeat([]byte{0xfe}, 33)}},
	{catalogType{oid: 20}, [][]byte{be(uint64(7)), be(uint64(1 << 63)), be(uint64(math.MaxUint64)), {1}}},
	{catalogType{oid: 21}, [][]byte{be(uint16(7)), be(uint16(1 << 15)), be(uint16(math.MaxUint16)), {}}},
	{catalogType{oid: 23}, [][]byte{be(uint32(7)), be(uint32(1 << 31)), be(uint32(math.MaxUint32)), be(uint16(7))}},
	{catalogType{oid: 26}, [][]byte{be(uint32(7)), be(uint32(1 << 31)), be(uint32(math.MaxUint32)), be(uint16(7))}},
	{catalogType{oid: 700}, [][]byte{be(math.Float32bits(1.5)), be(math.Float32bits(float32(math.Inf(-1)))), be(uint16(7))}},
	{catalogType{oid: 701}, [][]byte{be(math.Float64bits(1.5)), be(math.Float64bits(math.Inf(1))), be(uint16(7))}},
	{catalogType{oid: 1082}, [][]byte{be(uint32(9000)), be(^uint32(730118)), be(^uint32(730119)), be(uint32(math.MaxInt32)), be(uint16(7))}},
	{catalogType{oid: 1083}, [][]byte{be(uint64(9000)), be(uint64(dayMicros - 1)), be(uint64(dayMicros)), be(uint16(7))}},
	{catalogType{oid: 1114}, [][]byte{be(uint64(9000)), be(uint64(maxMicros - epochMicros)), be(uint64(maxMicros - epochMicros + 1)), be(uint64(math.MaxInt64)), be(uint16(7))}},
	{catalogType{oid: 1184}, [][]byte{be(uint64(9000)), be(^uint64(0)), be(uint64(1 << 63)), be(uint16(7))}},
	{catalogType{oid: 2950}, [][]byte{[]byte("0123456789abcdef"), slices.Repeat([]byte{0xa9}, 16), be(uint16(7))}},
	{catalogType{oid: 25}, [][]byte{{}, []byte("a"), []byte("grün"), []byte("thirty-two octets of text, or so"), []byte("one octet more than thirty-two..."), slices.Repeat([]byte("lang und länger "), 20), {0xff}}},
	{catalogType{oid: 3802}, [][]byte{[]byte("\x01{}"), []byte("\x01\"ü\""), append([]byte{1}, slices.Repeat([]byte("12"), 100)...), {2}, {}, {1, 0xff}}},
	{catalogType{oid: oidNumeric, modifier: 12<<16 | 2 + 4}, [][]byte{
		numeric(0, 0), numeric(0, 0, 17), numeric(1, 0, 1, 2345, 6700), numeric(1, numericNegative, 1, 2345, 6700), numeric(-1, 0, 500), numeric(0, 0, 9999, 9999), numeric(1, 0, 17),
		numeric(2, 0, 1, 0, 0, 100), numeric(0, numericNaN), numeric(0, numericNegInf), numeric(0, 0x8000, 1), numeric(9, 0, 17), numeric(0, 0, 1)[:9], be(uint16(7)),
	}},
	{catalogType{oid: oidNumeric, modifier: 30<<16 | 4 + 4}, [][]byte{numeric(0, 0, 17), numeric(5, 0, 1, 2, 3, 4, 5, 6, 7), numeric(0, numericNaN)}},
	{catalogType{1007, -1, 23}, [][]byte{array(), array(be(uint32(7)), nil, be(uint32(8))), array(be(uint16(7))), be(uint16(7))}},
	{catalogType{1009, -1, 25}, [][]byte{array(), array([]byte("a"), nil, []byte("ü")), array([]byte{0xff})}},
}

func be[T uint16 | uint32 | uint64](x T) []byte {
	b, err := binary.Append(nil, binary.BigEndian, x)
	if err != nil {
		panic(err)
	}
	return b
}

// numeric returns a number of base-10000 digits, the first worth 10000^weight.
func numeric(weight int16, sign uint16, digits ...uint16) []byte {
	b := slices.Concat(be(uint16(len(digits))), be(uint16(weight)), be(sign), be(uint16(2)))
	for _, d := range digits {
		b = append(b, be(d)...)
	}
	return b
}

// array returns an array of one dimension, or of none.
func array(elements ...[]byte) []byte {
	b := slices.Concat(be(uint32(min(len(elements), 1))), be(uint32(0)), be(uint32(0)))
	if len(elements) == 0 {
		return b
	}
	b = slices.Concat(b, be(uint32(len(elements))), be(uint32(1)))
	for _, e := range elements {
		b = appendValue(b, e)
	}
	return b
}

func appendValue(to, value []byte) []byte {
	if value == nil {
		return append(to, 0xff, 0xff, 0xff, 0xff)
	}
	return append(binary.BigEndian.AppendUint32(to, uint32(len(value))), value...)
}

// TestRowsTogether: rows that are decoded column by column, received in pieces of any size, are those that are decoded one by
// one, whatever comes: NULLs, values that their column cannot hold under every policy, and what is no value at all.
func TestRowsTogether(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		var of table
		var values [][][]byte
		request := extract.Request{Facts: &extract.Facts{}, Rules: map[string]elt.TypeRule{}}
		quarantined := 0
		for i := range rapid.IntRange(1, 5).Draw(t, "columns") {
			typ := rapid.SampledFrom(some).Draw(t, "type")
			c := newColumn(fmt.Sprint("c", i), typ.of, false, "")
			of.columns, request.Columns, values = append(of.columns, c), append(request.Columns, c.Column), append(values, typ.values)
			rule := elt.TypeRule{Policy: rapid.SampledFrom([]elt.Policy{elt.Refuse, elt.AsNull, elt.AsNull, elt.Clamp, elt.Quarantine}).Draw(t, "policy")}
			if request.Rules[c.Name] = rule; rule.Policy == elt.Quarantine {
				quarantined++
			}
		}
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		strange := rapid.SampledFrom([]float64{0, 0.001, 0.03, 0.3}).Draw(t, "strange rows")
		nulls := rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "nulls")
		row := append([]byte(copyHeader), 0, 0, 0, 0, 0, 0, 0, 0)
		var rows [][]byte
		for range rapid.SampledFrom([]int{0, 1, 2, 100, 1000, 5000}).Draw(t, "rows") {
			row = binary.BigEndian.AppendUint16(row, uint16(len(values)+quarantined))
			usual := random.Float64() >= strange
			for _, v := range values {
				switch {
				case random.Float64() < nulls:
					row = appendValue(row, nil)
				case usual:
					row = appendValue(row, v[random.IntN(2)])
				default:
					row = appendValue(row, v[random.IntN(len(v))])
				}
			}
			for range quarantined {
				row = appendValue(row, []byte("as the server writes it"))
			}
			rows, row = append(rows, row), nil
		}
		rows = append(rows, append(row, 0xff, 0xff))

		want, err := newBringing(request, of)
		for _, row := range rows {
			if err == nil {
				_, err = want.Write(row)
			}
		}
		got, failed := newBringing(request, of)
		if failed == nil {
			var octets []byte
			for _, row := range rows {
				octets = append(octets, message(copyData, row)...)
			}
			in := &receiver{Conn: &fed{octets: octets, piece: rapid.IntRange(1, 1<<18).Draw(t, "piece")}, raw: noSocket{}, framed: true}
			end := in.inBulk(got)
			_, failed = io.Copy(io.Discard, in)
			end()
		}
		if fmt.Sprint(failed) != fmt.Sprint(err) {
			t.Fatalf("together they end with %v, one by one with %v", failed, err)
		}
		if err != nil {
			want.to.Abort(err)
			got.to.Abort(err)
			return
		}
		if got.ended != want.ended || got.rows != want.rows {
			t.Errorf("%d rows came together, %d one by one", got.rows, want.rows)
		}
		if diff := cmp.Diff(want.written(t), got.written(t)); diff != "" {
			t.Errorf("(-one by one +together)\n%s", diff)
		}
	})
}

// bringing is a rowReader and the checksums of what comes of its rows.
type bringing struct {
	*rowReader
	sums []string
}

func newBringing(request extract.Request, of table) (*bringing, error) {
	b := &bringing{}
	to := parquet.NewWriter(request.Columns, parquet.Options{Create: b.create, CreateAside: b.create})
	b.rowReader = &rowReader{request: request, to: to, batch: to.Batch()}
	_, err := b.prepare(of)
	return b, err
}

func (b *bringing) create(int) (parquet.Sink, error) {
	return &noted{&summed{Hash: sha256.New()}, b}, nil
}

// noted is a part whose checksum is kept.
type noted struct {
	*summed
	of *bringing
}

func (n *noted) Commit() (elt.Object, error) {
	n.of.sums = append(n.of.sums, hex.EncodeToString(n.Sum(nil)))
	return n.summed.Commit()
}

// written returns the facts of what was written, and the parts' checksums.
func (b *bringing) written(t *rapid.T) []any {
	_, stats, err := b.to.Close()
	if err != nil {
		t.Fatal(err)
	}
	uses, aside := b.to.Fidelity()
	return []any{stats, uses, aside, b.sums}
}
