package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// fixtures is the folder of what tests share, for as long as they run.
var fixtures string

// fixture is what the first test that needs it makes for all of them. A test that fails to leaves it to the next.
type fixture[T any] struct {
	mu   sync.Mutex
	made bool
	it   T
}

func (f *fixture[T]) get(build func() T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.made {
		f.it = build()
		f.made = true
	}
	return f.it
}

// folder makes a folder that outlives the test.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp(fixtures, name) //nolint:usetesting // it outlives the test that makes it
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyOf copies a workspace for one test.
func copyOf(t *testing.T, workspace string) string {
	t.Helper()
	return copyInto(t, t.TempDir(), workspace)
}

// copyInto copies a workspace into a folder.
func copyInto(t *testing.T, folder, workspace string) string {
	t.Helper()
	dir := filepath.Join(folder, "demo")
	if err := os.CopyFS(dir, os.DirFS(workspace)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// lastDate is the last data date that had ended for the demo when it was asked for first, so that tests hold at midnight
// too; each workspace of brought has the one before it.
func lastDate(t *testing.T) elt.Date {
	t.Helper()
	return elt.DateOf(firstAsked().In(dublin(t))).AddDays(-1)
}

var firstAsked = sync.OnceValue(time.Now)

// noon is a zone in which it is about noon while the tests run: of schedules there, no date ends meanwhile.
func noon(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(fmt.Sprintf("Etc/GMT%+d", firstAsked().UTC().Hour()-11))
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// lastNoon is the last data date that has ended for a schedule of that zone.
func lastNoon(t *testing.T) elt.Date {
	t.Helper()
	return elt.DateOf(firstAsked().In(noon(t))).AddDays(-1)
}

// decided has the schedule nightly have decided about a date, so that its tick of the next one is what comes.
func decided(t *testing.T, dir string, date elt.Date) {
	t.Helper()
	change(t, ledgerIn(dir), "INSERT INTO ticks (schedule, date, due_at, run, skipped) VALUES ('nightly', '"+date.String()+"', '"+date.AddDays(1).String()+"T00:00:00.000000Z', '', 'by hand')")
}

func dublin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Dublin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// demo returns a demo workspace of the test's own, before its first night.
func demo(t *testing.T) string {
	t.Helper()
	return copyOf(t, preparedDemo(t))
}

var demoOnce fixture[string]

func preparedDemo(t *testing.T) string {
	t.Helper()
	return demoOnce.get(func() string {
		dir := filepath.Join(folder(t, "demo"), "demo")
		must(t, fixtures, nil, "demo", "--nights", "0", "--once", "--rows", "6000", "--dir", dir)
		return dir
	})
}

var broughtOnce fixture[string]

// brought returns a demo workspace of the test's own, with one night published, in which steps are tried once.
func brought(t *testing.T) string {
	t.Helper()
	return copyOf(t, broughtOnce.get(func() string {
		dir := filepath.Join(folder(t, "brought"), "demo")
		if err := os.CopyFS(dir, os.DirFS(preparedDemo(t))); err != nil {
			t.Fatal(err)
		}
		edit(t, dir, "schedules/nightly.yaml", "deadline: \"07:00\"\n", "deadline: \"07:00\"\nretries: {attempts: 1}\n")
		must(t, dir, nil, "run", "--date", lastDate(t).AddDays(-1).String())
		return dir
	}))
}

var undisturbedOnce fixture[map[string]string]

// undisturbed returns what the night after brought's publishes.
func undisturbed(t *testing.T) map[string]string {
	t.Helper()
	return undisturbedOnce.get(func() map[string]string {
		dir := brought(t)
		must(t, dir, nil, "run", "--date", lastDate(t).String())
		return contents(t, dir)
	})
}

// nights is a workspace in which the last two nights were brought, and what was published after each of them.
type nights struct {
	dir           string
	first, second map[string]string
}

var nightsOnce fixture[nights]

// twoNights returns a copy of such a workspace, with what was published after the first night and after the second. Every
// table has changed in between.
func twoNights(t *testing.T) (dir string, first, second map[string]string) {
	t.Helper()
	all := nightsOnce.get(func() (n nights) {
		n.dir = filepath.Join(folder(t, "nights"), "demo")
		if err := os.CopyFS(n.dir, os.DirFS(brought(t))); err != nil {
			t.Fatal(err)
		}
		n.first = contents(t, n.dir)
		change(t, filepath.Join(n.dir, "production.db"), `UPDATE companies SET name = name || '!'; UPDATE subscriptions SET monthly_amount = monthly_amount + 1`)
		must(t, n.dir, nil, "run", "--date", lastDate(t).String())
		n.second = contents(t, n.dir)
		return n
	})
	return copyOf(t, all.dir), all.first, all.second
}

// relationsOf finds everything that is published.
const relationsOf = `SELECT table_schema || '.' || table_name FROM information_schema.tables
	WHERE table_schema NOT LIKE 'run\_%' ESCAPE '\' AND table_schema NOT IN ('_daybreak', 'main') ORDER BY 1`

// contents returns a fingerprint of every published relation: its rows and a sum over all of each row's values. It is
// what a reader of the warehouse's copy sees, without Daybreak's help.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	return contentsOf(t, db)
}

// readCopy opens what readers of the workspace open.
func readCopy(t *testing.T, dir string) *sql.DB {
	t.Helper()
	file := filepath.Join(dir, "read", "warehouse.duckdb")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		file = filepath.Join(dir, "small", "warehouse.duckdb") // of a test with a disk of its own
	}
	db, err := sql.Open("duckdb", file+"?access_mode=read_only")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func contentsOf(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, r := range texts(t, db, relationsOf) {
		out[r] = texts(t, db, `SELECT count(*) || ' rows, hash ' || coalesce(sum(hash(CAST(t AS VARCHAR))::HUGEINT), 0) FROM `+r+` t`)[0]
	}
	return out
}

// texts returns the first column of a query.
func texts(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return out
}
