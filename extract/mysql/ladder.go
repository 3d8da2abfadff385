package mysql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How often sessions are begun anew until their positions are equal: before locks are tried, which keep writers waiting,
// and when none was granted.
const (
	firstTries = 3
	lastTries  = 10
)

// way is one way to keep writers out while sessions begin.
type way struct {
	name string
	// hold keeps writers out, and returns what lets them go.
	hold func(context.Context, *session) (release func() error, err error)
}

// begin begins a transaction in every session so that all see the same rows, by the first way that the server
// grants, and returns the sessions that do. It returns all that are open when it fails.
func (s *snapshot) begin(ctx context.Context, sessions []*session) ([]*session, error) {
	if len(sessions) > 1 {
		keeper, err := s.source.connect(ctx)
		if err != nil {
			return sessions, err
		}
		defer keeper.hangUp()
		if err := keeper.sameServer(sessions[0].server); err != nil {
			return sessions, err
		}
		if equal, err := s.beginEqual(ctx, sessions, firstTries); equal || err != nil {
			return sessions, err
		}
		for _, way := range []way{{"flush lock", s.flushLock}, {"table lock", s.tableLock}} {
			err := s.beginUnder(ctx, keeper, way, sessions)
			if err == nil {
				return sessions, nil
			}
			if keeper.broken || brokenOne(sessions) || ctx.Err() != nil {
				return sessions, fault(ctx, err, "cannot take a snapshot of source %s", s.source.opts.Name)
			}
			s.source.opts.Log.Info("a way to a snapshot over several sessions is not open", "source", s.source.opts.Name, "way", way.name, "reason", err)
			if isServer(err, errLockTimeout) { // no other lock would be given sooner, and waiting for one keeps writers waiting
				break
			}
		}
		if equal, err := s.beginEqual(ctx, sessions, lastTries); equal || err != nil {
			return sessions, err
		}
		s.source.opts.Log.Warn("one session reads all tables: grant RELOAD or LOCK TABLES for more", "source", s.source.opts.Name)
		for _, w := range sessions[1:] {
			w.hangUp()
		}
		sessions = sessions[:1]
	}
	return sessions, s.beginAll(ctx, sessions, "one session")
}

// brokenOne reports whether one of the sessions is of no use any more.
func brokenOne(sessions []*session) bool {
	return slices.ContainsFunc(sessions, func(w *session) bool { return w.broken })
}

// beginUnder begins all sessions while the keeper keeps writers out.
func (s *snapshot) beginUnder(ctx context.Context, keeper *session, way way, sessions []*session) error {
	release, err := way.hold(ctx, keeper)
	if err != nil {
		return err
	}
	err = s.beginAll(ctx, sessions, way.name)
	if e := release(); e != nil {
		// The lock ends with its session, whatever became of it.
		keeper.hangUp()
		err = errors.Join(err, e)
	}
	return err
}

// beginAll begins a transaction in each session at once and notes the moment. A transaction that is open already
// ends by that.
func (s *snapshot) beginAll(ctx context.Context, sessions []*session, how string) error {
	failed := func(err error) error {
		return fault(ctx, err, "cannot take a snapshot of source %s", s.source.opts.Name)
	}
	rows, err := sessions[0].list(ctx, "SELECT UTC_TIMESTAMP(6)")
	if err != nil {
		return failed(err)
	}
	taken, err := time.Parse("2006-01-02 15:04:05.999999", rows[0][0])
	if err != nil {
		return fmt.Errorf("the clock of source %s: %w", s.source.opts.Name, err)
	}
	errs := make([]error, len(sessions))
	var all sync.WaitGroup
	for i, w := range sessions {
		all.Go(func() { errs[i] = w.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY") })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return failed(err)
	}
	at, err := sessions[0].binlog(ctx)
	if err != nil {
		return failed(err)
	}
	engine := "mysql "
	if sessions[0].mariadb {
		engine = "mariadb "
	}
	version, _, _ := strings.Cut(sessions[0].version, "-")
	s.position.TakenAt, s.position.Server = taken, engine+version+" "+sessions[0].server
	s.position.Snapshot = strings.TrimSpace(how + " " + at)
	return nil
}

// binlog returns where in the binary log the session's snapshot was taken: empty where the server keeps no log, or
// does not fix the place together with the snapshot.
func (w *session) binlog(ctx context.Context) (string, error) {
	rows, err := w.list(ctx, "SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')")
	if err != nil || len(rows) != 2 || rows[0][1] == "" {
		return "", err
	}
	return rows[0][1] + ":" + rows[1][1], nil
}

// flushLock closes all tables and keeps writers of the whole server out.
func (s *snapshot) flushLock(ctx context.Context, keeper *session) (func() error, error) {
	// Behind a statement that goes on for long, the lock would be waited for, and every writer would wait behind it.
	rows, err := keeper.list(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Query', 'Execute') AND ID <> CONNECTION_ID() AND TIME > "+
		strconv.Itoa(int(s.source.opts.Budget.LockTimeout.Seconds())))
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return nil, fmt.Errorf("the statement of connection %s goes on for longer than a lock may be waited for", rows[0][0])
	}
	if err := keeper.exec(ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
		return nil, err
	}
	return func() error { return keeper.exec(context.WithoutCancel(ctx), "UNLOCK TABLES") }, nil
}

// tableLock keeps writers of the tables out, and waits for those that have written to them to end.
func (s *snapshot) tableLock(ctx context.Context, keeper *session) (func() error, error) {
	var locks []string
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		lock := s.tables[name].name.sql() + " READ"
		if !slices.Contains(locks, lock) {
			locks = append(locks, lock)
		}
	}
	if err := keeper.exec(ctx, "LOCK TABLES "+strings.Join(locks, ", ")); err != nil {
		return nil, err
	}
	return func() error { return keeper.exec(context.WithoutCancel(ctx), "UNLOCK TABLES") }, nil
}

// beginEqual begins all sessions until each has its snapshot at the same place of the binary log.
func (s *snapshot) beginEqual(ctx context.Context, sessions []*session, tries int) (equal bool, err error) {
	if complete, err := sessions[0].logsEverything(ctx); err != nil || !complete {
		return false, err
	}
	for range tries {
		if err := s.beginAll(ctx, sessions, "equal positions"); err != nil {
			return false, err
		}
		places := make(map[string]bool)
		for _, w := range sessions {
			at, err := w.binlog(ctx)
			if err != nil {
				return false, fault(ctx, err, "cannot take a snapshot of source %s", s.source.opts.Name)
			}
			places[at] = true
		}
		if len(places) == 1 && !places[""] {
			return true, nil
		}
	}
	s.source.opts.Log.Info("too much is written for sessions to begin at one position", "source", s.source.opts.Name, "tries", tries)
	return false, nil
}

// logsEverything reports whether each change moves the position: a replica may leave what it applies out of its log.
func (w *session) logsEverything(ctx context.Context) (bool, error) {
	rows, err := w.list(ctx, "SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'log_slave_updates', 'gtid_slave_pos')")
	if err != nil {
		return false, fault(ctx, err, "cannot take a snapshot of source %s", w.source.opts.Name)
	}
	is := make(map[string]string, len(rows))
	for _, row := range rows {
		is[row[0]] = row[1]
	}
	own, known := is["gtid_slave_pos"]
	return is["log_bin"] == "ON" && (is["log_slave_updates"] == "ON" || known && own == ""), nil
}
