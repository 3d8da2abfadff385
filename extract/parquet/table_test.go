package parquet

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestMergedStatsAreThoseOfOnePass cuts random rows at a random place.
func TestMergedStatsAreThoseOfOnePass(t *testing.T) {
	schema := everyType()
	property.Check(t, func(t *rapid.T) {
		one, other, whole := NewTally(schema), NewTally(schema), NewTally(schema)
		for range rapid.IntRange(0, 6).Draw(t, "batches") {
			b := NewBatch(schema)
			for range rapid.IntRange(0, 3).Draw(t, "rows") {
				drawRow(t, b)
			}
			whole.Add(b)
			if rapid.Bool().Draw(t, "other") {
				other.Add(b)
			} else {
				one.Add(b)
			}
		}
		one.Merge(other)
		if diff := cmp.Diff(whole.Stats(), one.Stats()); diff != "" {
			t.Fatalf("(-one pass +merged)\n%s", diff)
		}
	})
}

// TestChunksComeInOrder has several goroutines write chunks as they get hold of them: the parts come in the
// chunks' order, each with rows of its own chunk alone.
func TestChunksComeInOrder(t *testing.T) {
	const chunks, rows, writers = 20, 5, 3
	m := &locked{}
	schema := elt.Schema{{Name: "chunk", Type: elt.Type{Kind: elt.Int64}}}
	last := int64(0)
	root := NewWriter(schema, Options{Create: m.create, PartBytes: 1, Progress: func(rows, _ int64) {
		if rows <= last {
			t.Errorf("%d rows were reported after %d", rows, last)
		}
		last = rows
	}})
	queue := make(chan int, chunks)
	for c := range chunks {
		queue <- c
	}
	close(queue)
	var all sync.WaitGroup
	for i := range writers {
		w := root
		if i > 0 {
			w = root.Beside()
		}
		all.Go(func() {
			for c := range queue {
				b, err := w.Begin(c)
				for range rows {
					if err != nil {
						t.Error(err)
						return
					}
					b.Columns[0].AppendInt(int64(c))
					b.EndRow(8)
					b, err = w.Flush()
				}
			}
			if i > 0 {
				if err := w.End(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	parts, stats, err := root.Close()
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != chunks*rows || stats.Rows != chunks*rows || stats.Columns[0].Sum != fmt.Sprint(rows*chunks*(chunks-1)/2) || last != chunks*rows {
		t.Errorf("%d parts, %+v, %d rows reported", len(parts), stats, last)
	}
	for i, p := range parts {
		at := slices.IndexFunc(m.objects, func(o elt.Object) bool { return o.Key == p.Key })
		if _, err := Read(m.sources()[at], schema, func(b *Batch) error {
			if got := b.Columns[0].ints; len(got) != 1 || got[0] != int64(i/rows) {
				return fmt.Errorf("part %d holds %v", i, got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestOneFailureStopsAll: when one writer's store fails, the others end with its error, and all are aborted.
func TestOneFailureStopsAll(t *testing.T) {
	m := &locked{}
	refused := fmt.Errorf("no room")
	root := NewWriter(elt.Schema{{Name: "n", Type: elt.Type{Kind: elt.Int64}}}, Options{Create: func(i int) (Sink, error) {
		if i == 1 {
			return nil, refused
		}
		return m.create(i)
	}})
	beside := root.Beside()
	for _, w := range []*Writer{root, beside} {
		b := w.Batch()
		b.Columns[0].AppendInt(1)
		b.EndRow(8)
		if _, err := w.Flush(); err != nil && !errors.Is(err, refused) {
			t.Fatal(err)
		}
	}
	if err := beside.End(); err != nil && !errors.Is(err, refused) {
		t.Errorf("the writer beside ended with %v", err)
	}
	if _, _, err := root.Close(); !errors.Is(err, refused) || !root.Failed() || !beside.Failed() {
		t.Errorf("the error is %v", err)
	}
	if len(m.parts) > 1 {
		t.Errorf("%d parts were kept", len(m.parts))
	}
}

// locked is a memory for several goroutines.
type locked struct {
	memory
	mu      sync.Mutex
	objects []elt.Object
}

func (l *locked) create(int) (Sink, error) { return &lockedSink{memorySink{m: &l.memory}, l}, nil }

type lockedSink struct {
	memorySink
	l *locked
}

func (s *lockedSink) Write(p []byte) (int, error) { return s.buf.Write(p) }

func (s *lockedSink) Commit() (elt.Object, error) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	o, err := s.memorySink.Commit()
	s.l.objects = append(s.l.objects, o)
	return o, err
}

func (s *lockedSink) Abort(err error) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.memorySink.Abort(err)
}

// TestDiscardedChunksLeaveNothing writes chunks, some of which are given up at a random place and read again: parts,
// facts and progress are those of what was read in the end.
func TestDiscardedChunksLeaveNothing(t *testing.T) {
	schema := everyType()
	property.Check(t, func(t *rapid.T) {
		m := &locked{}
		var told int64
		w := NewWriter(schema, Options{Create: m.create, PartBytes: rapid.Int64Range(1, 2000).Draw(t, "part"), Progress: func(rows, _ int64) { told = rows }})
		whole := NewTally(schema)
		must := func(b *Batch, err error) *Batch {
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		rows := func(b *Batch, also *Batch) *Batch {
			for range rapid.IntRange(0, 4).Draw(t, "batches") {
				for range rapid.IntRange(0, 3).Draw(t, "rows") {
					drawRow(t, b)
				}
				if also != nil {
					whole.Add(b)
				}
				b = must(w.Flush())
			}
			return b
		}
		for c := range rapid.IntRange(0, 5).Draw(t, "chunks") {
			b := must(w.Begin(c))
			for range rapid.IntRange(0, 2).Draw(t, "discards") {
				rows(b, nil)
				b = must(w.Discard())
			}
			rows(b, b)
		}
		parts, stats, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		var held int64
		for _, p := range parts {
			held += p.Rows
		}
		if diff := cmp.Diff(whole.Stats(), stats); diff != "" || held != stats.Rows || told != stats.Rows {
			t.Fatalf("%d rows lie in the parts, %d were told (-kept +written)\n%s", held, told, diff)
		}
	})
}
