package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// What a test asks of the program that it starts: to write down every failpoint that it passes, to die at one, or to build
// nothing from when its model slow is to be built until a file is gone.
const (
	passagesFile = "DAYBREAK_TEST_PASSAGES"
	crashAt      = "DAYBREAK_TEST_CRASH"
	heldWhile    = "DAYBREAK_TEST_HELD_WHILE"
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
	if file := os.Getenv(heldWhile); file != "" {
		failpoint.Arm(func(name string) {
			for again := time.Tick(20 * time.Millisecond); name == "transform.build" && building(".", "slow"); <-again {
				if _, err := os.Stat(file); err != nil {
					return
				}
			}
		})
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

// reserve is what of the tests' time is left when no further passage is tried: enough for the one that is.
const reserve = 3 * time.Minute

// passage is one time at which a failpoint is passed.
type passage struct {
	name string
	nth  int
}

func (p passage) String() string { return fmt.Sprintf("%s@%d", p.name, p.nth) }

// glimpse is what a reader of the published warehouse sees: the rows of every relation, and the versions that they are
// said to be.
type glimpse struct {
	Contents map[string]string
	versions map[string]bool
}

// look opens what readers open, without Daybreak's help.
func look(t *testing.T, dir string) glimpse {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "read", "warehouse.duckdb"))
	if errors.Is(err, fs.ErrNotExist) {
		return glimpse{map[string]string{}, map[string]bool{}} // nothing was ever published, or it was lost
	}
	if err != nil {
		t.Fatal(err)
	}
	return looks.of(sha256.Sum256(content)).get(func() glimpse {
		db := readCopy(t, dir)
		defer db.Close()
		g := glimpse{contentsOf(t, db), make(map[string]bool)}
		for _, id := range texts(t, db, "SELECT version_id FROM _daybreak.versions") {
			g.versions[id] = true
		}
		return g
	})
}

// looks are what readers find in a file, by its bytes: most deaths leave the file of before or that of an undisturbed end.
var looks glimpses

type glimpses struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]*fixture[glimpse]
}

func (g *glimpses) of(sum [sha256.Size]byte) *fixture[glimpse] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil {
		g.seen = make(map[[sha256.Size]byte]*fixture[glimpse])
	}
	if g.seen[sum] == nil {
		g.seen[sum] = new(fixture[glimpse])
	}
	return g.seen[sum]
}

// scene is a command that is killed at each of its passages.
type scene struct {
	name string
	// stage returns a workspace of the test's own, in which the command has not run yet.
	stage func(t *testing.T) string
	args  []string
	code  int // with which the command ends when nobody disturbs it
	again int // with which it may end when it is given again and all is done
	env   []string
	look  func(t *testing.T, dir string) glimpse // nil looks at DuckDB's copy for readers
	// over reports that a command which serves has nothing left to do; nil for a command that ends by itself.
	over func(t *testing.T, dir string) bool
	// must are failpoints that the command passes; a scene without one of them shows nothing of it.
	must []string
	// forgets is true of a command that drops old versions: nobody can say afterwards that they were there.
	forgets bool
	// lost is true of a command that brings a lost warehouse back: until it has, the ledger knows more than readers see.
	lost bool
	// halfway are passages at which an undisturbed command shows what is neither old nor new: it publishes more than once.
	halfway []passage
	// between is what happens after the death and before the next command; settled checks what is true in the end.
	between, settled func(t *testing.T, dir string)
}

// perform runs the command to its end, which is one of the exit codes, and reports whether it died by SIGKILL.
func (s scene) perform(t *testing.T, dir string, env []string, codes ...int) (died bool) {
	t.Helper()
	cmd := program(t.Context(), t, dir, append(env, s.env...), s.args...)
	var out heard
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for stopped := false; ; {
		select {
		case <-look.C:
			if s.over != nil && !stopped && out.contains("serving") && s.over(t, dir) { // before it serves, SIGTERM is death
				stopped = true
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
			}
		case err := <-ended:
			if died = wasKilled(cmd.ProcessState); !died && !slices.Contains(codes, cmd.ProcessState.ExitCode()) {
				t.Fatalf("daybreak %s: %v\n%s", strings.Join(s.args, " "), err, out.String())
			}
			return died
		}
	}
}

// heard is what a process says, for whoever looks meanwhile.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func (h *heard) contains(text string) bool { return strings.Contains(h.String(), text) }

// passages runs the command to its end and returns what it passed, in order.
func (s scene) passages(t *testing.T, dir string) (passed []passage) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passages")
	if s.perform(t, dir, []string{passagesFile + "=" + file}, s.code) {
		t.Fatalf("%s does not end by itself", s.name)
	}
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

// play kills the scene's command at the passages that pick chooses, and each time sees that readers have the old state
// or the new one and nothing in between, that the ledger knows of nothing which they do not see, and that the command,
// given again, ends like one that nobody disturbed.
func (s scene) play(t *testing.T, pick func([]passage) []passage) {
	inDuckDB := s.look == nil
	if inDuckDB {
		s.look = look
	}
	undisturbed := s.stage(t)
	seen := []glimpse{s.look(t, undisturbed)}
	for _, p := range s.halfway {
		dir := s.stage(t)
		if !s.perform(t, dir, []string{crashAt + "=" + p.String()}, s.code) {
			t.Fatalf("%s does not pass %s", s.name, p)
		}
		seen = append(seen, s.look(t, dir))
	}
	passed := s.passages(t, undisturbed)
	after := s.look(t, undisturbed)
	seen = append(seen, after)
	reached := make(map[string]bool)
	for _, p := range passed {
		reached[p.name] = true
	}
	for _, name := range s.must {
		if !reached[name] {
			t.Errorf("%s passes no failpoint %s", s.name, name)
		}
	}
	tried, died, picked := 0, 0, pick(passed)
	for i, p := range picked {
		if end, limited := t.Deadline(); limited && time.Until(end) < reserve {
			t.Errorf("the time that the tests have is over: %d of %d passages were not tried", len(picked)-i, len(picked))
			break
		}
		t.Run(p.String(), func(t *testing.T) {
			tried++ // -run may leave some out
			dir := s.stage(t)
			if inDuckDB && !s.forgets && !s.lost {
				neverFalselyGreen(t, dir)
			}
			// What goes on at once is not in the same order each time, and the last passages of a name may not come.
			if s.perform(t, dir, []string{crashAt + "=" + p.String()}, s.code) {
				died++
			}
			s.afterDeath(t, dir, seen)
			if s.between != nil {
				s.between(t, dir)
			}
			if s.perform(t, dir, nil, s.code, s.again) {
				t.Fatal("the command that was given again does not end")
			}
			s.afterAll(t, dir, undisturbed, after)
		})
	}
	t.Logf("%s: %d failpoints, %d passages, %d tried, killed at %d of them: 0 lost, 0 doubled, 0 false greens unless this test failed", s.name, len(reached), len(passed), tried, died)
	if died < tried*9/10 {
		t.Errorf("%d of %d passages were reached: the command is not the same each time", died, tried)
	}
}

// ledgerIn is the ledger of a workspace.
func ledgerIn(dir string) string { return filepath.Join(dir, "state", "ledger.db") }

// tablesIn returns the tables of that name in a ledger that may not be there.
func tablesIn(t *testing.T, file, name string) [][]string {
	t.Helper()
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return ask(t, file, "SELECT 1 FROM sqlite_master WHERE name = '"+name+"'")
}

// afterDeath checks what people see while nobody works: what they see once of those who are not disturbed.
func (s scene) afterDeath(t *testing.T, dir string, whole []glimpse) {
	t.Helper()
	seen := s.look(t, dir)
	if !slices.ContainsFunc(whole, func(g glimpse) bool { return cmp.Equal(seen.Contents, g.Contents) }) {
		t.Errorf("readers see neither the old tables nor the new ones (-old +seen):\n%s", cmp.Diff(whole[0].Contents, seen.Contents))
	}
	if s.lost || len(tablesIn(t, ledgerIn(dir), "versions")) == 0 { // or there is no ledger yet
		return
	}
	for _, row := range ask(t, ledgerIn(dir), "SELECT id FROM versions") {
		if !seen.versions[row[0]] {
			t.Errorf("the ledger says that %s is published, and nobody can read it", row[0])
		}
	}
}

// afterAll compares what there is in the end with what there is when nobody is killed.
func (s scene) afterAll(t *testing.T, dir, undisturbed string, after glimpse) {
	t.Helper()
	end := s.look(t, dir)
	if diff := cmp.Diff(after.Contents, end.Contents); diff != "" {
		t.Errorf("(-undisturbed +killed and given again):\n%s", diff)
	}
	versions := make(map[string]bool)
	for _, row := range ask(t, ledgerIn(dir), "SELECT id FROM versions") {
		versions[row[0]] = true
	}
	if s.lost { // what was published before the last one is not brought back
		maps.DeleteFunc(versions, func(id string, _ bool) bool { return !end.versions[id] })
	}
	if diff := cmp.Diff(end.versions, versions); diff != "" {
		t.Errorf("versions (-warehouse +ledger):\n%s", diff)
	}
	if seqs := ask(t, ledgerIn(dir), "SELECT count(*), min(seq), max(seq) FROM events")[0]; seqs[0] != seqs[2] {
		t.Errorf("the events have a gap: %s events up to %s", seqs[0], seqs[2])
	}
	const steps = "SELECT runs.date, steps.kind, steps.dataset, steps.state FROM steps JOIN runs ON runs.id = steps.run ORDER BY 1, 2, 3, 4"
	if diff := cmp.Diff(ask(t, ledgerIn(undisturbed), steps), ask(t, ledgerIn(dir), steps)); diff != "" {
		t.Errorf("steps (-undisturbed +killed and given again):\n%s", diff)
	}
	if s.settled != nil {
		s.settled(t, dir)
	}
}
