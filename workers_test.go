package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/status/api"
)

// sharedCafe is a workspace whose ledger is on PostgreSQL and whose warehouse is BigQuery's double: every machine can do
// everything.
func sharedCafe(t *testing.T) (dir string, env []string, warehouse *bigquerytest.Server) {
	t.Helper()
	dir, warehouse = t.TempDir(), bigquerytest.New(t)
	write(t, dir, cafe)
	write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
ledger: ${env:LEDGER_URL}
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q}}
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, warehouse.URL)})
	brewed(t, dir)
	return dir, []string{"LEDGER_URL=" + testenv.Postgres(t).URL}, warehouse
}

// brewed makes the café's database.
func brewed(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "cafe.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const statements = `CREATE TABLE drinks (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO drinks VALUES (1, 'tea'), (2, 'coffee');
		CREATE TABLE orders (id INTEGER PRIMARY KEY, drink INTEGER, price INTEGER); INSERT INTO orders VALUES (1, 1, 3), (2, 2, 4), (3, 2, 5)`
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

// worker starts daybreak worker and waits until it works.
func worker(t *testing.T, dir string, env []string, args ...string) (s *server, stop func()) {
	t.Helper()
	s, stop = launch(t, program(context.WithoutCancel(t.Context()), t, dir, env, append([]string{"worker", "--log", "json"}, args...)...))
	var first struct{ Worker string }
	if err := json.Unmarshal([]byte(s.logged(t, `"msg":"working"`)), &first); err != nil {
		t.Fatal(err)
	}
	s.worker = first.Worker
	return s, stop
}

// bury ends what a worker held that was killed, as half a minute without a sign of it would.
func bury(t *testing.T, env []string, worker string) {
	t.Helper()
	for _, table := range []string{"steps", "snapshot_seats"} {
		inLedger(t, env, "UPDATE "+table+" SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE lease_until IS NOT NULL AND worker = '"+worker+"'")
	}
}

// inLedger asks a ledger on PostgreSQL.
func inLedger(t *testing.T, env []string, query string) (rows [][]string) {
	t.Helper()
	_, url, _ := strings.Cut(env[0], "=")
	db, err := pgx.Connect(context.WithoutCancel(t.Context()), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	found, err := db.Query(context.WithoutCancel(t.Context()), query)
	if err != nil {
		t.Fatal(err)
	}
	for found.Next() {
		values, err := found.Values()
		if err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = fmt.Sprint(v)
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// A night whose steps are all done by workers, while daybreak serve decides and shows.
func TestWorkersDoANight(t *testing.T) {
	t.Parallel()
	dir, env, warehouse := sharedCafe(t)
	date := lastDate(t).String()
	s, stop := serve(t, dir, env, "--kinds", "none")
	_, stopOther := worker(t, dir, env, "--kinds", "extract,load")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	until(t, "one worker has extracted a table", func() bool { // or the other could be quick enough to do everything
		return inLedger(t, env, "SELECT count(*) FROM steps WHERE kind = 'extract' AND state = 'succeeded'")[0][0] != "0"
	})
	_, stopOne := worker(t, dir, env, "--threads", "2")
	must(t, dir, env, "wait", "--url", s.url, "--timeout", "10m", "best@"+date, "revenue@"+date, "cafe.drinks@"+date)
	if diff := cmp.Diff([]string{"coffee|9", "tea|3"}, warehouse.Rows(t, "SELECT * FROM test_analytics.revenue ORDER BY 1")); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
	untilWithin(t, processTime, "the run has ended", func() bool { return inLedger(t, env, "SELECT state FROM runs")[0][0] == "succeeded" })
	if by := inLedger(t, env, "SELECT DISTINCT a.worker FROM attempts a JOIN workers w ON w.id = a.worker WHERE w.command <> 'worker'"); len(by) > 0 {
		t.Errorf("daybreak serve has worked itself: %v", by)
	}
	if twice := inLedger(t, env, "SELECT step, count(*) FROM attempts GROUP BY 1 HAVING count(*) > 1"); len(twice) > 0 {
		t.Errorf("steps were attempted more than once: %v", twice)
	}
	wantWorkers(t, s, dir, env)
	stopOther()
	stopOne()
	stop()
	if left := inLedger(t, env, "SELECT id FROM workers WHERE threads > 0"); len(left) > 0 {
		t.Errorf("workers are listed that have ended: %v", left)
	}
}

// wantWorkers checks that the page, the API and doctor tell of one serve and two workers, and which of them did a step.
func wantWorkers(t *testing.T, s *server, dir string, env []string) {
	t.Helper()
	want := []string{"serve: alive true, leads true, 0 kinds, 4 threads", "worker: alive true, leads false, 2 kinds, 4 threads", "worker: alive true, leads false, 6 kinds, 2 threads"}
	until(t, "the API tells of "+strings.Join(want, "; "), func() bool { // who is slow to beat is missed for a moment
		var says []string
		for _, w := range get[api.Workers](t, s, "/v1/workers").Workers {
			says = append(says, fmt.Sprintf("%s: alive %t, leads %t, %d kinds, %d threads", w.Command, w.Alive, w.Leads, len(w.Kinds), w.Threads))
		}
		slices.Sort(says)
		return slices.Equal(want, says)
	})
	until(t, "the page of the schedules tells of the workers", func() bool {
		page := s.text(t, "/schedules")
		return strings.Contains(page, "leaves the work to others") && strings.Contains(page, "extract, load; 4 at once")
	})
	attempt := inLedger(t, env, "SELECT s.run, a.worker FROM attempts a JOIN steps s ON s.id = a.step WHERE s.kind = 'extract' LIMIT 1")[0]
	if page := s.text(t, "/runs/"+attempt[0]); !strings.Contains(page, attempt[1]) {
		t.Errorf("the run's page does not say that worker %s did a step:\n%s", attempt[1], page)
	}
	until(t, "doctor tells of the workers", func() bool {
		a := do(t, dir, env, "doctor")
		return strings.Contains(a.out, "workers") && strings.Contains(a.out, "serve on")
	})
}

// What a worker cannot do it refuses, in one sentence.
func TestWorkersRefuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cafe)
	write(t, dir, map[string]string{"daybreak.yaml": "sources: {cafe: {sqlite: cafe.db}}\n"})
	wantRefusal(t, do(t, dir, nil, "worker"), 78, "ledger_not_shared", "ledger.db")
	wantRefusal(t, do(t, dir, nil, "serve", "--kinds", "extract"), 78, "ledger_not_shared")
	write(t, dir, map[string]string{"daybreak.yaml": "ledger: postgres://nobody@127.0.0.1:1/none\nsources: {cafe: {sqlite: cafe.db}}\n"})
	wantRefusal(t, do(t, dir, nil, "worker"), 78, "warehouse_not_shared", "load, verify, transform, test, publish", "warehouse.duckdb")
	wantRefusal(t, do(t, dir, nil, "serve", "--kinds", "none"), 78, "warehouse_not_shared")
	wantRefusal(t, do(t, dir, nil, "worker", "--kinds", "extract,lode"), 78, "kind_unknown", `"lode"`)
	wantRefusal(t, do(t, dir, nil, "worker", "--kinds", "extract"), 69, "ledger_unreachable")
}

// Beside a serve that owns the DuckDB warehouse, a worker extracts.
func TestAWorkerExtractsForDuckDB(t *testing.T) {
	t.Parallel()
	dir, date := t.TempDir(), lastDate(t).AddDays(-1).String()
	env := []string{"LEDGER_URL=" + testenv.Postgres(t).URL}
	write(t, dir, cafe)
	write(t, dir, map[string]string{"daybreak.yaml": "ledger: ${env:LEDGER_URL}\nsources: {cafe: {sqlite: cafe.db}}\nstatus: {public: true}\n"})
	brewed(t, dir)
	s, stop := serve(t, dir, env, "--kinds", "load,verify,transform,test,publish")
	_, stopWorker := worker(t, dir, env, "--kinds", "extract")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	must(t, dir, env, "wait", "--url", s.url, "--timeout", "10m", "best@"+date)
	by := inLedger(t, env, "SELECT s.kind, w.command FROM attempts a JOIN steps s ON s.id = a.step JOIN workers w ON w.id = a.worker GROUP BY 1, 2 ORDER BY 1")
	if diff := cmp.Diff([][]string{{"extract", "worker"}, {"load", "serve"}, {"publish", "serve"}, {"test", "serve"}, {"transform", "serve"}, {"verify", "serve"}}, by); diff != "" {
		t.Errorf("who did what (-want +got):\n%s", diff)
	}
	stopWorker()
	stop()
	// With what others have published in the ledger, the next night is triggered as the first one was.
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", lastDate(t).String(), "--reason", "another")
}

// A night's budget holds over all machines: of two models that two workers build at the same time, and of which it has room for
// one, one is built.
func TestABudgetIsSharedByWorkers(t *testing.T) {
	t.Parallel()
	dir, env, _ := sharedCafe(t)
	earlier, date := lastDate(t).AddDays(-1).String(), lastDate(t).String()
	models := map[string]string{"sql/models/best.sql": "select 1 as nothing\n", "sql/models/schema.yml": "version: 2\n"}
	for _, name := range []string{"revenue", "also"} {
		models["sql/models/"+name+".sql"] = "{{ config(materialized='table') }}\nselect o.id, p.id as other from {{ source('cafe', 'orders') }} as o join {{ source('cafe', 'orders') }} as p on true\n"
	}
	write(t, dir, models)
	change(t, filepath.Join(dir, "cafe.db"), "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO orders SELECT i, 1, 1 FROM n")
	must(t, dir, env, "run", "--yes", "--date", earlier)
	var all, one int64
	if _, err := fmt.Sscan(strings.Join(inLedger(t, env, "SELECT sum(bytes_billed)::bigint, max(bytes_billed) FILTER (WHERE kind = 'transform')::bigint FROM steps")[0], " "), &all, &one); err != nil {
		t.Fatal(err)
	}
	if one < 10_000 {
		t.Fatalf("a model was billed for %d bytes, all for %d", one, all)
	}
	most := all - one/2 // what there is besides, one of the models and a half
	edit(t, dir, "daybreak.yaml", "location: EU,", fmt.Sprintf("location: EU, budget: {night: %.3fKB},", float64(most)/1000))
	_, stop := serve(t, dir, env, "--kinds", "none")
	_, stopOne := worker(t, dir, env, "--threads", "1")
	_, stopOther := worker(t, dir, env, "--threads", "1")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	untilWithin(t, processTime, "the night has ended", func() bool {
		return inLedger(t, env, "SELECT count(*) FROM runs WHERE state = 'partial' AND date = '"+date+"'")[0][0] == "1"
	})
	built := inLedger(t, env, "SELECT state, count(*) FROM steps WHERE kind = 'transform' AND date = '"+date+"' AND dataset IN ('revenue', 'also') GROUP BY 1 ORDER BY 1")
	if diff := cmp.Diff([][]string{{"failed", "1"}, {"succeeded", "1"}}, built); diff != "" {
		t.Errorf("the models (-want +got):\n%s", diff)
	}
	if why := inLedger(t, env, "SELECT error::json->>'code' FROM steps WHERE state = 'failed'"); len(why) != 1 || why[0][0] != "over_budget" {
		t.Errorf("why it was not built: %v", why)
	}
	stopOther()
	stopOne()
	stop()
}
