package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// chaosSeed is the environment variable with which a night of chaos is replayed.
const chaosSeed = "DAYBREAK_CHAOS_SEED"

// seedOf returns the seed that was asked for, or the given one, and says how to replay it.
func seedOf(t *testing.T, otherwise uint64) uint64 {
	t.Helper()
	seed := otherwise
	if text := os.Getenv(chaosSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", chaosSeed, err)
		}
	}
	t.Logf("seed %d; again: %s=%d go test -run '^%s$' .", seed, chaosSeed, seed, t.Name())
	return seed
}

// fault is something that happens to a night once its ledger holds so many events.
type fault struct {
	after int
	place string // pg, maria, s3 or ledger; process for a kill
	kind  string
	lasts time.Duration
}

func (f fault) String() string {
	if f.place == "process" {
		return fmt.Sprintf("after %d events the process is killed", f.after)
	}
	return fmt.Sprintf("after %d events %s: %s for %s", f.after, f.place, f.kind, f.lasts)
}

// plan draws n faults and some kills from the seed, over a night of so many events.
func plan(seed uint64, n, kills, events int) (all []fault) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range n {
		all = append(all, fault{
			after: r.IntN(events),
			place: []string{"pg", "maria", "s3", "ledger"}[r.IntN(4)],
			kind:  []string{"cut", "half-open", "latency", "bandwidth", "reset"}[r.IntN(5)],
			lasts: time.Duration(200+r.IntN(1300)) * time.Millisecond,
		})
	}
	for range kills {
		all = append(all, fault{after: events/10 + r.IntN(events*8/10), place: "process", kind: "kill"})
	}
	slices.SortFunc(all, func(a, b fault) int { return cmp.Compare(a.after, b.after) })
	return all
}

// network is what stands between a workspace and its servers.
type network map[string]*testenv.Proxy

// behind puts a proxy before each server and returns the places that a workspace then knows.
func behind(t *testing.T, p places) (places, network) {
	t.Helper()
	n := make(network)
	for name, url := range map[string]*string{"ledger": &p.ledger, "pg": &p.pg, "maria": &p.maria, "s3": &p.s3} {
		n[name] = testenv.Toxiproxy(t).Before(t, *url)
		*url = n[name].URL
	}
	return p, n
}

// suffer does a fault to the network for as long as it lasts.
func (n network) suffer(t *testing.T, f fault) {
	t.Helper()
	p := n[f.place]
	end := func() { p.Restore(t) }
	switch f.kind {
	case "cut":
		p.Cut(t)
	case "half-open":
		end = p.Add(t, testenv.HalfOpen(), testenv.Answers)
	case "latency":
		end = p.Add(t, testenv.Latency(120*time.Millisecond), testenv.Answers)
	case "bandwidth":
		end = p.Add(t, testenv.Bandwidth(20), testenv.Answers)
	case "reset":
		end = p.Add(t, testenv.ResetPeer(), testenv.Requests)
	}
	time.Sleep(f.lasts) // the fault itself, and no wait for anything
	end()
}

// chaosNight is a night over a world under faults.
type chaosNight struct {
	dir    string
	book   *sql.DB // its ledger, with nothing in between
	net    network
	hurry  bool // what a dead process holds is free at once, and not when its lease ends
	ended  int  // with which the undisturbed night exits
	came   int  // faults that came before the night was over
	starts int
}

// events is how many events a ledger holds.
func eventsIn(ctx context.Context, book *sql.DB) (n int) {
	if book.QueryRowContext(ctx, "SELECT max(seq) FROM events").Scan(&n) != nil {
		return 0 // there is no ledger yet
	}
	return n
}

// live has the night run to its end, again whenever its process ends otherwise, while the plan happens to it.
func (c *chaosNight) live(t *testing.T, faults []fault) {
	t.Helper()
	kills, over := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		defer close(over)
		look := time.NewTicker(10 * time.Millisecond)
		defer look.Stop()
		var going sync.WaitGroup
		defer going.Wait()
		for _, f := range faults {
			for eventsIn(ctx, c.book) < f.after {
				select {
				case <-look.C:
				case <-ctx.Done():
					return
				}
			}
			if f.place != "process" {
				going.Go(func() { c.net.suffer(t, f) })
			} else {
				select {
				case kills <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
			c.came++
		}
	}()
	for c.starts = 1; c.once(t, kills) != c.ended; c.starts++ {
		if c.starts > 20+2*len(faults) {
			t.Fatalf("after %d starts the night has not ended", c.starts)
		}
	}
	stop()
	<-over
	for range 2 { // what failed under the last faults is tried once more when all is well
		c.once(t, nil)
	}
}

// once runs the night's process to its end, or to its death, and returns its exit code.
func (c *chaosNight) once(t *testing.T, kills <-chan struct{}) int {
	t.Helper()
	cmd := program(t.Context(), t, c.dir, nil, "run", "--yes", "--date", worldDate(t))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-kills:
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatalf("%v\n%s", err, &out)
			}
			code := cmd.ProcessState.ExitCode()
			if code == -1 && c.hurry {
				c.bury(t)
			}
			if code > 0 && code != c.ended && !slices.Contains([]int{65, 69, 75}, code) {
				t.Fatalf("daybreak run: exit %d, which no fault excuses:\n%s", code, &out)
			}
			return code
		}
	}
}

// bury ends the leases of the process that died, as half a minute would.
func (c *chaosNight) bury(t *testing.T) {
	t.Helper()
	for _, statement := range []string{
		"UPDATE steps SET lease_until = started_at WHERE state = 'running'",
		"UPDATE steps SET worker = '' WHERE state <> 'running'", // it reads no source any more
	} {
		if _, err := c.book.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// aftermath is what there is after a night: what people read, and what the ledger says of each step and version.
type aftermath struct {
	Contents        map[string]string
	Steps, Versions [][]string
}

func aftermathOf(t *testing.T, dir string, book *sql.DB) aftermath {
	t.Helper()
	return aftermath{
		contents(t, dir),
		lines(t, book, "SELECT runs.date, steps.kind, steps.dataset, steps.state FROM steps JOIN runs ON runs.id = steps.run ORDER BY 1, 2, 3, 4"),
		lines(t, book, "SELECT dataset, date, rows FROM versions ORDER BY 1, 2, 3"),
	}
}

// wantWholeBook checks that a ledger on PostgreSQL has one run, no gap in its events, and exactly the warehouse's versions.
func wantWholeBook(t *testing.T, dir string, book *sql.DB) {
	t.Helper()
	if row := lines(t, book, "SELECT count(*), max(seq), min(seq) FROM events")[0]; row[0] != row[1] || row[2] != "1" {
		t.Errorf("the events have a gap: %s events from %s to %s", row[0], row[2], row[1])
	}
	if runs := lines(t, book, "SELECT id FROM runs"); len(runs) != 1 {
		t.Errorf("there are %d runs", len(runs))
	}
	wantOneBook(t, dir, book)
}

// wantOneBook checks that a ledger on PostgreSQL knows exactly the versions that the warehouse holds.
func wantOneBook(t *testing.T, dir string, book *sql.DB) {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	seen := lines(t, db, "SELECT version_id, dataset, run_id FROM _daybreak.versions ORDER BY 1")
	if diff := gocmp.Diff(seen, lines(t, book, "SELECT id, dataset, run FROM versions ORDER BY id COLLATE \"C\"")); diff != "" {
		t.Errorf("versions (-warehouse +ledger):\n%s", diff)
	}
}

// nightOfChaos plans a night of so many datasets and faults from the seed, and holds its end against that of a night
// of the same world which nobody disturbs.
func nightOfChaos(t *testing.T, seed uint64, datasets, faults, kills int, hurry bool) {
	w := newWorld(t, seed, datasets)
	quiet := w.direct(t)
	calm := w.workspace(t, quiet, testenv.S3(t).NewBucket(t))
	a := do(t, calm, nil, "run", "--yes", "--date", worldDate(t))
	if a.code != 0 && a.code != 65 {
		t.Fatalf("the undisturbed night: exit %d\n%s%s", a.code, a.out, a.errors)
	}
	calmBook := open(t, "pgx", quiet.ledger)
	if failed := lines(t, calmBook, "SELECT dataset, kind FROM steps WHERE state = 'failed' AND kind <> 'test'"); len(failed) > 0 {
		t.Fatalf("in the undisturbed night these fail: %v\n%s%s", failed, a.out, a.errors)
	}
	want := aftermathOf(t, calm, calmBook)
	if len(want.Versions) < datasets*3/4 {
		t.Fatalf("the undisturbed night brings %d of %d datasets:\n%s%s", len(want.Versions), datasets, a.out, a.errors)
	}

	here := w.direct(t)
	noisy, net := behind(t, here)
	c := &chaosNight{dir: w.workspace(t, noisy, testenv.S3(t).NewBucket(t)), book: open(t, "pgx", here.ledger), net: net, hurry: hurry, ended: a.code}
	sampling(t, here.ledger, func(s *sampler) ([]string, error) { return s.judge(filepath.Join(c.dir, "state", "warehouse.duckdb")) })
	all := plan(seed, faults, kills, eventsIn(t.Context(), calmBook))
	t.Logf("the plan:\n  %s", strings.Join(texted(all), "\n  "))
	c.live(t, all)
	t.Logf("%d datasets, %d of %d faults came, %d processes", datasets, c.came, len(all), c.starts)
	if c.came < len(all)/2 {
		t.Errorf("the night was over before %d of %d faults came", len(all)-c.came, len(all))
	}
	if diff := gocmp.Diff(want, aftermathOf(t, c.dir, c.book)); diff != "" {
		t.Errorf("(-undisturbed +under faults):\n%s", diff)
	}
	wantWholeBook(t, c.dir, c.book)
}

func texted[T fmt.Stringer](all []T) (out []string) {
	for _, one := range all {
		out = append(out, one.String())
	}
	return out
}

// A night under faults ends like the same night under none. With the build tag long it is one of a thousand datasets.
func TestANightOfChaos(t *testing.T) {
	t.Parallel()
	nightOfChaos(t, seedOf(t, 7), 40, 12, 1, true)
}
