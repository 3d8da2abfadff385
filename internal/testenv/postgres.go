package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a PostgreSQL server as a test sees it.
type PostgresServer struct {
	// URL names a database of the test's own, empty at first and dropped at its end.
	URL string
	// Bin is the folder of the server's programs: psql, pgbench, pg_dump.
	Bin string

	cluster *cluster
	shared  bool
}

// sharedCluster is the one server of the test process; its keeper ends it with the process.
var sharedCluster = sync.OnceValues(func() (*cluster, error) { return startCluster(nil) })

// Postgres returns the server that all tests of this process share, with a fresh database. It cannot be
// stopped: a test that needs that asks for a NewPostgres.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	c, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	p := &PostgresServer{Bin: c.bin, cluster: c, shared: true}
	p.URL = p.Database(t)
	return p
}

// NewPostgres starts a server for this test alone, with settings of postgresql.conf such as
// {"max_connections": "20"}, and ends it with the test.
func NewPostgres(t testing.TB, settings map[string]string) *PostgresServer {
	t.Helper()
	c, err := startCluster(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.keeper.end(); err != nil {
			t.Error(err)
		}
	})
	p := &PostgresServer{Bin: c.bin, cluster: c}
	p.URL = c.url(c.create(t))
	return p
}

// Standby starts a replica of the server that streams from it, for this test alone. Its URL names the database that
// p's does. Only a server of NewPostgres has one.
func (p *PostgresServer) Standby(t testing.TB, settings map[string]string) *PostgresServer {
	t.Helper()
	if p.shared {
		t.Fatal("this server is shared with other tests: use NewPostgres")
	}
	c, err := newCluster(func(c *cluster) error {
		backup := c.command("pg_basebackup", "-d", p.cluster.url("postgres"), "-D", c.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
		if out, err := backup.CombinedOutput(); err != nil {
			return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
		}
		return nil
	}, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.keeper.end(); err != nil {
			t.Error(err)
		}
	})
	return &PostgresServer{Bin: c.bin, cluster: c, URL: c.url(p.URL[strings.LastIndex(p.URL, "/")+1 : strings.LastIndex(p.URL, "?")])}
}

// Database makes another empty database and returns its URL. It is dropped with the test, whoever is
// still connected to it.
func (p *PostgresServer) Database(t testing.TB) string {
	t.Helper()
	name := p.cluster.create(t)
	t.Cleanup(func() {
		if !p.cluster.stopped.Load() {
			p.cluster.exec(t, "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return p.cluster.url(name)
}

// Stop ends the server at once, as a crash would: every connection is cut.
func (p *PostgresServer) Stop(t testing.TB) {
	t.Helper()
	if p.shared {
		t.Fatal("this server is shared with other tests: use NewPostgres")
	}
	p.cluster.stopped.Store(true)
	if err := p.cluster.ctl("-m", "immediate", "stop"); err != nil {
		t.Fatal(err)
	}
}

// Start starts a stopped server again, on the same port and with the same data.
func (p *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := p.cluster.ctl("-l", p.cluster.log(), "start"); err != nil {
		t.Fatalf("%v\n%s", err, p.cluster.tail())
	}
	p.cluster.stopped.Store(false)
}

// Restart stops the server as a crash would, and starts it again.
func (p *PostgresServer) Restart(t testing.TB) {
	t.Helper()
	p.Stop(t)
	p.Start(t)
}

// cluster is one PostgreSQL data folder and the server over it.
type cluster struct {
	dir, bin  string
	port      int
	keeper    *keeper
	databases atomic.Int64
	templates sync.Map // name → *template
	stopped   atomic.Bool
}

func startCluster(settings map[string]string) (*cluster, error) {
	return newCluster(func(c *cluster) error {
		initdb := c.command("initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
		if out, err := initdb.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb: %w\n%s", err, out)
		}
		return nil
	}, settings)
}

// newCluster starts a server over a data folder that fill has made.
func newCluster(fill func(*cluster) error, settings map[string]string) (*cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "daybreak-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	c := &cluster{dir: dir, bin: bin}
	stop := c.command("pg_ctl", "-D", c.data(), "-m", "immediate", "stop")
	c.keeper, err = keep(untilGone+`; dir=$1; shift; "$@"; rm -rf -- "$dir"`, append([]string{dir}, stop.Args...)...)
	if err != nil {
		return nil, err
	}
	if err := c.start(fill, settings); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, c.tail()), c.keeper.end())
	}
	return c, nil
}

func (c *cluster) start(fill func(*cluster) error, settings map[string]string) error {
	err := c.own()
	if err == nil {
		err = fill(c)
	}
	if err != nil {
		return err
	}
	for range ports {
		if c.port, err = freePort(); err != nil {
			return err
		}
		if err = c.configure(settings); err != nil {
			return err
		}
		if err = c.ctl("-l", c.log(), "start"); err == nil {
			return nil
		}
	}
	return err
}

// own hands the folder to the account that the server runs as: PostgreSQL refuses to run as root.
func (c *cluster) own() error {
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL needs the account postgres; run: apt-get install -y postgresql: %w", err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return fmt.Errorf("read the account postgres: %w", err)
	}
	return os.Chown(c.dir, uid, -1)
}

// configure appends to postgresql.conf, where the last mention of a setting wins. What makes a server
// survive a power cut is off: a killed server loses nothing by it.
func (c *cluster) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "timezone": "UTC",
		"max_connections": "400", // as many tests run at the same time as the machine has cores
		"fsync":           "off", "synchronous_commit": "off", "full_page_writes": "off",
	}
	maps.Copy(all, settings)
	all["port"] = strconv.Itoa(c.port)
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	defer f.Close()
	for k, v := range all {
		if _, err := fmt.Fprintf(f, "%s = '%s'\n", k, strings.ReplaceAll(v, "'", "''")); err != nil {
			return fmt.Errorf("configure PostgreSQL: %w", err)
		}
	}
	return f.Close()
}

func (c *cluster) ctl(args ...string) error {
	cmd := c.command("pg_ctl", append([]string{"-D", c.data(), "-w"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// command runs one of the server's programs as an account that is not root, deaf to the caller's PG… variables.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	line := append([]string{filepath.Join(c.bin, name)}, args...)
	if os.Getuid() == 0 {
		line = append([]string{"runuser", "-u", "postgres", "--"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") }),
		fmt.Sprintf("PGCTLTIMEOUT=%.0f", patience.Seconds()))
	return cmd
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *cluster) log() string  { return filepath.Join(c.dir, "log") }

// tail returns the end of the server's log, for a failure's message.
func (c *cluster) tail() string {
	b, err := os.ReadFile(c.log())
	if err != nil {
		return err.Error() + "\n"
	}
	return string(b[max(0, len(b)-4096):])
}

func (c *cluster) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: fmt.Sprintf("127.0.0.1:%d", c.port), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (c *cluster) create(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", c.databases.Add(1))
	c.exec(t, "CREATE DATABASE "+name)
	return name
}

// exec runs a statement on the server's own database. It has no part in the test's context, which is
// over when clean-up runs.
func (c *cluster) exec(t testing.TB, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		t.Fatalf("connect to the test's PostgreSQL: %v\n%s", err, c.tail())
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// postgresBin returns the folder of the newest PostgreSQL's programs.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(path string) int {
			n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			if err != nil {
				return 0
			}
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("this test needs PostgreSQL; run: apt-get install -y postgresql: %w", err)
	}
	return filepath.Dir(path), nil
}
