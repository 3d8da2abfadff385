package parquet

import (
	"fmt"
	"io"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// DefaultPartBytes is the size at which a part is ended when Options name none.
const DefaultPartBytes = 256 << 20

// batches is how many batches are in use at once: one being filled, one being written, one on its way.
const batches = 3

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
	Create    func(index int) (Sink, error) // opens the part of that number, from 0
	Progress  func(rows int64, bytes int64) // called after each row group; may be nil
}

// Writer writes batches to parts on a goroutine of its own. Its methods are for one goroutine.
type Writer struct {
	schema elt.Schema
	opts   Options
	batch  *Batch // being filled
	full   chan *Batch
	free   chan *Batch
	failed chan struct{} // closed when err is set
	done   sync.WaitGroup

	// Owned by the goroutine until done.
	tally *Tally
	part  *partFile
	sink  Sink
	parts []elt.Part
	err   error
	bytes int64 // of the parts that are ended
}

// NewWriter returns a Writer of the schema. The caller must Close or Abort it.
func NewWriter(schema elt.Schema, opts Options) *Writer {
	if opts.PartBytes <= 0 {
		opts.PartBytes = DefaultPartBytes
	}
	w := &Writer{
		schema: schema, opts: opts, tally: NewTally(schema),
		full: make(chan *Batch), free: make(chan *Batch, batches), failed: make(chan struct{}),
	}
	w.batch = NewBatch(schema)
	for range batches - 1 {
		w.free <- NewBatch(schema)
	}
	w.done.Go(w.run)
	return w
}

// Batch returns the batch that is being filled.
func (w *Writer) Batch() *Batch { return w.batch }

// Flush hands over what has been filled and returns the next batch to fill, or the error that ended the
// writing.
func (w *Writer) Flush() (*Batch, error) {
	select {
	case w.full <- w.batch:
	case <-w.failed:
		return nil, w.err
	}
	select {
	case w.batch = <-w.free:
		return w.batch, nil
	case <-w.failed:
		return nil, w.err
	}
}

// Failed reports whether writing has ended with an error of its own, such as the lake's.
func (w *Writer) Failed() bool {
	select {
	case <-w.failed:
		return true
	default:
		return false
	}
}

// Close writes what is left and returns the parts and the facts about all rows. There is always at least one
// part, so that an empty table still shows its schema.
func (w *Writer) Close() ([]elt.Part, elt.TableStats, error) {
	_, err := w.Flush()
	w.end()
	if err == nil {
		err = w.err
	}
	if err == nil {
		err = w.endPart()
	}
	if err != nil {
		w.abandon(err)
		return nil, elt.TableStats{}, err
	}
	return w.parts, w.tally.Stats(), nil
}

// Abort gives up what is being written because of err. Parts that were ended stay where they are, and no
// manifest names them.
func (w *Writer) Abort(err error) {
	w.end()
	w.abandon(err)
}

func (w *Writer) end() {
	close(w.full)
	w.done.Wait()
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
			w.err = err
			close(w.failed)
			return
		}
		b.Reset()
		w.free <- b
	}
}

func (w *Writer) write(b *Batch) error {
	if b.rows == 0 && len(w.parts) > 0 {
		return nil
	}
	if w.part == nil {
		if err := w.beginPart(); err != nil {
			return err
		}
	}
	if b.rows == 0 {
		return nil
	}
	w.tally.Add(b)
	if err := w.part.write(b); err != nil {
		return fmt.Errorf("write part %d: %w", len(w.parts), err)
	}
	size := w.part.sink.bytes
	if w.opts.Progress != nil {
		w.opts.Progress(w.tally.rows, w.bytes+size)
	}
	if size >= w.opts.PartBytes {
		return w.endPart()
	}
	return nil
}

func (w *Writer) beginPart() (err error) {
	index := len(w.parts)
	if w.sink, err = w.opts.Create(index); err != nil {
		return fmt.Errorf("begin part %d: %w", index, err)
	}
	if w.part, err = newPartFile(w.sink, w.schema); err != nil {
		return fmt.Errorf("begin part %d: %w", index, err)
	}
	return nil
}

// endPart ends the part that is open, if one is, and checks that the store holds what was written.
func (w *Writer) endPart() error {
	if w.part == nil {
		return nil
	}
	index := len(w.parts)
	if err := w.part.close(); err != nil {
		return fmt.Errorf("end part %d: %w", index, err)
	}
	object, err := w.sink.Commit()
	if err != nil {
		return fmt.Errorf("store part %d: %w", index, err)
	}
	if object.Bytes != w.part.sink.bytes {
		return &elt.Error{
			Code: "lake_short_write", Class: elt.Transient,
			What: fmt.Sprintf("the lake holds %d bytes of %s, %d were written", object.Bytes, object.Key, w.part.sink.bytes),
			Do:   "nothing: the step is tried again; if it stays, look for what cuts writes to the lake short",
		}
	}
	w.parts = append(w.parts, elt.Part{Key: object.Key, Rows: w.part.rows, Bytes: object.Bytes, SHA256: object.SHA256})
	w.bytes += object.Bytes
	w.part, w.sink = nil, nil
	return nil
}
