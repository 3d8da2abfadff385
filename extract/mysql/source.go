package mysql

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
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
	// MostHashes is about how many rows may be in a chunk for the server to write their hashes down while it takes a digest of them, some
	// twenty octets for each, in memory or, where its limits for that are lower, on its disk. Of more rows it works each out once for each half of
	// its hash. Four million by default.
	MostHashes int64
	Budget     extract.Budget
	// Silence is how long a server that is not at work for a session may say nothing before its connection counts as lost.
	// 30 s by default.
	Silence time.Duration
	// Glance is how often a look is taken at how production is doing while a snapshot is held. 1 s by default.
	Glance time.Duration
	Log    *slog.Logger // nil for none
}

// Source is a database of a MySQL or MariaDB server.
type Source struct {
	opts   Options
	config *mysql.Config
	host   string
	tls    encryption
	own    sync.Map // the ids of our sessions: they wait for production, not production for them
}

// New returns the source; it connects when it is asked for something.
func New(o Options) (*Source, error) {
	s := &Source{}
	if err := s.parseURL(o.URL); err != nil {
		return nil, urlError(o.Name, err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Connections = max(1, cmp.Or(o.Connections, 3))
	o.ChunkBytes = cmp.Or(max(o.ChunkBytes, 0), 16<<20)
	o.MostHashes = cmp.Or(max(o.MostHashes, 0), mostHashes)
	o.Budget = o.Budget.OrDefaults()
	o.Silence = cmp.Or(max(o.Silence, 0), 30*time.Second)
	o.Glance = cmp.Or(max(o.Glance, 0), time.Second)
	s.config.Timeout = min(10*time.Second, o.Silence)
	s.opts = o
	return s, nil
}

func urlError(source elt.SourceName, err error) error {
	return &elt.Error{
		Code: "source_url", Class: elt.Config, What: fmt.Sprintf("source %s: its URL cannot be read", source), Err: err,
		Do: "write it as mysql://user:password@host:3306/database, with ?tls=true where the network is not yours",
	}
}

// parseURL reads mysql://user:password@host:port/database?tls=true. Errors do not repeat it: it holds a password.
func (s *Source) parseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("it is no URL; %%-escape what is special in the password")
	}
	if u.Scheme != "mysql" && u.Scheme != "mariadb" {
		return fmt.Errorf("it does not begin with mysql://")
	}
	if u.Hostname() == "" {
		return fmt.Errorf("it names no host")
	}
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.Trim(u.Path, "/")
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:daybreak"
	s.config, s.host = c, u.Hostname()
	return s.tls.read(u.Query())
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
			infos = append(infos, extract.TableInfo{Name: n.String(), Rows: -1, Refused: err})
			continue
		case err != nil:
			return nil, err
		}
		if t.info.Indexed, err = session.indexed(ctx, t); err != nil {
			return nil, fault(ctx, err, "cannot describe table %s of source %s", n, s.opts.Name)
		}
		extract.Propose(&t.info)
		infos = append(infos, t.info)
	}
	return infos, nil
}

// Close has nothing to let go of: sessions belong to snapshots.
func (s *Source) Close() error { return nil }
