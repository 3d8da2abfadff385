package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// sqliteBusy is how long a write waits for another process's transaction to end, which may wait for a slow disk.
const sqliteBusy = 20 * time.Second

// sqliteEngine keeps the ledger in one file, with its write-ahead log beside it.
type sqliteEngine struct {
	path string
	busy time.Duration
}

func (e *sqliteEngine) name() string { return e.path }

// SQLite's clock is the machine's, to the millisecond; every user of the file is on that machine.
func (e *sqliteEngine) dialect() dialect {
	return dialect{
		clock:   `strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')`,
		tables:  `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`,
		names:   `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> 'schema_migrations'`,
		parents: `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`,
		alone:   true,
	}
}

// open returns one connection that writes and a few that read: SQLite has one writer at a time, and
// waiting in Go's pool is fairer and cheaper than in its busy loop.
func (e *sqliteEngine) open() (writer, reader *sql.DB, err error) {
	if err := os.MkdirAll(filepath.Dir(e.path), 0o750); err != nil {
		return nil, nil, err
	}
	writer, err = sql.Open("sqlite", e.uri("immediate",
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"))
	if err != nil {
		return nil, nil, err
	}
	writer.SetMaxOpenConns(1)
	reader, err = sql.Open("sqlite", e.uri("deferred", "query_only(1)"))
	if err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(max(4, runtime.NumCPU()))
	reader.SetMaxIdleConns(max(4, runtime.NumCPU()))
	return writer, reader, nil
}

// uri returns the driver's name of the file. A path is escaped, so that a question mark in it stays one.
func (e *sqliteEngine) uri(lock string, pragmas ...string) string {
	q := url.Values{"_txlock": {lock}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", e.busy.Milliseconds()))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: e.path}).EscapedPath() + "?" + q.Encode()
}

// migrator holds a file lock for as long as it is open: golang-migrate's own lock on SQLite does not
// reach beyond the process.
func (e *sqliteEngine) migrator(ctx context.Context) (*migrator, error) {
	if err := os.MkdirAll(filepath.Dir(e.path), 0o750); err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, e.path+".migrate")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", e.uri("immediate", "journal_mode(WAL)", "synchronous(FULL)"))
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	driver, err := migratesqlite.WithInstance(db, &migratesqlite.Config{})
	if err != nil {
		return nil, errors.Join(err, db.Close(), unlock())
	}
	return newMigrator(db, driver, unlock)
}

func (e *sqliteEngine) diagnose(err error) (fault, bool) {
	var path *os.PathError
	var s *sqlite.Error
	switch {
	case elt.NoRoom(err):
		return e.full(err), true
	case errors.As(err, &path):
		return fault{"ledger_unreadable", elt.Config, path.Error(), "check the path and that this user may write there"}, true
	case !errors.As(err, &s):
		return fault{}, false
	}
	switch s.Code() & 0xff { // the primary code; the rest says which system call it was
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault{"ledger_busy", elt.Transient, "another process is writing and did not end within " + e.busy.String(),
			"nothing: it is tried again; if it lasts, look for a process that holds " + e.path + " open in a transaction"}, true
	case sqlite3.SQLITE_PROTOCOL: // what two changes have between them, and no lock is waited for, took longer than SQLite waits
		return fault{"ledger_busy", elt.Transient, "another process stands still while it opens or changes the file",
			"nothing: it is tried again; if it lasts, look for a process that holds " + e.path + " open and is stopped"}, true
	case sqlite3.SQLITE_FULL:
		return e.full(syscall.ENOSPC), true
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault{"ledger_unreadable", elt.Config, "the file is damaged, or no ledger at all",
			"restore " + e.path + " from a backup, or move it away to begin a new one: versions are reconciled from the warehouse"}, true
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH:
		return fault{"ledger_unreadable", elt.Config, "this user may not open or write it",
			"give the user that runs daybreak write access to " + e.path + " and its folder"}, true
	case sqlite3.SQLITE_IOERR:
		if why := e.extend(); elt.NoRoom(why) {
			return e.full(why), true
		}
		return fault{"ledger_unreachable", elt.Transient, "the disk did not answer as it should: " + s.Error(), "check the disk that holds " + e.path}, true
	}
	return fault{}, false
}

// full is the fault of a ledger whose files may not grow.
func (e *sqliteEngine) full(why error) fault {
	if errors.Is(why, syscall.EFBIG) {
		return fault{"ledger_full", elt.Quota, "its file is as large as this process, or the file system, lets one become",
			"raise the limit on the size of files (ulimit -f), or move " + e.path + " to a file system that takes larger ones"}
	}
	return fault{"ledger_full", elt.Quota, "no space is left for it", "free space on the disk that holds " + e.path}
}

// extend tries what SQLite has just failed to do, to learn why: SQLite tells that a write failed, and of the reasons only a
// full disk. It writes one byte of a file beside the ledger, as far from its beginning as the ledger's log is long.
func (e *sqliteEngine) extend() (err error) {
	f, err := os.CreateTemp(filepath.Dir(e.path), "."+filepath.Base(e.path)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var end int64
	for _, file := range []string{e.path, e.path + "-wal"} {
		if info, err := os.Stat(file); err == nil {
			end = max(end, info.Size())
		}
	}
	_, err = f.WriteAt([]byte{0}, end)
	return err
}
