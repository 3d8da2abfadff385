package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// A snapshot can be joined as long as one transaction lives that has it, on whichever machine: each worker that joins
// exports it once more, behind locks of its own, so that it outlives whoever took it.

var (
	_ extract.Shareable = (*Source)(nil)
	_ extract.Joinable  = (*snapshot)(nil)
)

// Connections is how many all workers of a run may have open.
func (s *Source) Connections() int { return s.opts.Connections }

// memo is what a snapshot's taker knows of it besides its position.
type memo struct {
	Replica  bool         `json:"replica,omitempty"`
	ListedAt time.Time    `json:"listed_at,omitzero"`
	Older    []openBefore `json:"older,omitempty"`
}

// openBefore is a transaction.
type openBefore struct {
	Name        string     `json:"name"`
	Began       *time.Time `json:"began,omitempty"`
	Application string     `json:"application,omitempty"`
}

// Memo is what Join must know besides the position: who was at work just before, and what kind of server it is.
func (s *snapshot) Memo() (string, error) {
	m := memo{Replica: s.server.replica, ListedAt: s.older.listedAt}
	for _, t := range s.older.transactions {
		m.Older = append(m.Older, openBefore{t.name, t.began, t.application})
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("note the transactions before the snapshot of source %s: %w", s.source.opts.Name, err)
	}
	return string(text), nil
}

func (s *snapshot) remember(text string) (memo, error) {
	var m memo
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("read what the taker of the snapshot of source %s noted: %w", s.source.opts.Name, err)
	}
	s.older.listedAt = m.ListedAt
	for _, t := range m.Older {
		s.older.transactions = append(s.older.transactions, transaction{t.Name, t.Began, t.Application})
	}
	return m, nil
}

// Exports returns the names under which the snapshot is kept here.
func (s *snapshot) Exports() []string { return s.readers.names() }

// Limit has the snapshot get along with so many connections, the watching one among them. Sessions that nobody needs end
// now, others when what they read is read.
func (s *snapshot) Limit(connections int) int {
	s.readers.slots.set(connections - 1)
	for idle := s.readers.surplus(); idle != nil; idle = s.readers.surplus() {
		if err := s.readers.drop(idle); err != nil {
			s.source.opts.Log.Debug("a session did not end cleanly", "source", s.source.opts.Name, "error", err)
		}
	}
	return s.readers.open() + 1
}

// surplus takes out an idle session for which there is no slot, nil when there is none; those that keep the snapshot go
// last.
func (r *readers) surplus() *session {
	_, free := r.slots.inUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) <= free {
		return nil
	}
	i := max(slices.IndexFunc(r.idle, func(s *session) bool { return s.export == "" }), 0)
	s := r.idle[i]
	r.idle = slices.Delete(r.idle, i, i+1)
	return s
}

// open returns how many sessions there are at most: one for each slot in use, and the idle ones.
func (r *readers) open() int {
	taken, _ := r.slots.inUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	return taken + len(r.idle)
}

// Join opens a snapshot that others keep under these names. It locks the tables for itself and then makes sure that the
// others still had their locks: nobody could rewrite a table in between.
func (s *Source) Join(ctx context.Context, tables []elt.Extraction, taken elt.SharedSnapshot, exports []string) (extract.Snapshot, error) {
	keeper, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	snap := s.newSnapshot(keeper)
	snap.position, snap.readers.exports = taken.Position, exports
	if err := snap.join(ctx, tables, taken); err != nil {
		return nil, errors.Join(err, snap.readers.close(), hangUp(keeper))
	}
	snap.begin()
	s.opts.Log.Debug("snapshot joined", "source", s.opts.Name, "tables", len(snap.tables), "refused", len(snap.failed),
		"server", snap.position.Server, "snapshot", snap.position.Snapshot)
	return snap, nil
}

func (s *snapshot) join(ctx context.Context, tables []elt.Extraction, taken elt.SharedSnapshot) error {
	m, err := s.remember(taken.Memo)
	if err != nil {
		return err
	}
	within, cancel := s.source.soon(ctx)
	defer cancel()
	if s.server, err = identify(within, s.keeper); err != nil {
		return fault(within, err, "cannot identify source %s", s.source.opts.Name)
	}
	if err := s.sameServer(ctx, m.Replica); err != nil {
		return err
	}
	s.begun = time.Now().Add(-s.server.now.Sub(s.position.TakenAt))
	own := &session{Conn: s.keeper}
	if err := s.see(within, own); err != nil {
		return s.gone(ctx, err)
	}
	for _, e := range tables {
		if err := s.joinTable(ctx, e.Table); err != nil {
			return err
		}
	}
	if err := s.keeper.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&own.export); err != nil {
		return fault(ctx, err, "cannot keep the snapshot of source %s", s.source.opts.Name)
	}
	return s.lockedThroughout(ctx, own)
}

// sameServer refuses a server that cannot have the snapshot: another one behind the same name, or one that was started
// since.
func (s *snapshot) sameServer(ctx context.Context, replica bool) error {
	switch here := s.server; {
	case here.String() == s.position.Server && here.replica == replica:
		return nil
	case here.started.After(s.position.TakenAt) && here.replica == replica:
		return s.gone(ctx, fmt.Errorf("the server was started at %s", here.started.UTC().Format(time.RFC3339)))
	}
	kind := map[bool]string{true: " as a replica"}
	return &elt.Error{
		Code: extract.CodeElsewhere, Class: elt.Budget,
		What: fmt.Sprintf("source %s: the snapshot is of %s%s, and this worker reaches %s%s under the same name",
			s.source.opts.Name, s.position.Server, kind[replica], s.server, kind[s.server.replica]),
		Do: "nothing for this night: the other workers read the source; have every worker reach one server, by an address that is one server's alone",
	}
}

// gone is the error of a snapshot that nobody keeps.
func (s *snapshot) gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &elt.Error{
		Code: lost.code, Class: lost.class, Do: lost.do, Err: err,
		What: fmt.Sprintf("source %s no longer has the snapshot of %s", s.source.opts.Name, s.position.TakenAt.UTC().Format(time.RFC3339)),
	}
}

// stillThere reports whether a name means the table that the snapshot sees: it could have been dropped or renamed, and
// another one have taken its name.
const stillThere = `SELECT to_regclass($1)::oid IS NOT DISTINCT FROM $2::oid`

// joinTable locks a table and describes it. Who cannot lock it now must not keep the snapshot for others.
func (s *snapshot) joinTable(ctx context.Context, name string) error {
	t, err := s.source.find(ctx, s.keeper, name)
	if err != nil {
		if s.keeper.IsClosed() {
			return err
		}
		s.failed[name] = err
		return nil
	}
	if err := s.lock(ctx, t); err != nil {
		return err
	}
	if err := s.failed[name]; err != nil {
		if elt.CodeOf(err) == "source_lock_timeout" {
			return err
		}
		return nil
	}
	var there bool
	if err := s.keeper.QueryRow(ctx, stillThere, t.name.sql(), t.oid).Scan(&there); err != nil {
		return fault(ctx, err, "cannot describe table %s of source %s", name, s.source.opts.Name)
	}
	if !there {
		s.failed[name] = rewritten("table %s of source %s was dropped or renamed since the snapshot was taken", name, s.source.opts.Name)
		return nil
	}
	return s.describe(ctx, t)
}

// lockedThroughout joins once more, by the names of the others: that one of them is still there after the tables were
// locked here says that they were locked all the time. From then on the snapshot is kept here.
func (s *snapshot) lockedThroughout(ctx context.Context, own *session) error {
	conn, err := s.source.connect(ctx)
	if err != nil {
		return err
	}
	second := &session{Conn: conn}
	within, cancel := s.source.soon(ctx)
	defer cancel()
	if err := s.see(within, second); err != nil {
		return errors.Join(s.gone(ctx, err), hangUp(conn))
	}
	s.readers.exports = []string{own.export}
	if err := s.keep(within, second); err != nil {
		return errors.Join(fault(within, err, "cannot keep the snapshot of source %s", s.source.opts.Name), hangUp(conn))
	}
	return s.readers.put(second)
}

// server is who answers under the source's address.
type server struct {
	version  string // as people write it: 15.8
	identity string
	number   int // such as 150008
	started  time.Time
	now      time.Time
	replica  bool
}

func (s server) String() string { return "postgres " + s.version + " " + s.identity }

// identity tells one server from another: by its system identifier, where the user may see that, and by
// when it started.
const identity = `
SELECT CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
    THEN (SELECT system_identifier::text FROM pg_control_system()) ELSE '-' END ||
  ' ' || current_database() || ', up since ' || pg_postmaster_start_time(),
  current_setting('server_version'), current_setting('server_version_num')::int, pg_postmaster_start_time(), clock_timestamp(), pg_is_in_recovery()`

func identify(ctx context.Context, conn *pgx.Conn) (s server, err error) {
	err = conn.QueryRow(ctx, identity).Scan(&s.identity, &s.version, &s.number, &s.started, &s.now, &s.replica)
	s.version, _, _ = strings.Cut(s.version, " ") // without the distribution's own
	return s, err
}

// see imports the snapshot into a session, from whoever still keeps it.
func (s *snapshot) see(ctx context.Context, in *session) error {
	here, err := identify(ctx, in.Conn)
	if err != nil {
		return err
	}
	if here.identity != s.server.identity {
		return fmt.Errorf("the snapshot is of %s, and this session speaks to %s", s.server.identity, here.identity)
	}
	failed := errors.New("nobody keeps it any more")
	for _, name := range s.readers.names() {
		_, err := in.PgConn().Exec(ctx, beginning+"; SET TRANSACTION SNAPSHOT '"+strings.ReplaceAll(name, "'", "''")+"'").ReadAll()
		if err == nil {
			return nil
		}
		if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
			return err
		}
		s.readers.forget(name)
		failed = err
		if _, err := in.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			return err
		}
	}
	return failed
}
