package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// What a test asks of the program that it starts: to write down every failpoint that it passes, or to die at one.
const (
	passagesFile = "DAYBREAK_TEST_PASSAGES"
	crashAt      = "DAYBREAK_TEST_CRASH"
)

// armFailpoints does what the environment asks for, if it asks.
func armFailpoints() error {
	if file := os.Getenv(passagesFile); file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		failpoint.Arm(func(name string) { fmt.Fprintln(f, name) })
	}
	where, ok := os.LookupEnv(crashAt)
	if !ok {
		return nil
	}
	name, nth, _ := strings.Cut(where, "@")
	left, err := strconv.Atoi(nth)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	failpoint.Arm(func(passed string) {
		if passed != name {
			return
		}
		mu.Lock() // and for ever, at the passage where it dies: no goroutine goes on
		if left--; left > 0 {
			mu.Unlock()
			return
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // a process may always kill itself
		select {}
	})
	return nil
}

// passage is one time at which a failpoint is passed.
type passage struct {
	name string
	nth  int
}

func (p passage) String() string { return fmt.Sprintf("%s@%d", p.name, p.nth) }

// passages runs a command to its end and returns what it passed, in order.
func passages(t *testing.T, dir string, args ...string) (passed []passage) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passages")
	must(t, dir, []string{passagesFile + "=" + file}, args...)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	times := make(map[string]int)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		times[lines.Text()]++
		passed = append(passed, passage{lines.Text(), times[lines.Text()]})
	}
	return passed
}

// dieAt runs a command that is killed with SIGKILL at a passage, and reports whether it was: the order of what goes on
// at once is not the same each time, and the last passages of a name may not come.
func dieAt(t *testing.T, dir string, p passage, args ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := program(ctx, t, dir, []string{crashAt + "=" + p.String()}, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() && status.ExitStatus() != 0 {
		t.Fatalf("the command that was to die at %s: %v\n%s", p, err, out)
	}
	return status.Signaled()
}

// glimpse is what a reader of the published warehouse sees: the rows of every relation, and the versions that they are
// said to be.
type glimpse struct {
	Contents map[string]string
	versions map[string]bool
}

// look opens what readers open, without Daybreak's help.
func look(t *testing.T, dir string) (g glimpse) {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	g = glimpse{contentsOf(t, db), make(map[string]bool)}
	for _, id := range texts(t, db, "SELECT version_id FROM _daybreak.versions") {
		g.versions[id] = true
	}
	return g
}

// scene is a command that is killed at each of its passages.
type scene struct {
	name string
	// stage returns a workspace of the test's own, in which the command has not run yet.
	stage func(t *testing.T) string
	args  []string
	// must are failpoints that the command passes; a scene without one of them shows nothing of it.
	must []string
	// settled checks what is true once the command has run to its end, besides what is published.
	settled func(t *testing.T, dir string)
}

// play kills the scene's command at the passages that pick chooses, and each time sees that readers have the old state
// or the new one and nothing in between, that the ledger knows of nothing which they do not see, and that the command,
// given again, ends like one that nobody disturbed.
func (s scene) play(t *testing.T, pick func([]passage) []passage) {
	undisturbed := s.stage(t)
	before := look(t, undisturbed)
	passed := passages(t, undisturbed, s.args...)
	after := look(t, undisturbed)
	reached := make(map[string]bool)
	for _, p := range passed {
		reached[p.name] = true
	}
	for _, name := range s.must {
		if !reached[name] {
			t.Errorf("%s passes no failpoint %s", s.name, name)
		}
	}
	died, picked := 0, pick(passed)
	for _, p := range picked {
		t.Run(p.String(), func(t *testing.T) {
			dir := s.stage(t)
			if dieAt(t, dir, p, s.args...) {
				died++
			}
			seen := look(t, dir)
			if !cmp.Equal(seen.Contents, before.Contents) && !cmp.Equal(seen.Contents, after.Contents) {
				t.Errorf("readers see neither the old tables nor the new ones (-old +seen):\n%s", cmp.Diff(before.Contents, seen.Contents))
			}
			ledger := filepath.Join(dir, "state", "ledger.db")
			for _, row := range ask(t, ledger, "SELECT id FROM versions") {
				if !seen.versions[row[0]] {
					t.Errorf("the ledger says that %s is published, and nobody can read it", row[0])
				}
			}
			must(t, dir, nil, s.args...)
			if diff := cmp.Diff(after.Contents, look(t, dir).Contents); diff != "" {
				t.Errorf("(-undisturbed +killed and given again):\n%s", diff)
			}
			wantOneTruth(t, dir)
			seqs := ask(t, ledger, "SELECT count(*), min(seq), max(seq) FROM events")[0]
			if seqs[0] != seqs[2] {
				t.Errorf("the events have a gap: %s events up to %s", seqs[0], seqs[2])
			}
			if left := ask(t, ledger, "SELECT id, state FROM steps WHERE state <> 'succeeded'"); len(left) > 0 {
				t.Errorf("steps are left: %v", left)
			}
			if s.settled != nil {
				s.settled(t, dir)
			}
		})
	}
	t.Logf("%s: %d failpoints, %d passages, killed at %d of them: 0 lost, 0 doubled, 0 false greens unless this test failed", s.name, len(reached), len(passed), died)
	if died < len(picked)*9/10 {
		t.Errorf("%d of %d passages were reached: the command is not the same each time", died, len(picked))
	}
}

// some returns n passages spread evenly from the first to the last.
func some(n int) func([]passage) []passage {
	return func(all []passage) (out []passage) {
		for i := range min(n, len(all)) {
			out = append(out, all[i*(len(all)-1)/max(1, n-1)])
		}
		return out
	}
}

// theNight is one that finds the tables of the night before published.
var theNight = scene{
	name: "a night", stage: brought,
	must: []string{
		"step.claimed", "step.done", "step.recorded", "run.finish", "run.finished", "ledger.commit", "ledger.committed",
		"extract.snapshot", "extract.snapshot_open", "extract.snapshot_close", "extract.parts_stored", "extract.manifest", "extract.manifest_stored", "extract.manifest_record",
		"lake.disk.put", "lake.disk.created", "lake.disk.written", "lake.disk.linked", "lake.disk.stored",
		"load.stage", "load.staged", "load.verify", "transform.build", "transform.built", "transform.test",
		"duckdb.commit", "duckdb.committed", "duckdb.publish_item", "duckdb.published", "duckdb.sweep", "duckdb.checkpointed", "duckdb.copy_written", "duckdb.copy_renamed",
		"publish.begin", "publish.visible", "publish.recorded", "publish.described", "artifacts.write",
	},
}

// A night that is killed at any moment and run again ends with the tables of an undisturbed night.
func TestKilledNightsEndLikeUndisturbedOnes(t *testing.T) {
	t.Parallel()
	s := theNight
	s.args = []string{"run", "--date", lastDate(t).String()}
	s.play(t, moments(20))
}

// theRollback brings back the companies of the first of two nights.
var theRollback = scene{
	name:  "a rollback",
	stage: func(t *testing.T) string { dir, _, _ := twoNights(t); return dir },
	args:  []string{"rollback", "app.companies", "--reason", "wrong names", "--yes"},
	must:  []string{"rollback.begin", "rollback.visible", "duckdb.restored"},
}

func TestKilledRollbacks(t *testing.T) {
	t.Parallel()
	theRollback.play(t, func(all []passage) (out []passage) {
		for _, p := range all {
			if strings.HasPrefix(p.name, "rollback.") || p.name == "duckdb.restored" || p.name == "duckdb.copy_renamed" {
				out = append(out, p)
			}
		}
		return append(out, moments(0)(all)...)
	})
}
