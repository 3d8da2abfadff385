package parquet

import (
	"fmt"
	"io"
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
	Progress  func(rows int64, bytes int64) // called after each row group, one call at a time; may be nil
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
	tally   *Tally
	encoder *encoder
	part    *partFile
	sink    Sink
	index   int   // of the part
	ofChunk int   // the part's
	counted int64 // octets of the part that are in the table's count
}

// NewWriter returns a Writer of the schema. The caller must Close or Abort it.
func NewWriter(schema elt.Schema, opts Options) *Writer {
	if opts.PartBytes <= 0 {
		opts.PartBytes = DefaultPartBytes
	}
	t := &table{schema: schema, opts: opts, tally: NewTally(schema), failed: make(chan struct{})}
	return t.writer()
}

// Beside returns a writer of the same table for another goroutine, with memory of its own until its End. Each
// of them must Begin a chunk before it writes.
func (w *Writer) Beside() *Writer { return w.table.writer() }

// Begin says that what is appended from here on belongs to the chunk of that number. A chunk's parts hold
// nothing else, and Close returns the parts in the chunks' order, whoever wrote them when.
func (w *Writer) Begin(chunk int) (*Batch, error) {
	if w.batch.rows > 0 {
		if _, err := w.Flush(); err != nil {
			return nil, err
		}
	}
	w.chunk = chunk
	return w.batch, nil
}

// Batch returns the batch that is being filled.
func (w *Writer) Batch() *Batch { return w.batch }

// Flush hands over what has been filled and returns the next batch to fill, or the error that ended the
// writing.
func (w *Writer) Flush() (*Batch, error) {
	w.batch.chunk = w.chunk
	select {
	case w.full <- w.batch:
	case <-w.table.failed:
		return nil, w.table.failure()
	}
	select {
	case w.batch = <-w.free:
		return w.batch, nil
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
		err = w.endPart()
	}
	if err != nil {
		w.table.fail(err)
		w.abandon(err)
		return err
	}
	w.table.add(w.tally)
	w.encoder = nil
	return nil
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
	if len(w.table.parts) == 0 {
		err := w.beginPart(0)
		if err == nil {
			err = w.endPart()
		}
		if err != nil {
			w.table.fail(err)
			w.abandon(err)
			return nil, elt.TableStats{}, err
		}
	}
	return w.table.inOrder(), w.table.tally.Stats(), nil
}

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
	if w.sink != nil {
		w.sink.Abort(err)
		w.sink = nil
	}
}

// run writes batches until there are no more or one fails.
func (w *Writer) run() {
	for b := range w.full {
		if err := w.write(b); err != nil {
			w.table.fail(err)
			return
		}
		b.Reset()
		w.free <- b
	}
}

func (w *Writer) write(b *Batch) error {
	if b.rows == 0 {
		return nil
	}
	if w.part != nil && w.ofChunk != b.chunk {
		if err := w.endPart(); err != nil {
			return err
		}
	}
	if w.part == nil {
		if err := w.beginPart(b.chunk); err != nil {
			return err
		}
	}
	w.tally.Add(b)
	if err := w.part.write(b); err != nil {
		return fmt.Errorf("write part %d: %w", w.index, err)
	}
	w.count(int64(b.rows))
	if w.part.sink.bytes >= w.table.opts.PartBytes {
		return w.endPart()
	}
	return nil
}

// count tells the table of rows, and of what the part has grown by.
func (w *Writer) count(rows int64) {
	w.table.progress(rows, w.part.sink.bytes-w.counted)
	w.counted = w.part.sink.bytes
}

func (w *Writer) beginPart(chunk int) (err error) {
	w.index, w.ofChunk, w.counted = w.table.number(), chunk, 0
	if w.sink, err = w.table.opts.Create(w.index); err != nil {
		return fmt.Errorf("begin part %d: %w", w.index, err)
	}
	if w.encoder == nil {
		if w.encoder, err = newEncoder(len(w.table.schema)); err != nil {
			return err
		}
	}
	if w.part, err = newPartFile(w.sink, w.table.schema, w.encoder); err != nil {
		return fmt.Errorf("begin part %d: %w", w.index, err)
	}
	return nil
}

// endPart ends the part that is open, if one is, and checks that the store holds what was written.
func (w *Writer) endPart() error {
	if w.part == nil {
		return nil
	}
	if err := w.part.close(); err != nil {
		return fmt.Errorf("end part %d: %w", w.index, err)
	}
	object, err := w.sink.Commit()
	if err != nil {
		return fmt.Errorf("store part %d: %w", w.index, err)
	}
	if object.Bytes != w.part.sink.bytes {
		return &elt.Error{
			Code: "lake_short_write", Class: elt.Transient,
			What: fmt.Sprintf("the lake holds %d bytes of %s, %d were written", object.Bytes, object.Key, w.part.sink.bytes),
			Do:   "nothing: the step is tried again; if it stays, look for what cuts writes to the lake short",
		}
	}
	w.table.keep(finished{w.ofChunk, w.index, elt.Part{Key: object.Key, Rows: w.part.rows, Bytes: object.Bytes, SHA256: object.SHA256}})
	w.part, w.sink = nil, nil
	return nil
}
