package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// beginning opens a transaction that sees one moment and changes nothing.
const beginning = `BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`

// exportSnapshot is the first query of the keeper's transaction: it fixes the moment. statement_timestamp
// is before that moment, which makes an unfinished window show.
const exportSnapshot = `
SELECT pg_export_snapshot(), statement_timestamp()`

// snapshot is an exported snapshot and the sessions that keep it and read in it.
type snapshot struct {
	source   *Source
	keeper   *pgx.Conn // that took it, or joined it
	server   server
	position elt.SourcePosition
	older    older
	tables   map[string]table
	failed   map[string]error // tables that this snapshot cannot serve
	readers  readers

	closing context.Context // ends when the snapshot is let go, with why
	close   context.CancelCauseFunc
	pace    extract.Pace
	watched chan struct{} // closed when nobody watches any more

	// Of whoever watches.
	eyes     *session // keeps the snapshot, too, unless it is forsaken; nil while the server does not answer
	begun    time.Time
	forsaken bool // nobody keeps it
	blind    bool // how the source is doing cannot be seen
	waiters  map[waiter]time.Time
	lagging  time.Time // since when; zero when it is not
}

// Open takes a snapshot over the tables.
func (s *Source) Open(ctx context.Context, tables []elt.Extraction) (extract.Snapshot, error) {
	keeper, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	snap := s.newSnapshot(keeper)
	if err := snap.take(ctx, tables); err != nil {
		return nil, errors.Join(err, hangUp(keeper))
	}
	snap.begin()
	s.opts.Log.Debug("snapshot taken", "source", s.opts.Name, "tables", len(snap.tables), "refused", len(snap.failed),
		"server", snap.position.Server, "snapshot", snap.position.Snapshot)
	return snap, nil
}

// newSnapshot returns a snapshot that the session is to take or to join.
func (s *Source) newSnapshot(keeper *pgx.Conn) *snapshot {
	snap := &snapshot{
		source: s, keeper: keeper, tables: make(map[string]table), failed: make(map[string]error),
		watched: make(chan struct{}), begun: time.Now(),
	}
	snap.readers.slots.set(s.opts.Connections - 1)
	return snap
}

// begin has somebody look after the snapshot from here on.
func (s *snapshot) begin() {
	s.closing, s.close = context.WithCancelCause(context.Background())
	s.eyes = &session{Conn: s.keeper, export: s.readers.names()[0]}
	s.look() // before anything is read: production may have no room already
	go s.watch()
}

// take locks the tables, then exports the snapshot, and then describes the tables as they are in it.
func (s *snapshot) take(ctx context.Context, tables []elt.Extraction) error {
	if slices.ContainsFunc(tables, func(e elt.Extraction) bool { return e.Mode == elt.Incremental }) {
		var err error
		if s.older, err = s.source.listOlder(ctx, s.keeper); err != nil {
			return err
		}
		s.position.OpenSince = s.older.since()
	}
	var names []table
	for _, e := range tables {
		t, err := s.source.find(ctx, s.keeper, e.Table)
		if err != nil {
			if s.keeper.IsClosed() {
				return err
			}
			s.failed[e.Table] = err
			continue
		}
		names = append(names, t)
	}
	// From here to the export no query may run: the first one would fix the moment before the locks.
	if err := s.run(ctx, beginning); err != nil {
		return err
	}
	for _, t := range names {
		if err := s.lock(ctx, t); err != nil {
			return err
		}
	}
	if err := s.export(ctx); err != nil {
		return err
	}
	for _, t := range names {
		if s.failed[t.info.Name] == nil {
			if err := s.describe(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// export fixes the moment and gives it a name.
func (s *snapshot) export(ctx context.Context) error {
	ctx, cancel := s.source.soon(ctx)
	defer cancel()
	var err error
	if err = s.keeper.QueryRow(ctx, exportSnapshot).Scan(&s.position.Snapshot, &s.position.TakenAt); err != nil {
		return fault(ctx, err, "cannot take a snapshot of source %s", s.source.opts.Name)
	}
	if s.server, err = identify(ctx, s.keeper); err != nil {
		return fault(ctx, err, "cannot identify source %s", s.source.opts.Name)
	}
	s.position.Server = s.server.String()
	s.readers.exports = []string{s.position.Snapshot}
	return nil
}

func (s *snapshot) run(ctx context.Context, statement string) error {
	ctx, cancel := s.source.soon(ctx)
	defer cancel()
	// The simple protocol: preparing a statement could fix the moment.
	if _, err := s.keeper.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
		return fault(ctx, err, "cannot take a snapshot of source %s", s.source.opts.Name)
	}
	return nil
}

// lock keeps a table from being rewritten until the snapshot ends. One that cannot be locked is noted, and
// the others go on.
func (s *snapshot) lock(ctx context.Context, t table) error {
	if t.kind == "m" || t.kind == "f" { // cannot be locked by a statement
		return nil
	}
	if err := s.run(ctx, "SAVEPOINT before_lock"); err != nil {
		return err
	}
	ctx, cancel := s.source.soon(ctx)
	defer cancel()
	_, err := s.keeper.PgConn().Exec(ctx, "LOCK TABLE "+t.name.sql()+" IN ACCESS SHARE MODE").ReadAll()
	if err == nil {
		return s.run(ctx, "RELEASE SAVEPOINT before_lock")
	}
	err = fault(ctx, err, "cannot lock table %s of source %s against being rewritten", t.info.Name, s.source.opts.Name)
	if s.keeper.IsClosed() || ctx.Err() != nil {
		return err
	}
	s.failed[t.info.Name] = err
	// Rolling back keeps the savepoint, and within one no snapshot can be exported.
	return s.run(ctx, "ROLLBACK TO SAVEPOINT before_lock; RELEASE SAVEPOINT before_lock")
}

// refreshed reports whether a materialized view was rewritten after the snapshot: as the snapshot sees the
// catalog its file is another one, and its rows are gone.
const refreshed = `
SELECT pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

func (s *snapshot) describe(ctx context.Context, found table) error {
	name := found.info.Name
	t, err := s.source.describe(ctx, s.keeper, name)
	if err == nil && t.kind == "m" {
		err = s.checkView(ctx, t)
	}
	if err != nil {
		if s.keeper.IsClosed() || ctx.Err() != nil {
			return err
		}
		s.failed[name] = err
		return nil
	}
	s.tables[name] = t
	return nil
}

func (s *snapshot) checkView(ctx context.Context, t table) error {
	// Reading it, if only nothing of it, locks it for the rest of the transaction.
	if err := s.run(ctx, "SELECT FROM "+t.name.sql()+" LIMIT 0"); err != nil {
		return err
	}
	var gone bool
	if err := s.keeper.QueryRow(ctx, refreshed, t.name.schema, t.name.table).Scan(&gone); err != nil {
		return fault(ctx, err, "cannot describe %s of source %s", t.info.Name, s.source.opts.Name)
	}
	if gone {
		return rewritten("the materialized view %s of source %s was refreshed while the snapshot was taken", t.info.Name, s.source.opts.Name)
	}
	return nil
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
	s.close(errLetGo)
	<-s.watched
	errs := []error{s.readers.close()}
	if s.eyes != nil {
		errs = append(errs, hangUp(s.eyes.Conn))
	}
	return errors.Join(errs...)
}
