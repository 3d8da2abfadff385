package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	migrations "github.com/daybreak-data/daybreak/sql"
)

// Migrate brings the ledger's tables to what this binary knows. Many processes may call it at once; a
// migration that was interrupted is taken up where it stopped.
func (l *Ledger) Migrate(ctx context.Context) error {
	if err := l.migrate(ctx, (*migrate.Migrate).Up); err != nil {
		return err
	}
	return l.checkSchema(ctx)
}

func (l *Ledger) migrate(ctx context.Context, move func(*migrate.Migrate) error) (err error) {
	m, err := l.engine.migrator(ctx)
	if err != nil {
		return l.fault("migrate the ledger", withoutScript(err))
	}
	defer func() {
		if closeErr := m.close(); closeErr != nil && err == nil {
			err = l.fault("migrate the ledger", closeErr)
		}
	}()
	from, err := readSchema(ctx, m.db, l.engine.dialect())
	if err != nil {
		return l.fault("migrate the ledger", err)
	}
	known, err := knownSchema()
	if err != nil {
		return l.fault("migrate the ledger", err)
	}
	if from > known {
		return l.newer(from, known)
	}
	if err := m.repair(from); err != nil {
		return l.fault("take up an interrupted migration", err)
	}
	stop := context.AfterFunc(ctx, func() { m.GracefulStop <- true }) // after the migration in hand
	defer stop()
	if err := move(m.Migrate); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return l.fault("migrate the ledger", withoutScript(err))
	}
	to, err := readSchema(ctx, m.db, l.engine.dialect())
	if err != nil {
		return l.fault("migrate the ledger", err)
	}
	if to != from {
		l.log.InfoContext(ctx, "ledger migrated", slog.String("ledger", l.engine.name()), slog.Int64("from", from), slog.Int64("to", to))
	}
	return nil
}

// checkSchema compares the ledger's tables with those that this binary knows.
func (l *Ledger) checkSchema(ctx context.Context) error {
	known, err := knownSchema()
	if err != nil {
		return l.fault("open the ledger", err)
	}
	found, err := readSchema(ctx, l.reader, l.engine.dialect())
	switch {
	case err != nil:
		return l.fault("open the ledger", err)
	case found > known:
		return l.newer(found, known)
	case found < known:
		l.log.DebugContext(ctx, "ledger needs migrating", slog.String("ledger", l.engine.name()), slog.Int64("found", found), slog.Int64("known", known))
	}
	l.migrated.Store(found == known)
	return nil
}

func (l *Ledger) newer(found, known int64) error {
	return &elt.Error{
		Code: "ledger_newer", Class: elt.Config,
		What: fmt.Sprintf("ledger %s was written by a newer Daybreak: its schema is %d, this binary knows %d", l.engine.name(), found, known),
		Do:   "run the newer Daybreak, or restore the backup that was taken before it",
	}
}

func (l *Ledger) older(op string) error {
	return &elt.Error{
		Code: "ledger_older", Class: elt.Config,
		What: fmt.Sprintf("cannot %s: ledger %s has not been migrated to this version of Daybreak", op, l.engine.name()),
		Do:   "run `daybreak run` or `daybreak serve` once: each migrates it first",
	}
}

// knownSchema returns the number of the newest migration in this binary.
func knownSchema() (int64, error) {
	names, err := fs.Glob(migrations.Migrations, "migrations/*.up.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(errors.New("the binary holds no migrations"), err)
	}
	number, _, _ := strings.Cut(path.Base(names[len(names)-1]), "_")
	return strconv.ParseInt(number, 10, 64)
}

// readSchema returns the number of the last migration that was committed, 0 for an empty database. Each
// migration writes its number in its own transaction, so unlike golang-migrate's record it is never in doubt.
func readSchema(ctx context.Context, db queryer, d dialect) (schema int64, err error) {
	var tables int64
	if err := db.QueryRowContext(ctx, d.tables, "counters").Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = 'schema'`).Scan(&schema)
	return schema, err
}

// withoutScript returns the driver's own error: golang-migrate's holds the whole text of the migration, and
// hides what went wrong from errors.As.
func withoutScript(err error) error {
	if pointer, ok := errors.AsType[*database.Error](err); ok {
		return pointer.OrigErr
	}
	if value, ok := errors.AsType[database.Error](err); ok {
		return value.OrigErr
	}
	return err
}

// migrator is golang-migrate over connections of its own, which close with it.
type migrator struct {
	*migrate.Migrate
	db     *sql.DB
	unlock func() error
}

func newMigrator(db *sql.DB, driver database.Driver, unlock func() error) (*migrator, error) {
	files, err := iofs.New(migrations.Migrations, "migrations")
	if err != nil {
		return nil, errors.Join(err, driver.Close(), unlock())
	}
	m, err := migrate.NewWithInstance("migrations", files, "ledger", marked{driver})
	if err != nil {
		return nil, errors.Join(err, driver.Close(), unlock())
	}
	return &migrator{m, db, unlock}, nil
}

// marked is a driver with failpoints around each migration, and after each note of golang-migrate's about it.
type marked struct{ database.Driver }

func (m marked) Run(migration io.Reader) error {
	failpoint.Here("ledger.migrate")
	err := m.Driver.Run(migration)
	failpoint.Here("ledger.migrated")
	return err
}

func (m marked) SetVersion(version int, dirty bool) error {
	err := m.Driver.SetVersion(version, dirty)
	failpoint.Here("ledger.noted")
	return err
}

// repair tells golang-migrate what was committed when it was killed between its own two writes around a
// migration, after which it would refuse to do anything.
func (m *migrator) repair(committed int64) error {
	_, dirty, err := m.Version()
	if errors.Is(err, migrate.ErrNilVersion) || (err == nil && !dirty) {
		return nil
	}
	if err != nil {
		return err
	}
	if committed == 0 {
		return m.Force(database.NilVersion)
	}
	return m.Force(int(committed))
}

func (m *migrator) close() error {
	files, db := m.Close()
	return errors.Join(files, db, m.unlock())
}
