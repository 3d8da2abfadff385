package postgres

import (
	"context"
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

// Read reads a table chunk by chunk: in one session to begin with, and in as many more as no other table or worker waits for.
func (s *snapshot) Read(ctx context.Context, r extract.Request, to *parquet.Writer) (int64, error) {
	if err := context.Cause(s.closing); err != nil {
		return 0, err
	}
	t, err := s.table(r.Extraction.Table)
	if err != nil {
		return 0, err
	}
	if r.Range != nil && !r.Range.Open {
		if err := s.older.closed(r.Extraction.Dataset, r.Range.Window.To); err != nil {
			return 0, err
		}
	}
	if r.Paused == nil {
		r.Paused = func(string) {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(context.Cause(s.closing)) })
	defer stop()
	if err := s.readers.slots.take(ctx); err != nil {
		return 0, err
	}
	d := &reading{snapshot: s, table: t, request: r, cancel: cancel}
	d.first(ctx, to)
	if d.err == nil && (d.next < len(d.chunks) || len(d.returned) > 0) {
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
	others   sync.WaitGroup // lanes beside the first

	mu       sync.Mutex
	chunks   []chunk
	alone    bool  // one session reads all of them
	next     int   // of the chunks
	returned []int // chunks that were taken, and not read
	rows     int64
	err      error // the first
}

// first has a session cut the table and read the first chunk, and others with it.
func (d *reading) first(ctx context.Context, to *parquet.Writer) {
	d.lane(ctx, to, func(l *lane) error {
		if err := l.try(ctx, d.prepare); err != nil {
			return err
		}
		for waited := false; ; {
			number, c, ok := d.take()
			if !ok && waited {
				return nil
			}
			if !ok { // the others may yet return what they have taken
				d.others.Wait()
				waited = true
				continue
			}
			if err := l.read(ctx, number, c); err != nil {
				return err
			}
			waited = false
		}
	})
	d.others.Wait()
}

// beside has a session read a chunk, and more while no other table or worker waits for a session.
func (d *reading) beside(ctx context.Context, to *parquet.Writer, number int, c chunk) {
	d.lane(ctx, to, func(l *lane) error {
		for ok := true; ok; {
			err := l.read(ctx, number, c)
			if code := elt.CodeOf(err); code == "source_busy" || code == "source_lock_timeout" || code == "source_unreachable" {
				d.snapshot.source.opts.Log.Warn("the table goes on with fewer sessions", "dataset", d.request.Extraction.Dataset, "error", err)
				d.giveBack(number)
				_, err = to.Discard()
				return err
			}
			if err != nil {
				return err
			}
			if d.snapshot.readers.slots.wanted() {
				return nil
			}
			number, c, ok = d.take()
		}
		return nil
	})
}

// lane gives a writer and sessions, one at a time, to do. Afterwards it gives back the slot that was taken for it, the
// session and the writer's memory.
func (d *reading) lane(ctx context.Context, to *parquet.Writer, do func(*lane) error) {
	defer d.snapshot.readers.slots.give()
	l := &lane{reading: d, to: to}
	err := do(l)
	if e := l.end(); err == nil && e != nil {
		err = fault(ctx, e, "cannot end reading table %s of source %s", d.table.info.Name, d.snapshot.source.opts.Name)
	}
	if err == nil && d.failure() == nil {
		err = to.End()
	}
	d.fail(err)
}

// prepare cuts the table.
func (d *reading) prepare(ctx context.Context, in *session) error {
	chunks, alone, err := d.snapshot.chunks(ctx, in, d.table, d.request)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.chunks, d.alone = chunks, alone
	d.mu.Unlock()
	return nullCursors(ctx, in, d.table, d.request) // last: what it counts must not be counted again
}

// take returns the next chunk and its number.
func (d *reading) take() (int, chunk, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.returned); n > 0 {
		number := d.returned[n-1]
		d.returned = d.returned[:n-1]
		return number, d.chunks[number], true
	}
	if d.next == len(d.chunks) {
		return 0, nil, false
	}
	d.next++
	return d.next - 1, d.chunks[d.next-1], true
}

// giveBack has the chunk be read by another session.
func (d *reading) giveBack(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.returned = append(d.returned, number)
}

// widen has further sessions read, while there are chunks and free slots, and no other table waits for one.
func (d *reading) widen(ctx context.Context, to *parquet.Writer) {
	for !d.alone && d.snapshot.readers.slots.try() {
		number, c, ok := d.take()
		if !ok {
			d.snapshot.readers.slots.give()
			return
		}
		d.others.Go(func() { d.beside(ctx, to.Beside(), number, c) })
	}
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
