package main

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// What happens to a process in the middle of a step.
const (
	killed     = "killed, and replaced"
	stopped    = "stopped for longer than its lease, and woken"
	overslept  = "stopped until others have done its work, and woken"
	noLedger   = "cut off from the ledger"
	deafLedger = "not answered by the ledger"
	noLake     = "cut off from S3"
	relieved   = "asked to end at short notice, and replaced"
)

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
		for line := range s.says.rest() {
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

// flat is a row a line.
func flat(rows [][]string) (out []string) {
	for _, row := range rows {
		out = append(out, strings.Join(row, " "))
	}
	return out
}
