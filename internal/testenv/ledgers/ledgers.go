package ledgers

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// migrated is the file of a SQLite ledger in which nothing has happened.
var migrated = sync.OnceValues(func() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "daybreak-ledger-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "ledger.db")
	if err := migrate("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path) // the last connection that closes leaves nothing beside it
})

func migrate(dsn string) error {
	ctx := context.Background() // it is done once for all tests
	l, err := ledger.Open(ctx, dsn, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(l.Migrate(ctx), l.Close())
}

// SQLite returns the address of a new ledger in a file of the test's own.
func SQLite(t testing.TB) (dsn string) {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatalf("migrate a ledger: %v", err)
	}
	path := filepath.Join(t.TempDir(), "state", "ledger.db")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o750), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// Postgres returns the address of a new ledger in a database of the test's own.
func Postgres(t testing.TB) (dsn string) {
	t.Helper()
	return testenv.PostgresCopy(t, "ledger", migrate)
}
