package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// fire is a night, and a backfill, that several workers do while one after the other is hindered.
type fire struct {
	w       *world
	gates   *gates
	book    *sql.DB
	lead    *hand   // decides, and builds in DuckDB
	workers []*hand // extract
}

// newFire starts a daybreak serve and three workers over a world, each with a network of its own.
func newFire(t *testing.T, w *world, g *gates) *fire {
	t.Helper()
	here, bucket := w.direct(t), testenv.S3(t).NewBucket(t)
	f := &fire{w: w, gates: g, book: open(t, "pgx", here.ledger)}
	place := func(name string, args ...string) *hand {
		noisy, net := behind(t, here)
		return &hand{name: name, dir: w.workspace(t, noisy, bucket), args: append(args, "--log", "json"), net: net}
	}
	f.lead = place("serve", "serve", "--listen", "127.0.0.1:0", "--kinds", "load,verify,transform,test,publish")
	sampling(t, here.ledger, func(s *sampler) ([]string, error) {
		return s.judge(filepath.Join(f.lead.dir, "state", "warehouse.duckdb"))
	}, must1(elt.ParseDate(w.date)).AddDays(-1))
	t.Cleanup(func() { f.tell(t) })
	f.lead.begin(t)
	for n := range 3 {
		h := place(fmt.Sprintf("worker %d", n+1), "worker", "--kinds", "extract", "--threads", "4", "--grace", "200ms")
		h.begin(t)
		f.workers = append(f.workers, h)
	}
	return f
}

// tell says of a fire that went wrong what there is in the ledger, and what its processes have said.
func (f *fire) tell(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, query := range []string{
		"SELECT id, state, attempt, worker, lease_until FROM steps WHERE state <> 'succeeded' ORDER BY 1",
		"SELECT worker, snapshot, exports, connections, idle, lease_until, refused FROM snapshot_seats",
		"SELECT step, number, worker, outcome, error FROM attempts WHERE outcome <> 'succeeded' ORDER BY started_at",
		"SELECT args, state, attempted_at, attempted_by FROM daybreak_queue.river_job WHERE state NOT IN ('completed', 'discarded')",
		"SELECT application_name, state, wait_event, xact_start, query FROM pg_stat_activity WHERE datname = current_database()",
	} {
		t.Logf("%s\n%s", query, strings.Join(f.rows(query), "\n"))
	}
	for _, h := range append(f.workers, f.lead) {
		t.Log(h.log())
	}
}

// rows asks the ledger when the test may be over.
func (f *fire) rows(query string) (out []string) {
	rows, err := f.book.Query("SELECT row_to_json(r) FROM (" + query + ") AS r")
	if err != nil {
		return []string{err.Error()}
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return append(out, err.Error())
		}
		out = append(out, row)
	}
	return out
}

// holder returns who reads a table for a run of the kind that goes on, "" when nobody does.
func (f *fire) holder(t *testing.T, kind elt.RunKind, dataset string) string {
	t.Helper()
	for _, row := range lines(t, f.book, fmt.Sprintf(`SELECT s.worker FROM steps s JOIN runs r ON r.id = s.run
		WHERE r.state = 'running' AND r.kind = '%s' AND s.kind = 'extract' AND s.dataset = '%s' AND s.state = 'running'
			AND s.lease_until > to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`, kind, dataset)) {
		return row[0]
	}
	return ""
}

// attempts returns how the attempts at reading a table ended that a worker made.
func (f *fire) attempts(t *testing.T, dataset, worker string) (outcomes string) {
	t.Helper()
	for _, row := range lines(t, f.book, fmt.Sprintf(`SELECT COALESCE(a.outcome, 'unended') FROM attempts a JOIN steps s ON s.id = a.step
		WHERE s.kind = 'extract' AND s.dataset = '%s' AND a.worker = '%s' ORDER BY a.started_at`, dataset, worker)) {
		outcomes += row[0] + " "
	}
	return outcomes
}

// hinder does a thing to the worker that reads a table, in the middle of it, and has others bring the table. free is what
// lets it be read to its end.
func (f *fire) hinder(t *testing.T, what string, dataset string, free func()) {
	t.Helper()
	worker, victim := f.reader(t, elt.ScheduledRun, dataset)
	t.Logf("%s, in the middle of %s, is %s", victim.name, dataset, what)
	passed := func() bool {
		by := f.holder(t, elt.ScheduledRun, dataset)
		return by != "" && by != worker
	}
	takenOver := func() bool {
		silence(t, f.book, worker)
		return passed()
	}
	over := func() bool { return f.holder(t, elt.ScheduledRun, dataset) == "" }
	ends := "lost" // the attempt that was hindered
	switch what {
	case killed:
		victim.kill(t)
		until(t, dataset+" is taken over from who was killed", takenOver)
		victim.begin(t)
		free()
	case stopped:
		victim.signal(t, syscall.SIGSTOP)
		until(t, dataset+" is taken over from who was stopped", takenOver)
		victim.signal(t, syscall.SIGCONT)
		until(t, "who was woken finds its lease lost", func() bool { return victim.said("lease lost") })
		free()
	case overslept:
		victim.signal(t, syscall.SIGSTOP)
		until(t, dataset+" is taken over from who was stopped", takenOver)
		free()
		until(t, dataset+" is read", over)
		victim.signal(t, syscall.SIGCONT)
	case noLedger:
		victim.net["ledger"].Cut(t)
		until(t, dataset+" is taken over from who was cut off", takenOver)
		free()
		until(t, dataset+" is read", over)
		victim.net["ledger"].Restore(t)
	case deafLedger:
		heard := victim.net["ledger"].Add(t, testenv.HalfOpen(), testenv.Answers)
		until(t, dataset+" is taken over from who heard nothing", takenOver)
		free()
		until(t, dataset+" is read", over)
		heard()
	case noLake:
		f.withoutLake(t, victim, worker, dataset, free)
		return
	case relieved:
		ends = "retrying"
		victim.stop(t)
		until(t, dataset+" is handed on", passed)
		victim.begin(t)
		free()
	}
	if outcomes := f.attempts(t, dataset, worker); !strings.Contains(outcomes, ends) {
		t.Errorf("%s was %s, and its attempts at %s ended as: %s", victim.name, what, dataset, outcomes)
	}
}

// withoutLake cuts the worker off from S3 when it has a table to upload, for some of its heartbeats.
func (f *fire) withoutLake(t *testing.T, victim *hand, worker, dataset string, free func()) {
	t.Helper()
	victim.net["s3"].Cut(t)
	free()
	beats := make(map[string]bool)
	until(t, "the worker has tried for a while to upload "+dataset, func() bool {
		for _, row := range lines(t, f.book, fmt.Sprintf("SELECT state, COALESCE(lease_until, '') FROM steps WHERE kind = 'extract' AND dataset = '%s'", dataset)) {
			if beats[row[1]] = true; row[0] == "succeeded" {
				t.Fatalf("%s is brought although its worker reaches no S3", dataset)
			}
		}
		return len(beats) > 3 || strings.Contains(f.attempts(t, dataset, worker), "retrying")
	})
	victim.net["s3"].Restore(t)
}

// reader waits until somebody reads a table for a run of the kind, and returns who.
func (f *fire) reader(t *testing.T, kind elt.RunKind, dataset string) (worker string, who *hand) {
	t.Helper()
	until(t, "somebody reads "+dataset, func() bool { worker = f.holder(t, kind, dataset); return worker != "" })
	return worker, f.hand(t, worker)
}

// hinderLead does a thing to the daybreak serve that reads a table for a backfill, in the middle of it.
func (f *fire) hinderLead(t *testing.T, what string, dataset string) {
	t.Helper()
	worker, victim := f.reader(t, elt.BackfillRun, dataset)
	t.Logf("%s, in the middle of a backfill's %s, is %s", victim.name, dataset, what)
	switch what {
	case killed:
		victim.kill(t)
		silence(t, f.book, worker)
		victim.begin(t)
		until(t, dataset+" is taken over from who was killed", func() bool {
			by := f.holder(t, elt.BackfillRun, dataset)
			return by != "" && by != worker
		})
		return
	case stopped:
		victim.signal(t, syscall.SIGSTOP)
		silence(t, f.book, worker)
		victim.signal(t, syscall.SIGCONT)
	case noLedger:
		victim.net["ledger"].Cut(t)
		silence(t, f.book, worker)
		victim.net["ledger"].Restore(t)
	}
	f.reader(t, elt.BackfillRun, dataset) // nobody else can
}

// hand returns whose process has that name in the ledger.
func (f *fire) hand(t *testing.T, worker string) *hand {
	t.Helper()
	for _, h := range append(f.workers, f.lead) {
		if h.is(worker) {
			return h
		}
	}
	t.Fatalf("a step is held by %s, whom nobody has started", worker)
	return nil
}

// ended waits until no run of the kind goes on, and wants all to have succeeded.
func (f *fire) ended(t *testing.T, kind elt.RunKind) {
	t.Helper()
	untilWithin(t, processTime, "every "+string(kind)+" run has ended", func() bool {
		return len(lines(t, f.book, fmt.Sprintf("SELECT 1 FROM runs WHERE kind = '%s' AND state = 'running'", kind))) == 0
	})
	for _, row := range lines(t, f.book, fmt.Sprintf("SELECT id, state FROM runs WHERE kind = '%s' AND state <> 'succeeded'", kind)) {
		t.Errorf("run %s is %s:\n%s", row[0], row[1], strings.Join(flat(lines(t, f.book, "SELECT id, state, error FROM steps WHERE state <> 'succeeded' AND run = '"+row[0]+"'")), "\n"))
	}
}

// trigger has the workers bring a night.
func (f *fire) trigger(t *testing.T, date elt.Date) {
	t.Helper()
	must(t, f.lead.dir, nil, "schedules", "trigger", "nightly", "--date", date.String(), "--reason", "under fire")
}

// hinderAll opens one gate after the other, each when something was done to who stands before it, and waits for the end of
// the night.
func (f *fire) hinderAll(t *testing.T, happen []string) {
	t.Helper()
	for k, what := range happen {
		f.hinder(t, what, fmt.Sprintf("pg.g%d", k), func() { f.gates.open(t, k) })
	}
	f.ended(t, elt.ScheduledRun)
}

// slowly has nobody read much of MariaDB until it is called.
func (f *fire) slowly(t *testing.T) (faster func()) {
	t.Helper()
	slow := make([]func(), len(f.workers))
	for i, h := range f.workers {
		slow[i] = h.net["maria"].Add(t, testenv.Bandwidth(16), testenv.Answers)
	}
	return func() {
		for _, faster := range slow {
			faster()
		}
	}
}

// ordeal is what happens to whom in the course of a night and of a backfill.
type ordeal struct {
	seed     uint64
	datasets int
	wide     string   // to who reads a table that is long on its way, if anything
	night    []string // to who reads the tables g0, g1, … in a night
	lead     string   // to the serve that leads, in the middle of a backfill's g0
	between  []string // to who reads g0 and g1 in the night that comes into the middle of the backfill of these two
}

// underFire brings a night, and a backfill with another night in its middle, with nobody in the way and under fire, and wants
// both ends to be the same.
func underFire(t *testing.T, o ordeal) {
	second := must1(elt.ParseDate(worldDate(t)))
	first := second.AddDays(-1)
	w := newWorldOf(t, o.seed, o.datasets, first.String())
	w.attempts, w.connections = 50, 12
	if o.wide != "" {
		w.tables = append(w.tables, worldTable{source: "maria", name: "wide", rows: 6029})
		w.fillTable(t, len(w.tables)-1)
	}
	for i := range w.models {
		w.models[i].fails = false
	}
	g := w.gate(t, len(o.night))

	quiet := w.direct(t)
	calm, calmBook := w.workspace(t, quiet, testenv.S3(t).NewBucket(t)), open(t, "pgx", quiet.ledger)
	must(t, calm, nil, "run", "--yes", "--date", first.String())
	want := aftermathOf(t, calm, calmBook)
	f := newFire(t, w, g)
	for k := range o.night {
		g.close(t, k)
	}
	if o.wide == "" {
		f.trigger(t, first)
	} else {
		faster := f.slowly(t)
		f.trigger(t, first)
		f.hinder(t, o.wide, "maria.wide", faster)
	}
	f.hinderAll(t, o.night)
	if diff := gocmp.Diff(want, aftermathOf(t, f.lead.dir, f.book)); diff != "" {
		t.Errorf("after a night (-undisturbed +under fire):\n%s", diff)
	}
	wantWholeBook(t, f.lead.dir, f.book)

	// What two tables held is changed behind their cursors' back, and brought again; a night comes in between.
	asked := []string{"pg.g0", "pg.g1", "--from", first.AddDays(-1).String(), "--to", first.String(), "--mode", "all"}
	g.exec(t, "UPDATE g0 SET amount = amount * 100")
	g.exec(t, "UPDATE g1 SET amount = amount * 100")
	begun(t, calm, asked...)
	must(t, calm, nil, "run", "--yes", "--date", second.String())
	must(t, calm, nil, "backfill", "resume", "backfill-1")
	want = aftermathOf(t, calm, calmBook)
	for k := range o.between {
		g.close(t, k)
	}
	begun(t, f.lead.dir, asked...)
	f.hinderLead(t, o.lead, "pg.g0")
	f.trigger(t, second)
	f.hinderAll(t, o.between)
	untilWithin(t, processTime, "the backfill has ended", func() bool { return lines(t, f.book, "SELECT state FROM backfills")[0][0] != "running" })
	f.ended(t, elt.BackfillRun)
	if diff := gocmp.Diff(want, aftermathOf(t, f.lead.dir, f.book)); diff != "" {
		t.Errorf("after a backfill (-undisturbed +under fire):\n%s", diff)
	}
	wantOneBook(t, f.lead.dir, f.book)
	f.settled(t)
}

// settled wants everything that was done to be done once, and everybody to end as asked.
func (f *fire) settled(t *testing.T) {
	t.Helper()
	if twice := lines(t, f.book, "SELECT step FROM attempts WHERE outcome = 'succeeded' GROUP BY 1 HAVING count(*) > 1"); len(twice) > 0 {
		t.Errorf("these steps succeeded twice: %v", twice)
	}
	if unended := lines(t, f.book, "SELECT step, worker FROM attempts WHERE outcome IS NULL"); len(unended) > 0 {
		t.Errorf("these attempts never ended: %v", unended)
	}
	for _, h := range append(f.workers, f.lead) {
		h.stop(t)
	}
}

// must1 returns the first of two results when there is no error.
func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Three workers read for a daybreak serve that builds in DuckDB. One after the other is killed or stopped in the middle of a
// table, and so is the serve, during a night and during a backfill with a night in its middle: the ends are those of an
// undisturbed night and backfill, and the status never says that something is there which is not.
func TestThreeWorkersUnderFire(t *testing.T) {
	t.Parallel()
	underFire(t, ordeal{seed: 11, datasets: 6, night: []string{killed, stopped, killed}, lead: killed, between: []string{killed, relieved}})
}
