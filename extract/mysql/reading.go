package mysql

import (
	"context"
	"fmt"
	"sync"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
)

// Read reads a table chunk by chunk: in one session to begin with, and in as many more as no other table waits for.
func (s *snapshot) Read(ctx context.Context, r extract.Request, to *parquet.Writer) (int64, error) {
	if err := context.Cause(s.closing); err != nil {
		return 0, err
	}
	t, err := s.table(r.Extraction.Table)
	if err != nil {
		return 0, err
	}
	if r.Paused == nil {
		r.Paused = func(string) {}
	}
	if r.Range != nil && !r.Range.Open {
		if err := s.older.closed(r.Extraction.Dataset, r.Range.Window.To); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.closing, func() { cancel(context.Cause(s.closing)) })
	defer stop()
	first, err := s.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer s.hold(t.name)()
	d := &reading{snapshot: s, table: t, request: r, to: to, cancel: cancel}
	(&lane{reading: d, to: to}).run(ctx, first)
	d.lanes.Wait()
	if d.err == nil && !d.done {
		d.err = fmt.Errorf("table %s of source %s: its reading ended with chunks left", t.info.Name, s.source.opts.Name)
	}
	return d.rows, d.err
}

// reading is one table while it is read.
type reading struct {
	snapshot *snapshot
	table    table
	request  extract.Request
	to       *parquet.Writer // its first
	cancel   context.CancelCauseFunc
	lanes    sync.WaitGroup // beside the first

	cutting sync.Mutex // held while a chunk is cut, which may take a while
	cutter  *cutter

	mu   sync.Mutex // of what follows
	next int        // number of the next chunk
	open int        // chunks that are being read
	rows int64
	done bool  // every chunk was read
	err  error // the first
}

// finish tells the snapshot once that the table was read.
func (d *reading) finish(err error) {
	d.cutting.Lock()
	defer d.cutting.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.err == nil && !d.done && d.open == 0 && d.cutter != nil && len(d.cutter.spans) == 0 {
		d.done = true
		d.snapshot.done()
	}
}

// take returns the next chunk and its number. The first caller cuts the table.
func (d *reading) take(ctx context.Context, in *session) (int, chunk, bool, error) {
	d.cutting.Lock()
	defer d.cutting.Unlock()
	if err := d.failure(); err != nil {
		return 0, chunk{}, false, err
	}
	if d.cutter == nil {
		if err := in.nullCursors(ctx, d.table, d.request); err != nil {
			return 0, chunk{}, false, err
		}
		cutter, err := in.newCutter(ctx, d.table, d.request.Range)
		if err != nil {
			return 0, chunk{}, false, err
		}
		d.cutter = cutter
	}
	c, ok, err := d.cutter.next(ctx, in)
	if err != nil || !ok {
		return 0, c, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	d.open++
	return d.next - 1, c, true, nil
}

// end counts a chunk that was read.
func (d *reading) end(rows int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	d.rows += rows
}

// widen has further sessions read, while there are chunks and idle sessions, and no other table waits for one.
func (d *reading) widen(ctx context.Context) {
	if !d.cutting.TryLock() { // whoever cuts comes here next
		return
	}
	defer d.cutting.Unlock()
	for range d.cutter.spans {
		if d.snapshot.waiting.Load() > 0 {
			return
		}
		in := d.snapshot.spare()
		if in == nil {
			return
		}
		beside := &lane{reading: d, to: d.to.Beside()}
		d.lanes.Go(func() { beside.run(ctx, in) })
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
