package postgres

import (
	"context"
	"fmt"
	"slices"
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
	d := &reading{snapshot: s, table: t, request: r, cancel: cancel, stirred: make(chan struct{}, 1)}
	d.first(ctx, to)
	d.mu.Lock() // a chunk that is lent may come back even now
	defer d.mu.Unlock()
	if d.err == nil && d.read != len(d.chunks) {
		return 0, fmt.Errorf("table %s of source %s: %d of %d chunks were read", t.info.Name, s.source.opts.Name, d.read, len(d.chunks))
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
	stirred  chan struct{}  // told when lanes ended, or lent chunks came back

	mu     sync.Mutex
	chunks []chunk
	alone  bool  // one session reads all of them
	todo   []int // chunks that nobody has begun
	lent   int   // chunks that others read
	beside int   // lanes beside the first that read
	read   int   // chunks that have been read, here or elsewhere
	rows   int64
	err    error // the first
}

// first has a session cut the table and read the first chunk, and others with it.
func (d *reading) first(ctx context.Context, to *parquet.Writer) {
	d.lane(ctx, to, func(l *lane) error {
		if err := l.try(ctx, d.prepare); err != nil {
			return err
		}
		if d.lendable() {
			d.request.Lend(d)
		}
		for {
			number, c, ok := d.take()
			if ok {
				if err := l.read(ctx, number, c); err != nil {
					return err
				}
				continue
			}
			if more, err := d.await(ctx, l); err != nil || !more { // the others may yet return what they have taken
				return err
			}
		}
	})
	d.others.Wait()
}

// await waits for chunks that come back unread; there will be none when every other one has been read. Meanwhile others can
// have the connection.
func (d *reading) await(ctx context.Context, l *lane) (more bool, err error) {
	slots := &d.snapshot.readers.slots
	for {
		d.mu.Lock()
		todo, waits := len(d.todo) > 0, d.beside+d.lent > 0
		d.mu.Unlock()
		switch {
		case todo && l.without:
			err = slots.take(ctx)
			l.without = err != nil
			return true, err
		case todo || !waits:
			return todo, nil
		case !l.without:
			if err := l.end(); err != nil {
				return false, fault(ctx, err, "cannot end reading table %s of source %s", d.table.info.Name, d.snapshot.source.opts.Name)
			}
			slots.give()
			l.without = true
		}
		select {
		case <-d.stirred:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// stir has await look again. The lock is held.
func (d *reading) stir() {
	select {
	case d.stirred <- struct{}{}:
	default:
	}
}

// lendable reports whether others may read chunks of the table, and it is worth their coming.
func (d *reading) lendable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.request.Lend != nil && d.request.Range == nil && !d.alone && len(d.todo) >= worthLending &&
		slices.ContainsFunc(d.chunks, func(c chunk) bool { return !slices.ContainsFunc(c, func(p piece) bool { return p.of == nil }) })
}

// worthLending is how many chunks a table has at least of which others may read some.
const worthLending = 4

// further has a session read a chunk, and more while no other table or worker waits for a session.
func (d *reading) further(ctx context.Context, to *parquet.Writer, number int, c chunk) {
	defer d.ended()
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
	l := &lane{reading: d, to: to}
	defer func() {
		if !l.without {
			d.snapshot.readers.slots.give()
		}
	}()
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
	d.chunks, d.alone, d.todo = chunks, alone, nil
	for number := range chunks {
		d.todo = append(d.todo, number)
	}
	d.mu.Unlock()
	return nullCursors(ctx, in, d.table, d.request) // last: what it counts must not be counted again
}

// take returns the next chunk and its number.
func (d *reading) take() (int, chunk, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.todo) == 0 {
		return 0, nil, false
	}
	number := d.todo[0]
	d.todo = d.todo[1:]
	return number, d.chunks[number], true
}

// giveBack has the chunk be read by another session.
func (d *reading) giveBack(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.todo = append(d.todo, number)
}

// ended counts a lane that reads no longer.
func (d *reading) ended() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.beside--
	d.stir()
}

// widen has further sessions read, while there are chunks and free slots, and no other table waits for one.
func (d *reading) widen(ctx context.Context, to *parquet.Writer) {
	for !d.alone && d.Left() > 0 && d.snapshot.readers.slots.try() {
		number, c, ok := d.take()
		if !ok {
			d.snapshot.readers.slots.give()
			return
		}
		d.mu.Lock()
		d.beside++
		d.mu.Unlock()
		d.others.Go(func() { d.further(ctx, to.Beside(), number, c) })
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
