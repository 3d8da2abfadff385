package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// sharedMySQL is the one server of the test process; its keeper ends it with the process.
var sharedMySQL = sync.OnceValues(startMySQL)

// MySQL returns a server of Oracle's MySQL that all tests of this process share, with a fresh database. It is of version
// 5.6, the newest that a package registry has, and writes no binary log.
func MySQL(t testing.TB) *MariaDBServer {
	t.Helper()
	s, err := sharedMySQL()
	if err != nil {
		t.Fatal(err)
	}
	return s.fresh(t)
}

// startMySQL installs the server, once for each user, and starts one.
func startMySQL() (*mariadb, error) {
	installed, err := install("mysql")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "daybreak-mysql-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for MySQL: %w", err)
	}
	base, data := filepath.Join(installed, "package", "server"), filepath.Join(dir, "data")
	if err := os.CopyFS(data, os.DirFS(filepath.Join(base, "data", "mysql"))); err != nil {
		return nil, errors.Join(fmt.Errorf("make a data folder for MySQL: %w", err), os.RemoveAll(dir))
	}
	if err := os.Remove(filepath.Join(data, "auto.cnf")); err != nil { // the server's identity, which each makes for itself
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	line := []string{filepath.Join(base, "mysqld"), "--no-defaults", "--basedir=" + base, "--lc-messages-dir=" + filepath.Join(base, "share"),
		"--datadir=" + data, "--tmpdir=" + dir, "--socket=" + filepath.Join(dir, "s.sock"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M", "--explicit-defaults-for-timestamp"}
	if os.Getuid() == 0 {
		line = append(line, "--user=root")
	}
	m := &mariadb{dir: dir}
	for range ports {
		if err = m.start(line); err == nil {
			return m, nil
		}
	}
	return nil, err
}
