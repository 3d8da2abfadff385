package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// patience is how long one operation may take before the ledger counts as unreachable. It is longer than
// any wait for a lock, so that a busy ledger is called busy.
const patience = 30 * time.Second

// Ledger is an open state store. Its methods may be called from many goroutines, and by many processes
// on the same ledger.
type Ledger struct {
	engine   engine
	writer   *sql.DB
	reader   *sql.DB // the writer itself on PostgreSQL
	log      *slog.Logger
	migrated atomic.Bool // the schema is the one that this binary knows
	moment   time.Time   // as of which the ledger is read; zero for now
	beats    time.Duration
	limits   atomic.Pointer[elt.Limits]
}

// engine is what differs between SQLite and PostgreSQL.
type engine interface {
	// name is how sentences call the ledger: its path, or its server and database, never a password.
	name() string
	dialect() dialect
	open() (writer, reader *sql.DB, err error)
	migrator(ctx context.Context) (*migrator, error)
	// diagnose says what a driver's error means; ok is false when it is none that people can act on.
	diagnose(err error) (f fault, ok bool)
}

// dialect is the SQL that no wording makes portable.
type dialect struct {
	clock  string // an expression: the current instant as text of fixed width
	tables string // a query: how many tables are called $1
	names  string // a query: the ledger's tables, without golang-migrate's own
	// parents is a query: the tables to which the table $1 refers.
	parents string
	alone   bool // one process works at a time; see LockWorker
}

// Open opens the ledger at dsn: "sqlite:state/ledger.db" (made when it is missing) or "postgres://…".
// A ledger written by a newer Daybreak is refused with code ledger_newer. One that is older opens, and
// refuses everything but Migrate with code ledger_older.
func Open(ctx context.Context, dsn string, log *slog.Logger) (*Ledger, error) {
	e, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return open(ctx, e, log)
}

func open(ctx context.Context, e engine, log *slog.Logger) (*Ledger, error) {
	l := &Ledger{engine: e, log: log, beats: beatsKept}
	writer, reader, err := e.open()
	if err != nil {
		return nil, l.fault("open the ledger", err)
	}
	l.writer, l.reader = writer, reader
	if err := l.checkSchema(ctx); err != nil {
		if closeErr := l.Close(); closeErr != nil {
			log.WarnContext(ctx, "ledger did not close", slog.Any("error", closeErr))
		}
		return nil, err
	}
	return l, nil
}

// Shared reports whether many processes may work on the ledger at the same time.
func (l *Ledger) Shared() bool { return !l.engine.dialect().alone }

// Close closes the ledger's connections.
func (l *Ledger) Close() error {
	err := l.writer.Close()
	if l.reader != l.writer {
		err = errors.Join(err, l.reader.Close())
	}
	if err != nil {
		return l.fault("close the ledger", err)
	}
	return nil
}

// Now returns the time by the ledger's clock.
func (l *Ledger) Now(ctx context.Context) (now time.Time, err error) {
	err = l.read(ctx, "read the ledger's clock", func(ctx context.Context, q queryer) error {
		now, err = l.clock(ctx, q)
		return err
	})
	return now, err
}

// Revision returns a number that rises with every change of the ledger, heartbeats included.
func (l *Ledger) Revision(ctx context.Context) (revision int64, err error) {
	err = l.read(ctx, "read the ledger's revision", func(ctx context.Context, q queryer) error {
		revision, err = l.readRevision(ctx, q)
		return err
	})
	return revision, err
}

func (l *Ledger) readRevision(ctx context.Context, q queryer) (revision int64, err error) {
	if !l.moment.IsZero() {
		return 1, nil // the past does not change
	}
	const text = `SELECT CAST(SUM(value) AS BIGINT) FROM counters WHERE name IN ('event', 'touch')`
	err = q.QueryRowContext(ctx, text).Scan(&revision)
	return revision, err
}

func (l *Ledger) clock(ctx context.Context, q queryer) (now time.Time, err error) {
	if !l.moment.IsZero() {
		return l.moment, nil
	}
	err = q.QueryRowContext(ctx, "SELECT "+l.engine.dialect().clock).Scan(intoInstant{&now})
	return now, err
}

// read runs queries that need no common snapshot. op is what the caller wants, for the error's sentence.
func (l *Ledger) read(ctx context.Context, op string, do func(context.Context, queryer) error) error {
	return l.bounded(ctx, op, func(ctx context.Context) error { return do(ctx, l.reader) })
}

// snapshot runs queries that all see the ledger as it was at one moment.
func (l *Ledger) snapshot(ctx context.Context, op string, do func(context.Context, queryer) error) error {
	return l.bounded(ctx, op, func(ctx context.Context) error {
		t, err := l.reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(do(ctx, t), rollback(t))
	})
}

// errUnchanged is returned by a transaction that has nothing to commit.
var errUnchanged = errors.New("nothing changed")

// update runs do in a transaction that commits when do returns nil and its context still lives.
func (l *Ledger) update(ctx context.Context, op string, do func(context.Context, *sql.Tx) error) error {
	if !l.moment.IsZero() {
		return l.readOnly(op)
	}
	return l.bounded(ctx, op, func(ctx context.Context) error {
		t, err := l.writer.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return err
		}
		switch err := do(ctx, t); {
		case errors.Is(err, errUnchanged):
			return rollback(t)
		case err != nil:
			return errors.Join(err, rollback(t))
		}
		failpoint.Here("ledger.commit")
		err = t.Commit()
		failpoint.Here("ledger.committed")
		return err
	})
}

// rollback ends the transaction; that the context or the server already ended it is fine.
func rollback(t *sql.Tx) error {
	if err := t.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// bounded runs one operation within the ledger's patience and turns its error into one that an operator
// can act on.
func (l *Ledger) bounded(ctx context.Context, op string, do func(context.Context) error) error {
	if !l.migrated.Load() {
		return l.older(op)
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := do(within)
	var known *elt.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	case within.Err() != nil:
		return l.unreachable(op, fmt.Errorf("no answer within %s", patience))
	}
	return l.fault(op, err)
}
