package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// gates hold up whoever reads the tables of a world that are behind them, until they are opened.
type gates struct {
	admin *sql.Conn // whose session closes them
	n     int
}

// gate adds n small incremental tables g0, g1, … to the world's PostgreSQL, each behind a gate of its own that is open, with a
// model over each: rows of the world's date, of the one before and of the one after it. It has the world be read by a user
// who cannot go round.
func (w *world) gate(t *testing.T, n int) *gates {
	t.Helper()
	db := open(t, "pgx", w.database)
	admin, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() }) // its session ends with the test, and the locks with it
	g := &gates{admin: admin, n: n}
	g.exec(t, `CREATE FUNCTION gate(k int) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
		$$ BEGIN PERFORM pg_advisory_xact_lock_shared(k); RETURN true; END $$`)
	date, err := elt.ParseDate(w.date)
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		name := fmt.Sprintf("g%d", k)
		g.exec(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL, note VARCHAR(400), updated_at TIMESTAMPTZ NOT NULL)", name))
		g.exec(t, fmt.Sprintf("INSERT INTO %s SELECT i, i * %d, 'row ' || i, '%s 12:00Z'::timestamptz + (i %% 3 - 1) * interval '1 day' FROM generate_series(1, 20) i", name, k+3, date))
		g.exec(t, fmt.Sprintf("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name))
		g.exec(t, fmt.Sprintf("CREATE POLICY held_up ON %s USING (gate(%d))", name, k))
		w.tables = append(w.tables, worldTable{source: "pg", name: name, rows: 20, incremental: true})
		w.models = append(w.models, worldModel{name: "of_" + name, inputs: []string{fmt.Sprintf("{{ source('pg', '%s') }}", name)}})
	}
	place, err := url.Parse(w.database)
	if err != nil {
		t.Fatal(err)
	}
	reader := "reader_of_" + strings.TrimPrefix(place.Path, "/") // users belong to all databases of a server
	g.exec(t, fmt.Sprintf("CREATE ROLE %q LOGIN", reader))
	g.exec(t, fmt.Sprintf("GRANT SELECT ON ALL TABLES IN SCHEMA public TO %q", reader))
	place.User = url.User(reader)
	w.database = place.String()
	return g
}

func (g *gates) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := g.admin.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// close lets nobody read the table any more.
func (g *gates) close(t *testing.T, k int) { g.exec(t, fmt.Sprintf("SELECT pg_advisory_lock(%d)", k)) }

// open lets everybody read it who has waited, and who comes.
func (g *gates) open(t *testing.T, k int) { g.exec(t, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", k)) }

// hand is one of several processes that work on a ledger, with a workspace and a network of its own.
type hand struct {
	name string
	dir  string
	env  []string
	args []string
	net  network
	s    *server

	mu   sync.Mutex
	says []string // what the process has logged
}

// begin starts the process and waits until it works.
func (h *hand) begin(t *testing.T) {
	t.Helper()
	h.start(t)
	until(t, h.name+" works", func() bool { return h.said(`"msg":"working"`) || h.said(`"msg":"serving"`) })
}

// start starts the process.
func (h *hand) start(t *testing.T) {
	t.Helper()
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait)
	s, _ := launch(t, program(context.WithoutCancel(t.Context()), t, h.dir, h.env, h.args...))
	h.mu.Lock()
	h.s, h.says = s, nil
	h.mu.Unlock()
	reading.Go(func() {
		for line := range s.lines {
			if !strings.HasPrefix(line, "{") || strings.Contains(line, "panicked") {
				t.Errorf("%s: %s", h.name, line)
			}
			h.mu.Lock()
			if h.s == s {
				h.says = append(h.says, line)
			}
			h.mu.Unlock()
		}
	})
}

// said reports whether the process has logged a line with the text.
func (h *hand) said(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.says, func(line string) bool { return strings.Contains(line, text) })
}

// dead reports whether the process is gone.
func (h *hand) dead() bool {
	select {
	case <-h.s.gone:
		return true
	default:
		return false
	}
}

// log is all that the process has said.
func (h *hand) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.name + ":\n" + strings.Join(h.says, "\n")
}

// signal sends the process a signal.
func (h *hand) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := h.s.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
}

// kill ends the process at once.
func (h *hand) kill(t *testing.T) {
	t.Helper()
	h.signal(t, syscall.SIGKILL)
	<-h.s.gone
}

// stop asks the process to end, and wants it to do so well.
func (h *hand) stop(t *testing.T) {
	t.Helper()
	h.s.signal(t)
	if err := h.s.end(t); err != nil {
		t.Errorf("%v after SIGTERM, want exit 0; %s", err, h.log())
	}
}

// is reports whether the ledger's name of a worker is that of the hand's process.
func (h *hand) is(worker string) bool {
	parts := strings.Split(worker, ":") // its machine, its process, and a random number
	return len(parts) == 3 && parts[1] == strconv.Itoa(h.s.cmd.Process.Pid)
}

// silence makes the ledger see what it sees half a minute after it last heard of a worker: what the worker held is anybody's.
func silence(t *testing.T, book *sql.DB, worker string) {
	t.Helper()
	for _, statement := range []string{
		"UPDATE steps SET lease_until = started_at WHERE state = 'running' AND worker = $1",
		"UPDATE steps SET worker = '' WHERE state <> 'running' AND worker = $1", // it reads no source any more
		"UPDATE snapshot_seats SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE lease_until IS NOT NULL AND worker = $1",
		"UPDATE daybreak_queue.river_job SET attempted_at = attempted_at - interval '30 seconds' WHERE state = 'running' AND $1 = ANY(attempted_by)",
		"UPDATE leaders SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE worker = $1",
	} {
		if _, err := book.ExecContext(t.Context(), statement, worker); err != nil {
			t.Fatal(err)
		}
	}
}
