package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Options of a Source.
type Options struct {
	Name elt.SourceName
	Path string // of the file
	// BusyTimeout is how long to wait for a writer that holds the file. 10 s by default.
	BusyTimeout time.Duration
	Log         *slog.Logger     // nil for none
	Now         func() time.Time // the system's clock when nil
}

// Source is a SQLite file.
type Source struct {
	opts Options

	mu      sync.Mutex
	catalog *sql.DB     // for Describe: to open the file anew for each of a thousand tables is to read its schema as often
	file    os.FileInfo // that catalog is open on
}

// New returns the source; the file is opened when it is asked for something.
func New(o Options) *Source {
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{opts: o}
}

// open opens the file, which must be there, and nothing else.
func (s *Source) open(ctx context.Context) (*sql.DB, error) {
	missing := func(err error) error {
		return &elt.Error{
			Code: "source_unreachable", Class: elt.Config, What: fmt.Sprintf("cannot open the file of source %s", s.opts.Name), Err: err,
			Do: "check its path in daybreak.yaml, and that this user may read it",
		}
	}
	path, err := filepath.Abs(s.opts.Path)
	if err != nil {
		return nil, missing(err)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, missing(err)
	} else if !info.Mode().IsRegular() {
		return nil, missing(fmt.Errorf("%s is no regular file", path))
	}
	name := url.URL{Scheme: "file", Path: path, OmitHost: true}
	name.RawQuery = url.Values{
		"mode":    {"ro"},
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", s.opts.BusyTimeout.Milliseconds()), "query_only(1)"},
	}.Encode()
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, missing(err)
	}
	db.SetMaxOpenConns(1)
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(new(int)); err != nil {
		return nil, errors.Join(fault(ctx, err, "cannot open the file of source %s", s.opts.Name), db.Close())
	}
	return db, nil
}

// querier is a database or one connection of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Describe tells from the catalog what a table is.
func (s *Source) Describe(ctx context.Context, name string) (extract.TableInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.openCatalog(ctx); err != nil {
		return extract.TableInfo{}, err
	}
	return s.describe(ctx, s.catalog, name)
}

// openCatalog opens the file, unless it is the one that is open.
func (s *Source) openCatalog(ctx context.Context) error {
	file, err := os.Stat(s.opts.Path)
	if err == nil && s.catalog != nil && os.SameFile(file, s.file) {
		return nil
	}
	if err := s.closeCatalog(); err != nil {
		return err
	}
	db, err := s.open(ctx) // which says what is wrong where there is no file
	if err != nil {
		return err
	}
	s.catalog, s.file = db, file
	return nil
}

func (s *Source) closeCatalog() error {
	if s.catalog == nil {
		return nil
	}
	err := s.catalog.Close()
	s.catalog, s.file = nil, nil
	return err
}

// Tables describes every table and view.
func (s *Source) Tables(ctx context.Context) (_ []extract.TableInfo, err error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := collect(ctx, db, `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, fault(ctx, err, "cannot list the tables of source %s", s.opts.Name)
	}
	infos := make([]extract.TableInfo, 0, len(names))
	for _, name := range names {
		info, err := s.describe(ctx, db, name)
		if err != nil {
			return nil, err
		}
		info.Indexed, err = collect(ctx, db, `SELECT DISTINCT i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i
			WHERE i.seqno = 0 AND l.partial = 0 AND i.name IS NOT NULL ORDER BY 1`, name)
		if err != nil {
			return nil, fault(ctx, err, "cannot describe table %s of source %s", name, s.opts.Name)
		}
		extract.Propose(&info)
		infos = append(infos, info)
	}
	return infos, nil
}

func collect(ctx context.Context, from querier, query string, args ...any) (_ []string, err error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// describe looks a table up by name; "main." before it is taken off.
func (s *Source) describe(ctx context.Context, from querier, written string) (extract.TableInfo, error) {
	name := strings.TrimPrefix(written, "main.")
	info := extract.TableInfo{Name: written, Rows: -1}
	var kind string
	var withoutRowID bool
	err := from.QueryRowContext(ctx, `SELECT type, wr FROM pragma_table_list(?1) WHERE schema = 'main' AND name = ?1`, name).Scan(&kind, &withoutRowID)
	if errors.Is(err, sql.ErrNoRows) {
		return info, &elt.Error{
			Code: "table_missing", Class: elt.Config, What: fmt.Sprintf("source %s has no table %s", s.opts.Name, written),
			Do: "correct the name, or leave the table out; daybreak discover lists what is there",
		}
	}
	if err != nil {
		return info, fault(ctx, err, "cannot describe table %s of source %s", written, s.opts.Name)
	}
	if err := s.columns(ctx, from, name, &info); err != nil {
		return info, fault(ctx, err, "cannot describe table %s of source %s", written, s.opts.Name)
	}
	if kind == "table" && !withoutRowID {
		// The greatest row ID is found at once, and is the number of rows where none was deleted.
		err := from.QueryRowContext(ctx, "SELECT coalesce(max(rowid), 0) FROM "+quote(name)).Scan(&info.Rows)
		if err != nil {
			return info, fault(ctx, err, "cannot describe table %s of source %s", written, s.opts.Name)
		}
	}
	return info, nil
}

// columns fills in a table's columns and key. Hidden columns of virtual tables are left out, generated ones not.
func (s *Source) columns(ctx context.Context, from querier, name string, info *extract.TableInfo) (err error) {
	rows, err := from.QueryContext(ctx, `SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys := make(map[int]string)
	for rows.Next() {
		c := elt.Column{}
		var notNull bool
		var key int
		if err := rows.Scan(&c.Name, &c.SourceType, &notNull, &key); err != nil {
			return err
		}
		c.Type, c.Nullable = typeOf(c.SourceType), !notNull
		if key > 0 {
			keys[key] = c.Name
		}
		info.Columns = append(info.Columns, c)
	}
	for i := 1; i <= len(keys); i++ {
		info.Key = append(info.Key, keys[i])
	}
	if len(keys) == 1 { // an INTEGER PRIMARY KEY is the row ID, which is never NULL
		for i, c := range info.Columns {
			if c.Name == keys[1] && strings.EqualFold(c.SourceType, "INTEGER") {
				info.Columns[i].Nullable = false
			}
		}
	}
	return rows.Err()
}

// quote returns a name as an identifier of a statement.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Close closes the file. Snapshots have opened it for themselves.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeCatalog()
}
