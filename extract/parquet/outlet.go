package parquet

import (
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// errDiscarded ends a part whose chunk is read again.
var errDiscarded = errors.New("the chunk is read again")

// outlet writes a writer's batches of one schema, part after part. A part holds rows of one chunk alone.
type outlet struct {
	form   func() (*form, error)
	create func(index int) (Sink, error)
	to     *series
	size   int64 // at which a part is ended

	encoder *encoder
	part    *partFile
	sink    Sink
	index   int // of the part
	chunk   int // the part's
	counted int64
	ended   []finished // parts of the chunk that is open
}

// write writes a batch. grown is what the open part has grown by.
func (o *outlet) write(b *Batch, chunk int) (grown int64, err error) {
	if o.part == nil {
		if err := o.begin(chunk); err != nil {
			return 0, err
		}
	}
	if err := o.part.write(b); err != nil {
		return 0, fmt.Errorf("write part %d: %w", o.index, err)
	}
	grown = o.part.sink.bytes - o.counted
	o.counted = o.part.sink.bytes
	if o.part.sink.bytes >= o.size {
		return grown, o.end()
	}
	return grown, nil
}

func (o *outlet) begin(chunk int) (err error) {
	o.index, o.chunk, o.counted = o.to.number(), chunk, 0
	if o.sink, err = o.create(o.index); err != nil {
		return fmt.Errorf("begin part %d: %w", o.index, err)
	}
	of, err := o.form()
	if err == nil {
		if o.encoder == nil {
			o.encoder = newEncoder(len(of.columns))
		}
		o.part, err = newPartFile(o.sink, of, o.encoder)
	}
	if err != nil {
		return fmt.Errorf("begin part %d: %w", o.index, err)
	}
	return nil
}

// end ends the part that is open, if one is, and checks that the store holds what was written.
func (o *outlet) end() error {
	if o.part == nil {
		return nil
	}
	if err := o.part.close(); err != nil {
		return fmt.Errorf("end part %d: %w", o.index, err)
	}
	object, err := o.sink.Commit()
	if err != nil {
		return fmt.Errorf("store part %d: %w", o.index, err)
	}
	if object.Bytes != o.part.sink.bytes {
		return &elt.Error{
			Code: "lake_short_write", Class: elt.Transient,
			What: fmt.Sprintf("the lake holds %d bytes of %s, %d were written", object.Bytes, object.Key, o.part.sink.bytes),
			Do:   "nothing: the step is tried again; if it stays, look for what cuts writes to the lake short",
		}
	}
	o.ended = append(o.ended, finished{o.chunk, o.index, elt.Part{Key: object.Key, Rows: o.part.rows, Bytes: object.Bytes, SHA256: object.SHA256}})
	o.part, o.sink = nil, nil
	return nil
}

// endChunk ends the chunk that is open, and hands its parts over.
func (o *outlet) endChunk() error {
	err := o.end()
	if err == nil {
		o.to.keep(o.ended)
		o.ended = nil
	}
	return err
}

// discard forgets the chunk that is open. Parts of it that were ended stay in the store.
func (o *outlet) discard() {
	o.abandon(errDiscarded)
	o.part, o.ended = nil, nil
}

// abandon gives the open part up.
func (o *outlet) abandon(err error) {
	if o.sink != nil {
		o.sink.Abort(err)
		o.sink = nil
	}
}
