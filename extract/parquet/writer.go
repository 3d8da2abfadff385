package parquet

import (
	"io"
	"runtime"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// DefaultPartBytes is the size at which a part is ended when Options name none.
const DefaultPartBytes = 256 << 20

// batches is how many batches are in use at once: one being filled, one being written.
const batches = 2

// Sink is where one part goes.
type Sink interface {
	io.Writer
	// Commit ends the part, and returns it as the store has it.
	Commit() (elt.Object, error)
	// Abort gives the part up because of err; nothing of it may become visible.
	Abort(err error)
}

// Options of a Writer.
type Options struct {
	PartBytes int64                         // a part is ended once it has at least this size
	Create    func(index int) (Sink, error) // opens the part of that number, from 0; on several goroutines with Beside
	// CreateAside opens the object of that number for rows that are set aside; nil where none can be.
	CreateAside func(index int) (Sink, error)
	Progress    func(rows int64, bytes int64) // called after each row group, one call at a time; may be nil
	// Digests says that digests of whole rows are taken, and Unlike which columns are not as their source has them: the
	// digest that it takes, too, leaves them out.
	Digests bool
	Unlike  []string
}

// Writer writes batches to parts on a goroutine of its own. Its methods are for one goroutine; for another one
// there is Beside.
type Writer struct {
	table *table
	batch *Batch // being filled
	chunk int    // to which it belongs
	full  chan *Batch
	free  chan *Batch
	done  sync.WaitGroup
	ended bool

	// Owned by the goroutine until done.
	open        int // the chunk, of which the rest is
	tally       *Tally
	told        [2]int64 // rows and octets that are in the table's count
	rows, aside outlet
}

// NewWriter returns a Writer of the schema. The caller must Close or Abort it.
func NewWriter(schema elt.Schema, opts Options) *Writer {
	if opts.PartBytes <= 0 {
		opts.PartBytes = DefaultPartBytes
	}
	return newTable(schema, opts).writer()
}

// Beside returns a writer of the same table for another goroutine, with memory of its own until its End. Each
// of them must Begin a chunk before it writes.
func (w *Writer) Beside() *Writer { return w.table.writer() }

// Begin says that what is appended from here on belongs to the chunk of that number. A chunk's parts hold
// nothing else, and Close returns the parts in the chunks' order, whoever wrote them when.
func (w *Writer) Begin(chunk int) (*Batch, error) {
	if w.batch.rows > 0 || w.batch.asideRows() > 0 {
		if _, err := w.Flush(); err != nil {
			return nil, err
		}
	}
	w.chunk = chunk
	return w.batch, nil
}

// Discard gives up what was appended since Begin, so that the chunk can be read again from its beginning.
func (w *Writer) Discard() (*Batch, error) {
	w.batch.Reset()
	w.batch.discard = true
	return w.Flush()
}

// Batch returns the batch that is being filled.
func (w *Writer) Batch() *Batch { return w.batch }

// Flush hands over what has been filled and returns the next batch to fill, or the error that ended the
// writing.
func (w *Writer) Flush() (*Batch, error) {
	w.batch.chunk = w.chunk
	large := w.batch.large()
	next, err := w.emptied()
	if err != nil {
		return nil, err
	}
	next.roomFor(w.batch)
	select {
	case w.full <- w.batch:
	case <-w.table.failed:
		return nil, w.table.failure()
	}
	if large { // the next may be as large, and there is memory for one: this one is waited for
		written, err := w.emptied()
		if err != nil {
			return nil, err
		}
		w.free <- next
		next = written
	}
	w.batch = next
	return next, nil
}

// emptied waits for a batch that has been written.
func (w *Writer) emptied() (*Batch, error) {
	select {
	case b := <-w.free:
		return b, nil
	case <-w.table.failed:
		return nil, w.table.failure()
	}
}

// Failed reports whether writing has ended with an error of its own, such as the lake's.
func (w *Writer) Failed() bool { return w.table.failure() != nil }

// End writes what is left and lets go of the writer's memory. Close does it, too.
func (w *Writer) End() error {
	if w.ended {
		return w.table.failure()
	}
	_, err := w.Flush()
	w.stop()
	if err == nil {
		err = w.table.failure()
	}
	if err == nil {
		err = w.endChunk()
	}
	if err != nil {
		w.table.fail(err)
		w.abandon(err)
		return err
	}
	w.rows.encoder, w.aside.encoder = nil, nil
	return nil
}

// endChunk ends the chunk that is open, and hands it to the table.
func (w *Writer) endChunk() error {
	if err := w.rows.endChunk(); err != nil {
		return err
	}
	if err := w.aside.endChunk(); err != nil {
		return err
	}
	w.table.add(w.tally)
	w.tally, w.told = w.table.newTally(), [2]int64{}
	return nil
}

// discardChunk forgets the chunk that is open.
func (w *Writer) discardChunk() {
	w.rows.discard()
	w.aside.discard()
	w.table.progress(-w.told[0], -w.told[1])
	w.tally, w.told = w.table.newTally(), [2]int64{}
}

// Close ends every writer of the table and returns the parts and the facts about all rows. There is always at
// least one part, so that an empty table still shows its schema.
func (w *Writer) Close() ([]elt.Part, elt.TableStats, error) {
	for _, each := range w.table.all() {
		if err := each.End(); err != nil {
			w.Abort(err)
			return nil, elt.TableStats{}, err
		}
	}
	if len(w.table.parts.parts) == 0 {
		err := w.rows.begin(0)
		if err == nil {
			err = w.rows.endChunk()
		}
		if err != nil {
			w.table.fail(err)
			w.abandon(err)
			return nil, elt.TableStats{}, err
		}
	}
	return w.table.parts.inOrder(), w.table.tally.Stats(), nil
}

// Fidelity returns, after Close, every use of a policy and the rows that were set aside.
func (w *Writer) Fidelity() ([]elt.PolicyUse, *elt.QuarantinedRows) {
	parts := w.table.aside.inOrder()
	if len(parts) == 0 {
		return w.table.tally.Fidelity(), nil
	}
	q := &elt.QuarantinedRows{Parts: parts}
	for _, p := range parts {
		q.Rows += p.Rows
	}
	return w.table.tally.Fidelity(), q
}

// AsSource returns the digest of all rows as their source takes it, once the Writer is closed.
func (w *Writer) AsSource() elt.RowDigest { return w.table.tally.AsSource() }

// Abort gives up what every writer of the table is writing because of err. Parts that were ended stay where they
// are, and no manifest names them.
func (w *Writer) Abort(err error) {
	for _, each := range w.table.all() {
		if !each.ended {
			each.stop()
			each.abandon(err)
		}
	}
}

// stop ends the goroutine once it has written what it was handed.
func (w *Writer) stop() {
	w.ended = true
	close(w.full)
	w.done.Wait()
	w.batch, w.free = nil, nil
}

func (w *Writer) abandon(err error) {
	w.rows.abandon(err)
	w.aside.abandon(err)
}

// run writes batches until there are no more or one fails.
func (w *Writer) run() {
	for b := range w.full {
		if err := w.write(b); err != nil {
			w.table.fail(err)
			return
		}
		large := b.large()
		b.Reset()
		if large { // what such a batch took is garbage of its own size, which nothing else makes the collector look for in time
			runtime.GC()
		}
		w.free <- b
	}
}

func (w *Writer) write(b *Batch) error {
	if b.chunk != w.open {
		if err := w.endChunk(); err != nil {
			return err
		}
		w.open = b.chunk
	}
	if b.discard {
		w.discardChunk()
	}
	if b.asideRows() > 0 {
		if _, err := w.aside.write(b.aside, b.chunk); err != nil {
			return err
		}
	}
	if b.rows > 0 {
		grown, err := w.rows.write(b, b.chunk)
		if err != nil {
			return err
		}
		w.told[0], w.told[1] = w.told[0]+int64(b.rows), w.told[1]+grown
		w.table.progress(int64(b.rows), grown)
	}
	w.tally.Add(b) // writing has found out some of the facts
	return nil
}
