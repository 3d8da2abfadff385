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
	// form and asideForm return what the parts have in common, which is made once.
	form, asideForm func() (*form, error)

	mu      sync.Mutex
	writers []*Writer
	err     error  // the first that ended the writing
	tally   *Tally // of the chunks that have ended
	rows    int64
	bytes   int64

	parts, aside series
}

// series are the parts of one kind.
type series struct {
	mu    sync.Mutex
	begun int
	parts []finished
}

// finished is a part that the store has.
type finished struct {
	chunk, index int
	part         elt.Part
}

func newTable(schema elt.Schema, opts Options) *table {
	t := &table{schema: schema, opts: opts, failed: make(chan struct{})}
	t.form = sync.OnceValues(func() (*form, error) { return newForm(schema) })
	t.asideForm = sync.OnceValues(func() (*form, error) { return newForm(asideSchema) })
	t.tally = t.newTally()
	return t
}

func (t *table) newTally() *Tally {
	tally := NewTally(t.schema)
	if t.opts.Digests {
		tally.WithDigests(t.schema, t.opts.Unlike...)
	}
	return tally
}

// writer adds a writer to the table.
func (t *table) writer() *Writer {
	w := &Writer{table: t, tally: t.newTally(), full: make(chan *Batch), free: make(chan *Batch, batches)}
	w.rows = outlet{form: t.form, create: t.opts.Create, to: &t.parts, size: t.opts.PartBytes}
	w.aside = outlet{form: t.asideForm, create: t.opts.CreateAside, to: &t.aside, size: t.opts.PartBytes}
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
func (s *series) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
	return s.begun - 1
}

func (s *series) keep(parts []finished) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, parts...)
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
func (s *series) inOrder() []elt.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.parts, func(a, b finished) int {
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.index, b.index))
	})
	parts := make([]elt.Part, len(s.parts))
	for i, p := range s.parts {
		parts[i] = p.part
	}
	return parts
}
