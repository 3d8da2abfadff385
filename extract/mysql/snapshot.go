package mysql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// snapshot is sessions that see the same rows, each of which reads chunks of one table at a time.
type snapshot struct {
	source   *Source
	position elt.SourcePosition
	older    older
	tables   map[string]table
	failed   map[string]error // tables that this snapshot cannot serve

	idle chan *session // those that read nothing; never full
	gone chan struct{} // closed when no session is left

	waiting atomic.Int64 // tables that wait for their first session

	mu      sync.Mutex        // of what follows
	alive   int               // sessions
	left    int               // tables that have not been read
	reading map[tableName]int // by how many
	closed  bool

	closing context.Context // ends when the snapshot is let go, with why
	close   context.CancelCauseFunc

	server  string // which it was taken of
	unlocks bool   // its sessions let go of what they have read
	begun   time.Time
	pace    extract.Pace

	watched chan struct{} // closed when nobody watches any more
	// Owned by whoever watches.
	eyes    *session
	exact   bool // the server tells who waits for which table
	warned  bool
	waiters map[waiter]time.Time // and since when
	lagging time.Time            // since when the replica lags, zero when it does not
}

// Open takes a snapshot over the tables.
func (s *Source) Open(ctx context.Context, tables []elt.Extraction) (extract.Snapshot, error) {
	first, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{source: s, tables: make(map[string]table), failed: make(map[string]error), reading: make(map[tableName]int), gone: make(chan struct{})}
	sessions, err := snap.take(ctx, first, tables)
	if err != nil {
		for _, w := range sessions {
			w.hangUp()
		}
		return nil, err
	}
	snap.idle, snap.alive = make(chan *session, len(sessions)), len(sessions)
	for _, w := range sessions {
		snap.idle <- w
	}
	snap.server, snap.unlocks, snap.begun, snap.watched = first.server, first.unlocks, time.Now(), make(chan struct{})
	snap.closing, snap.close = context.WithCancelCause(context.Background())
	go snap.watch()
	s.opts.Log.Debug("snapshot taken", "source", s.opts.Name, "tables", len(snap.tables), "refused", len(snap.failed),
		"server", snap.position.Server, "snapshot", snap.position.Snapshot)
	return snap, nil
}

// take describes the tables and opens the sessions, which it returns even when it fails.
func (s *snapshot) take(ctx context.Context, first *session, tables []elt.Extraction) ([]*session, error) {
	sessions := []*session{first}
	if slices.ContainsFunc(tables, func(e elt.Extraction) bool { return e.Mode == elt.Incremental }) {
		var err error
		if s.older, err = first.listOlder(ctx); err != nil {
			return sessions, err
		}
		s.position.OpenSince = s.older.since()
	}
	// A table that is altered between here and its turn is not the same any more, and is found out then.
	for _, e := range tables {
		if _, done := s.tables[e.Table]; done || s.failed[e.Table] != nil {
			continue
		}
		t, err := first.describe(ctx, e.Table)
		switch {
		case err == nil:
			s.tables[e.Table] = t
			s.left++
		case first.broken || ctx.Err() != nil:
			return sessions, err
		default:
			s.failed[e.Table] = err
		}
	}
	for range min(s.source.opts.Connections, s.chunks()) - 1 {
		w, err := s.source.connect(ctx)
		if err != nil {
			return sessions, err
		}
		sessions = append(sessions, w)
		if err := w.sameServer(first.server); err != nil {
			return sessions, err
		}
	}
	return s.begin(ctx, sessions)
}

// chunks returns about how many chunks there will be: more sessions would have nothing to do.
func (s *snapshot) chunks() (n int) {
	for _, t := range s.tables {
		n++
		if len(t.key.columns) > 0 || len(t.partitions) > 0 {
			n += int(t.data / s.source.chunkBytes(t))
		}
	}
	return n
}

// sameServer refuses two sessions that reached different servers behind one address.
func (w *session) sameServer(first string) error {
	if w.server == first {
		return nil
	}
	return &elt.Error{
		Code: "source_servers_differ", Class: elt.Config,
		What: fmt.Sprintf("source %s: one session speaks to the server %s, another to %s", w.source.opts.Name, first, w.server),
		Do:   "name one server in the source's URL instead of a name that several share, or set connections: 1",
	}
}

// Position says which moment of which server this is.
func (s *snapshot) Position() elt.SourcePosition { return s.position }

// Describe tells what a table is in this snapshot.
func (s *snapshot) Describe(_ context.Context, name string) (extract.TableInfo, error) {
	t, err := s.table(name)
	return t.info, err
}

func (s *snapshot) table(name string) (table, error) {
	if err := s.failed[name]; err != nil {
		return table{}, err
	}
	t, ok := s.tables[name]
	if !ok {
		return t, fmt.Errorf("the snapshot of source %s was taken without table %s", s.source.opts.Name, name)
	}
	return t, nil
}

// Close lets go of the snapshot; whoever still reads in it fails.
func (s *snapshot) Close() error {
	s.letGo(errLetGo)
	<-s.watched
	return nil
}

// letGo ends the snapshot's sessions: the idle ones at once, the others as soon as whoever reads in them has noticed.
func (s *snapshot) letGo(why error) {
	s.close(why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for {
		select {
		case w := <-s.idle:
			w.hangUp()
		default:
			return
		}
	}
}

// acquire waits for a session.
func (s *snapshot) acquire(ctx context.Context) (*session, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	select {
	case w := <-s.idle:
		return w, nil
	case <-s.gone:
		return nil, lost.error(nil, "source %s no longer has the snapshot of %s", s.source.opts.Name, s.position.TakenAt.UTC().Format(time.RFC3339))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// spare returns an idle session, nil when there is none.
func (s *snapshot) spare() *session {
	select {
	case w := <-s.idle:
		return w
	default:
		return nil
	}
}

// hold notes that a table is being read, and returns what notes that it is not any more: unless sessions keep the lock
// on its definition for as long as they live.
func (s *snapshot) hold(t tableName) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading[t]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reading[t]--; s.reading[t] == 0 && s.unlocks {
			delete(s.reading, t)
		}
	}
}

// held returns the tables that are being read.
func (s *snapshot) held() []tableName {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.reading))
}

// done notes that a table was read.
func (s *snapshot) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
}

// errLetGo ends reading in a snapshot that is let go.
var errLetGo error = &elt.Error{
	Code: extract.CodeConnectionLost, Class: elt.Transient, What: "the snapshot was let go while a table was read",
	Do: "nothing: the step is tried again",
}

// giveBack returns a session that is through with a table. Where a server keeps what a session has read locked against
// being altered as long as it lives, sessions are ended as soon as there are more than tables left.
func (s *snapshot) giveBack(w *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.broken && !s.closed && (s.unlocks || s.alive <= max(s.left, 1)) {
		s.idle <- w
		return
	}
	w.hangUp()
	if s.alive--; s.alive == 0 {
		close(s.gone)
	}
}
