package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

func TestLockWorkerIsHeldByOneProcess(t *testing.T) {
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "state", "ledger.db")
	holder := startChild(t, "lock", dsn, "")
	if holder.line() != "ready" {
		t.Fatal("the child did not get the lock")
	}
	_, err := ledger.LockWorker(dsn)
	if e := wantCode(t, err, "worker_running"); !strings.Contains(e.What, fmt.Sprintf("process %d, since 20", holder.Process.Pid)) {
		t.Errorf("%q does not name process %d", e.What, holder.Process.Pid)
	}
	ok(t, holder.Process.Kill())
	if err := holder.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	release, err := ledger.LockWorker(dsn)
	ok(t, err)
	_, err = ledger.LockWorker(dsn)
	wantCode(t, err, "worker_running")
	ok(t, release())
	release, err = ledger.LockWorker(dsn)
	ok(t, err)
	ok(t, release())
}

func childLocks(_ context.Context, dsn, _ string) error {
	if _, err := ledger.LockWorker(dsn); err != nil {
		return err
	}
	return awaitSignal()
}

func TestManyWorkersShareAServer(t *testing.T) {
	dsn := testenv.Postgres(t).URL
	for range 2 {
		release, err := ledger.LockWorker(dsn)
		ok(t, err)
		defer func() { ok(t, release()) }()
	}
}

func TestLockWorkerWhereNothingCanBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, nil, 0o600))
	_, err := ledger.LockWorker("sqlite:" + filepath.Join(file, "ledger.db"))
	wantCode(t, err, "ledger_unreadable")
	_, err = ledger.LockWorker("ledger.db")
	wantCode(t, err, "ledger_address")
}
