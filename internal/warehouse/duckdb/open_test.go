package duckdb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// wantCode fails the test unless err has the code, advice, and one sentence.
func wantCode(t *testing.T, err error, code elt.Code) *elt.Failure {
	t.Helper()
	f := elt.NewFailure(err)
	if f == nil || f.Code != code || f.Do == "" || strings.Contains(f.Message, "\n") {
		t.Fatalf("error %v, want one sentence with code %s", err, code)
	}
	return f
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := filepath.Join(dir, "whole.duckdb")
	w, err := Open(t.Context(), Options{Path: whole})
	if err != nil {
		t.Fatal(err)
	}
	if err := publishNight(t.Context(), w, 1, 100_000); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options Options
		code    elt.Code
	}{
		"rubbish":          {Options{Path: file("rubbish", strings.Repeat("rubbish ", 1000))}, "warehouse_unreadable"},
		"an empty file":    {Options{Path: file("empty", "")}, "warehouse_unreadable"},
		"half a file":      {Options{Path: file("half", string(content[:5000]))}, "warehouse_unreadable"},
		"a SQLite file":    {Options{Path: file("sqlite", "SQLite format 3\x00"+strings.Repeat("\x00", 4096))}, "warehouse_unreadable"},
		"a folder":         {Options{Path: dir}, "warehouse_unreadable"},
		"beneath a file":   {Options{Path: filepath.Join(whole, "x.duckdb")}, "warehouse_unreadable"},
		"a memory limit":   {Options{Path: filepath.Join(dir, "a"), MemoryLimit: "a lot"}, "warehouse_setting"},
		"an option's sign": {Options{Path: filepath.Join(dir, "a?b")}, "warehouse_setting"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.options)
			wantCode(t, err, c.code)
		})
	}
	if _, err := Open(t.Context(), Options{Path: whole, MemoryLimit: "1GB", Threads: 1}); err != nil {
		t.Errorf("a whole file: %v", err)
	}
}

// TestInterruptedCreation: what a process killed while it made the file left behind is no obstacle.
func TestInterruptedCreation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "warehouse.duckdb")
	for _, leftover := range []string{path + ".new", path + ".new.wal"} {
		if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, Options{Path: path})
}

// TestSettings: every connection has the clock at UTC and no way to other extensions.
func TestSettings(t *testing.T) {
	w := open(t, Options{})
	for range 3 { // three connections at once
		conn, err := w.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var zone, install, load string
		if err := conn.QueryRowContext(t.Context(), `SELECT current_setting('TimeZone'), current_setting('autoinstall_known_extensions'),
			current_setting('autoload_known_extensions')`).Scan(&zone, &install, &load); err != nil {
			t.Fatal(err)
		}
		if zone != "UTC" || install != "false" || load != "false" {
			t.Errorf("zone %s, autoinstall %s, autoload %s", zone, install, load)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	dir := t.TempDir()
	w := open(t, Options{Path: dir + "/w.duckdb", MemoryLimit: "64MB", Threads: 1})
	if _, err := w.db.ExecContext(t.Context(), "SET GLOBAL max_temp_directory_size = '1MB'"); err != nil {
		t.Fatal(err)
	}
	_, err := w.Build(t.Context(), elt.Build{Run: "r", Dataset: "big", Relation: "analytics.big", Materialized: elt.AsTable,
		SQL: "SELECT list(uuid()) AS l FROM range(20000000)"})
	wantCode(t, err, "out_of_memory")
	if _, err := w.Build(t.Context(), elt.Build{Run: "r", Dataset: "big", Relation: "analytics.big", Materialized: elt.AsTable, SQL: "SELECT 1 AS a"}); err != nil {
		t.Errorf("a small model afterwards: %v", err)
	}
}

// TestCancelledBuild: a cancelled build stops, and leaves nothing.
func TestCancelledBuild(t *testing.T) {
	w := open(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the query would take minutes
	defer cancel()
	_, err := w.Build(ctx, elt.Build{Run: "r", Dataset: "big", Relation: "analytics.big", Materialized: elt.AsTable,
		SQL: "SELECT count(*) AS n FROM range(10000000000) a"})
	wantCode(t, err, elt.Interrupted)
	if got := rowsOf(t, w, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'run_r'"); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

// TestReadCopyFails: a night whose read copy cannot be made is published all the same, and publishing it
// again makes the copy.
func TestReadCopyFails(t *testing.T) {
	dir := t.TempDir()
	o := optionsIn(dir)
	if err := os.WriteFile(dir+"/read", []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, o)
	if err := publishNight(t.Context(), w, 1, 10); err == nil {
		t.Fatal("no error, although the read copy cannot be made")
	}
	if got := wholeNight(t, func(query string) []string { return rowsOf(t, w, query) }); got != 1 {
		t.Errorf("night %d is published, want 1", got)
	}
	if err := os.Remove(dir + "/read"); err != nil {
		t.Fatal(err)
	}
	if err := w.RefreshReadCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := nightOfCopy(t, o.ReadPath); got != 1 {
		t.Errorf("the read copy shows night %d, want 1", got)
	}
}
