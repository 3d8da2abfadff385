package mysql

import (
	"context"
	"errors"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// lane reads chunks of a table one after the other into a writer of its own, in one session as long as that lives.
type lane struct {
	*reading
	to    *parquet.Writer
	chunk *chunk // that was begun and is not read; nil for none
	began bool   // it has come as far as to read
}

// first reports whether the lane is the one that the reading began with.
func (l *lane) first() bool { return l.to == l.reading.to }

// run reads chunks while there are any. A session that is lost meanwhile costs the chunk that it was at, as long as
// another has the snapshot. Afterwards the lane's memory is given back.
func (l *lane) run(ctx context.Context, in *session) {
	err := l.readIn(ctx, in)
	for err != nil && ctx.Err() == nil && !l.to.Failed() && elt.CodeOf(err) == extract.CodeConnectionLost {
		l.snapshot.source.opts.Log.Warn("a session was lost, another goes on in the same snapshot", "dataset", l.request.Extraction.Dataset,
			"source", l.snapshot.source.opts.Name, "error", err)
		next, failed := l.snapshot.acquire(ctx)
		if failed != nil {
			err = errors.Join(failed, err)
			break
		}
		err = l.readIn(ctx, next)
	}
	if err == nil && l.failure() == nil {
		err = l.to.End()
	}
	l.fail(err)
}

// readIn reads in a session, and gives it back.
func (l *lane) readIn(ctx context.Context, in *session) error {
	err := in.guarded(ctx, l.snapshot.closing, func(own context.Context) error { // it outlives ctx by a little, and ends with the lane
		return l.explain(own, in.locked(own, l.table, func() error {
			l.began = true
			return l.readAll(own, in, func() { l.widen(ctx) })
		}))
	})
	if !l.first() && !l.began && !in.broken && elt.CodeOf(err) == verdictOf(errLockTimeout).code {
		err = nil // somebody waits to alter the table: who reads it goes on without this session
	}
	l.finish(err)
	l.snapshot.giveBack(in)
	return err
}

// explain returns the error for operators, unless it is the lake's.
func (l *lane) explain(ctx context.Context, err error) error {
	if err == nil || l.to.Failed() {
		return err
	}
	return fault(ctx, withoutValues(err, l.request), "cannot read table %s of source %s", l.table.info.Name, l.snapshot.source.opts.Name)
}

// readAll reads chunks until there are none, and calls widen with each. A session beside the first stops as soon as
// another table waits for one.
func (l *lane) readAll(ctx context.Context, in *session, widen func()) error {
	reader, err := newRowReader(l.table, l.request, l.to)
	if err != nil {
		return err
	}
	for {
		if more, err := l.begin(ctx, in, reader); err != nil || !more {
			return err
		}
		widen()
		if err := l.snapshot.pace.Wait(ctx, l.request.Paused); err != nil {
			return err
		}
		n, err := in.readChunk(ctx, *l.chunk, reader)
		if err != nil {
			return err
		}
		l.chunk = nil
		l.end(n)
		if !l.first() && l.snapshot.waiting.Load() > 0 {
			return nil
		}
	}
}

// begin begins the next chunk, or again the one whose session was lost, of which nothing is kept.
func (l *lane) begin(ctx context.Context, in *session, reader *rowReader) (more bool, err error) {
	if l.chunk != nil {
		reader.batch, err = l.to.Discard()
		return true, err
	}
	number, c, more, err := l.take(ctx, in)
	if err != nil || !more {
		return false, err
	}
	l.chunk = &c
	reader.batch, err = l.to.Begin(number)
	return true, err
}
