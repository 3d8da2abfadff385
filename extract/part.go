package extract

import (
	"context"
	"io"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// lakePart streams one part into the lake while it is written.
type lakePart struct {
	*io.PipeWriter
	done   chan struct{} // closed when the lake is through with it
	object elt.Object
	err    error
}

// newPart begins the part of that key.
func newPart(ctx context.Context, lake Lake, key string) parquet.Sink {
	from, to := io.Pipe()
	p := &lakePart{PipeWriter: to, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.object, p.err = lake.Put(ctx, key, from)
		// Whoever still writes learns why nobody reads any more.
		from.CloseWithError(p.err)
	}()
	return p
}

// Commit ends the part and returns the object that the lake made of it.
func (p *lakePart) Commit() (elt.Object, error) {
	if err := p.Close(); err != nil {
		return elt.Object{}, err
	}
	<-p.done
	return p.object, p.err
}

// Abort makes the lake's Put fail with err, so that no object comes to be.
func (p *lakePart) Abort(err error) {
	p.CloseWithError(err)
	<-p.done
}
