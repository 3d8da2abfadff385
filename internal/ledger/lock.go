package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// LockWorker makes this process the only one that works on the SQLite ledger at dsn, until release or
// its own end: the system drops the lock of a killed process at once. On PostgreSQL many workers share a
// ledger, and there is nothing to lock. The error's code is worker_running when another process works.
func LockWorker(dsn string) (release func() error, err error) {
	e, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	file, ok := e.(*sqliteEngine)
	if !ok {
		return func() error { return nil }, nil
	}
	path := file.path + ".worker"
	release, err = tryLock(path, fmt.Sprintf("process %d, since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339)))
	if errors.Is(err, errLocked) {
		holder, readErr := os.ReadFile(path)
		who := strings.TrimSpace(string(holder))
		if readErr != nil || who == "" {
			who = "a process that has just started"
		}
		return nil, &elt.Error{
			Code: "worker_running", Class: elt.Conflict,
			What: fmt.Sprintf("another daybreak already works on ledger %s: %s", file.path, who),
			Do:   "let it finish, or stop that process; `daybreak status` shows what it does",
		}
	}
	if elt.NoRoom(err) {
		return nil, &elt.Error{
			Code: "ledger_full", Class: elt.Quota, Err: err,
			What: "cannot lock ledger " + file.path, Do: "free space on the disk that holds " + file.path,
		}
	}
	if err != nil {
		return nil, &elt.Error{
			Code: "ledger_unreadable", Class: elt.Config, Err: err,
			What: "cannot lock ledger " + file.path, Do: "check the path and that this user may write there",
		}
	}
	return release, nil
}

var errLocked = errors.New("locked by another process")

// lockFile waits for the lock on path until ctx ends.
func lockFile(ctx context.Context, path string) (release func() error, err error) {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		release, err := tryLock(path, "")
		if !errors.Is(err, errLocked) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", path, context.Cause(ctx))
		case <-retry.C:
		}
	}
}

// tryLock takes the advisory lock on path, or returns errLocked, and writes holder into it for others to
// read. The file stays when the lock goes: deleting it would let two processes hold two files of one name.
func tryLock(path, holder string) (release func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(errLocked, f.Close())
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "flock", Path: path, Err: err}, f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.WriteAt([]byte(holder), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
