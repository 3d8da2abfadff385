package ledger

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/golang-migrate/migrate/v4"
)

// Writer is the ledger's own connection, for tests that look behind its methods.
func (l *Ledger) Writer() *sql.DB { return l.writer }

// KeepEveryBeat has history keep every heartbeat.
func (l *Ledger) KeepEveryBeat() { l.beats = 0 }

// MigrateDown takes every migration back.
func (l *Ledger) MigrateDown(ctx context.Context) error {
	if err := l.migrate(ctx, (*migrate.Migrate).Down); err != nil {
		return err
	}
	return l.checkSchema(ctx)
}

// MigrateTo makes the schema that of an older binary.
func (l *Ledger) MigrateTo(ctx context.Context, schema uint) error {
	if err := l.migrate(ctx, func(m *migrate.Migrate) error { return m.Migrate(schema) }); err != nil {
		return err
	}
	return l.checkSchema(ctx)
}

// OpenImpatient opens a SQLite ledger that waits only so long for another process's transaction.
func OpenImpatient(ctx context.Context, path string, busy time.Duration, log *slog.Logger) (*Ledger, error) {
	return open(ctx, &sqliteEngine{path: path, busy: busy}, log)
}

// StandStill begins a change, which locks out every other, and stands still in it until do returns.
func (l *Ledger) StandStill(ctx context.Context, do func()) error {
	return l.change(ctx, "stand still", func(_ context.Context, c *change) error {
		do()
		c.touched = true
		return nil
	})
}
