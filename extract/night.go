package extract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Night shares one snapshot of each source among the tables of a run.
type Night struct {
	x   *Extractor
	run elt.RunID

	mu      sync.Mutex
	sources map[elt.SourceName]*shared
	closed  bool

	seats   sync.WaitGroup // that are held among other workers
	closing context.Context
	close   context.CancelFunc
}

// Begin returns the run's Night: all are its tables, remaining those that are still to be extracted.
// Nothing is opened yet.
func (x *Extractor) Begin(run elt.RunID, all, remaining []elt.Extraction) *Night {
	n := &Night{x: x, run: run, sources: make(map[elt.SourceName]*shared)}
	n.closing, n.close = context.WithCancel(context.Background())
	for _, e := range all {
		n.of(e.Source).all[e.Dataset] = e
	}
	for _, e := range remaining {
		n.of(e.Source).remaining[e.Dataset] = e
	}
	return n
}

// of returns what is shared of a source.
func (n *Night) of(name elt.SourceName) *shared {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sources[name]
	if s == nil {
		s = &shared{
			all: make(map[elt.DatasetName]elt.Extraction), remaining: make(map[elt.DatasetName]elt.Extraction),
			refused: make(map[elt.DatasetName]int),
		}
		n.sources[name] = s
	}
	return s
}

// Extract reads one table of the run into the lake and returns its manifest. Tables may be extracted at the
// same time. progress is called as row groups are written, one call at a time, on another goroutine.
func (n *Night) Extract(ctx context.Context, job Job, progress func(elt.Progress)) (*elt.Manifest, error) {
	source, failed := n.x.source(job.Extraction.Source)
	if failed != nil {
		return nil, failed
	}
	s := n.of(job.Extraction.Source)
	a := &attempt{Job: job, tell: progress, log: n.x.opts.Log}
	for begun := 1; ; begun++ {
		m, number, err := n.once(ctx, s, source, a)
		code := elt.CodeOf(err)
		switch {
		case err == nil || ctx.Err() != nil || n.isClosed():
			return m, err
		case begun > 1 && code == codeUnreachable && begun <= restarts(code): // it was there a moment ago
			if err := pause(ctx, n.x.opts.Rest<<begun/100); err != nil {
				return nil, err
			}
			continue
		case begun > restarts(code) || code == codeUnreachable:
			return m, err
		}
		a.restart(err)
		n.x.opts.Log.Warn("a table is read again from its beginning, in a new snapshot", "dataset", job.Extraction.Dataset,
			"source", job.Extraction.Source, "run", n.run, "snapshot", number, "code", elt.CodeOf(err), "error", err)
	}
}

// restarts is how often one attempt begins a table again after an error of that code: its snapshot is gone, or older
// than the table, and nothing is wrong with the table.
func restarts(code elt.Code) int {
	switch code {
	case CodeConnectionLost, codeReplicaConflict:
		return 2
	case CodeSourceBudget, CodeTableRewritten:
		return 4
	case codeUnreachable:
		return 6
	}
	return 0
}

const (
	// codeUnreachable is the code with which a Source says that nobody answers.
	codeUnreachable elt.Code = "source_unreachable"
	// codeReplicaConflict is the code with which a Source says that a replica has cancelled what stood in the way of its replay,
	// as it does with everything in a snapshot that is too old for it.
	codeReplicaConflict elt.Code = "source_replica_conflict"
)

// pause waits for that long, or returns the cause of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// once reads the table in one snapshot, whose number it returns.
func (n *Night) once(ctx context.Context, s *shared, source Source, a *attempt) (*elt.Manifest, int, error) {
	if err := s.rested(ctx, a); err != nil {
		return nil, 0, err
	}
	in, err := s.acquire(ctx, n, source, a)
	if err != nil {
		return nil, 0, err
	}
	m, err := n.x.extract(ctx, a, in)
	if e := s.release(ctx, in, a.Extraction, err, n.x.opts.Rest); e != nil {
		// The rows are in the lake, or their error is known: a failed farewell changes neither.
		n.x.opts.Log.Warn("a snapshot was not let go cleanly", "source", a.Extraction.Source, "run", n.run, "error", e)
	}
	if from := (*sourceError)(nil); errors.As(err, &from) {
		err = from.err
	}
	return m, in.number, err
}

// Close lets go of every snapshot. What is still being extracted fails.
func (n *Night) Close() error {
	n.mu.Lock()
	n.closed = true
	sources := n.sources
	n.mu.Unlock()
	n.close()
	var errs []error
	for name, s := range sources {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("let go of source %s: %w", name, err))
		}
	}
	n.seats.Wait()
	return errors.Join(errs...)
}

func (n *Night) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// epoch is one snapshot and who uses it.
type epoch struct {
	snapshot Snapshot
	number   int // of the run's snapshots of the source, from 1
	covers   map[elt.DatasetName]bool
	whole    bool // every table of the source's run is read in it
	users    int
	retired  bool // nobody new may use it
	ended    bool
	seat     *seat // where other workers read in it, too; nil where it is this one's alone
}

// shared is a source as the tables of one run share it.
type shared struct {
	opening sync.Mutex // held while a snapshot is opened: the others want the same one

	mu        sync.Mutex // of what follows
	all       map[elt.DatasetName]elt.Extraction
	remaining map[elt.DatasetName]elt.Extraction
	refused   map[elt.DatasetName]int // the last epoch that could not serve the table
	spent     int                     // the last epoch that was let go for production's sake
	number    int
	current   *epoch
	rests     int       // how often the source was given rest
	until     time.Time // it is given rest
	why       string
}

// rested returns when the source has had its rest.
func (s *shared) rested(ctx context.Context, a *attempt) error {
	for {
		s.mu.Lock()
		left, why := time.Until(s.until), s.why
		s.mu.Unlock()
		if left <= 0 {
			a.paused("")
			return nil
		}
		a.paused(why)
		if err := pause(ctx, left); err != nil {
			return err
		}
	}
}

// longestRest is how long a source is left alone at most.
const longestRest = 10 * time.Minute

// rest leaves the source alone for a while, for longer each time.
func (s *shared) rest(first time.Duration, why error) {
	s.until = time.Now().Add(min(first<<min(s.rests, 10), longestRest))
	s.rests++
	s.why = "source budget (" + why.Error() + ")"
}

// acquire returns the snapshot to read the table in, opening one where there is none that serves.
func (s *shared) acquire(ctx context.Context, n *Night, source Source, a *attempt) (*epoch, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if n.isClosed() {
		return nil, letGo(a.Extraction.Dataset)
	}
	if in := s.use(n, a.Extraction); in != nil {
		return in, nil
	}
	failpoint.Here("extract.snapshot")
	next, err := n.open(ctx, s, source, a)
	if err != nil {
		return nil, err
	}
	failpoint.Here("extract.snapshot_open")
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.number > 1 && next.number > s.number {
		n.x.opts.Log.Warn("another snapshot: tables read in it are not consistent with those before",
			"source", a.Extraction.Source, "run", n.run, "snapshot", next.number)
	}
	s.number, s.current = max(s.number, next.number), next
	return next, nil
}

// letGo is the error of a table for which there is no snapshot any more.
func letGo(d elt.DatasetName) error {
	return &elt.Error{
		Code: CodeConnectionLost, Class: elt.Transient,
		What: fmt.Sprintf("%s: the run's snapshot has been let go", d), Do: "nothing: the step is tried again",
	}
}

// use returns the current snapshot, when it serves the table; otherwise there is none any more.
func (s *shared) use(n *Night, e elt.Extraction) *epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.current; c != nil && !c.retired && c.covers[e.Dataset] && c.number > s.refused[e.Dataset] {
		c.users++
		if c.users == 1 && c.seat != nil {
			c.seat.wake()
		}
		return c
	}
	if err := s.retire(); err != nil {
		n.x.opts.Log.Warn("a snapshot was not let go cleanly", "source", e.Source, "run", n.run, "error", err)
	}
	s.remaining[e.Dataset] = e
	return nil
}

// open takes a snapshot over every table that is still to be read, or joins the one that another worker has taken.
func (n *Night) open(ctx context.Context, s *shared, source Source, a *attempt) (*epoch, error) {
	if shareable, ok := source.(Shareable); ok && n.x.opts.Sharing != nil {
		return n.sitDown(ctx, s, shareable, a)
	}
	s.mu.Lock()
	next := &epoch{number: s.number + 1, users: 1}
	tables := slices.Collect(maps.Values(s.remaining))
	next.cover(tables)
	next.whole = next.number == 1 && len(tables) == len(s.all)
	s.mu.Unlock()
	var err error
	next.snapshot, err = source.Open(ctx, tables)
	return next, err
}

// cover says which tables can be read in the snapshot.
func (in *epoch) cover(tables []elt.Extraction) {
	in.covers = make(map[elt.DatasetName]bool, len(tables))
	for _, t := range tables {
		in.covers[t.Dataset] = true
	}
}

// release notes how a table ended that was read within ctx, and closes a snapshot that nobody needs any more.
func (s *shared) release(ctx context.Context, in *epoch, e elt.Extraction, err error, rest time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.users--
	var coded *elt.Error
	var fromSource *sourceError
	switch {
	case err == nil:
		delete(s.remaining, e.Dataset)
	case ctx.Err() != nil: // it was told to stop, for whatever cause: not the snapshot's fault
	case errors.As(err, &coded) && coded.Code == CodeConnectionLost:
		in.retired = true
	case errors.As(err, &coded) && coded.Code == CodeSourceBudget:
		if !in.retired { // the first of its tables to say so
			s.rest(rest, coded)
		}
		in.retired, s.spent = true, max(s.spent, in.number)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded): // not the snapshot's fault
	case errors.As(err, &fromSource):
		s.refused[e.Dataset] = in.number
	}
	if s.current == in && (in.retired || len(s.remaining) == 0) {
		return s.retire()
	}
	return in.closeIfUnused()
}

// retire gives up the current snapshot; it closes with its last user.
func (s *shared) retire() error {
	in := s.current
	if in == nil {
		return nil
	}
	s.current, in.retired = nil, true
	return in.closeIfUnused()
}

func (in *epoch) closeIfUnused() error {
	if !in.retired || in.users > 0 {
		return nil
	}
	return in.end()
}

func (in *epoch) end() error {
	if in.ended {
		return nil
	}
	in.ended = true
	failpoint.Here("extract.snapshot_close")
	err := in.snapshot.Close()
	if in.seat != nil {
		in.seat.leave()
	}
	return err
}

// close gives up the snapshot under whoever still reads in it.
func (s *shared) close() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.current
	if in == nil {
		return nil
	}
	s.current, in.retired = nil, true
	return in.end()
}
