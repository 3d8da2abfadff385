package sqlite

import (
	"context"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// fault returns err as an error for operators; what says what was tried.
func fault(ctx context.Context, err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if _, ok := errors.AsType[*elt.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	e := &elt.Error{Code: "source_failed", Class: elt.Transient, What: what, Err: err, Do: "look at the message; it is tried again"}
	var from *driver.Error
	if !errors.As(err, &from) {
		return e
	}
	switch from.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		e.Code, e.Class, e.Do = "source_busy", elt.Budget, "nothing: it is tried again; look for a writer that holds the file, or turn on journal_mode=WAL"
	case codes.SQLITE_CANTOPEN, codes.SQLITE_NOTADB, codes.SQLITE_AUTH, codes.SQLITE_PERM:
		e.Code, e.Class, e.Do = "source_unreachable", elt.Config, "check the path in daybreak.yaml, and that the file is a SQLite database which this user may read; beside one with a write-ahead log, its -shm file must be there or be creatable"
	case codes.SQLITE_CORRUPT:
		e.Code, e.Class, e.Do = "source_corrupt", elt.Data, "check the file with PRAGMA integrity_check and restore it"
	case codes.SQLITE_ERROR:
		e.Class, e.Do = elt.Config, "look at the message: the view or table cannot be read"
	}
	return e
}
