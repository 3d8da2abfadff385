package workers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// slow is how many kilobytes a second each connection to the source carries: a table takes about a second.
const slow = 64

// TestTwoWorkersReadOneSnapshot: both bring tables, all of one moment, and together they never have more connections than
// the source allows.
func TestTwoWorkersReadOneSnapshot(t *testing.T) {
	t.Parallel()
	n := newNight(t, testenv.Postgres(t).URL, 10, slow)
	stop := n.trade()
	n.start("a")
	n.await("a shares its snapshot", shares, "a")
	n.start("b")
	over := make(chan struct{}, 1)
	watched := n.watchConnections(over)
	n.await("b reads", reads, "b")
	n.fewSessions()
	n.goOn()
	n.oneMoment(n.manifests())
	stop()
	watched()
	if len(over) > 0 {
		t.Error("the seats had more connections than the source allows")
	}
	if got := n.workers(); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("tables were brought by %v", got)
	}
	n.await("nobody holds the source any more", `SELECT NOT (`+held+`)`)
}

// watchConnections looks at what the seats in the ledger have, again and again.
func (n *night) watchConnections(over chan<- struct{}) (stop func()) {
	n.t.Helper()
	books := n.connect(n.worker.Ledger)
	ctx, cancel := context.WithCancel(n.t.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			var within bool
			if err := books.QueryRow(ctx, shared, n.worker.Connections).Scan(&within); err == nil && !within {
				select {
				case over <- struct{}{}:
				default:
				}
			}
		}
	})
	return func() {
		cancel()
		watcher.Wait()
	}
}

// fewSessions waits until the server has no more sessions than it allows, beside a night that does not go on: who was told
// to have fewer ends some, and those are there for a moment longer on the server than for who ended them.
func (n *night) fewSessions() {
	n.t.Helper()
	const few = `SELECT count(*) <= $1 FROM pg_stat_activity WHERE application_name = 'daybreak' AND datname = current_database()`
	awaitOn(n.t, n.connect(n.shop), patience, "the server has no more sessions than it allows", few, n.worker.Connections)
}

// TestTheHolderIsKilled: whoever joined keeps the snapshot, and another can join it still.
func TestTheHolderIsKilled(t *testing.T) {
	t.Parallel()
	n := newNight(t, testenv.Postgres(t).URL, 10, slow)
	stop := n.trade()
	defer stop()
	holder := n.start("a")
	n.await("a shares its snapshot", shares, "a")
	n.start("b")
	n.await("b keeps it, too", shares, "b")
	kill(t, holder)
	n.bury("a")
	n.start("c")
	n.await("c joins it", shares, "c")
	n.goOn()
	n.oneMoment(n.manifests())
	if codes := n.codes(); codes != "" && codes != "interrupted" {
		t.Errorf("attempts failed with %s", codes)
	}
}

// TestAJoinerIsKilled: the others do not notice, and bring what it had begun.
func TestAJoinerIsKilled(t *testing.T) {
	t.Parallel()
	n := newNight(t, testenv.Postgres(t).URL, 8, slow)
	stop := n.trade()
	defer stop()
	n.start("a")
	n.await("a shares its snapshot", shares, "a")
	joiner := n.start("b")
	n.await("b reads", reads, "b")
	kill(t, joiner)
	n.bury("b")
	n.goOn()
	n.oneMoment(n.manifests())
	if got := n.workers(); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("tables were brought by %v", got)
	}
}

// TestTheHolderIsPaused until its leases are over, with somebody who has joined and with nobody: awake again it finds its
// steps gone, and nothing is lost, doubled or said to agree that does not.
func TestTheHolderIsPaused(t *testing.T) {
	t.Parallel()
	for name, joined := range map[string]bool{"joined": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNight(t, testenv.Postgres(t).URL, 10, slow)
			stop := n.trade()
			defer stop()
			holder := n.start("a")
			n.await("a shares its snapshot", shares, "a")
			if joined {
				n.start("b")
				n.await("b keeps it, too", shares, "b")
			}
			n.pause(holder, "a")
			if !joined {
				n.start("b")
			}
			n.goOn()
			n.await("b has taken over a step of a's", robbed, "a")
			n.await("b has a snapshot to read it in", came, "b")
			send(t, holder, syscall.SIGCONT)
			all := n.manifests()
			if joined {
				n.oneMoment(all)
				return
			}
			if epochs := n.honest(all); epochs[len(epochs)-1] != 2 {
				t.Errorf("tables were read in the snapshots %v", epochs)
			}
		})
	}
}

// TestTheServerIsRestarted while two read: both want to take the next snapshot, and one does.
func TestTheServerIsRestarted(t *testing.T) {
	t.Parallel()
	server := testenv.NewPostgres(t, nil)
	n := newNight(t, server.URL, 10, slow)
	n.start("a")
	n.await("a shares its snapshot", shares, "a")
	n.start("b")
	n.await("b reads", reads, "b")
	server.Restart(t)
	n.goOn()
	epochs := n.honest(n.manifests())
	if last := epochs[len(epochs)-1]; last < 2 {
		t.Errorf("tables were read in the snapshots %v", epochs)
	}
}

// TestTakingTakesLong: a snapshot is taken over tables of which somebody holds one. Who takes it keeps its seat meanwhile, and the
// other worker waits for it and takes none of its own.
func TestTakingTakesLong(t *testing.T) {
	t.Parallel()
	n := newNight(t, testenv.Postgres(t).URL, 4, 0)
	n.worker.LockTimeout = patience
	holder := n.connect(n.shop)
	n.exec(holder, `BEGIN; LOCK TABLE t03 IN ACCESS EXCLUSIVE MODE`)
	n.start("a")
	n.await("a takes a snapshot", `SELECT EXISTS (SELECT FROM snapshots WHERE taken IS NULL)`)
	fence := n.fence()
	n.start("b")
	n.await("b looks for something to do", `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'b')`)
	n.keepsItsSeat("a")
	n.exec(holder, `COMMIT`)
	n.await("b reads", reads, "b")
	n.goOn()
	n.oneMoment(n.manifests())
	if now := n.fence(); now != fence {
		t.Errorf("the snapshot that was read has the fence %d, the one that a began %d", now, fence)
	}
}

// keepsItsSeat waits until a worker has said three times, while it takes a snapshot, that it is still there.
func (n *night) keepsItsSeat(w elt.WorkerID) {
	n.t.Helper()
	const until = `SELECT taken IS NOT NULL, lease_until FROM snapshots JOIN snapshot_seats USING (run, source) WHERE worker = $1`
	before, times := "", -1 // the first is from before
	testenv.Within(n.t, patience, "who takes the snapshot keeps its seat", func() bool {
		var taken bool
		var now string
		if err := n.books.QueryRow(n.t.Context(), until, string(w)).Scan(&taken, &now); err != nil {
			n.t.Fatal(err)
		}
		if taken {
			n.t.Fatalf("the snapshot was taken before its seat was kept three times: %d", times)
		}
		if now > before {
			before, times = now, times+1
		}
		return times == 3
	})
}

// TestAnotherServerBehindTheName: a worker that reaches a standby joins nothing, says so in a sentence, and leaves the tables
// to the others.
func TestAnotherServerBehindTheName(t *testing.T) {
	t.Parallel()
	server := testenv.NewPostgres(t, nil)
	n := newNight(t, server.URL, 8, slow)
	standby := server.Standby(t, nil)
	n.start("a")
	n.await("a shares its snapshot", shares, "a")
	astray := n.worker
	astray.Name, astray.Source = "b", standby.URL
	astray.start(t)
	n.await("b was refused", `SELECT EXISTS (SELECT FROM snapshot_seats WHERE worker = 'b' AND refused <> '')`)
	n.goOn()
	n.oneMoment(n.manifests())
	if got := n.workers(); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("tables were brought by %v", got)
	}
	var said string
	err := n.books.QueryRow(t.Context(), `SELECT error::json->>'message' FROM attempts WHERE worker = 'b' AND error::json->>'code' = 'snapshot_elsewhere' LIMIT 1`).Scan(&said)
	if err != nil || !strings.HasPrefix(said, "source shop: the snapshot is of postgres ") || !strings.Contains(said, "and this worker reaches postgres ") || !strings.HasSuffix(said, "as a replica under the same name") {
		t.Errorf("b says %q: %v", said, err)
	}
}

// TestASourceForOneWorker: with connections for one only, the other waits until it is gone.
func TestASourceForOneWorker(t *testing.T) {
	t.Parallel()
	n := newNight(t, testenv.Postgres(t).URL, 6, slow)
	n.worker.Connections, n.worker.Free = 3, 1
	first := n.start("a")
	n.await("a shares its snapshot", shares, "a")
	n.start("b")
	n.await("a has brought a table", brought, "a")
	kill(t, first)
	n.bury("a")
	n.goOn()
	if epochs := n.honest(n.manifests()); !cmp.Equal(epochs, []int{1, 2}) {
		t.Errorf("tables were read in the snapshots %v", epochs)
	}
	if got := n.workers(); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("tables were brought by %v", got)
	}
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Fatalf("it ended before it was killed: %v", err)
	}
}

func send(t testing.TB, cmd *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// pause stops a worker, and returns when none of its threads runs any more and its leases are over.
func (n *night) pause(cmd *exec.Cmd, w elt.WorkerID) {
	n.t.Helper()
	send(n.t, cmd, syscall.SIGSTOP)
	threads := fmt.Sprintf("/proc/%d/task", cmd.Process.Pid)
	testenv.Within(n.t, patience, "the process stands still", func() bool {
		all, err := os.ReadDir(threads)
		if err != nil {
			n.t.Fatal(err)
		}
		return !slices.ContainsFunc(all, func(thread os.DirEntry) bool {
			stat, err := os.ReadFile(filepath.Join(threads, thread.Name(), "stat")) // 123 (name) T …
			return err != nil || !bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" T "))
		})
	})
	n.await("the ledger has done what was asked of it", asked, string(w))
	n.runOut(w)
}
