package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	_ "modernc.org/sqlite" // reads the production databases and ledgers that the tests look into

	"github.com/daybreak-data/daybreak/internal/elt"
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
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(300000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return lines(t, db, statement)
}

// rowsOf returns a query's rows as text.
func lines(t *testing.T, db *sql.DB, statement string) [][]string {
	t.Helper()
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

// sums are the aggregates that must be equal in a table of the demo's source and in the warehouse. Money is summed in
// its smallest unit: SQLite has no exact decimals.
var sums = map[string]struct {
	sqlite, duckdb string
	changing       bool
}{
	"companies": {
		sqlite: "count(*), sum(id), sum(length(name)), count(domain), sum(employees), sum(is_test), sum(CAST(strftime('%s', created_at) AS INTEGER))",
		duckdb: "count(*), sum(id), sum(length(name)), count(domain), sum(employees), sum(is_test::int), sum(floor(epoch(created_at)))::BIGINT",
	},
	"users": {
		sqlite:   "count(*), sum(id), sum(company_id), count(name), count(email), count(last_seen_at), sum(CAST(julianday(signed_up_on) - 2440587.5 AS INTEGER))",
		duckdb:   "count(*), sum(id), sum(company_id), count(name), count(email), count(last_seen_at), sum(signed_up_on - DATE '1970-01-01')",
		changing: true,
	},
	"conversations": {
		sqlite:   "count(*), sum(id), sum(user_id), sum(assignee_id), count(subject), sum(length(subject)), sum(rating), sum(is_priority)",
		duckdb:   "count(*), sum(id), sum(user_id), sum(assignee_id), count(subject), sum(length(subject)), sum(rating), sum(is_priority::int)",
		changing: true,
	},
	"message_parts": {
		sqlite:   "count(*), sum(id), sum(conversation_id), sum(author_id), sum(length(body)), sum(attachments), min(kind), max(kind)",
		duckdb:   "count(*), sum(id), sum(conversation_id), sum(author_id), sum(length(body)), sum(attachments), min(kind), max(kind)",
		changing: true,
	},
	"subscriptions": {
		sqlite: "count(*), sum(id), sum(seats), sum(CAST(round(monthly_amount * 100) AS INTEGER)), count(cancelled_on)",
		duckdb: "count(*), sum(id), sum(seats), (sum(monthly_amount) * 100)::BIGINT, count(cancelled_on)",
	},
	"invoices": {
		sqlite:   "count(*), sum(id), sum(CAST(round(subtotal * 100) AS INTEGER)), sum(CAST(round(tax * 100) AS INTEGER)), sum(CAST(round(total * 100) AS INTEGER)), count(paid_at)",
		duckdb:   "count(*), sum(id), (sum(subtotal) * 100)::BIGINT, (sum(tax) * 100)::BIGINT, (sum(total) * 100)::BIGINT, count(paid_at)",
		changing: true,
	},
}

// endOf returns the end of the last published night's window.
func endOf(t *testing.T, dir string) string {
	t.Helper()
	date, err := elt.ParseDate(query(t, dir, "SELECT max(data_date)::VARCHAR FROM _daybreak.versions")[0][0])
	if err != nil {
		t.Fatal(err)
	}
	return date.Window(dublin(t)).To.Format(time.RFC3339)
}

func TestDemoEqualsItsSource(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "daybreak-demo")
	first := must(t, root, nil, "demo", "--once", "--rows", demoRows)
	if n := strings.Count(first.errors, "✓ "); n != 7 {
		t.Errorf("%d nights succeeded, want 7:\n%s", n, first.errors)
	}
	before := contents(t, dir)
	if len(before) < 6+8 {
		t.Errorf("%d relations are published, want 6 tables and at least 8 models: %v", len(before), before)
	}
	for table, facts := range sums {
		source := fmt.Sprintf("SELECT %s FROM %s", facts.sqlite, table)
		if facts.changing { // incremental tables hold what had changed before the last night's window ended
			source += fmt.Sprintf(" WHERE julianday(updated_at) < julianday('%s')", endOf(t, dir))
		}
		want := ask(t, filepath.Join(dir, "production.db"), source)
		got := query(t, dir, fmt.Sprintf("SELECT %s FROM app.%s", facts.duckdb, table))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-source +warehouse):\n%s", table, diff)
		}
	}
	must(t, root, nil, "demo", "--once", "--rows", demoRows)
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("running the demo twice changed something (-before +after):\n%s", diff)
	}
}

// killAfter starts a night and kills it with SIGKILL as soon as its ledger holds that many events.
func killAfter(t *testing.T, dir, date string, events int) {
	t.Helper()
	cmd := program(t.Context(), t, dir, nil, "run", "--date", date)
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
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if err := <-ended; err == nil {
					t.Logf("the night ended just before it was killed")
				}
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

// What README tells a newcomer to type leads to a first night.
func TestFromInitToTheFirstNight(t *testing.T) {
	t.Parallel()
	production := filepath.Join(preparedDemo(t), "production.db")
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	must(t, root, nil, "init", "data", "--source", "shop", "--sqlite", production)
	if again := do(t, root, nil, "init", "data"); again.code != 78 || !strings.Contains(again.errors, "file_exists") {
		t.Errorf("init over a workspace exits with %d: %s", again.code, again.errors)
	}
	found := must(t, dir, nil, "discover", "shop").out
	write(t, dir, map[string]string{"schedules/nightly.yaml": found})
	if checked := must(t, dir, nil, "check").out; !strings.Contains(checked, "ok: 6 datasets") || !strings.Contains(checked, "one_owner") {
		t.Errorf("check says:\n%s", checked)
	}
	must(t, dir, nil, "plan")
	date := elt.DateOf(time.Now().UTC()).AddDays(-1) // discover proposes UTC
	must(t, dir, nil, "run", "--date", date.String())
	want := ask(t, production, fmt.Sprintf("SELECT count(*), sum(id) FROM users WHERE julianday(updated_at) < julianday('%s')", date.AddDays(1)))
	if diff := cmp.Diff(want, query(t, dir, "SELECT count(*), sum(id) FROM shop.users")); diff != "" {
		t.Errorf("users (-source +warehouse):\n%s", diff)
	}
	for _, engine := range []string{"postgres", "mysql"} {
		must(t, root, nil, "init", engine, "--engine", engine)
		missing := do(t, filepath.Join(root, engine), nil, "check")
		if missing.code != 78 || !strings.Contains(missing.out, "SHOP_URL") {
			t.Errorf("a fresh %s workspace is checked with exit %d:\n%s", engine, missing.code, missing.out)
		}
	}
}
