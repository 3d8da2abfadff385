package parquet

import (
	"cmp"
	"slices"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// table is what the writers of one table share.
type table struct {
	schema elt.Schema
	opts   Options
	failed chan struct{} // closed when err is set

	mu      sync.Mutex
	writers []*Writer
	err     error // the first that ended the writing
	begun   int   // parts that were begun
	parts   []finished
	tally   *Tally // of the writers that have ended
	rows    int64
	bytes   int64
}

// finished is a part that the store has.
type finished struct {
	chunk, index int
	part         elt.Part
}

// writer adds a writer to the table.
func (t *table) writer() *Writer {
	w := &Writer{table: t, tally: NewTally(t.schema), full: make(chan *Batch), free: make(chan *Batch, batches)}
	w.batch = NewBatch(t.schema)
	for range batches - 1 {
		w.free <- NewBatch(t.schema)
	}
	w.done.Go(w.run)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writers = append(t.writers, w)
	return w
}

func (t *table) all() []*Writer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.writers)
}

// fail notes the first error, and has every writer stop.
func (t *table) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
		close(t.failed)
	}
}

func (t *table) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// number returns the number of the next part.
func (t *table) number() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun++
	return t.begun - 1
}

func (t *table) keep(p finished) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, p)
}

func (t *table) add(tally *Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tally.Merge(tally)
}

// progress counts what was written. It is called under the lock, so that no two calls overlap.
func (t *table) progress(rows, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows += rows
	t.bytes += bytes
	if t.opts.Progress != nil {
		t.opts.Progress(t.rows, t.bytes)
	}
}

// inOrder returns the parts in the order of their chunks.
func (t *table) inOrder() []elt.Part {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.parts, func(a, b finished) int {
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.index, b.index))
	})
	parts := make([]elt.Part, len(t.parts))
	for i, p := range t.parts {
		parts[i] = p.part
	}
	return parts
}
