package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // reads the production databases and ledgers that the tests look into
)

// query asks the published warehouse and returns the rows, without the header.
func query(t *testing.T, dir, statement string) [][]string {
	t.Helper()
	a := must(t, dir, nil, "query", "--format", "csv", statement)
	rows, err := csv.NewReader(strings.NewReader(a.out)).ReadAll()
	if err != nil {
		t.Fatalf("query %s: %v in\n%s", statement, err, a.out)
	}
	return rows[1:]
}

// ask runs a query on a SQLite file, without Daybreak's help.
func ask(t *testing.T, file, statement string) [][]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = v.String
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// contents returns a fingerprint of every published relation: its rows and a sum over all of each row's values.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	relations := query(t, dir, `SELECT table_schema || '.' || table_name FROM information_schema.tables
		WHERE table_schema NOT LIKE 'run\_%' ESCAPE '\' AND table_schema NOT IN ('_daybreak', 'main') ORDER BY 1`)
	for _, r := range relations {
		print := query(t, dir, fmt.Sprintf(`SELECT count(*), sum(hash(CAST(t AS VARCHAR))::HUGEINT) FROM %s t`, r[0]))
		out[r[0]] = strings.Join(print[0], " rows, hash ")
	}
	return out
}

// demo makes a demo workspace once for all tests; each gets a copy of its own.
func demo(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.CopyFS(dir, os.DirFS(preparedDemo(t))); err != nil {
		t.Fatal(err)
	}
	return dir
}

var prepared string // the demo workspace before its first night; made by the first test that needs it

func preparedDemo(t *testing.T) string {
	t.Helper()
	if prepared != "" {
		return prepared
	}
	root, err := os.MkdirTemp("", "daybreak-demo-")
	if err != nil {
		t.Fatal(err)
	}
	cleanups = append(cleanups, func() { os.RemoveAll(root) })
	must(t, root, nil, "demo", "--nights", "0", "--once", "--dir", filepath.Join(root, "demo"))
	prepared = filepath.Join(root, "demo")
	return prepared
}

func TestDemoEqualsItsSource(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "daybreak-demo")
	first := must(t, root, nil, "demo", "--once")
	if n := strings.Count(first.errors, "✓ "); n != 7 {
		t.Errorf("%d nights succeeded, want 7:\n%s", n, first.errors)
	}
	before := contents(t, dir)
	if len(before) < 6+8 {
		t.Errorf("%d relations are published, want 6 tables and at least 8 models: %v", len(before), before)
	}
	// The incremental tables hold what had changed before the last night's window ended.
	end := query(t, dir, `SELECT strftime(max(data_date) + 1, '%Y-%m-%d') FROM _daybreak.versions`)[0][0]
	for table, sums := range map[string]string{
		"companies":     "count(*), sum(id), sum(length(name))",
		"users":         "count(*), sum(id), count(name), sum(length(name))",
		"subscriptions": "count(*), sum(id), sum(company_id)",
		"invoices":      "count(*), sum(id), printf('%.2f', sum(amount))",
	} {
		want := ask(t, filepath.Join(dir, "production.db"), fmt.Sprintf("SELECT %s FROM %s", sums, table))
		got := query(t, dir, fmt.Sprintf("SELECT %s FROM shop.%s", sums, table))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-source +warehouse):\n%s", table, diff)
		}
	}
	_ = end
	must(t, root, nil, "demo", "--once")
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("running the demo twice changed something (-before +after):\n%s", diff)
	}
}

// A night that is killed at any moment and run again ends with the tables of an undisturbed night.
func TestKilledNightsEndLikeUndisturbedOnes(t *testing.T) {
	undisturbed := demo(t)
	must(t, undisturbed, nil, "run", "--yes")
	want := contents(t, undisturbed)
	events := len(ask(t, filepath.Join(undisturbed, "state", "ledger.db"), "SELECT seq FROM events"))
	const moments = 20
	if events < moments {
		t.Fatalf("a night has %d events, too few for %d moments", events, moments)
	}
	for i := range moments {
		after := 1 + i*(events-1)/moments
		t.Run(fmt.Sprintf("after event %d of %d", after, events), func(t *testing.T) {
			dir := demo(t)
			killAfter(t, dir, after)
			must(t, dir, nil, "run", "--yes")
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("(-undisturbed +killed and run again):\n%s", diff)
			}
			seqs := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT count(*), min(seq), max(seq) FROM events")[0]
			if seqs[0] != seqs[2] {
				t.Errorf("the events have a gap: %s events up to %s", seqs[0], seqs[2])
			}
		})
	}
}

// killAfter starts a night and kills it with SIGKILL as soon as its ledger holds that many events.
func killAfter(t *testing.T, dir string, events int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := program(ctx, t, dir, nil, "run", "--yes")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case err := <-ended:
			t.Logf("the night ended before its event %d (%v)", events, err)
			return
		case <-poll.C:
			if seen(dir) >= events {
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				<-ended
				return
			}
		}
	}
}

// seen returns how many events the workspace's ledger holds; none while it can't be read.
func seen(dir string) (n int) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "state", "ledger.db")+"?mode=ro")
	if err != nil {
		return 0
	}
	defer db.Close()
	if db.QueryRow("SELECT coalesce(max(seq), 0) FROM events").Scan(&n) != nil {
		return 0
	}
	return n
}

var _ = slices.Sort[[]string]
