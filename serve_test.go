package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// server is a daybreak that runs as a process until it is asked to end.
type server struct {
	url    string // of one that serves
	worker string // who a daybreak worker is to others
	cmd    *exec.Cmd
	says   *journal
	ended  chan error
	gone   <-chan struct{} // closed after that
}

// serve starts daybreak serve and waits until it serves. stop asks it to end and waits until it has.
func serve(t *testing.T, dir string, env []string, args ...string) (s *server, stop func()) {
	t.Helper()
	return start(t, dir, env, append([]string{"serve"}, args...)...)
}

// start starts a command that serves, and waits until it does.
func start(t *testing.T, dir string, env []string, args ...string) (s *server, stop func()) {
	t.Helper()
	return startProgram(t, toServe(t, dir, env, args...))
}

// toServe returns a command that serves on a free port until it is asked to end.
func toServe(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	return program(context.WithoutCancel(t.Context()), t, dir, env, append(args, "--listen", "127.0.0.1:0", "--log", "json")...)
}

// startProgram starts what toServe returned, and waits until it serves.
func startProgram(t *testing.T, cmd *exec.Cmd) (s *server, stop func()) {
	t.Helper()
	s, stop = launch(t, cmd)
	var first struct{ URL string }
	if err := json.Unmarshal([]byte(s.logged(t, `"msg":"serving"`)), &first); err != nil {
		t.Fatal(err)
	}
	s.url = first.URL
	return s, stop
}

// launch starts a program that goes on until it is asked to end.
func launch(t *testing.T, cmd *exec.Cmd) (s *server, stop func()) {
	t.Helper()
	says := newJournal()
	cmd.Stderr = says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s = &server{cmd: cmd, says: says, ended: make(chan error, 1), gone: says.ended}
	go func() {
		s.ended <- cmd.Wait()
		says.end()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-s.gone               // and writes no more into the test's folder
	})
	return s, func() {
		t.Helper()
		s.signal(t)
		if err := s.end(t); err != nil {
			t.Errorf("%s ended with %v after SIGTERM, want exit 0\n%s", cmd.Args[1], err, s.unread())
		}
	}
}

func (s *server) signal(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// logged waits for a line of the log that holds text.
func (s *server) logged(t *testing.T, text string) string {
	t.Helper()
	var all []string
	for over := time.After(patience); ; {
		line, some := s.says.next(over)
		if !some {
			t.Fatalf("%s did not say %s within %s, or before it ended:\n%s", s.cmd.Args[1], text, patience, strings.Join(all, "\n"))
		}
		if strings.Contains(line, text) {
			return line
		}
		all = append(all, line)
	}
}

// unread returns what a process that has ended said of itself and nobody has read, such as a report of the race detector.
func (s *server) unread() string {
	var all []string
	for line := range s.says.rest() {
		if !strings.HasPrefix(line, "{") { // no line of its log
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

// end waits until the process has ended.
func (s *server) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended just now; who hangs says where
		t.Fatalf("%s did not end within %s:\n%s", s.cmd.Args[1], patience, s.unread())
		return nil
	}
}

// get returns the body of a resource, decoded.
func get[T any](t *testing.T, s *server, path string) (body T) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.text(t, path)), &body); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return body
}

// text returns the body of a resource, which must be there.
func (s *server) text(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", path, answer.Status, err, body)
	}
	return string(body)
}

// until asks again and again until done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	untilWithin(t, patience, what, done)
}

// untilWithin does so for what takes processes long: whole nights, and backfills of several.
func untilWithin(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for over := time.After(limit); !done(); {
		select {
		case <-again.C:
		case <-over:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// A night whose process was killed is picked up by the next serve and ends with the tables of an undisturbed one.
func TestServePicksUpAKilledNight(t *testing.T) {
	t.Parallel()
	for _, events := range []int{5, 60, 110} {
		dir, date := brought(t), lastDate(t).String()
		killAfter(t, dir, date, seen(dir)+events)
		s, stop := serve(t, dir, nil)
		if a := do(t, dir, nil, "wait", "--url", s.url, "--timeout", "10m", "mrr@"+date, "customer_health@"+date); a.code != 0 {
			t.Errorf("wait: exit %d: %s%s", a.code, a.out, a.errors)
		}
		stop()
		if diff := cmp.Diff(undisturbed(t), contents(t, dir)); diff != "" {
			t.Errorf("killed after %d events (-undisturbed +picked up):\n%s", events, diff)
		}
		wantOneTruth(t, dir)
	}
}

// gatedRows is how many rows the shop's orders have; the reader is held up in the middle while the gate is closed.
const gatedRows = 400_000

const gatedSchedule = `
at: "00:00"
timezone: Europe/Dublin
catch_up: all
owners: [data@example.com, shop@example.com]
tables:
  shop.orders: {table: public.orders, mode: full, key: [id]}
`

// gated makes a PostgreSQL database whose table orders cannot be read to its end while close holds, whatever
// the speed of the machine, and a workspace over it.
func gated(t *testing.T) (dir string, env []string, closeGate func() (open func())) {
	t.Helper()
	database := testenv.NewPostgres(t, nil).Database(t)
	admin, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.WithoutCancel(t.Context())) })
	half := strconv.Itoa(gatedRows / 2)
	for _, statement := range []string{
		`CREATE TABLE orders (id int PRIMARY KEY, amount numeric(12,2) NOT NULL, note text NOT NULL)`,
		`INSERT INTO orders SELECT i, i / 100.0, md5(i::text) FROM generate_series(1, ` + strconv.Itoa(gatedRows) + `) i`,
		`ANALYZE orders`,
		`CREATE FUNCTION gate(id int) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
			$$ BEGIN IF id = ` + half + ` THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN true; END $$`,
		`ALTER TABLE orders ENABLE ROW LEVEL SECURITY`,
		`CREATE POLICY held_up ON orders USING (gate(id))`,
		`CREATE ROLE reader LOGIN`, `GRANT SELECT ON orders TO reader`,
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	dir = t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml":          "sources:\n  shop: {postgres: \"${env:SHOP_URL}\"}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": strings.Replace(gatedSchedule, "Europe/Dublin", noon(t).String(), 1),
		"sql/models/totals.sql":  "select count(*) as orders, sum(amount) as amount from {{ source('shop', 'orders') }}\n",
	})
	return dir, []string{"SHOP_URL=" + strings.Replace(database, "postgres@", "reader@", 1)}, func() func() {
		if _, err := admin.Exec(t.Context(), "SELECT pg_advisory_lock(1)"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if _, err := admin.Exec(t.Context(), "SELECT pg_advisory_unlock(1)"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// extracting waits until an attempt at the night's extraction is in the middle of its table, and returns its step.
func (s *server) extracting(t *testing.T, date string, attempt int) (step api.Step) {
	t.Helper()
	until(t, "the extraction is in the middle of its table", func() bool {
		for _, run := range get[api.Runs](t, s, "/v1/runs").Runs {
			if run.Date.String() != date {
				continue
			}
			step = get[api.Steps](t, s, "/v1/runs/"+string(run.ID)+"/steps").Steps[0]
			return step.State == elt.StepRunning && step.Attempt == attempt && step.Progress.Rows > 0
		}
		return false
	})
	return step
}

// A night of serve, from its tick to its end: seen while it runs, stopped at once, drained, and finished.
func TestANightOfServe(t *testing.T) {
	t.Parallel()
	dir, env, closeGate := gated(t)
	date := lastNoon(t)
	before := date.AddDays(-1)
	must(t, dir, env, "run", "--yes", "--date", before.String())
	decided(t, dir, before) // the next tick is in the past, and due
	open := closeGate()
	need := "totals@" + date.String()

	s, _ := serve(t, dir, env)
	events := s.follow(t)
	step := s.extracting(t, date.String(), 1)
	if p := step.Progress; p.Rows >= gatedRows || p.RowsExpected < gatedRows*9/10 || p.RowsExpected > gatedRows*11/10 || p.Bytes <= 0 {
		t.Errorf("progress %+v of %d rows", p, gatedRows)
	}
	wantAgreement(t, s, dir, env)
	for _, path := range []string{"/healthz", "/readyz", "/", "/runs/" + string(step.Run)} {
		s.text(t, path)
	}
	if text := s.text(t, "/metrics"); !strings.Contains(text, "daybreak_") {
		t.Errorf("metrics:\n%s", text)
	}
	if gate := get[api.Gate](t, s, "/v1/ready?need="+need); gate.Ready || gate.Verdict != api.Waiting {
		t.Errorf("the gate of a night that runs is %+v", gate)
	}
	wantRefusal(t, do(t, dir, env, "wait", "--timeout", "1s", need), 2, "waiting "+need)
	wantRefusal(t, do(t, dir, env, "wait", "--url", s.url, "--timeout", "0", need), 2, "waiting "+need)
	wantRefusal(t, do(t, dir, env, "wait", "--url", "http://"+testenv.NobodyListens(t), "--timeout", "1s", need), 3, "unknown: ")

	// A second signal ends it at once, in the middle of the step.
	s.signal(t)
	s.logged(t, `"msg":"draining"`)
	s.signal(t)
	if err := s.end(t); err == nil || s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("a second signal ended it with %v", err)
	}
	for range events { // the stream ends with its server
	}

	// The next process takes the step up. A signal lets the step end, and begins no other.
	s, _ = serve(t, dir, env)
	if again := s.extracting(t, date.String(), 2); again.ID != step.ID {
		t.Errorf("step %s was taken up as %s", step.ID, again.ID)
	}
	s.signal(t)
	s.logged(t, `"msg":"draining"`)
	open()
	if err := s.end(t); err != nil {
		t.Errorf("serve ended with %v after SIGTERM, want exit 0", err)
	}
	states := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT kind, state FROM steps WHERE run = '"+string(step.Run)+"' ORDER BY kind")
	if diff := cmp.Diff([][]string{{"extract", "succeeded"}, {"load", "pending"}, {"publish", "pending"}, {"transform", "pending"}, {"verify", "pending"}}, states); diff != "" {
		t.Errorf("steps after draining (-want +got):\n%s", diff)
	}

	s, stop := serve(t, dir, env)
	events = s.follow(t)
	wantRefusal(t, do(t, dir, env, "wait", "--url", s.url, "--timeout", "10m", need), 0, "ready "+need)
	until(t, "the stream tells that the run succeeded", func() bool {
		select {
		case kind := <-events:
			return kind == "run.succeeded"
		default:
			return false
		}
	})
	wantAgreement(t, s, dir, env)
	if runs := get[api.Runs](t, s, "/v1/runs").Runs; len(runs) != 2 {
		t.Errorf("there are %d runs, want one for each date", len(runs))
	}
	stop()
	if rows := must(t, dir, env, "query", "-f", "csv", "SELECT * FROM analytics.totals").out; !strings.HasSuffix(rows, "\n400000,800002000.00\n") {
		t.Errorf("totals: %s", rows)
	}
	wantRefusal(t, do(t, dir, env, "wait", "--timeout", "0", need), 0, "ready "+need)
}

// A gate that a failure keeps shut says so at once, and why.
func TestWaitingForWhatFailed(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	change(t, filepath.Join(dir, "production.db"), "ALTER TABLE invoices RENAME TO bills")
	wantRefusal(t, do(t, dir, nil, "run", "--date", date), 78, "table_missing")
	wantRefusal(t, do(t, dir, nil, "wait", "--timeout", "1h", "revenue_by_currency@"+date), 1, "impossible revenue_by_currency@"+date, "app.invoices")
	wantRefusal(t, do(t, dir, nil, "wait", "--timeout", "1h", "churn@"+date), 0, "ready churn@"+date)
	wantRefusal(t, do(t, dir, nil, "wait", "revenues@"+date), 78, "revenues", "dataset_unknown")
}

// wantAgreement checks that the service and the command line say the same of the same ledger.
func wantAgreement(t *testing.T, s *server, dir string, env []string) {
	t.Helper()
	var here struct {
		api.Summary
		All []api.Dataset
	}
	if err := json.Unmarshal([]byte(must(t, dir, env, "status", "--json").out), &here); err != nil {
		t.Fatal(err)
	}
	there := get[api.Summary](t, s, "/v1/summary")
	if diff := cmp.Diff([]any{here.Counts, here.Datasets, here.Date.String()}, []any{there.Counts, there.Datasets, there.Date.String()}); diff != "" {
		t.Errorf("summary (-command line +service):\n%s", diff)
	}
	listed := make(map[elt.DatasetName]elt.DayState)
	for _, d := range get[api.Datasets](t, s, "/v1/datasets").Datasets {
		listed[d.Name] = d.Headline.Latest.State
	}
	for _, d := range here.All {
		if d.Headline.Latest.State != listed[d.Name] {
			t.Errorf("%s is %s on the command line and %s at the service", d.Name, d.Headline.Latest.State, listed[d.Name])
		}
		date := d.Headline.Latest.Date.String()
		if day := get[api.Day](t, s, "/v1/datasets/"+string(d.Name)+"/days/"+date); day.State != listed[d.Name] {
			t.Errorf("%s of %s is %s by itself and %s in the list", d.Name, date, day.State, listed[d.Name])
		}
	}
}

// follow reads the stream of events from the first on and returns their kinds; it ends with the server.
func (s *server) follow(t *testing.T) <-chan string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", "0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("events: %v, %v", answer, err)
	}
	kinds := make(chan string, 10_000)
	go func() {
		defer close(kinds)
		defer answer.Body.Close()
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			var event elt.Event
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(data), &event) == nil {
				kinds <- event.Kind
			}
		}
	}()
	return kinds
}
