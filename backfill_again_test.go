package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// production changes what the first of the shop's two databases has.
func (s *sharedShop) production(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.gates[0].Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Two workers bring a backfill of which each date lacks a table that is away. Tried again when it is back, under another leader,
// they bring what failed and what that held up, and nothing that had succeeded.
func TestABackfillOfTwoWorkersIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newSharedShop(t)
	leader, _ := serve(t, s.dir, s.env, "--kinds", "none")
	_, stopOne := worker(t, s.dir, s.env, "--threads", "2")
	_, stopOther := worker(t, s.dir, s.env, "--threads", "2")
	s.production(t, "ALTER TABLE t0 RENAME TO away")
	s.backfill(t, 4)
	untilWithin(t, processTime, "it has ended", func() bool { return s.ask(t, "SELECT state FROM backfills") == "failed" })
	const days = "SELECT state, count(*) FROM backfill_days GROUP BY 1 ORDER BY 1"
	want := [][]string{{"failed", "8"}, {"succeeded", fmt.Sprint(4 * (shopTables - 1))}}
	if diff := cmp.Diff(want, inLedger(t, s.env, days)); diff != "" {
		t.Errorf("its days (-want +got):\n%s", diff)
	}
	before := s.ask(t, "SELECT max(started_at) FROM attempts")

	if err := leader.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := leader.end(t); err == nil {
		t.Error("the leader ended by itself")
	}
	inLedger(t, s.env, "UPDATE leaders SET lease_until = '2000-01-01T00:00:00.000000Z'")
	_, stop := serve(t, s.dir, s.env, "--kinds", "none")
	s.production(t, "ALTER TABLE away RENAME TO t0")
	must(t, s.dir, s.env, "backfill", "retry", "backfill-1", "--detach", "--reason", "the table is back")
	s.ends(t)
	stopOther()
	stopOne()
	stop()
	const again = `SELECT DISTINCT s.kind, s.dataset FROM attempts a JOIN steps s ON s.id = a.step WHERE a.started_at > '%s'
		AND s.kind <> 'publish' AND s.dataset NOT IN ('crm.t0', 'daily')`
	if done := inLedger(t, s.env, fmt.Sprintf(again, before)); len(done) > 0 {
		t.Errorf("what had succeeded was done again: %v", done)
	}
	s.wantSums(t, 4, 3*shopTables)
	if diff := cmp.Diff([][]string{{"succeeded", fmt.Sprint(4 * (shopTables + 1))}}, inLedger(t, s.env, days)); diff != "" {
		t.Errorf("its days in the end (-want +got):\n%s", diff)
	}
	if twice := inLedger(t, s.env, "SELECT date, count(*) FROM runs WHERE kind = 'backfill' GROUP BY 1 HAVING count(*) > 1"); len(twice) > 0 {
		t.Errorf("dates have more than one run: %v", twice)
	}
	if trail := must(t, s.dir, s.env, "audit", "backfill-1").out; !strings.Contains(trail, "the table is back") || !strings.Contains(trail, "backfill.retry") {
		t.Errorf("audit trail:\n%s", trail)
	}
}

// wantSums wants the model to have made that of each of the first n days of the week.
func (s *sharedShop) wantSums(t *testing.T, n, amount int) {
	t.Helper()
	var want []string
	for _, date := range weekDates(t)[:n] {
		want = append(want, fmt.Sprintf("%s|%d", date, amount))
	}
	got := s.warehouse.Rows(t, "SELECT day, amount FROM analytics.daily ORDER BY 1")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("day, what the model made of it (-want +got):\n%s", diff)
	}
}

// A leader is stopped in the middle of a backfill that has read some of its tables. Another leads, and a night brings the same
// date, in which production has moved on. The first leads again and has seen nothing of this: what the backfill had read before
// is not published over what the night brought.
func TestALeaderThatComesBackBringsNothingOld(t *testing.T) {
	t.Parallel()
	s := newSharedShop(t)
	leader := func() string {
		return s.ask(t, `SELECT worker FROM leaders WHERE lease_until > to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
	}
	first, stop := serve(t, s.dir, s.env, "--kinds", "none")
	one := ""
	until(t, "the first serve leads", func() bool { one = leader(); return one != "" })
	_, stopWorker := worker(t, s.dir, s.env, "--threads", "4")
	if _, err := s.gates[1].Exec(t.Context(), "SELECT pg_advisory_lock(1)"); err != nil {
		t.Fatal(err)
	}
	s.backfill(t, 1)
	const verified = "SELECT count(*) FROM steps JOIN runs ON runs.id = steps.run WHERE runs.kind = 'backfill' AND steps.kind = 'verify' AND steps.state = 'succeeded'"
	until(t, "one of its databases is read, and the other is not", func() bool { return s.ask(t, verified) == "2" && s.ask(t, atBackfills) == "2" })
	must(t, s.dir, s.env, "backfill", "pause", "backfill-1")
	until(t, "the first serve leads still", func() bool { return leader() == one }) // nobody else is there

	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second, _ := serve(t, s.dir, s.env, "--kinds", "none")
	const silent = "UPDATE leaders SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE worker = '%s'"
	other := ""
	until(t, "the second serve leads", func() bool {
		inLedger(t, s.env, fmt.Sprintf(silent, one))
		other = leader()
		return other != "" && other != one
	})
	s.production(t, "UPDATE t0 SET amount = amount * 100; UPDATE t1 SET amount = amount * 100")
	must(t, s.dir, s.env, "schedules", "trigger", "nightly", "--date", weekDates(t)[0], "--reason", "a test")
	if _, err := s.gates[1].Exec(t.Context(), "SELECT pg_advisory_unlock(1)"); err != nil {
		t.Fatal(err)
	}
	untilWithin(t, processTime, "the night has ended", func() bool { return s.ask(t, "SELECT state FROM runs WHERE kind <> 'backfill'") == "succeeded" })

	if err := second.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.end(t); err == nil {
		t.Error("the second serve ended by itself")
	}
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the first serve leads again", func() bool {
		inLedger(t, s.env, fmt.Sprintf(silent, other))
		return leader() == one
	})
	must(t, s.dir, s.env, "backfill", "resume", "backfill-1", "--detach")
	s.ends(t)
	stopWorker()
	stop()
	s.wantSums(t, 1, 3*(2*100+2))
}
