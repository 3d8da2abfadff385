package parquet

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// pool returns different texts, of every length that is treated in a way of its own.
func pool(t *rapid.T) []string {
	texts := []string{"", "a", "b\x00", "é", strings.Repeat("x", 16), strings.Repeat("x", 17), strings.Repeat("x", 32), strings.Repeat("x", 33), "DELIVER IN PERSON        ",
		"DELIVER AT PERSON        ", "REG AIR   ", "Zürich", strings.Repeat("long ", 40)}
	texts = rapid.SliceOfNDistinct(rapid.SampledFrom(texts), 1, -1, rapid.ID).Draw(t, "texts")
	for i := range rapid.SampledFrom([]int{0, 0, 3, fewTexts - 1, fewTexts + 1}).Draw(t, "more") {
		texts = append(texts, fmt.Sprintf("%0*d", i%40, i))
	}
	return texts
}

// appendSome appends values of the texts in one of the ways in which they come to a vector, the same to both.
func appendSome(t *rapid.T, texts []string, vectors ...*Vector) {
	all := rapid.SliceOfN(rapid.SampledFrom(texts), 0, 20).Draw(t, "values")
	if rapid.IntRange(0, 5).Draw(t, "every") == 0 {
		all = append(all, texts...)
	}
	switch how := rapid.IntRange(0, 9).Draw(t, "how"); how {
	case 0, 1:
		for _, v := range vectors {
			for _, x := range all {
				if how == 0 {
					v.AppendOctets([]byte(x))
				} else {
					v.AppendString(x)
				}
			}
		}
	case 2:
		for _, v := range vectors {
			if v.Rows() > 0 {
				v.DropRow()
			}
		}
	case 3:
		for _, v := range vectors {
			v.AppendNull()
		}
	default:
		without := rapid.IntRange(0, 1).Draw(t, "without")
		var data []byte
		var cells []Cell
		ascii := true
		for _, x := range all {
			if len(x) == 1 { // a NULL among them
				cells = append(cells, Cell{uint32(len(data)), -1})
			}
			data = append(data, "..."[:without]...)
			cells = append(cells, Cell{uint32(len(data) - without), int32(len(x) + without)})
			data, ascii = append(data, x...), ascii && isASCII([]byte(x))
		}
		for _, v := range vectors {
			if got := v.AppendCells(data, cells, without); got != ascii {
				t.Fatalf("%q: ASCII alone %v", all, got)
			}
		}
	}
}

// TestPlacesAreLikeTexts fills a vector of places and one of texts with the same: what they say, what is written of them and
// the facts about them are the same.
func TestPlacesAreLikeTexts(t *testing.T) {
	schema := elt.Schema{{Name: "t", Type: elt.Type{Kind: elt.String}, Nullable: true}}
	property.Check(t, func(t *rapid.T) {
		texts := pool(t)
		coded, plain := NewBatch(schema), NewBatch(schema)
		coded.Columns[0].few = true
		coded.Reset()
		if !coded.Columns[0].coded {
			t.Fatal("the column is not coded")
		}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			appendSome(t, texts, coded.Columns[0], plain.Columns[0])
		}
		if diff := cmp.Diff(plain.Columns[0].Texts(), coded.Columns[0].Texts()); diff != "" {
			t.Fatalf("(-texts +places)\n%s", diff)
		}
		var written [2]string
		var facts [2]elt.TableStats
		for i, b := range []*Batch{plain, coded} {
			b.EndRows(b.Columns[0].Rows(), 0)
			tally := NewTally(schema).WithDigests(schema)
			if rapid.Bool().Draw(t, "told before") {
				tally.Add(b)
				tally = NewTally(schema).WithDigests(schema)
			}
			var to bytes.Buffer
			of, err := newForm(schema)
			if err != nil {
				t.Fatal(err)
			}
			f, err := newPartFile(&to, of, newEncoder(1))
			if err == nil {
				err = f.write(b)
			}
			if err == nil {
				err = f.close()
			}
			if err != nil {
				t.Fatal(err)
			}
			tally.Add(b)
			written[i], facts[i] = fmt.Sprintf("%d octets, %x", to.Len(), sha256.Sum256(to.Bytes())), tally.Stats()
		}
		if diff := cmp.Diff(written[0], written[1]); diff != "" {
			t.Fatalf("(-texts +places)\n%s", diff)
		}
		if diff := cmp.Diff(facts[0], facts[1]); diff != "" {
			t.Fatalf("(-texts +places)\n%s", diff)
		}
	})
}

// TestFewTextsAreCodedFromTheNextBatchOn has a Writer learn which columns have few texts, and forget it when they have many.
func TestFewTextsAreCodedFromTheNextBatchOn(t *testing.T) {
	const rows = 2000
	text := elt.Type{Kind: elt.String}
	schema := elt.Schema{{Name: "few", Type: text}, {Name: "many", Type: text}, {Name: "singly", Type: text}}
	m := &memory{}
	w := NewWriter(schema, Options{Create: m.create})
	var want [][]string
	var coded []string
	for number := range 8 {
		b := w.Batch()
		for _, c := range b.Columns {
			if c.coded {
				coded = append(coded, fmt.Sprint(number))
			}
		}
		var data []byte
		few, many := make([]Cell, rows), make([]Cell, rows)
		for i := range rows {
			for k, x := range []string{fmt.Sprint("value ", i%7), fmt.Sprint("name ", number, i)} {
				if number == 4 {
					x = fmt.Sprint(x, i)
				}
				[][]Cell{few, many}[k][i] = Cell{uint32(len(data)), int32(len(x))}
				data = append(data, x...)
			}
			b.Columns[2].AppendString("x")
		}
		b.Columns[0].AppendCells(data, few, 0)
		b.Columns[1].AppendCells(data, many, 0)
		b.EndRows(rows, 0)
		if want = append(want, texts(b)...); number < 7 {
			if _, err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	// Two batches take turns; number 4 has too many texts, and none of the column comes to a dictionary any more.
	if diff := cmp.Diff([]string{"2", "3", "4", "5"}, coded); diff != "" {
		t.Errorf("batches with a coded column (-want +got)\n%s", diff)
	}
	var got [][]string
	tally := NewTally(schema)
	if _, err := Read(m.sources()[0], schema, func(b *Batch) error { got = append(got, texts(b)...); tally.Add(b); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(want, got, slices.Equal[[]string]) {
		t.Error("what was read is not what was written")
	}
	if diff := cmp.Diff(stats, tally.Stats()); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
}
