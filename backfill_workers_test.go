package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/status/api"
)

// sharedShop is a workspace of several machines: its ledger is on PostgreSQL, its warehouse BigQuery's double, and its four
// incremental tables come from two databases that cannot be read while the gate is closed.
type sharedShop struct {
	dir       string
	env       []string
	warehouse *bigquerytest.Server
	gates     []*pgx.Conn
}

const shopTables = 4

func newSharedShop(t *testing.T) *sharedShop {
	t.Helper()
	server := testenv.Postgres(t)
	s := &sharedShop{dir: t.TempDir(), warehouse: bigquerytest.New(t), env: []string{"LEDGER_URL=" + server.URL}}
	var sources, tables, sums []string
	for _, source := range []string{"crm", "shop"} {
		url := server.Database(t)
		admin, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
		s.gates = append(s.gates, admin)
		reader := "reader_" + path.Base(admin.Config().Database)
		statements := []string{
			`CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
				$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$`,
			`CREATE ROLE "` + reader + `" LOGIN`,
		}
		for i := range shopTables / 2 {
			name := fmt.Sprintf("t%d", i)
			statements = append(statements, `CREATE TABLE `+name+` (id int PRIMARY KEY, made_at timestamptz NOT NULL, amount int NOT NULL)`,
				`ALTER TABLE `+name+` ENABLE ROW LEVEL SECURITY`, `CREATE POLICY held_up ON `+name+` USING (gate())`, `GRANT SELECT ON `+name+` TO "`+reader+`"`)
			for n, date := range weekDates(t) {
				statements = append(statements, fmt.Sprintf(`INSERT INTO %s VALUES (%d, '%s 09:00Z', 1), (%d, '%[3]s 10:00Z', 2)`, name, 2*n, date, 2*n+1))
			}
			tables = append(tables, fmt.Sprintf("  %s.%s: {table: public.%[2]s, mode: incremental, key: [id], cursor: made_at, start: %s}", source, name, weekDates(t)[0]))
			sums = append(sums, fmt.Sprintf("select amount from {{ source('%s', '%s') }} where cast(made_at as date) = date '{{ data_date }}'", source, name))
		}
		for _, statement := range statements {
			if _, err := admin.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		sources = append(sources, fmt.Sprintf("%s: {postgres: %q, connections: 8}", source, strings.Replace(url, "postgres@", reader+"@", 1)))
	}
	write(t, s.dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf(`
ledger: ${env:LEDGER_URL}
warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q}}
sources: {%s}
backfills: {threads: 3}
status: {public: true}
`, s.warehouse.URL, strings.Join(sources, ", ")),
		"schedules/nightly.yaml": "timezone: UTC\nat: \"02:00\"\ncatch_up: all\nowners: [a@example.com, b@example.com]\nmodels: [\"*\"]\ntables:\n" + strings.Join(tables, "\n") + "\n",
		"sql/models/daily.sql": "{{ config(materialized='incremental', unique_key='day') }}\n" +
			"select date '{{ data_date }}' as day, sum(amount) as amount from (" + strings.Join(sums, " union all ") + ") as amounts\n",
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("steps: %v\nattempts: %v", inLedger(t, s.env, "SELECT id, state, worker, paused FROM steps ORDER BY run, position"), inLedger(t, s.env, "SELECT step, worker, started_at, outcome, error FROM attempts ORDER BY started_at"))
		}
	})
	return s
}

// closeGates keeps the tables from being read until open.
func (s *sharedShop) closeGates(t *testing.T) (open func()) {
	t.Helper()
	all := func(statement string) {
		t.Helper()
		for _, admin := range s.gates {
			if _, err := admin.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	all("SELECT pg_advisory_lock(1)")
	return func() { all("SELECT pg_advisory_unlock(1)") }
}

// readers returns how many sessions stand before the gate.
func (s *sharedShop) readers(t *testing.T) (n int) {
	t.Helper()
	for _, admin := range s.gates {
		var some int
		const text = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		if err := admin.QueryRow(t.Context(), text).Scan(&some); err != nil {
			t.Fatal(err)
		}
		n += some
	}
	return n
}

// backfill starts a backfill of the first n days of the week, and leaves it to whoever carries it out.
func (s *sharedShop) backfill(t *testing.T, n int) {
	t.Helper()
	must(t, s.dir, s.env, "backfill", "crm.t0", "crm.t1", "shop.t0", "shop.t1", "--from", weekDates(t)[0], "--to", weekDates(t)[n-1], "--mode", "all", "--detach", "--yes", "--reason", "a test")
}

// ask asks the ledger for one value.
func (s *sharedShop) ask(t *testing.T, query string) string {
	t.Helper()
	rows := inLedger(t, s.env, query)
	if len(rows) == 0 {
		return ""
	}
	return rows[0][0]
}

// brings waits until workers are at work at steps of backfills, so many of each.
func (s *sharedShop) brings(t *testing.T, workers int, steps string) {
	t.Helper()
	until(t, fmt.Sprintf("%d workers bring days", workers), func() bool {
		rows := inLedger(t, s.env, atBackfills+" GROUP BY s.worker")
		return len(rows) == workers && (steps == "" || s.ask(t, atBackfills) == steps)
	})
}

// atBackfills counts the steps of backfills at which somebody is at work.
const atBackfills = `SELECT count(*) FROM steps s JOIN runs r ON r.id = s.run WHERE r.kind = 'backfill' AND s.state = 'running'`

// ends waits until the backfill has ended, as long as its steps do and its workers may be at work.
func (s *sharedShop) ends(t *testing.T) {
	t.Helper()
	const ended = "SELECT count(*) FROM attempts WHERE finished_at IS NOT NULL"
	for s.ask(t, "SELECT state FROM backfills") != "succeeded" {
		before := s.ask(t, ended)
		if !time.Now().Before(timeIsUp(t)) {
			t.Fatalf("the backfill is %s after %s attempts, the last of which ended so:\n%s", s.ask(t, "SELECT state FROM backfills"), before,
				strings.Join(flat(inLedger(t, s.env, "SELECT step, outcome, error FROM attempts WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 10")), "\n"))
		}
		until(t, "the backfill or another step has ended", func() bool {
			return s.ask(t, "SELECT state FROM backfills") == "succeeded" || s.ask(t, ended) != before
		})
	}
}

// wantDays wants the first n days of the week and what the model makes of them, and that each was brought once by a backfill
// whose every attempt was interrupted or succeeded.
func (s *sharedShop) wantDays(t *testing.T, n int) {
	t.Helper()
	var want []string
	for _, date := range weekDates(t)[:n] {
		want = append(want, fmt.Sprintf("%s|%d|%d", date, 3*shopTables, 3))
	}
	got := s.warehouse.Rows(t, "SELECT d.day, d.amount, sum(o.amount) FROM analytics.daily AS d JOIN shop.t1 AS o ON cast(o.made_at as date) = d.day WHERE d.day <= '"+weekDates(t)[n-1]+"' GROUP BY 1, 2 ORDER BY 1")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("day, what the model made of it, what is in a table (-want +got):\n%s", diff)
	}
	if b := s.ask(t, "SELECT state FROM backfills ORDER BY number DESC LIMIT 1"); b != "succeeded" {
		t.Errorf("the backfill is %s", b)
	}
	if diff := cmp.Diff([][]string{{"succeeded", fmt.Sprint(n * (shopTables + 1))}}, inLedger(t, s.env, "SELECT state, count(*) FROM backfill_days GROUP BY 1 ORDER BY 1")); diff != "" {
		t.Errorf("its days (-want +got):\n%s", diff)
	}
	if failed := inLedger(t, s.env, "SELECT step, error FROM attempts WHERE outcome = 'failed' OR outcome = 'lost' AND error NOT LIKE '%interrupted%'"); len(failed) > 0 {
		t.Errorf("attempts failed: %v", failed)
	}
	if twice := inLedger(t, s.env, "SELECT date, count(*) FROM runs WHERE kind = 'backfill' GROUP BY 1 HAVING count(*) > 1"); len(twice) > 0 {
		t.Errorf("dates were brought twice: %v", twice)
	}
	must(t, s.dir, s.env, "verify")
}

// wantHands checks that the page, the API and the command say which worker is at work at which day. Those who are stand before
// the gate, and do not change.
func (s *sharedShop) wantHands(t *testing.T, page *server) {
	t.Helper()
	var want []string
	for _, row := range inLedger(t, s.env, "SELECT s.dataset, s.date, s.worker FROM steps s JOIN runs r ON r.id = s.run WHERE r.kind = 'backfill' AND s.state = 'running' ORDER BY 1") {
		want = append(want, strings.Join(row, " "))
	}
	var got []string
	for _, d := range get[api.BackfillDays](t, page, "/v1/backfills/backfill-1/days?state=running").Days {
		for _, w := range d.Workers {
			got = append(got, fmt.Sprintf("%s %s %s", d.Dataset, d.Date, w))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who is at work at which day (-ledger +API):\n%s", diff)
	}
	shown, said := page.text(t, "/backfills/backfill-1"), must(t, s.dir, s.env, "backfill", "show", "backfill-1").out
	for _, hand := range want {
		worker := hand[strings.LastIndex(hand, " ")+1:]
		if !strings.Contains(shown, worker) || !strings.Contains(said, "running on "+worker) {
			t.Errorf("the page or the command does not say that %s is at work:\n%s\n%s", worker, said, shown)
		}
	}
}

// Two workers bring the days of a backfill, no more of its steps at a time than it may. A night that begins meanwhile goes
// before it: its steps are interrupted, none begins while the night goes on, and it goes on afterwards.
func TestWorkersBringABackfillBehindTheNight(t *testing.T) {
	t.Parallel()
	s := newSharedShop(t)
	page, stop := serve(t, s.dir, s.env, "--kinds", "none")
	_, stopOne := worker(t, s.dir, s.env, "--threads", "2")
	_, stopOther := worker(t, s.dir, s.env, "--threads", "2")
	open := s.closeGates(t)
	s.backfill(t, 2)
	s.brings(t, 2, "3")
	until(t, "the fourth waits", func() bool {
		return s.ask(t, "SELECT count(*) FROM steps WHERE paused = 'waits for other steps of backfills: 3 of 3 are at work'") == "1"
	})
	s.wantHands(t, page)
	must(t, s.dir, s.env, "schedules", "trigger", "nightly", "--date", weekDates(t)[4], "--reason", "a test")
	until(t, "the night reads where the backfill did", func() bool {
		return s.ask(t, atBackfills) == "0" && s.ask(t, "SELECT count(*) FROM steps s JOIN runs r ON r.id = s.run WHERE r.kind <> 'backfill' AND s.state = 'running'") == "4"
	})
	open()
	s.ends(t)
	stopOther()
	stopOne()
	stop()

	const between = `SELECT a.step, a.started_at FROM attempts a JOIN steps s ON s.id = a.step JOIN runs r ON r.id = s.run, runs n
		WHERE r.kind = 'backfill' AND n.kind <> 'backfill' AND a.started_at > n.created_at AND a.started_at < n.finished_at`
	if began := inLedger(t, s.env, between); len(began) > 0 {
		t.Errorf("steps of the backfill began while the night went on: %v", began)
	}
	const by = "SELECT a.worker, count(*) FROM attempts a JOIN steps s ON s.id = a.step JOIN runs r ON r.id = s.run WHERE r.kind = 'backfill' GROUP BY 1"
	if by := inLedger(t, s.env, by); len(by) != 2 { // afterwards one may stand still, and the other bring the rest
		t.Errorf("who was at work at how many steps of it: %v, want two workers", by)
	}
	if rests := s.ask(t, "SELECT count(*) FROM attempts WHERE error LIKE '%rests while run%'"); rests != "3" {
		t.Errorf("%s attempts were interrupted for the night, want 3", rests)
	}
	s.wantDays(t, 2)
}

// The serve that leads and a worker are killed in the middle of a backfill. Another serve leads on, and the other worker
// brings what was in the dead one's hands.
func TestABackfillOutlivesItsLeaderAndAWorker(t *testing.T) {
	t.Parallel()
	s := newSharedShop(t)
	leader, _ := serve(t, s.dir, s.env, "--kinds", "none")
	until(t, "one leads", func() bool { return s.ask(t, "SELECT count(*) FROM leaders") == "1" })
	_, stop := serve(t, s.dir, s.env, "--kinds", "none")
	mortal, _ := worker(t, s.dir, s.env, "--threads", "2")
	_, stopOther := worker(t, s.dir, s.env, "--threads", "2")
	open := s.closeGates(t)
	s.backfill(t, 2)
	s.brings(t, 2, "3")
	for _, victim := range []*server{mortal, leader} {
		if err := victim.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := victim.end(t); err == nil {
			t.Error("a process ended by itself")
		}
	}
	open()
	s.ends(t)
	stopOther()
	stop()
	s.wantDays(t, 2)
}

// Cancelled while two workers bring it, and one of them is cut off and told nothing, nothing more of a backfill starts: on no
// machine, and not when the one that was cut off is back. Paused, it begins nothing either, and ends what is at work.
func TestABackfillOfTwoWorkersIsCancelled(t *testing.T) {
	t.Parallel()
	s := newSharedShop(t)
	_, stop := serve(t, s.dir, s.env, "--kinds", "none")
	cutOff, stopOne := worker(t, s.dir, s.env, "--threads", "2")
	_, stopOther := worker(t, s.dir, s.env, "--threads", "2")
	open := s.closeGates(t)
	s.backfill(t, 2)
	s.brings(t, 2, "3")
	must(t, s.dir, s.env, "backfill", "pause", "backfill-1")
	open()
	until(t, "what was at work has ended", func() bool { return s.ask(t, atBackfills) == "0" })
	if n := s.ask(t, "SELECT count(*) FROM attempts"); n != "3" {
		t.Errorf("paused, %s steps of it began, want the 3 that were at work", n)
	}
	open = s.closeGates(t)
	must(t, s.dir, s.env, "backfill", "resume", "backfill-1", "--detach")
	until(t, "it goes on with the fourth table", func() bool { return s.readers(t) == 1 })
	must(t, s.dir, s.env, "backfill", "pause", "backfill-1") // or it could have read of the second date before the gates are closed
	open()
	until(t, "the fourth table is read", func() bool { return s.ask(t, atBackfills) == "0" })
	open = s.closeGates(t)
	must(t, s.dir, s.env, "backfill", "resume", "backfill-1", "--detach")
	untilWithin(t, processTime, "the first date is there", func() bool { return s.ask(t, "SELECT count(*) FROM runs WHERE state = 'succeeded'") == "1" })
	s.brings(t, 2, "3")
	if err := cutOff.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	must(t, s.dir, s.env, "backfill", "cancel", "backfill-1", "--reason", "wrong range")
	until(t, "who reads and hears of it stops", func() bool { return s.readers(t) < 3 })
	if err := cutOff.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "so does who was cut off", func() bool { return s.readers(t) == 0 })
	open()
	must(t, s.dir, s.env, "schedules", "trigger", "nightly", "--date", weekDates(t)[4], "--reason", "a night after it")
	untilWithin(t, processTime, "the night has ended", func() bool { return s.ask(t, "SELECT state FROM runs WHERE kind <> 'backfill'") == "succeeded" })
	stopOther()
	stopOne()
	stop()
	if began := inLedger(t, s.env, "SELECT a.step FROM attempts a JOIN steps s ON s.id = a.step JOIN runs r ON r.id = s.run JOIN backfills b ON b.id = r.backfill WHERE a.started_at > b.ended_at"); len(began) > 0 {
		t.Errorf("after it was cancelled these began: %v", began)
	}
	days := inLedger(t, s.env, "SELECT state, count(*) FROM backfill_days GROUP BY 1 ORDER BY 1")
	if diff := cmp.Diff([][]string{{"cancelled", fmt.Sprint(shopTables + 1)}, {"succeeded", fmt.Sprint(shopTables + 1)}}, days); diff != "" {
		t.Errorf("its days (-want +got):\n%s", diff)
	}
	published := s.warehouse.Rows(t, "SELECT DISTINCT day FROM analytics.daily ORDER BY 1")
	if want := []string{weekDates(t)[0], weekDates(t)[4]}; !slices.Equal(published, want) {
		t.Errorf("people read %v, want %v", published, want)
	}
}
