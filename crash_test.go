package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
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
	ctx, cancel := context.WithTimeout(t.Context(), processTime)
	defer cancel()
	cmd := program(ctx, t, dir, append(env, s.env...), s.args...)
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
			status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if died = ok && status.Signaled() && status.Signal() == syscall.SIGKILL; !died && !slices.Contains(codes, cmd.ProcessState.ExitCode()) {
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

// A night that is killed at any moment and run again ends with the tables of an undisturbed night. It finds the tables of
// the night before published.
func TestKilledNightsEndLikeUndisturbedOnes(t *testing.T) {
	t.Parallel()
	scene{
		name: "a night", stage: brought, args: []string{"run", "--date", lastDate(t).String()},
		must: []string{
			"step.claimed", "step.done", "step.recorded", "run.finish", "run.finished", "ledger.commit", "ledger.committed",
			"extract.snapshot", "extract.snapshot_open", "extract.snapshot_close", "extract.parts_stored", "extract.manifest", "extract.manifest_stored", "extract.manifest_record",
			"lake.disk.put", "lake.disk.created", "lake.disk.written", "lake.disk.linked", "lake.disk.stored",
			"load.stage", "load.staged", "load.verify", "transform.build", "transform.built", "transform.test",
			"duckdb.commit", "duckdb.committed", "duckdb.publish_item", "duckdb.published", "duckdb.sweep", "duckdb.checkpointed", "duckdb.copy_written", "duckdb.copy_renamed",
			"publish.begin", "publish.visible", "publish.recorded", "publish.described", "artifacts.write",
		},
	}.play(t, moments(20))
}

// A night in which a test fails holds the same datasets back, however often it is killed.
func TestKilledNightsWithAFailingTest(t *testing.T) {
	t.Parallel()
	scene{
		name: "a night with a failing test",
		stage: func(t *testing.T) string {
			dir := brought(t)
			write(t, dir, map[string]string{"sql/tests/nobody.sql": "{{ config(store_failures=true) }}\nselect * from {{ ref('stg_companies') }}\n"})
			return dir
		},
		args: []string{"run", "--date", lastDate(t).String()}, code: 65,
		must: []string{"transform.failing_rows", "duckdb.keep_failures", "run.block", "publish.visible"},
	}.play(t, moments(0, "transform.failing_rows", "duckdb.keep_failures", "run.block"))
}

// A rollback that is killed and given again goes back once.
func TestKilledRollbacks(t *testing.T) {
	t.Parallel()
	scene{
		name:  "a rollback",
		stage: func(t *testing.T) string { dir, _, _ := twoNights(t); return dir },
		args:  []string{"rollback", "app.companies", "--reason", "wrong names", "--yes"}, again: 78, // rolled_back_already
		must: []string{"rollback.begin", "rollback.visible", "duckdb.restored"},
	}.play(t, moments(0, "rollback.begin", "rollback.visible", "duckdb.restored", "duckdb.copy_renamed", "publish.recorded", "step.recorded", "run.finished"))
}

// A scheduled night is served, finds its table gone, and whoever must know is told: killed at its tick, at a message, at any
// moment, there is one run, and each message arrives.
func TestKilledServe(t *testing.T) {
	t.Parallel()
	slack, told := mailbox(t)
	root := t.TempDir()
	night, before := lastNoon(t).String(), lastNoon(t).AddDays(-1)
	write(t, root, shop)
	edit(t, root, "schedules/nightly.yaml", "timezone: UTC", "timezone: "+noon(t).String())
	write(t, root, map[string]string{
		"trusted.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slack.Certificate().Raw})),
		"daybreak.yaml": "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true, base_url: \"https://data.example.com\"}\nnotify: {slack: {webhook: \"" + slack.URL + "/services/x\"}, allow_private: true}\n",
	})
	change(t, filepath.Join(root, "shop.db"), "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
	env := []string{"SSL_CERT_FILE=" + filepath.Join(root, "trusted.pem")}
	must(t, root, env, "run", "--yes", "--date", before.String())
	decided(t, root, before)
	change(t, filepath.Join(root, "shop.db"), "ALTER TABLE users RENAME TO renamed")
	scene{
		name: "serve", args: []string{"serve", "--listen", "127.0.0.1:0"}, env: env,
		must:  []string{"tick.started", "tick.recorded", "notify.claimed", "notify.sent"},
		stage: func(t *testing.T) string { return copyOf(t, root) },
		over: func(t *testing.T, dir string) bool {
			left := ask(t, ledgerIn(dir), `SELECT
				(SELECT count(*) FROM runs WHERE date = '`+night+`' AND state = 'failed'), (SELECT count(*) FROM ticks WHERE date = '`+night+`'),
				(SELECT count(*) FROM outbox WHERE state = 'delivered') > 0, (SELECT count(*) FROM outbox WHERE state <> 'delivered')`)[0]
			return slices.Equal(left, []string{"1", "1", "1", "0"})
		},
		between: func(t *testing.T, dir string) { // the lease of a message that was on its way would end by itself, in a while
			change(t, ledgerIn(dir), "UPDATE outbox SET lease_until = claimed_at WHERE state = 'sending'")
		},
		settled: func(t *testing.T, dir string) {
			keys := make(map[string]bool)
			for len(told) > 0 {
				l := <-told
				keys[l.key] = true
			}
			for _, row := range ask(t, ledgerIn(dir), "SELECT id FROM outbox") {
				if !keys[row[0]] {
					t.Errorf("the ledger says that %s was delivered, and Slack never heard of it; it heard %v", row[0], keys)
				}
			}
			if runs := ask(t, ledgerIn(dir), "SELECT id FROM runs WHERE date = '"+night+"'"); len(runs) != 1 {
				t.Errorf("the date has %d runs", len(runs))
			}
		},
	}.play(t, moments(0, "tick.started", "tick.recorded", "notify.claimed", "notify.sent"))
}

// A night from S3 to BigQuery's double, published together: killed around a request, whose answer nobody hears then.
func TestKilledNightsOnBigQuery(t *testing.T) {
	t.Parallel()
	s3 := testenv.S3(t)
	s := nightOnBigQuery("", func(t *testing.T) string {
		return fmt.Sprintf("{s3: {bucket: %s, prefix: cafe, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}", s3.NewBucket(t), s3.Endpoint, s3.AccessKey, s3.SecretKey)
	})
	s.must = append(s.must, "lake.s3.put", "lake.s3.sent")
	s.play(t, moments(2, "bigquery.submit", "bigquery.submitted", "bigquery.job_done", "bigquery.create", "bigquery.delete", "lake.s3.sent", "publish.visible"))
}

// The same, whose parts go through a bucket of Google's: what was put there and what was loaded from it are two things.
func TestKilledNightsThroughABucket(t *testing.T) {
	t.Parallel()
	s := nightOnBigQuery(", gcs_bucket: parts", func(*testing.T) string { return "lake" })
	s.must = append(s.must, "bigquery.object", "bigquery.object_put", "bigquery.object_drop", "bigquery.object_dropped")
	s.play(t, moments(0, "bigquery.object_put", "bigquery.object_dropped"))
}

// nightOnBigQuery is a night on BigQuery's double, with such a lake and with that besides in the warehouse's configuration.
func nightOnBigQuery(besides string, lake func(*testing.T) string) scene {
	var mu sync.Mutex
	servers := make(map[string]*bigquerytest.Server) // by workspace
	return scene{
		name: "a night on BigQuery" + besides, args: []string{"run", "--yes", "--date", "2026-01-06"},
		must: []string{"bigquery.submit", "bigquery.submitted", "bigquery.job_done", "bigquery.create", "bigquery.delete"},
		stage: func(t *testing.T) string {
			server, dir := bigquerytest.New(t), t.TempDir()
			write(t, dir, cafe)
			write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q, publish: together%s}}
lake: %s
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, server.URL, besides, lake(t))})
			change(t, filepath.Join(dir, "cafe.db"), `CREATE TABLE drinks (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO drinks VALUES (1, 'tea'), (2, 'coffee');
				CREATE TABLE orders (id INTEGER PRIMARY KEY, drink INTEGER, price INTEGER); INSERT INTO orders VALUES (1, 1, 3), (2, 2, 4), (3, 2, 5)`)
			must(t, dir, nil, "run", "--yes", "--date", "2026-01-05")
			change(t, filepath.Join(dir, "cafe.db"), "INSERT INTO orders VALUES (4, 1, 3), (5, 2, 7); UPDATE drinks SET id = 12 WHERE id = 2; UPDATE orders SET drink = 12 WHERE drink = 2")
			mu.Lock()
			defer mu.Unlock()
			servers[dir] = server
			return dir
		},
		look: func(t *testing.T, dir string) glimpse {
			mu.Lock()
			server := servers[dir]
			mu.Unlock()
			g := glimpse{make(map[string]string), make(map[string]bool)}
			for _, relation := range []string{"cafe.drinks", "cafe.orders", "analytics.revenue", "analytics.best", "analytics.targets"} {
				g.Contents[relation] = strings.Join(server.Rows(t, "SELECT * FROM test_"+relation+" ORDER BY 1"), " ")
			}
			for _, id := range server.Rows(t, "SELECT version_id FROM test__daybreak.versions") {
				g.versions[id] = true
			}
			return g
		},
	}
}
