package duckdb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"golang.org/x/sync/semaphore"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// Options say where the warehouse lies and what it may use.
type Options struct {
	Path     string // of the DuckDB file; made when it is missing
	ReadPath string // of the copy that each publish renews for readers; empty for none
	// MemoryLimit is DuckDB's, "4GB"; empty leaves its default, four fifths of the machine's memory.
	MemoryLimit string
	Threads     int    // 0 means one for each core
	TempDir     string // where DuckDB puts what does not fit into memory; empty means beside the file
	// Layout says how the dataset's published table is arranged, of which only ReplacePartitions means something here.
	Layout func(elt.DatasetName) elt.Layout
	// Keep is how many versions of each dataset stay beside the published one, so that they can be restored; 0 means 1,
	// and less than 0 none.
	Keep int
	Now  func() time.Time
	Log  *slog.Logger
}

// Warehouse is the one read-write handle on a DuckDB file. It is safe for concurrent use.
type Warehouse struct {
	path, readPath string
	keep           int
	now            func() time.Time
	log            *slog.Logger
	db             *sql.DB
	layout         func(elt.DatasetName) elt.Layout // nil arranges nothing
	// file is held open until the database is closed: POSIX drops a process's locks on a file, DuckDB's
	// among them, as soon as the process closes any descriptor of it.
	file *os.File
	// gate is held shared by whoever uses the database and whole by whoever copies its file.
	gate *semaphore.Weighted
	// publishing is held by whoever changes what a staged or published name means, one at a time.
	publishing *semaphore.Weighted
	exchanging *semaphore.Weighted // held by whoever has another file attached, under its own name
	serial     atomic.Int64        // tells scratch tables apart

	mu   sync.Mutex
	open map[elt.RunID]bool // runs that have staged something since they last published
}

// wholeGate is the weight of holding the gate alone.
const wholeGate = math.MaxInt32

// Open opens the warehouse, or makes it. Its errors are warehouse_locked when another process has it open,
// warehouse_unreadable when it cannot be read, warehouse_setting for an option that DuckDB refuses.
func Open(ctx context.Context, o Options) (*Warehouse, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open the warehouse %s: %w", o.Path, err)
	}
	if o.TempDir == "" {
		o.TempDir = path + ".tmp"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{filepath.Dir(path), o.TempDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, openError(path, err)
		}
	}
	if err := create(ctx, path); err != nil {
		return nil, err
	}
	db, err := connect(ctx, path, "")
	if err != nil {
		return nil, err
	}
	w := &Warehouse{
		path: path, readPath: o.ReadPath, keep: max(0, cmp.Or(o.Keep, 1)), now: o.Now, log: o.Log, db: db, layout: o.Layout,
		gate: semaphore.NewWeighted(wholeGate), publishing: semaphore.NewWeighted(1), exchanging: semaphore.NewWeighted(1),
		open: make(map[elt.RunID]bool),
	}
	if err := w.configure(ctx, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if w.file, err = os.Open(path); err != nil {
		return nil, errors.Join(openError(path, err), db.Close())
	}
	return w, nil
}

// create makes the file under another name first: a process killed in between leaves no file that is not yet
// a database.
func create(ctx context.Context, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // it exists, or opening it will say what is wrong
	}
	fresh := path + ".new"
	for _, leftover := range []string{fresh, fresh + ".wal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return openError(path, err)
		}
	}
	db, err := connect(ctx, fresh, "")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, catalogTables)
	if err := errors.Join(err, db.Close()); err != nil {
		return openError(path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return openError(path, err)
	}
	return syncDir(filepath.Dir(path))
}

// connect opens a DuckDB file with every extension that is not built in out of reach and the clock of each
// connection at UTC.
func connect(ctx context.Context, path, accessMode string) (*sql.DB, error) {
	if strings.ContainsAny(path, "?#%") {
		return nil, &elt.Error{
			Code: warehouse.CodeSetting, Class: elt.Config,
			What: fmt.Sprintf("cannot open the warehouse %s: DuckDB's driver reads ?, # and %% in a path as options", path),
			Do:   "put the workspace into a folder without these characters",
		}
	}
	dsn := path + "?autoinstall_known_extensions=false&autoload_known_extensions=false"
	if accessMode != "" {
		dsn += "&access_mode=" + accessMode
	}
	connector, err := duckdb.NewConnector(dsn, func(conn driver.ExecerContext) error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SET TimeZone = 'UTC'", nil)
		return err
	})
	if err != nil {
		return nil, openError(path, err)
	}
	db := sql.OpenDB(connector)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(openError(path, err), db.Close())
	}
	return db, nil
}

func (w *Warehouse) configure(ctx context.Context, o Options) error {
	settings := [][2]string{{"temp_directory", literal(o.TempDir)}}
	if o.MemoryLimit != "" {
		settings = append(settings, [2]string{"memory_limit", literal(o.MemoryLimit)})
	}
	if o.Threads > 0 {
		settings = append(settings, [2]string{"threads", strconv.Itoa(o.Threads)})
	}
	for _, s := range settings {
		if _, err := w.db.ExecContext(ctx, "SET GLOBAL "+s[0]+" = "+s[1]); err != nil {
			return &elt.Error{
				Code: warehouse.CodeSetting, Class: elt.Config,
				What: fmt.Sprintf("the warehouse's %s cannot be %s: %s", s[0], s[1], essence(err.Error())),
				Do:   "correct it in daybreak.yaml",
			}
		}
	}
	if _, err := w.db.ExecContext(ctx, catalogTables); err != nil {
		return w.fail(ctx, "prepare the warehouse's own tables", err)
	}
	return nil
}

// Close closes the warehouse. Nothing may be using it any more.
func (w *Warehouse) Close() error {
	if err := errors.Join(w.db.Close(), w.file.Close()); err != nil {
		return fmt.Errorf("close the warehouse %s: %w", w.path, err)
	}
	return nil
}

// shared lets the caller use the database until it calls the function that shared returns.
func (w *Warehouse) shared(ctx context.Context) (release func(), err error) {
	if err := w.gate.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for the warehouse: %w", err)
	}
	return func() { w.gate.Release(1) }, nil
}

// transaction calls do in one transaction, which commits if do returns nil and ctx was not cancelled.
func (w *Warehouse) transaction(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return w.fail(ctx, what, err)
	}
	if err := do(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			w.log.Warn("cannot roll back", "operation", what, "error", rollback)
		}
		return w.fail(ctx, what, err)
	}
	failpoint.Here("duckdb.commit")
	err = tx.Commit()
	failpoint.Here("duckdb.committed")
	return w.fail(ctx, what, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
