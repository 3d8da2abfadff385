package mysql

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Options of a Source. A zero duration or count means its default.
type Options struct {
	Name elt.SourceName
	URL  string // mysql://user:password@host:port/database?tls=true
	// Connections is how many a snapshot holds, each of which reads chunks of one table at a time. 3 by default.
	Connections int
	// ChunkBytes is how much of a table, as it lies on the server's disk, is worth a statement of its own. 16 MiB by default.
	ChunkBytes int64
	// LockTimeout is how long to wait for a lock. 5 s by default.
	LockTimeout time.Duration
	// StatementTimeout is how long reading one table may take. 4 h by default.
	StatementTimeout time.Duration
	// SnapshotAge is how long a snapshot may be held: the server's purge waits for it. 8 h by default.
	SnapshotAge time.Duration
	Log         *slog.Logger // nil for none
}

// Source is a database of a MySQL or MariaDB server.
type Source struct {
	opts   Options
	config *mysql.Config
}

// New returns the source; it connects when it is asked for something.
func New(o Options) (*Source, error) {
	config, err := parseURL(o.URL)
	if err != nil {
		return nil, urlError(o.Name, err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Connections = max(1, cmp.Or(o.Connections, 3))
	o.ChunkBytes = cmp.Or(max(o.ChunkBytes, 0), 16<<20)
	o.LockTimeout = cmp.Or(max(o.LockTimeout, 0), 5*time.Second)
	o.StatementTimeout = cmp.Or(max(o.StatementTimeout, 0), 4*time.Hour)
	o.SnapshotAge = cmp.Or(max(o.SnapshotAge, 0), 8*time.Hour)
	return &Source{opts: o, config: config}, nil
}

func urlError(source elt.SourceName, err error) error {
	return &elt.Error{
		Code: "source_url", Class: elt.Config, What: fmt.Sprintf("source %s: its URL cannot be read", source), Err: err,
		Do: "write it as mysql://user:password@host:3306/database, with ?tls=true where the network is not yours",
	}
}

// parseURL reads mysql://user:password@host:port/database?tls=true. Errors do not repeat it: it holds a password.
func parseURL(text string) (*mysql.Config, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is no URL; %%-escape what is special in the password")
	}
	if u.Scheme != "mysql" && u.Scheme != "mariadb" {
		return nil, fmt.Errorf("it does not begin with mysql://")
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("it names no host")
	}
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", u.Hostname()+":"+cmp.Or(u.Port(), "3306")
	if strings.Contains(u.Hostname(), ":") {
		c.Addr = "[" + u.Hostname() + "]:" + cmp.Or(u.Port(), "3306")
	}
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.Trim(u.Path, "/")
	c.Timeout = 10 * time.Second
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:daybreak"
	for name, values := range u.Query() {
		if name != "tls" {
			return nil, fmt.Errorf("it has the parameter %q; the only one is tls", name)
		}
		switch c.TLSConfig = values[0]; c.TLSConfig {
		case "true", "false", "skip-verify", "preferred":
		default:
			return nil, fmt.Errorf("tls is true, false, skip-verify or preferred")
		}
	}
	return c, nil
}

// Describe tells from the catalog what a table is.
func (s *Source) Describe(ctx context.Context, name string) (extract.TableInfo, error) {
	session, err := s.connect(ctx)
	if err != nil {
		return extract.TableInfo{}, err
	}
	defer session.hangUp()
	t, err := session.describe(ctx, name)
	return t.info, err
}

// Tables describes every table and view that the user may read: those of the URL's database, or of all where it
// names none.
func (s *Source) Tables(ctx context.Context) ([]extract.TableInfo, error) {
	session, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer session.hangUp()
	names, err := session.tables(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]extract.TableInfo, 0, len(names))
	for _, n := range names {
		t, err := session.describe(ctx, n.String())
		switch code := elt.CodeOf(err); {
		case code == "table_engine" || code == grant.code: // it cannot be extracted, and check would say why
			s.opts.Log.Info("a table is left out", "source", s.opts.Name, "table", n.String(), "reason", err)
			continue
		case err != nil:
			return nil, err
		}
		extract.Propose(&t.info)
		infos = append(infos, t.info)
	}
	return infos, nil
}

// Close has nothing to let go of: sessions belong to snapshots.
func (s *Source) Close() error { return nil }
