package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// pair is two daybreak serve, of which one leads, and a worker, over a ledger on PostgreSQL.
type pair struct {
	dir    string
	book   *sql.DB
	serves []*hand
}

// newPair starts them over a workspace with three schedules, t0 to t2, each of a table of its own, of which none is due.
func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{dir: t.TempDir()}
	server, url := bigquerytest.New(t), testenv.Postgres(t).URL
	p.book = open(t, "pgx", url)
	files := map[string]string{"daybreak.yaml": fmt.Sprintf(`
ledger: ${env:LEDGER_URL}
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q}}
sources: {shop: {sqlite: shop.db}}
status: {public: true}
`, server.URL)}
	for k := range 3 {
		change(t, filepath.Join(p.dir, "shop.db"), fmt.Sprintf("CREATE TABLE t%d (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t%[1]d VALUES (1, 'Ada'), (2, 'Grace')", k))
		files[fmt.Sprintf("schedules/s%d.yaml", k)] = fmt.Sprintf("at: \"02:00\"\ntimezone: UTC\nowners: [a@example.com, b@example.com]\ntables:\n  shop.t%d: {mode: full, key: [id]}\n", k)
	}
	write(t, p.dir, files)
	shelf := shelf{prefix: "test_", ask: func(query string) ([]string, error) { return server.Rows(lasting{t}, query), nil }}
	sampling(t, url, shelf.judge)
	hand := func(name, ledger string, args ...string) *hand {
		h := &hand{name: name, dir: p.dir, env: []string{"LEDGER_URL=" + ledger}, args: append(args, "--log", "json")}
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(h.log())
			}
		})
		h.begin(t)
		return h
	}
	for _, name := range []string{"one serve", "the other serve"} {
		proxy := testenv.Toxiproxy(t).Before(t, url)
		h := hand(name, proxy.URL, "serve", "--kinds", "none", "--listen", "127.0.0.1:0")
		h.net = network{"ledger": proxy}
		p.serves = append(p.serves, h)
		p.leads(t)
	}
	hand("worker", url, "worker", "--threads", "2")
	until(t, "every schedule has begun", func() bool { return len(lines(t, p.book, "SELECT 1 FROM ticks")) == 3 })
	return p
}

// leader returns who leads now, "" when nobody does.
func (p *pair) leader(t *testing.T) string {
	t.Helper()
	for _, row := range lines(t, p.book, `SELECT worker FROM leaders WHERE lease_until > to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`) {
		return row[0]
	}
	return ""
}

// leads returns who leads, as soon as somebody does: a serve that stands still for a while has lost the lead.
func (p *pair) leads(t *testing.T) (leader string) {
	t.Helper()
	until(t, "somebody leads", func() bool { leader = p.leader(t); return leader != "" })
	return leader
}

// passes waits until the lead has passed from a worker to another serve.
func (p *pair) passes(t *testing.T, from string) {
	t.Helper()
	until(t, "another serve leads", func() bool {
		silence(t, p.book, from)
		now := p.leader(t)
		return now != "" && now != from
	})
}

// due makes the last date of a schedule due.
func (p *pair) due(t *testing.T, k int) {
	t.Helper()
	if _, err := p.book.ExecContext(t.Context(), "UPDATE ticks SET date = (date::date - 1)::text WHERE schedule = $1", fmt.Sprintf("s%d", k)); err != nil {
		t.Fatal(err)
	}
}

// once waits until a schedule's date has been brought, and wants one tick to have run, one run, and each step to have been
// done once.
func (p *pair) once(t *testing.T, k int, after string) {
	t.Helper()
	of := func(query string) [][]string { return lines(t, p.book, fmt.Sprintf(query, fmt.Sprintf("'s%d'", k))) }
	until(t, fmt.Sprintf("s%d is brought after the leader was %s", k, after), func() bool {
		return len(of("SELECT 1 FROM runs WHERE state = 'succeeded' AND schedule = %s")) > 0 && len(of("SELECT 1 FROM ticks WHERE run <> '' AND schedule = %s")) > 0
	})
	want := map[string]string{
		"SELECT count(*), count(DISTINCT date) FROM runs WHERE schedule = %s":                                                                                   "1 1",
		"SELECT count(*), count(DISTINCT run) FROM ticks WHERE run <> '' AND schedule = %s":                                                                     "1 1",
		"SELECT count(*) FROM events WHERE kind = 'tick.run' AND detail::json->>'schedule' = %s":                                                                "1",
		"SELECT count(*) FROM events JOIN runs ON runs.id = events.run WHERE events.kind = 'run.succeeded' AND runs.schedule = %s":                              "1",
		"SELECT count(*) - count(DISTINCT step) FROM attempts JOIN steps ON steps.id = attempts.step JOIN runs ON runs.id = steps.run WHERE runs.schedule = %s": "0",
		"SELECT count(*) FROM versions JOIN runs ON runs.id = versions.run WHERE runs.schedule = %s":                                                            "1",
	}
	for query, want := range want {
		if got := strings.Join(of(query)[0], " "); got != want {
			t.Errorf("the leader was %s: %s gives %s, want %s", after, query, got, want)
		}
	}
}

// hands returns whose process leads, and the other serve.
func (p *pair) hands(t *testing.T, leader string) (leads, follows *hand) {
	t.Helper()
	i := slices.IndexFunc(p.serves, func(h *hand) bool { return h.is(leader) })
	if i < 0 {
		t.Fatalf("%s leads, whom nobody has started", leader)
	}
	return p.serves[i], p.serves[1-i]
}

// A serve that leads is killed, stopped, and cut off from the ledger: the other takes over, and every tick is decided once,
// also when two believe for a moment that they lead. Who comes back does nothing twice. One that is asked to end is followed
// at once.
func TestTheLeadIsTakenOver(t *testing.T) {
	t.Parallel()
	p := newPair(t)

	leader := p.leads(t)
	leads, _ := p.hands(t, leader)
	leads.kill(t)
	p.passes(t, leader)
	p.due(t, 0)
	p.once(t, 0, killed)
	leads.begin(t)

	leader = p.leads(t)
	leads, _ = p.hands(t, leader)
	leads.signal(t, syscall.SIGSTOP)
	p.passes(t, leader)
	leads.signal(t, syscall.SIGCONT) // it has led within ten seconds, and believes that it does
	p.due(t, 1)
	p.once(t, 1, stopped)

	leader = p.leads(t)
	leads, _ = p.hands(t, leader)
	leads.net["ledger"].Cut(t)
	p.passes(t, leader)
	p.due(t, 2)
	p.once(t, 2, noLedger)
	leads.net["ledger"].Restore(t)
	seen := fmt.Sprintf("SELECT seen_at FROM workers WHERE id = '%s'", leader)
	before := lines(t, p.book, seen)[0][0]
	until(t, "who was cut off is heard of again", func() bool { return lines(t, p.book, seen)[0][0] > before })

	leader = p.leads(t)
	leads, follows := p.hands(t, leader)
	leads.stop(t)
	until(t, "the lead has passed to who was left", func() bool { return follows.is(p.leader(t)) })
	if diff := cmp.Diff([]string{"s0 1", "s1 1", "s2 1"}, flat(lines(t, p.book, "SELECT schedule, count(*) FROM runs GROUP BY 1 ORDER BY 1"))); diff != "" {
		t.Errorf("runs in the end (-want +got):\n%s", diff)
	}
	follows.stop(t)
}

// A worker dies at one place after the other, in the middle of each kind of step: the next one goes on where the ledger says,
// and what it finds done stays done.
func TestWorkersDieInEachStep(t *testing.T) {
	t.Parallel()
	dir, env, warehouse := sharedCafe(t)
	date := lastDate(t).String()
	book := open(t, "pgx", strings.TrimPrefix(env[0], "LEDGER_URL="))
	shelf := shelf{prefix: "test_", ask: func(query string) ([]string, error) { return warehouse.Rows(lasting{t}, query), nil }}
	sampling(t, strings.TrimPrefix(env[0], "LEDGER_URL="), shelf.judge)
	s, stop := serve(t, dir, env, "--kinds", "none")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	h := &hand{name: "worker", dir: dir, args: []string{"worker", "--threads", "1", "--log", "json"}}
	for _, place := range []string{
		"step.claimed", "extract.parts_stored", "extract.manifest_record", "step.recorded", "load.staged", "load.verify", "transform.built", "publish.visible",
	} {
		h.env = append(slices.Clone(env), crashAt+"="+place+"@1")
		h.start(t)
		until(t, "the worker dies at "+place, h.dead)
		for _, row := range lines(t, book, "SELECT id FROM workers WHERE command = 'worker'") {
			silence(t, book, row[0])
		}
	}
	h.env = env
	h.begin(t)
	must(t, dir, env, "wait", "--url", s.url, "--timeout", "5m", "best@"+date, "revenue@"+date, "cafe.drinks@"+date)
	untilWithin(t, processTime, "the run has ended", func() bool { return lines(t, book, "SELECT state FROM runs")[0][0] == "succeeded" })
	if diff := cmp.Diff([]string{"coffee|9", "tea|3"}, warehouse.Rows(t, "SELECT * FROM test_analytics.revenue ORDER BY 1")); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
	ids := strings.Join(warehouse.Rows(t, "SELECT version_id FROM test__daybreak.versions ORDER BY 1"), " ")
	if diff := cmp.Diff(ids, strings.Join(flat(lines(t, book, `SELECT id FROM versions ORDER BY id COLLATE "C"`)), " ")); diff != "" {
		t.Errorf("versions (-warehouse +ledger):\n%s", diff)
	}
	if lost := lines(t, book, "SELECT DISTINCT s.kind FROM attempts a JOIN steps s ON s.id = a.step WHERE a.outcome = 'lost' ORDER BY 1"); len(lost) < 4 {
		t.Errorf("workers died in steps of the kinds %v only", lost)
	}
	h.stop(t)
	stop()
}
