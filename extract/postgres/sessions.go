package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// keepers is how many sessions hold the snapshot and its locks, so that losing one of them loses nothing. All but the
// first also read.
const keepers = 2

// session is one that sees what the snapshot saw.
type session struct {
	*pgx.Conn
	export string                  // the name under which it keeps the snapshot for others; empty when it does not
	end    context.CancelCauseFunc // ends what it is used for
}

// waits returns for how long something has been waited for that the server should send.
func (s *session) waits() time.Duration {
	conn := s.PgConn().Conn()
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	r, ok := conn.(*receiver)
	if !ok { // a socket of the file system, whose other end is never lost without a word
		return 0
	}
	return r.waits()
}

// readers are the sessions that read, which all tables of a snapshot share.
type readers struct {
	slots slots // one for each session that is in use

	mu      sync.Mutex
	exports []string // names under which the snapshot can be imported
	idle    []*session
	busy    []*session
	closed  bool
}

// lend notes that the session is in use, until the function that it returns is called. The context ends when the
// session is found to be lost.
func (r *readers) lend(ctx context.Context, s *session) (context.Context, func()) {
	ctx, s.end = context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = append(r.busy, s)
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = slices.DeleteFunc(r.busy, func(b *session) bool { return b == s })
		s.end(nil)
	}
}

// processes returns the server's processes of all sessions.
func (r *readers) processes() (pids []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slices.Concat(r.idle, r.busy) {
		pids = append(pids, s.PgConn().PID())
	}
	return pids
}

// silent returns the processes of sessions in use whose answer has been waited for that long.
func (r *readers) silent(limit time.Duration) (pids []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.busy {
		if s.waits() > limit {
			pids = append(pids, s.PgConn().PID())
		}
	}
	return pids
}

// end ends those of the silent sessions whose process is not among atWork.
func (r *readers) end(limit time.Duration, atWork []uint32, why error) {
	silent := r.silent(limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.busy {
		if pid := s.PgConn().PID(); slices.Contains(silent, pid) && !slices.Contains(atWork, pid) {
			s.end(why)
		}
	}
}

// enough reports whether nothing is to be done for the idle sessions.
func (r *readers) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.exports) >= keepers && len(r.idle) == 0
}

// close ends the idle sessions, and those in use when they are put back.
func (r *readers) close() error {
	r.mu.Lock()
	idle := r.idle
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	var errs []error
	for _, s := range idle {
		errs = append(errs, hangUp(s.Conn))
	}
	return errors.Join(errs...)
}

// take returns the session that was idle for longest, or nil.
func (r *readers) take() *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) == 0 {
		return nil
	}
	s := r.idle[0]
	r.idle = r.idle[1:]
	return s
}

// put takes a session back whose last statement went well.
func (r *readers) put(s *session) error {
	r.mu.Lock()
	if !r.closed {
		r.idle = append(r.idle, s)
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	return hangUp(s.Conn)
}

// drop ends a session that may be in the middle of a statement: there is nothing to say to it.
func (r *readers) drop(s *session) error {
	r.forget(s.export)
	return hangUp(s.Conn)
}

func (r *readers) forget(export string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exports = slices.DeleteFunc(r.exports, func(e string) bool { return e == export })
}

// names returns the names of the snapshot that are still believed in.
func (r *readers) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exports)
}

// session returns a session that sees what the keeper sees.
func (s *snapshot) session(ctx context.Context) (*session, error) {
	for idle := s.readers.take(); idle != nil; idle = s.readers.take() {
		// It may have been lost since it was last used: others keep the snapshot.
		err := s.wake(ctx, idle)
		if err == nil {
			return idle, nil
		}
		s.source.opts.Log.Warn("an idle session was lost", "source", s.source.opts.Name, "error", errors.Join(err, s.readers.drop(idle)))
	}
	conn, err := s.source.connect(ctx)
	if err != nil {
		return nil, err
	}
	in := &session{Conn: conn}
	within, cancel := s.source.soon(ctx)
	defer cancel()
	if err = s.enter(within, in); err == nil {
		return in, nil
	}
	return nil, errors.Join(s.gone(ctx, err), hangUp(conn))
}

// wake makes sure that an idle session is there, and has it keep the snapshot when too few do.
func (s *snapshot) wake(ctx context.Context, in *session) error {
	ctx, cancel := s.source.soon(ctx)
	defer cancel()
	if err := in.Ping(ctx); err != nil {
		return err
	}
	return s.keep(ctx, in)
}

// enter has a session see the snapshot, and keep it when too few do.
func (s *snapshot) enter(ctx context.Context, in *session) error {
	if err := s.see(ctx, in); err != nil {
		return err
	}
	return s.keep(ctx, in)
}

// keep makes the session another keeper when there are too few. Where a table cannot be locked, for a migration
// waits for it already, the session only reads.
func (s *snapshot) keep(ctx context.Context, in *session) error {
	if in.export != "" || len(s.readers.names()) >= keepers {
		return nil
	}
	var name string
	if err := in.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&name); err != nil {
		return err
	}
	all := slices.Collect(maps.Values(s.tables))
	if _, err := in.PgConn().Exec(ctx, "SAVEPOINT before_lock; "+lockTables(all...)+"RELEASE SAVEPOINT before_lock").ReadAll(); err != nil {
		if in.IsClosed() || ctx.Err() != nil {
			return err
		}
		s.source.opts.Log.Warn("the snapshot has one keeper only: the tables cannot be locked once more", "source", s.source.opts.Name, "error", err)
		_, err := in.PgConn().Exec(ctx, "ROLLBACK TO SAVEPOINT before_lock").ReadAll()
		return err
	}
	in.export = name
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	s.readers.exports = append(s.readers.exports, name)
	return nil
}

// lockTables returns statements that keep tables from being rewritten while the transaction lasts.
func lockTables(tables ...table) string {
	var names []string
	var b strings.Builder
	for _, t := range tables {
		switch t.kind {
		case "f": // cannot be locked
		case "m": // reading it, if only nothing of it, locks it
			b.WriteString("SELECT FROM " + t.name.sql() + " LIMIT 0; ")
		default:
			names = append(names, t.name.sql())
		}
	}
	if len(names) > 0 {
		b.WriteString("LOCK TABLE " + strings.Join(names, ", ") + " IN ACCESS SHARE MODE; ")
	}
	return b.String()
}
