package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// RefreshReadCopy replaces the copy that readers open with the warehouse as it is now. Nothing else uses the
// database meanwhile. Readers that have the old copy open keep it; a crash leaves the old copy in place.
func (w *Warehouse) RefreshReadCopy(ctx context.Context) error {
	if w.readPath == "" {
		return nil
	}
	if err := w.gate.Acquire(ctx, wholeGate); err != nil {
		return fmt.Errorf("wait for the warehouse: %w", err)
	}
	defer w.gate.Release(wholeGate)
	what := "renew the read copy " + w.readPath
	if _, err := w.db.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return w.fail(ctx, what, err)
	}
	failpoint.Here("duckdb.checkpointed")
	switch wal, err := os.Stat(w.path + ".wal"); {
	case err == nil && wal.Size() > 0:
		return fmt.Errorf("%s: the checkpoint left %d bytes in the log", what, wal.Size())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return w.fail(ctx, what, err)
	}
	if err := w.copyTo(w.readPath); err != nil {
		if full := exhausted(what, err.Error()); full != nil {
			return full
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// copyTo copies the database file to path by way of a file beside it. io.Copy between two files lets the
// kernel share their blocks where the file system can, so that the copy costs next to nothing there.
func (w *Warehouse) copyTo(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fresh := path + ".new"
	to, err := os.Create(fresh)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(fresh))
		}
	}()
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return errors.Join(err, to.Close())
	}
	if _, err := io.Copy(to, w.file); err != nil {
		return errors.Join(err, to.Close())
	}
	if err := errors.Join(to.Sync(), to.Close()); err != nil {
		return err
	}
	failpoint.Here("duckdb.copy_written")
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	failpoint.Here("duckdb.copy_renamed")
	return syncDir(dir)
}
