package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// listWaiters selects who waits to alter, drop or rewrite a table that one of the processes holds.
const listWaiters = `
SELECT w.pid, w.relation::regclass::text
FROM pg_catalog.pg_locks w
WHERE NOT w.granted AND w.locktype = 'relation' AND w.mode = 'AccessExclusiveLock'
  AND w.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND EXISTS (SELECT FROM pg_catalog.pg_locks h
    WHERE h.granted AND h.locktype = 'relation' AND h.database = w.database AND h.relation = w.relation AND h.pid = ANY ($1))`

// readLag selects whether this is a replica, and how many seconds replicas lag behind: this one, or the last of those
// that the user may see.
const readLag = `
SELECT pg_is_in_recovery(), coalesce(extract(epoch FROM CASE
  WHEN NOT pg_is_in_recovery() THEN (SELECT max(replay_lag) FROM pg_catalog.pg_stat_replication)
  WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN interval '0'
  ELSE clock_timestamp() - pg_last_xact_replay_timestamp() END), 0)::float8`

// listAtWork selects those of the processes that work on a statement, and do not just wait until somebody takes what
// they have to send.
const listAtWork = `
SELECT pid FROM pg_catalog.pg_stat_activity
WHERE pid = ANY ($1) AND state = 'active' AND wait_event IS DISTINCT FROM 'ClientWrite'`

// waiter is somebody who waits for a table.
type waiter struct {
	pid   uint32
	table string
}

// watch looks after the snapshot until it is let go: that it is kept, that no session that reads has fallen silent,
// and that production has what it needs.
func (s *snapshot) watch() {
	defer close(s.watched)
	tick := time.NewTicker(min(time.Second, s.source.opts.Silence/10))
	defer tick.Stop()
	for {
		select {
		case <-s.closing.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

func (s *snapshot) look() {
	ctx, cancel := s.source.soon(s.closing)
	defer cancel()
	if s.eyes == nil {
		s.open(ctx)
	}
	if s.eyes != nil {
		if err := s.ask(ctx, s.eyes.Conn); err != nil && s.closing.Err() == nil {
			s.source.opts.Log.Warn("the session that keeps the snapshot was lost", "source", s.source.opts.Name,
				"snapshot", s.position.Snapshot, "error", errors.Join(err, s.readers.drop(s.eyes)))
			s.eyes = nil
		}
	}
	if s.eyes == nil { // nobody tells what the silent ones do
		s.readers.end(s.source.opts.Silence, nil, s.source.silent())
		return
	}
	s.tend(ctx)
}

// open replaces the keeper. Where nobody keeps the snapshot any more the new session only watches over those that
// still read in it.
func (s *snapshot) open(ctx context.Context) {
	conn, err := s.source.connect(ctx)
	if err != nil {
		s.source.opts.Log.Debug("the source does not answer", "source", s.source.opts.Name, "error", err)
		return
	}
	in := &session{Conn: conn}
	switch err := s.enter(ctx, in); {
	case err == nil:
		s.source.opts.Log.Info("another session keeps the snapshot", "source", s.source.opts.Name, "snapshot", s.position.Snapshot)
	case conn.IsClosed():
		return
	case !s.forsaken:
		s.forsaken = true
		s.source.opts.Log.Warn("nobody keeps the snapshot any more", "source", s.source.opts.Name, "snapshot", s.position.Snapshot, "error", err)
	}
	s.eyes = in
}

// tend looks after one of the idle sessions, and opens another where the snapshot has too few keepers.
func (s *snapshot) tend(ctx context.Context) {
	if s.forsaken || s.readers.enough() {
		return
	}
	if !s.readers.slots.try() { // all are at work
		return
	}
	defer s.readers.slots.give()
	in, err := s.session(ctx)
	if err == nil {
		err = s.readers.put(in)
	}
	if err != nil && s.closing.Err() == nil {
		s.source.opts.Log.Debug("the snapshot has too few keepers", "source", s.source.opts.Name, "error", err)
	}
}

// ask finds out how production is doing, and does what follows from it. A statement that fails must not take the
// transaction along that keeps the snapshot.
func (s *snapshot) ask(ctx context.Context, conn *pgx.Conn) error {
	inside := conn.PgConn().TxStatus() != 'I'
	tell := func(statement string) error { // in the simple protocol, which a failed transaction knows, too
		_, err := conn.PgConn().Exec(ctx, statement).ReadAll()
		return err
	}
	if inside {
		if err := tell("SAVEPOINT watch"); err != nil {
			return err
		}
	}
	err := s.inspect(ctx, conn)
	switch {
	case conn.IsClosed() || !inside:
		return err
	case err != nil:
		if !s.blind { // once is enough
			s.source.opts.Log.Warn("cannot see how the source is doing", "source", s.source.opts.Name, "error", err)
		}
		s.blind = true
		if err := tell("ROLLBACK TO SAVEPOINT watch"); err != nil {
			return err
		}
	}
	return tell("RELEASE SAVEPOINT watch")
}

func (s *snapshot) inspect(ctx context.Context, conn *pgx.Conn) error {
	if held := time.Since(s.begun); held > s.source.opts.Budget.SnapshotAge {
		s.rest(fmt.Sprintf("a snapshot was held for %s, at most %s", brief(held), s.source.opts.Budget.SnapshotAge),
			"raise budget.snapshot_age of the source, make its largest tables incremental, or allow more connections")
		return nil
	}
	for _, look := range []func(context.Context, *pgx.Conn) error{s.findWaiters, s.findLag, s.findSilent} {
		if err := look(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// findWaiters lets go of the snapshot when somebody has waited for one of its tables for too long: whoever comes after
// that one waits, too, if only to read.
func (s *snapshot) findWaiters(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, listWaiters, append(s.readers.processes(), conn.PgConn().PID()))
	if err != nil {
		return err
	}
	now := time.Now()
	seen := make(map[waiter]time.Time)
	var w waiter
	if _, err = pgx.ForEachRow(rows, []any{&w.pid, &w.table}, func() error {
		since, known := s.waiters[w]
		if !known {
			since = now
		}
		seen[w] = since
		return nil
	}); err != nil {
		return err
	}
	s.waiters = seen
	for w, since := range seen {
		if waits := now.Sub(since); waits > s.source.opts.Budget.LockWait {
			s.rest(fmt.Sprintf("process %d waited for table %s for %s, at most %s", w.pid, w.table, brief(waits), s.source.opts.Budget.LockWait),
				"nothing: it is tried again; move the migration or the schedule if they meet every night")
			return nil
		}
	}
	return nil
}

// findLag has reading pause while replicas lag behind. A replica that is read may lag because of the very snapshot:
// when pausing does not help, the snapshot is let go.
func (s *snapshot) findLag(ctx context.Context, conn *pgx.Conn) error {
	most := s.source.opts.Budget.ReplicaLag
	if most <= 0 {
		return nil
	}
	var replica bool
	var seconds float64
	if err := conn.QueryRow(ctx, readLag).Scan(&replica, &seconds); err != nil {
		return err
	}
	lag := time.Duration(seconds * float64(time.Second))
	if lag <= most {
		s.lagging = time.Time{}
		s.pace.Set("")
		return nil
	}
	why := fmt.Sprintf("replica lag %s, at most %s", brief(lag), most)
	if s.lagging.IsZero() {
		s.lagging = time.Now()
	}
	s.pace.Set("source budget (" + why + ")")
	if replica && time.Since(s.lagging) > most {
		s.rest(why, "look at what the replica is busy with; hot_standby_feedback, or a lower max_standby_streaming_delay, if it is the reading itself")
	}
	return nil
}

// findSilent ends sessions that have sent nothing for a while although the server has nothing to work on for them:
// what it sent does not arrive.
func (s *snapshot) findSilent(ctx context.Context, conn *pgx.Conn) error {
	silent := s.readers.silent(s.source.opts.Silence)
	if len(silent) == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "SELECT pg_stat_clear_snapshot()"); err != nil { // within a transaction it would be the first answer for ever
		return err
	}
	rows, err := conn.Query(ctx, listAtWork, silent)
	if err != nil {
		return err
	}
	atWork, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return err
	}
	s.readers.end(s.source.opts.Silence, atWork, s.source.silent())
	return nil
}

// rest lets go of the snapshot for production's sake; whoever reads in it fails with why.
func (s *snapshot) rest(why, do string) {
	err := extract.OverBudget(s.source.opts.Name, why, do)
	s.source.opts.Log.Warn("the snapshot is let go", "source", s.source.opts.Name, "snapshot", s.position.Snapshot, "why", why)
	s.close(err)
	if err := errors.Join(s.readers.close(), hangUp(s.eyes.Conn)); err != nil {
		s.source.opts.Log.Debug("a session did not end cleanly", "source", s.source.opts.Name, "error", err)
	}
}

// brief writes a duration as people do.
func brief(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// soon limits what a server must answer quickly, waiting for locks included.
func (s *Source) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.opts.Budget.LockTimeout+s.opts.Silence, s.silent())
}

// silent returns the error of a connection that is open and carries nothing.
func (s *Source) silent() error {
	return &elt.Error{
		Code: lost.code, Class: lost.class, Do: lost.do,
		What: fmt.Sprintf("source %s has said nothing for %s", s.opts.Name, s.opts.Silence),
	}
}
