package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// week is a workspace in which the last five days were brought, an incremental table and a model of days made from it,
// and whose rows were all changed in production behind their cursor's back.
func week(t *testing.T) (dir string) {
	t.Helper()
	return copyOf(t, weekOnce.get(func() string {
		dir := copyInto(t, folder(t, "week"), unbroughtWeek(t))
		for _, date := range weekDates(t) {
			ordered(t, dir, date)
		}
		change(t, production(dir), "UPDATE orders SET amount = amount * 100")
		return dir
	}))
}

// unbroughtWeek is that workspace before anything was ordered.
func unbroughtWeek(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: Europe/Dublin
catch_up: all
owners: [data@example.com, shop@example.com]
retries: {attempts: 1}
tables:
  shop.orders: {mode: incremental, key: [id], cursor: ordered_at, cursor_timezone: UTC, start: ` + lastDate(t).AddDays(-10).String() + `}
`,
		"sql/models/daily.sql": "{{ config(materialized='incremental', unique_key='day') }}\n" +
			"select date '{{ data_date }}' as day, sum(amount) as amount from {{ source('shop', 'orders') }} where cast(ordered_at as date) = date '{{ data_date }}'\n",
	})
	change(t, production(dir), "CREATE TABLE orders (id INTEGER PRIMARY KEY, ordered_at DATETIME NOT NULL, amount INTEGER NOT NULL)")
	return dir
}

// production is the database from which the week comes.
func production(dir string) string { return filepath.Join(dir, "shop.db") }

// ordered has two things ordered on a date, and brings it.
func ordered(t *testing.T, dir, date string) {
	t.Helper()
	change(t, production(dir), fmt.Sprintf("INSERT INTO orders (ordered_at, amount) VALUES ('%s 09:00:00', 1), ('%[1]s 10:00:00', 2)", date))
	must(t, dir, nil, "run", "--yes", "--date", date)
}

var weekOnce fixture[string]

// weekDates are the last five dates.
func weekDates(t *testing.T) (dates []string) {
	t.Helper()
	for ago := 4; ago >= 0; ago-- {
		dates = append(dates, lastDate(t).AddDays(-ago).String())
	}
	return dates
}

// daysOf asks for the first n days of the week.
func daysOf(t *testing.T, n int) []string {
	t.Helper()
	return []string{"shop.orders", "--from", weekDates(t)[0], "--to", weekDates(t)[n-1], "--mode", "all"}
}

// weekly is what people read of each day: the amount of the table, and that of the model.
func weekly(t *testing.T, dir string) (days []string) {
	t.Helper()
	for _, row := range query(t, dir, "SELECT day, amount, (SELECT sum(amount) FROM shop.orders WHERE ordered_at::date = day) FROM analytics.daily ORDER BY day") {
		days = append(days, strings.Join(row, " "))
	}
	return days
}

// wantWeek wants the last n days of the week as they were first, and those before them as they are in production now.
func wantWeek(t *testing.T, dir string, n int) {
	t.Helper()
	var want []string
	for i, date := range weekDates(t) {
		amount := "300"
		if i >= len(weekDates(t))-n {
			amount = "3"
		}
		want = append(want, date+" "+amount+" "+amount)
	}
	if diff := cmp.Diff(want, weekly(t, dir)); diff != "" {
		t.Errorf("people read (-want +got):\n%s", diff)
	}
}

// begun starts a backfill of a week and leaves it to whoever carries it out.
func begun(t *testing.T, dir string, asked ...string) {
	t.Helper()
	must(t, dir, nil, append([]string{"backfill", "start", "--detach", "--token", tokenFor(t, dir, asked...)}, asked...)...)
}

// A source that lost its table fails one date after the other: the backfill pauses by itself after three, says so, and begins
// nothing. Whoever mends the cause has the failed days tried again, and the others follow.
func TestABackfillPausesAfterThreeFailures(t *testing.T) {
	t.Parallel()
	dir := week(t)
	neverFalselyGreen(t, dir)
	begun(t, dir, daysOf(t, 5)...)
	change(t, production(dir), "ALTER TABLE orders RENAME TO renamed")
	wantRefusal(t, do(t, dir, nil, "backfill", "resume", "backfill-1"), 65, "backfill-1 is paused", "3 dates in a row have failed", "daybreak backfill retry backfill-1")
	b := backfillOf(t, dir, "backfill-1")
	if b.State != elt.BackfillPaused || b.Progress[elt.BackfillDayFailed] != 6 || b.Progress[elt.BackfillDayPending] != 4 {
		t.Errorf("it is %s: %v", b.State, b.Progress)
	}
	for _, d := range b.Days {
		if d.State == elt.BackfillDayFailed && d.Dataset == "shop.orders" && !strings.Contains(d.Says, "orders") {
			t.Errorf("%s of %s failed, and says %q", d.Dataset, d.Date, d.Says)
		}
	}
	wantWeek(t, dir, 5)
	must(t, dir, nil, "run", "--yes", "--date", weekDates(t)[4]) // a night that is done, by a process that would carry backfills
	if again := backfillOf(t, dir, "backfill-1"); !cmp.Equal(b.Progress, again.Progress) {
		t.Errorf("paused, it went on from %v to %v", b.Progress, again.Progress)
	}

	change(t, production(dir), "ALTER TABLE renamed RENAME TO orders")
	if a := must(t, dir, nil, "backfill", "retry", "backfill-1", "--reason", "the table is back"); !strings.Contains(a.out, "backfill-1 is succeeded: 10 of 10 days brought") {
		t.Errorf("the retry says\n%s", a.out)
	}
	wantWeek(t, dir, 0)
	wantOneTruth(t, dir)
	if runs := ask(t, ledgerIn(dir), "SELECT date, count(*) FROM runs WHERE backfill = 'backfill-1' GROUP BY date ORDER BY date"); len(runs) != 5 || slices.ContainsFunc(runs, func(r []string) bool { return r[1] != "1" }) {
		t.Errorf("runs by date: %v", runs)
	}
	if trail := must(t, dir, nil, "audit", "backfill-1").out; !strings.Contains(trail, "the table is back") || !strings.Contains(trail, "backfill.retry") {
		t.Errorf("audit trail:\n%s", trail)
	}
	wantRefusal(t, do(t, dir, nil, "backfill", "show", "backfill-7"), 65, `no backfill "backfill-7"`, "backfill_unknown")
}

// A day is in the hands of one backfill: of five that are started at once over the same plan one is, and a plan that is made
// meanwhile leaves its days out. Both end, each day is brought once.
func TestBackfillsOverTheSameDays(t *testing.T) {
	t.Parallel()
	dir := week(t)
	asked := daysOf(t, 3)
	start := append([]string{"backfill", "start", "--detach", "--token", tokenFor(t, dir, asked...)}, asked...)
	whole := tokenFor(t, dir, daysOf(t, 5)...)
	answers := make([]answer, 5)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = do(t, dir, nil, start...) })
	}
	all.Wait()
	started := 0
	for _, a := range answers {
		switch {
		case a.code == 0:
			started++
		case a.code != 75 || !strings.Contains(a.errors, "plan_stale") && !strings.Contains(a.errors, "backfill_overlaps"):
			t.Errorf("exit %d: %s%s", a.code, a.out, a.errors)
		}
	}
	if started != 1 {
		t.Fatalf("%d of five were started", started)
	}
	wantRefusal(t, do(t, dir, nil, append([]string{"backfill", "start", "--detach", "--token", whole}, daysOf(t, 5)...)...), 75, "plan_stale")
	plan := must(t, dir, nil, append([]string{"backfill", "plan"}, daysOf(t, 5)...)...).out
	if !strings.Contains(plan, "backfill-1 has it in hand") || !strings.Contains(plan, "extract 2") {
		t.Errorf("planned over a backfill that goes on:\n%s", plan)
	}
	begun(t, dir, daysOf(t, 5)...)
	held := ask(t, ledgerIn(dir), "SELECT dataset, date, count(DISTINCT backfill) FROM backfill_days WHERE state IN ('pending', 'running') GROUP BY 1, 2 HAVING count(*) > 1")
	if len(held) > 0 {
		t.Errorf("held twice: %v", held)
	}
	must(t, dir, nil, "backfill", "resume", "backfill-2") // carries the first one out as well: it was started before
	for _, id := range []string{"backfill-1", "backfill-2"} {
		if b := backfillOf(t, dir, id); b.State != elt.BackfillSucceeded {
			t.Errorf("%s is %s: %v", id, b.State, b.Progress)
		}
	}
	wantWeek(t, dir, 0)
	wantOneTruth(t, dir)
	must(t, dir, nil, "verify")
	remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	remove(t, filepath.Join(dir, "read", "warehouse.duckdb"))
	must(t, dir, nil, "load", "--all") // a model's past dates are no part of that
	if n := query(t, dir, "SELECT count(*), sum(amount) FROM shop.orders"); n[0][0] != "10" || n[0][1] != "1500" {
		t.Errorf("loaded again from the lake: %s orders of %s", n[0][0], n[0][1])
	}
	if twice := ask(t, ledgerIn(dir), "SELECT date, count(*) FROM runs WHERE kind = 'backfill' GROUP BY date HAVING count(*) > 1"); len(twice) > 0 {
		t.Errorf("brought twice: %v", twice)
	}
}

// What was extracted and never published is loaded from the lake: production has moved on since.
func TestABackfillFromTheLake(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	date := lastDate(t).String()
	before := contents(t, dir)
	change(t, filepath.Join(dir, "production.db"), "UPDATE companies SET name = name || ' of the night'")
	edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n    expect_rows: between 1 and 2\n")
	wantRefusal(t, do(t, dir, nil, "run", "--date", date), 65, "rows_unexpected")
	if diff := cmp.Diff(before["app.companies"], contents(t, dir)["app.companies"]); diff != "" {
		t.Fatalf("what was held back is published:\n%s", diff)
	}
	edit(t, dir, "schedules/nightly.yaml", "    expect_rows: between 1 and 2\n", "")
	change(t, filepath.Join(dir, "production.db"), "UPDATE companies SET name = 'today'")

	plan := must(t, dir, nil, "backfill", "plan", "app.companies", "--from", date, "--mode", "failed").out
	if !strings.Contains(plan, "reload") || !strings.Contains(plan, "the lake has what was extracted of it") {
		t.Fatalf("planned:\n%s", plan)
	}
	move(t, filepath.Join(dir, "production.db"), filepath.Join(dir, "gone.db")) // production is not needed
	must(t, dir, nil, "backfill", "app.companies", "--from", date, "--mode", "failed", "--yes")
	if n := query(t, dir, "SELECT count(*), count(*) FILTER (name LIKE '% of the night') FROM app.companies"); n[0][0] != n[0][1] || n[0][0] == "0" {
		t.Errorf("of %s companies %s are those of the night", n[0][0], n[0][1])
	}
	for _, s := range ask(t, ledgerIn(dir), "SELECT s.kind FROM steps s JOIN runs r ON r.id = s.run WHERE r.kind = 'backfill' AND s.dataset = 'app.companies'") {
		if s[0] == string(elt.ExtractStep) {
			t.Error("it was extracted again")
		}
	}
	move(t, filepath.Join(dir, "gone.db"), filepath.Join(dir, "production.db"))
	must(t, dir, nil, "verify", "app.companies")
	wantOneTruth(t, dir)
	if again := must(t, dir, nil, "backfill", "plan", "app.companies", "--from", date).out; !strings.Contains(again, "it is ready") {
		t.Errorf("planned afterwards:\n%s", again)
	}
}

// A night comes when a backfill has loaded from the lake what it brings, a whole table, and has published nothing of it. What
// the night brought stays, and the backfill says why the older day is not there.
func TestANightOvertakesABackfill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	earlier, later := weekDates(t)[3], weekDates(t)[4]
	const guard = ", expect_rows: between 10 and 20}"
	write(t, dir, map[string]string{
		"daybreak.yaml":          "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": "at: \"02:00\"\ntimezone: UTC\nowners: [a@example.com, b@example.com]\nretries: {attempts: 1}\nmodels: [\"*\"]\ntables:\n  shop.prices: {mode: full, key: [id]" + guard + "\n",
		"sql/models/total.sql":   "{{ config(materialized='table') }}\nselect sum(price) as total from {{ source('shop', 'prices') }}\n",
	})
	change(t, production(dir), "CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER NOT NULL); INSERT INTO prices VALUES (1, 1), (2, 2)")
	wantRefusal(t, do(t, dir, nil, "run", "--yes", "--date", earlier), 65, "rows_unexpected")
	edit(t, dir, "schedules/nightly.yaml", guard, "}")
	begun(t, dir, "shop.prices", "--from", earlier, "--mode", "failed")
	if died := (scene{name: "a backfill", args: []string{"backfill", "resume", "backfill-1"}}).perform(t, dir, []string{crashAt + "=publish.begin@1"}, 0); !died {
		t.Fatal("it was not killed before it published")
	}
	change(t, production(dir), "UPDATE prices SET price = price * 100")
	must(t, dir, nil, "run", "--yes", "--date", later)
	wantRefusal(t, do(t, dir, nil, "backfill", "resume", "backfill-1"), 65, "backfill-1 is failed")
	if got := query(t, dir, "SELECT total, (SELECT sum(price) FROM shop.prices) FROM analytics.total"); got[0][0] != "300" || got[0][1] != "300" {
		t.Errorf("people read %v, want what the night brought", got)
	}
	if dates := ask(t, ledgerIn(dir), "SELECT DISTINCT date FROM versions"); len(dates) != 1 || dates[0][0] != later {
		t.Errorf("versions are of %v, want of %s", dates, later)
	}
	b := backfillOf(t, dir, "backfill-1")
	if len(b.Days) != 2 || b.Progress[elt.BackfillDayFailed] != 2 || !strings.Contains(b.Days[0].Says, "before what is published by now") {
		t.Errorf("its days: %+v", b.Days)
	}
	wantOneTruth(t, dir)
}
