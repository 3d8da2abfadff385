package testenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // to ask whether the server is there
)

// MariaDBServer is a MariaDB server as a test sees it. Its user root has no password.
type MariaDBServer struct {
	// URL names a database of the test's own, empty at first and dropped at its end: mysql://root@127.0.0.1:port/name.
	URL string
	// Addr is the server's host:port, and Database the name in URL, for drivers that want no URL.
	Addr, Database string

	server *mariadb
}

// sharedMariaDB and sharedUnlogged are the servers of the test process; their keepers end them with the process.
var (
	sharedMariaDB  = sync.OnceValues(func() (*mariadb, error) { return startMariaDB("--log-bin=binlog", "--server-id=1") })
	sharedUnlogged = sync.OnceValues(func() (*mariadb, error) { return startMariaDB() })
)

// MariaDB returns the server that all tests of this process share, with a fresh database. It writes a binary log.
func MariaDB(t testing.TB) *MariaDBServer {
	t.Helper()
	s, err := sharedMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	return s.fresh(t)
}

// UnloggedMariaDB returns another server that all tests of this process share, which writes no binary log.
func UnloggedMariaDB(t testing.TB) *MariaDBServer {
	t.Helper()
	s, err := sharedUnlogged()
	if err != nil {
		t.Fatal(err)
	}
	return s.fresh(t)
}

// NewMariaDB starts a server for this test alone, with options such as "--max-connections=20", and ends it with
// the test. Without --log-bin it writes no binary log.
func NewMariaDB(t testing.TB, options ...string) *MariaDBServer {
	t.Helper()
	s, err := startMariaDB(options...)
	if err != nil {
		t.Fatal(err)
	}
	m := s.fresh(t)
	t.Cleanup(func() { m.Stop(t) })
	return m
}

// Stop ends the server at once, as a crash would: every connection is cut. Only a server of NewMariaDB is the
// test's to stop.
func (m *MariaDBServer) Stop(t testing.TB) {
	t.Helper()
	if m.server.stopped.Swap(true) {
		return
	}
	if err := m.server.keeper.end(); err != nil {
		t.Error(err)
	}
}

// Restart ends the server as a crash would, and returns when another process serves. Only a server of NewMariaDB is the test's
// to restart.
func (m *MariaDBServer) Restart(t testing.TB) {
	t.Helper()
	// Its number is written with each start.
	process := func() (pid int) {
		Eventually(t, "the number of MariaDB's process", func() bool {
			text, err := os.ReadFile(filepath.Join(m.server.dir, "server"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
			return err == nil && pid > 1
		})
		return pid
	}
	old := process()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatalf("restart MariaDB: %v", err)
	}
	Eventually(t, "another process of MariaDB", func() bool { return process() != old })
	if err := m.server.await(patience); err != nil {
		t.Fatalf("restart MariaDB: %v", err)
	}
}

// mariadb is one data folder of MariaDB or MySQL and the server over it.
type mariadb struct {
	dir       string
	port      int
	keeper    *keeper
	databases atomic.Int64
	stopped   atomic.Bool
}

func startMariaDB(options ...string) (*mariadb, error) {
	install, err := mariadbProgram("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	daemon, err := mariadbProgram("mariadbd")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "daybreak-mariadb-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for MariaDB: %w", err)
	}
	m := &mariadb{dir: dir}
	as, err := m.own()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(dir, "data")
	// A server that starts removes what it takes for leftovers of its own from the folder of temporary files.
	as = append(as, "--tmpdir="+dir)
	initialize := exec.Command(install, append([]string{"--no-defaults"}, append(as, "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")...)...)
	if out, err := initialize.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w\n%s", install, err, out), os.RemoveAll(dir))
	}
	// What makes a server survive a power cut is off: a killed server loses nothing by it.
	line := slices.Concat([]string{daemon, "--no-defaults"}, as, []string{
		"--datadir=" + data, "--socket=" + filepath.Join(dir, "s.sock"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-buffer-pool-size=64M",
		"--innodb-flush-method=nosync", "--max-allowed-packet=1G",
	}, options)
	for range ports {
		if err = m.start(line); err == nil {
			return m, nil
		}
	}
	return nil, err
}

// own hands the folder to the account that the server runs as, and returns the option that names it.
func (m *mariadb) own() ([]string, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("mysql")
	if err != nil {
		return nil, fmt.Errorf("MariaDB needs the account mysql; run: apt-get install -y --no-install-recommends mariadb-server: %w", err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil, fmt.Errorf("read the account mysql: %w", err)
	}
	return []string{"--user=mysql"}, os.Chown(m.dir, uid, -1)
}

// start runs the server, again whenever it ends, until this process is gone.
func (m *mariadb) start(line []string) (err error) {
	if m.port, err = freePort(); err != nil {
		return err
	}
	m.keeper, err = keep(`dir=$1; shift; >"$dir/serve"
		(while [ -e "$dir/serve" ]; do "$@" >>"$dir/log" 2>&1 & echo $! >"$dir/server"; wait $!; done) &
		`+untilGone+`; rm "$dir/serve"; kill -9 $(cat "$dir/server"); wait; rm -rf -- "$dir"`,
		append(append([]string{m.dir}, line...), "--port="+strconv.Itoa(m.port))...)
	if err != nil {
		return err
	}
	if err := m.await(patience); err != nil {
		log, readErr := os.ReadFile(filepath.Join(m.dir, "log"))
		return errors.Join(fmt.Errorf("start %s: %w\n%s", line[0], err, log), readErr, m.keeper.end())
	}
	return nil
}

// await asks until the server over this very folder answers: another's could have taken the port.
func (m *mariadb) await(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		db, err := sql.Open("mysql", m.dsn(""))
		if err != nil {
			return err
		}
		var dir string
		err = db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir)
		if err = errors.Join(err, db.Close()); err == nil && filepath.Dir(filepath.Clean(dir)) != m.dir {
			return fmt.Errorf("another server has taken port %d", m.port)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer on port %d within %s: %w", m.port, limit, err)
		case <-tick.C:
		}
	}
}

func (m *mariadb) dsn(database string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", m.port, database)
}

// fresh makes an empty database that is dropped with the test.
func (m *mariadb) fresh(t testing.TB) *MariaDBServer {
	t.Helper()
	name := fmt.Sprintf("test_%d", m.databases.Add(1))
	m.exec(t, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	t.Cleanup(func() {
		if !m.stopped.Load() {
			m.exec(t, "DROP DATABASE "+name)
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", m.port)
	return &MariaDBServer{URL: "mysql://root@" + addr + "/" + name, Addr: addr, Database: name, server: m}
}

// exec runs a statement. It has no part in the test's context, which is over when clean-up runs.
func (m *mariadb) exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", m.dsn(""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(context.WithoutCancel(t.Context()), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func mariadbProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		return "", fmt.Errorf("this test needs MariaDB; run: apt-get install -y --no-install-recommends mariadb-server: %w", err)
	}
	return path, nil
}
