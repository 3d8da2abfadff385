package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/status/api"
)

// gatedWeek is a workspace over a PostgreSQL database in which the last three days were brought, whose rows were changed
// since behind their cursor's back, and which cannot be read while the gate is closed. waiting reports whether somebody stands
// before the gate.
func gatedWeek(t *testing.T) (dir string, closeGate func() (open func()), waiting func() bool) {
	t.Helper()
	database := testenv.NewPostgres(t, nil).Database(t)
	admin, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	exec := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for _, statement := range []string{
		`CREATE TABLE orders (id int PRIMARY KEY, ordered_at timestamptz NOT NULL, amount int NOT NULL)`,
		`CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
			$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN true; END $$`,
		`ALTER TABLE orders ENABLE ROW LEVEL SECURITY`,
		`CREATE POLICY held_up ON orders USING (gate())`,
		`CREATE ROLE gated_reader LOGIN`, `GRANT SELECT ON orders TO gated_reader`,
	} {
		exec(statement)
	}
	dir = t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf("sources: {shop: {postgres: %q}}\nstatus: {public: true}\n", strings.Replace(database, "postgres@", "gated_reader@", 1)),
		"schedules/nightly.yaml": `
at: "02:00"
timezone: Europe/Dublin
catch_up: all
owners: [data@example.com, shop@example.com]
tables:
  shop.orders: {table: public.orders, mode: incremental, key: [id], cursor: ordered_at, start: ` + lastDate(t).AddDays(-10).String() + `}
`,
	})
	for i, date := range weekDates(t)[2:] {
		exec(fmt.Sprintf(`INSERT INTO orders VALUES (%d, '%s 09:00Z', 1)`, i, date))
		must(t, dir, nil, "run", "--yes", "--date", date)
	}
	exec(`UPDATE orders SET amount = 100`)
	return dir, func() func() {
			exec("SELECT pg_advisory_lock(1)")
			return func() { exec("SELECT pg_advisory_unlock(1)") }
		}, func() (stands bool) {
			if err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)").Scan(&stands); err != nil {
				t.Fatal(err)
			}
			return stands
		}
}

// lastThree asks for every day of a gated week.
func lastThree(t *testing.T) []string {
	t.Helper()
	return []string{"shop.orders", "--from", weekDates(t)[2], "--to", weekDates(t)[4], "--mode", "all"}
}

// A day that is brought again serves its old version until it is there, and says that it is being restated: asked of the API
// all along. Cancelled in the middle of a step, nothing more of a backfill starts: not in the process that is at work, not in the
// next one, not after one that was killed.
func TestABackfillRestatesAndIsCancelledInFlight(t *testing.T) {
	t.Parallel()
	dir, closeGate, waiting := gatedWeek(t)
	neverFalselyGreen(t, dir)
	before, date := contents(t, dir), weekDates(t)[2]
	s, _ := serve(t, dir, nil)

	// Cancelled while its first step reads.
	open := closeGate()
	begun(t, dir, lastThree(t)...)
	until(t, "the first date is being read", waiting)
	must(t, dir, nil, "backfill", "cancel", "backfill-1", "--reason", "wrong range")
	until(t, "who reads for a cancelled backfill stops", func() bool { return !waiting() })

	// The next one is killed while its first step reads, and cancelled before anybody goes on with it.
	begun(t, dir, lastThree(t)...)
	until(t, "the first date is being read", waiting)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.end(t); err == nil {
		t.Error("the process ended by itself")
	}
	must(t, dir, nil, "backfill", "cancel", "backfill-2", "--reason", "wrong again")
	open()
	s, stop := serve(t, dir, nil)
	for _, id := range []string{"backfill-1", "backfill-2"} {
		wantRefusal(t, do(t, dir, nil, "backfill", "resume", id), 75, "backfill_ended", "cancelled")
		wantRefusal(t, do(t, dir, nil, "backfill", "retry", id), 75, "backfill_cancelled", "nothing of it starts any more")
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("cancelled backfills have changed something:\n%s", diff)
	}

	// A third brings the days. Those before it would have had their turn first.
	open = closeGate()
	restating, answers := asked(t, s.url+"/v1/datasets/shop.orders/days/"+date)
	begun(t, dir, lastThree(t)...)
	until(t, "the first date is being read", waiting)
	until(t, "the day says that it is being restated", restating)
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("while the day is brought again:\n%s", diff)
	}
	open()
	untilWithin(t, processTime, "the third has ended", func() bool { return backfillOf(t, dir, "backfill-3").State == elt.BackfillSucceeded })
	until(t, "the API has seen it", func() bool { return !get[api.Day](t, s, "/v1/datasets/shop.orders/days/"+date).Restating })
	wantRestated(t, answers(), dir, date)
	stop()
	if n := query(t, dir, "SELECT count(*), sum(amount) FROM shop.orders"); n[0][0] != "3" || n[0][1] != "300" {
		t.Errorf("in the end there are %s orders of %s", n[0][0], n[0][1])
	}
	for _, id := range []string{"backfill-1", "backfill-2"} {
		if b := backfillOf(t, dir, id); b.State != elt.BackfillCancelled || b.Progress[elt.BackfillDayCancelled] != 3 {
			t.Errorf("%s is %s: %v", id, b.State, b.Progress)
		}
		started := ask(t, ledgerIn(dir), `SELECT a.step, a.started_at FROM attempts a JOIN steps s ON s.id = a.step JOIN runs r ON r.id = s.run
			JOIN backfills b ON b.id = r.backfill WHERE b.id = '`+id+`' AND a.started_at > b.ended_at`)
		if runs := ask(t, ledgerIn(dir), "SELECT id FROM runs WHERE backfill = '"+id+"'"); len(started) > 0 || len(runs) != 1 {
			t.Errorf("after %s was cancelled these began: %v; its runs: %v", id, started, runs)
		}
	}
	wantOneTruth(t, dir)
}

// asked asks for a day again and again. restating reports whether it was said to be restated; answers ends the asking and
// returns the different ones, in order.
func asked(t *testing.T, url string) (restating func() bool, answers func() []elt.DayStatus) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all []elt.DayStatus
	var said atomic.Bool
	ended := make(chan error, 1)
	look := func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		var day api.Day
		if err := json.NewDecoder(answer.Body).Decode(&day); err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s (%w)", url, answer.Status, err)
		}
		if n := len(all); n == 0 || all[n-1].Version != day.Version || all[n-1].Restating != day.Restating || all[n-1].State != day.State {
			all = append(all, day.DayStatus)
			said.Store(said.Load() || day.Restating)
		}
		return nil
	}
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := look(); err != nil {
				ended <- err
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				ended <- nil
				return
			}
		}
	}()
	return said.Load, func() []elt.DayStatus {
		t.Helper()
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return all
	}
}

// wantRestated wants that a day was ready at each moment, first as the old version, while it was restated as well, and then as
// the new one.
func wantRestated(t *testing.T, answers []elt.DayStatus, dir, date string) {
	t.Helper()
	versions := ask(t, ledgerIn(dir), "SELECT id FROM versions WHERE dataset = 'shop.orders' AND date = '"+date+"' ORDER BY published_at")
	if len(versions) != 2 {
		t.Fatalf("%s has the versions %v", date, versions)
	}
	old := versions[0][0]
	if !slices.ContainsFunc(answers, func(d elt.DayStatus) bool { return d.Restating && string(d.Version) == old }) {
		t.Errorf("it was never being restated: %+v", answers)
	}
	for i, d := range answers {
		if d.State != elt.DayReady || d.Rows != 1 {
			t.Errorf("answer %d: it is %s with %d rows", i, d.State, d.Rows)
		}
		if i > 0 && string(d.Version) == old && string(answers[i-1].Version) != old {
			t.Errorf("answer %d: the old version is back", i)
		}
	}
	if last := answers[len(answers)-1]; string(last.Version) != versions[1][0] || last.Restating {
		t.Errorf("in the end it is %+v", last)
	}
}

// A backfill on BigQuery: its dates are merged into the published table, one after the other, and what is made from them is
// built for each. Killed in the middle, it goes on.
func TestABackfillOnBigQuery(t *testing.T) {
	t.Parallel()
	for _, publish := range []string{"each", "together"} {
		t.Run(publish, func(t *testing.T) {
			t.Parallel()
			server, dir := bigquerytest.New(t), copyOf(t, unbroughtWeek(t))
			edit(t, dir, "daybreak.yaml", "sources:", fmt.Sprintf("warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q, publish: %s}}\nsources:", server.URL, publish))
			for _, date := range weekDates(t)[:3] {
				ordered(t, dir, date)
			}
			look := func() []string {
				return server.Rows(t, "SELECT d.day, d.amount, sum(o.amount) FROM analytics.daily AS d JOIN shop.orders AS o ON cast(o.ordered_at as date) = d.day GROUP BY 1, 2 ORDER BY 1")
			}
			change(t, production(dir), "UPDATE orders SET amount = amount * 100")
			begun(t, dir, daysOf(t, 3)...)
			died := scene{name: "a backfill", args: []string{"backfill", "resume", "backfill-1"}}.perform(t, dir, []string{crashAt + "=run.finished@2"}, 0)
			var want []string
			for i, date := range weekDates(t)[:3] {
				amount := []string{"300", "300", "3"}[i]
				want = append(want, date+"|"+amount+"|"+amount)
			}
			if diff := cmp.Diff(want, look()); !died || diff != "" {
				t.Errorf("killed (%t) after two dates (-want +got):\n%s", died, diff)
			}
			must(t, dir, nil, "backfill", "resume", "backfill-1")
			want[2] = weekDates(t)[2] + "|300|300"
			if diff := cmp.Diff(want, look()); diff != "" {
				t.Errorf("in the end (-want +got):\n%s", diff)
			}
			if b := backfillOf(t, dir, "backfill-1"); b.State != elt.BackfillSucceeded || b.Progress[elt.BackfillDaySucceeded] != 6 {
				t.Errorf("it is %s: %v", b.State, b.Progress)
			}
			must(t, dir, nil, "verify")
		})
	}
}
