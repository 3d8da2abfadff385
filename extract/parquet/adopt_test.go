package parquet

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestAdoptedChunksAreAsWrittenHere has random chunks written elsewhere, at random, and adopted by what the ledger keeps of them:
// everything that is known of the table is as if it had written all of them.
func TestAdoptedChunksAreAsWrittenHere(t *testing.T) {
	schema := everyType()
	masked := everyType()
	masked[0].Masked = maskedByHash
	property.Check(t, func(t *rapid.T) {
		m := &locked{}
		schema := rapid.SampledFrom([]elt.Schema{schema, masked}).Draw(t, "schema")
		options := Options{
			Create: m.create, CreateAside: m.create, PartBytes: rapid.Int64Range(1, 2000).Draw(t, "part"), Digests: rapid.Bool().Draw(t, "digests"),
		}
		if options.Digests && rapid.Bool().Draw(t, "unlike") {
			options.Unlike = []string{schema[2].Name}
		}
		var told, aside int64
		root := NewWriter(schema, options)
		root.table.opts.Progress = func(rows, _ int64) { told = rows }
		whole := root.table.newTally()
		for c := range rapid.IntRange(0, 5).Draw(t, "chunks") {
			w, number := root, c
			if rapid.Bool().Draw(t, "elsewhere") {
				w, number = NewWriter(schema, options), 0
			}
			for range rapid.IntRange(0, 3).Draw(t, "batches") {
				b, err := w.Begin(number)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, b)
				whole.Add(b)
				aside += int64(b.asideRows())
			}
			if w != root {
				if err := root.Adopt(c, kept(t, brought(t, w))); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := brought(t, root)
		if diff := cmp.Diff(whole.Stats(), got.Stats); diff != "" || options.Digests && whole.AsSource() != got.AsSource || told != got.Stats.Rows {
			t.Fatalf("%d rows were told, the source's digest is %v (-in one pass +adopted)\n%s", told, got.AsSource, diff)
		}
		if diff := cmp.Diff(whole.Fidelity(), got.Fidelity); diff != "" || got.Quarantined == nil && aside > 0 ||
			got.Quarantined != nil && got.Quarantined.Rows != aside || rowsOf(got.Parts) != got.Stats.Rows {
			t.Fatalf("quarantined are %+v, expected %d (-in one pass +adopted)\n%s", got.Quarantined, aside, diff)
		}
	})
}

// fill fills a batch with rows, some of which are set aside, and of others a policy is used.
func fill(t *rapid.T, b *Batch) {
	for range rapid.IntRange(0, 3).Draw(t, "rows") {
		switch rapid.IntRange(0, 5).Draw(t, "fate") {
		case 0:
			b.SetAside(0, 3, Aside{Key: "id = 1", Value: "x", Reason: "is too large", Row: "{}"})
			continue
		case 1:
			b.Used(1, elt.AsNull)
		}
		drawRow(t, b)
	}
}

// kept returns what the ledger keeps of a chunk.
func kept(t *rapid.T, c *elt.BroughtChunk) *elt.BroughtChunk {
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := &elt.BroughtChunk{}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func brought(t *rapid.T, w *Writer) *elt.BroughtChunk {
	parts, stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	c := &elt.BroughtChunk{Parts: slices.DeleteFunc(parts, func(p elt.Part) bool { return p.Rows == 0 }), Stats: stats, Rows: stats.Rows}
	if w.table.opts.Digests {
		c.AsSource = w.AsSource()
	}
	c.Fidelity, c.Quarantined = w.Fidelity()
	return c
}

// TestFactsThatDoNotFit are refused, and change nothing.
func TestFactsThatDoNotFit(t *testing.T) {
	schema := elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}, {Name: "note", Type: elt.Type{Kind: elt.String}}}
	good := func() *elt.BroughtChunk {
		return &elt.BroughtChunk{
			Rows: 1, Parts: []elt.Part{{Key: "a", Rows: 1, Bytes: 10}}, AsSource: elt.RowDigest{Rows: 1, A: "1", B: "2"},
			Stats: elt.TableStats{Rows: 1, Digest: &elt.RowDigest{Rows: 1, A: "1", B: "2"}, Columns: []elt.ColumnStats{
				{Column: "n", NonNull: 1, Sum: "-7", Min: "-7", Max: "-7"}, {Column: "note", NonNull: 1, Length: 1, Min: "61", Max: "61"}}},
		}
	}
	for why, spoil := range map[string]func(*elt.BroughtChunk){
		"parts of 0 rows":       func(c *elt.BroughtChunk) { c.Parts = nil },
		"facts of 1 rows and 1": func(c *elt.BroughtChunk) { c.Stats.Columns = c.Stats.Columns[:1] },
		`column 2 is "comment"`: func(c *elt.BroughtChunk) { c.Stats.Columns[1].Column = "comment" },
		`"seven" is no sum`:     func(c *elt.BroughtChunk) { c.Stats.Columns[0].Sum = "seven" },
		`"" is no sum`:          func(c *elt.BroughtChunk) { c.Stats.Columns[0].Max = "" },
		"invalid byte":          func(c *elt.BroughtChunk) { c.Stats.Columns[1].Min = "x!" },
		`there is no column "amount"`: func(c *elt.BroughtChunk) {
			c.Fidelity = []elt.PolicyUse{{Column: "amount", Policy: elt.Clamp, Values: 1}}
		},
		"there is no digest":     func(c *elt.BroughtChunk) { c.Stats.Digest = nil },
		"1 rows are quarantined": func(c *elt.BroughtChunk) { c.Quarantined = &elt.QuarantinedRows{Rows: 1} },
	} {
		m := &locked{}
		w := NewWriter(schema, Options{Create: m.create, CreateAside: m.create, Digests: true})
		bad := good()
		spoil(bad)
		if err := w.Adopt(0, bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
		if err := w.Adopt(0, good()); err != nil {
			t.Error(err)
		}
		parts, stats, err := w.Close()
		if err != nil || len(parts) != 1 || stats.Rows != 1 || stats.Columns[0].Sum != "-7" || stats.Columns[1].Max != "61" {
			t.Errorf("%s: then %+v, %+v: %v", why, parts, stats, err)
		}
	}
}
