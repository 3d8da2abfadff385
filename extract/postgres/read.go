package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// errLetGo ends reading in a snapshot that is let go.
var errLetGo error = &elt.Error{
	Code: extract.CodeConnectionLost, Class: elt.Transient, What: "the snapshot was let go while a table was read",
	Do: "nothing: the step is tried again",
}

// Read reads a table chunk by chunk: in one session to begin with, and in as many more as no other table waits for.
func (s *snapshot) Read(ctx context.Context, r extract.Request, to *parquet.Writer) (int64, error) {
	t, err := s.table(r.Extraction.Table)
	if err != nil {
		return 0, err
	}
	if r.Range != nil {
		if err := s.older.closed(r.Extraction.Dataset, r.Range.Window.To); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(errLetGo) })
	defer stop()
	s.readers.waiting.Add(1)
	select {
	case s.readers.slots <- struct{}{}:
		s.readers.waiting.Add(-1)
	case <-ctx.Done():
		s.readers.waiting.Add(-1)
		return 0, context.Cause(ctx)
	}
	d := &reading{snapshot: s, table: t, request: r, cancel: cancel}
	d.first(ctx, to)
	d.lanes.Wait()
	if d.err == nil && d.next < len(d.chunks) {
		return 0, fmt.Errorf("table %s of source %s: %d of %d chunks were read", t.info.Name, s.source.opts.Name, d.next, len(d.chunks))
	}
	return d.rows, d.err
}

// reading is one table while it is read.
type reading struct {
	snapshot *snapshot
	table    table
	request  extract.Request
	cancel   context.CancelCauseFunc
	lanes    sync.WaitGroup // beside the first

	mu     sync.Mutex
	chunks []chunk
	next   int // of the chunks
	rows   int64
	err    error // the first
}

// first has a session cut the table and read the first chunk, and others with it.
func (d *reading) first(ctx context.Context, to *parquet.Writer) {
	d.lane(ctx, to, func(in *session) error {
		if err := d.prepare(ctx, in); err != nil {
			return err
		}
		for {
			number, c, ok := d.take()
			if !ok {
				return nil
			}
			if err := d.read(ctx, in, number, c, to); err != nil {
				return err
			}
		}
	})
}

// beside has a session read a chunk, and more while no other table waits for a session.
func (d *reading) beside(ctx context.Context, to *parquet.Writer, number int, c chunk) {
	d.lane(ctx, to, func(in *session) error {
		for ok := true; ok; {
			if err := d.read(ctx, in, number, c, to); err != nil {
				return err
			}
			if d.snapshot.readers.waiting.Load() > 0 {
				return nil
			}
			number, c, ok = d.take()
		}
		return nil
	})
}

// lane gives a session and a writer to do. Afterwards it gives back the slot that was taken for it, and the writer's
// memory.
func (d *reading) lane(ctx context.Context, to *parquet.Writer, do func(*session) error) {
	defer func() { <-d.snapshot.readers.slots }()
	err := d.inSession(ctx, do)
	if err == nil && d.failure() == nil {
		err = to.End()
	}
	d.fail(err)
}

// inSession runs do in a session of the snapshot, which others get when it went well.
func (d *reading) inSession(ctx context.Context, do func(*session) error) error {
	in, err := d.snapshot.session(ctx)
	if err != nil {
		return err
	}
	if err := do(in); err != nil {
		return errors.Join(err, d.snapshot.readers.drop(in))
	}
	if err := d.snapshot.readers.put(in); err != nil {
		return fault(ctx, err, "cannot end reading table %s of source %s", d.table.info.Name, d.snapshot.source.opts.Name)
	}
	return nil
}

// prepare cuts the table.
func (d *reading) prepare(ctx context.Context, in *session) error {
	if err := noNullCursor(ctx, in, d.table, d.request); err != nil {
		return err
	}
	chunks, err := d.snapshot.chunks(ctx, in, d.table, d.request)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chunks = chunks
	return err
}

// take returns the next chunk and its number.
func (d *reading) take() (int, chunk, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == len(d.chunks) {
		return 0, nil, false
	}
	d.next++
	return d.next - 1, d.chunks[d.next-1], true
}

// widen has further sessions read, while there are chunks and free slots, and no other table waits for one.
func (d *reading) widen(ctx context.Context, to *parquet.Writer) {
	for d.snapshot.readers.waiting.Load() == 0 {
		select {
		case d.snapshot.readers.slots <- struct{}{}:
		default:
			return
		}
		number, c, ok := d.take()
		if !ok {
			<-d.snapshot.readers.slots
			return
		}
		d.lanes.Go(func() { d.beside(ctx, to.Beside(), number, c) })
	}
}

// read reads a chunk.
func (d *reading) read(ctx context.Context, in *session, number int, c chunk, to *parquet.Writer) error {
	d.widen(ctx, to)
	if _, err := to.Begin(number); err != nil {
		return err
	}
	for _, p := range c {
		n, err := d.copy(ctx, in, p, to)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.rows += n
		d.mu.Unlock()
	}
	return nil
}

// fail notes the first error and has the other lanes stop.
func (d *reading) fail(err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = err
		d.cancel(err)
	}
}

func (d *reading) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}
