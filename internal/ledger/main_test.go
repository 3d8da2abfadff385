package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/ledgers"
)

// The test binary is also the other processes of its tests: these variables make it one.
const (
	childVariable = "DAYBREAK_LEDGER_TEST_CHILD"
	dsnVariable   = "DAYBREAK_LEDGER_TEST_DSN"
	nameVariable  = "DAYBREAK_LEDGER_TEST_NAME"
)

func TestMain(m *testing.M) {
	what := os.Getenv(childVariable)
	if what == "" {
		os.Exit(m.Run())
	}
	children := map[string]func(context.Context, string, string) error{
		"create": childCreatesRuns, "migrate": childMigrates, "write": childWrites, "lock": childLocks,
	}
	if err := children[what](context.Background(), os.Getenv(dsnVariable), os.Getenv(nameVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is another process on the same ledger.
type child struct {
	*exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startChild(t *testing.T, what, dsn, name string) *child {
	t.Helper()
	// It ends with the test, or when a test would wait for it in vain; its lines end with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+what, dsnVariable+"="+dsn, nameVariable+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, in, bufio.NewScanner(out)}
}

// line returns the next line that the child printed, "" when it ended.
func (c *child) line() string {
	if !c.lines.Scan() {
		return ""
	}
	return c.lines.Text()
}

// release lets a child go that waits for its starting signal.
func (c *child) release(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		t.Fatal(err)
	}
}

// awaitSignal says that the child is ready, and returns when its parent lets it go.
func awaitSignal() error {
	fmt.Println("ready")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// onEach runs the test on a fresh ledger of each engine.
func onEach(t *testing.T, test func(t *testing.T, l *ledger.Ledger, dsn string)) {
	t.Helper()
	for engine, address := range map[string]func(t testing.TB) string{"sqlite": ledgers.SQLite, "postgres": ledgers.Postgres} {
		t.Run(engine, func(t *testing.T) {
			dsn := address(t)
			test(t, open(t, dsn), dsn)
		})
	}
}

// engines returns how to address where a ledger can be made, on each engine.
func engines() map[string]func(t testing.TB) string {
	return map[string]func(t testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "state", "ledger.db") },
		"postgres": func(t testing.TB) string { return testenv.Postgres(t).URL },
	}
}

// open opens and migrates the ledger at dsn for the test's duration.
func open(t testing.TB, dsn string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dsn, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code elt.Code) *elt.Error {
	t.Helper()
	if got := elt.CodeOf(err); got != code {
		t.Fatalf("error %v has code %q, want %q", err, got, code)
	}
	e := func() *elt.Error {
		target := &elt.Error{}
		_ = errors.As(err, &target)
		return target
	}()
	if e.Do == "" || e.Class == "" || !strings.Contains(e.Error(), " ") {
		t.Fatalf("error %#v does not say what to do", e)
	}
	return e
}

func day(s string) elt.Date {
	d, err := elt.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// night returns a run of two tables and a model for the date, with its steps and days.
func night(id string, date elt.Date) (elt.Run, []elt.Step, []elt.Day) {
	run := elt.Run{ID: elt.RunID(id), Schedule: "nightly", Date: date, Kind: elt.ScheduledRun, Reason: "schedule nightly"}
	var steps []elt.Step
	add := func(kind elt.StepKind, d elt.DatasetName, needs ...elt.StepID) elt.StepID {
		step := elt.NewStepID(run.ID, kind, d)
		steps = append(steps, elt.Step{ID: step, Run: run.ID, Kind: kind, Dataset: d, Date: date, Needs: needs})
		return step
	}
	var loaded []elt.StepID
	for _, d := range []elt.DatasetName{"shop.users", "shop.orders"} {
		extracted := add(elt.ExtractStep, d)
		loaded = append(loaded, add(elt.LoadStep, d, extracted))
	}
	built := add(elt.TransformStep, "revenue", loaded...)
	add(elt.PublishStep, "", append(loaded, built)...)
	var days []elt.Day
	for _, d := range []elt.DatasetName{"shop.users", "shop.orders", "revenue"} {
		days = append(days, elt.Day{Dataset: d, Date: date, Deadline: date.AddDays(1).At(7, 0, time.UTC)})
	}
	return run, steps, days
}

func must2[T, U any](v T, _ U, err error) func(t testing.TB) T { return must(v, err) }

const hour = time.Hour
