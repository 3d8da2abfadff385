package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/internal/testenv/ledgers"
	"github.com/daybreak-data/daybreak/schedules"
)

// stagesFunc stands in for the stages: what a runner does with their outcomes is what is tested here.
type stagesFunc func(ctx context.Context, s elt.Step, attempt int) error

func (f stagesFunc) Do(ctx context.Context, s elt.Step, l elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	progress(elt.Progress{Rows: 1, RowsExpected: 2})
	return elt.Result{Rows: 2}, f(ctx, s, l.Attempt)
}

func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledgers.SQLite(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func newRunner(l *ledger.Ledger, do stagesFunc) *schedules.Runner {
	return &schedules.Runner{
		Ledger: l, Stages: do, Observer: logLines{slog.New(slog.DiscardHandler)}, Worker: "test", Lease: time.Minute,
		Log: slog.New(slog.DiscardHandler),
		Retries: func(context.Context, elt.RunID) (schedules.Retries, error) {
			return schedules.Retries{Attempts: 3, First: time.Millisecond, Max: time.Millisecond}, nil
		},
	}
}

// patience is how long a run may take on a busy machine before it is held to hang.
const patience = 5 * time.Minute

var (
	aDay  = elt.Date{Year: 2026, Month: 1, Day: 5}
	users = []elt.Dataset{{Name: "shop.users", Kind: elt.TableDataset}}
)

func beginRun(t *testing.T, l *ledger.Ledger, id elt.RunID, date elt.Date) elt.Run {
	t.Helper()
	run := elt.Run{ID: id, Schedule: "nightly", Date: date, Kind: elt.ScheduledRun, State: elt.RunRunning}
	steps := schedules.Plan(run, users, func(elt.DatasetName) ([]elt.DatasetName, bool) { return nil, false })
	run, _, err := l.CreateRun(t.Context(), run, steps, []elt.Day{{Dataset: "shop.users", Date: date, Run: id}})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// drive sweeps until no run goes on any more.
func drive(ctx context.Context, t *testing.T, r *schedules.Runner) {
	t.Helper()
	workers := pool.New(4, r.Log, r.Work)
	defer workers.Drain()
	for {
		going, err := r.Sweep(ctx, workers)
		if err != nil {
			t.Fatal(err)
		}
		if going == 0 {
			return
		}
		select {
		case <-workers.Done():
		case <-time.After(5 * time.Millisecond): // a retry becomes due without anything ending
		case <-ctx.Done():
			t.Fatal("the run does not end")
		}
	}
}

func stateOf(t *testing.T, l *ledger.Ledger, run elt.RunID) elt.RunState {
	t.Helper()
	r, err := l.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

func codesOf(t *testing.T, l *ledger.Ledger, step elt.StepID) (codes []elt.Code) {
	t.Helper()
	attempts, err := l.Attempts(t.Context(), step)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attempts {
		var code elt.Code
		if a.Error != nil {
			code = a.Error.Code
		}
		codes = append(codes, code)
	}
	return codes
}

func TestTransientFailuresAreTriedAgainAndDataFailuresAreNot(t *testing.T) {
	cut := &elt.Error{Code: "cut", Class: elt.Transient, What: "the connection was cut"}
	wrong := &elt.Error{Code: "wrong", Class: elt.Data, What: "the data is wrong"}
	for name, c := range map[string]struct {
		fail  func(kind elt.StepKind, attempt int) error
		state elt.RunState
		step  elt.StepKind
		codes []elt.Code
	}{
		"once": {
			func(k elt.StepKind, attempt int) error {
				if k == elt.LoadStep && attempt == 1 {
					return cut
				}
				return nil
			}, elt.RunSucceeded, elt.LoadStep, []elt.Code{"cut", ""},
		},
		"for ever": {
			func(k elt.StepKind, _ int) error {
				if k == elt.LoadStep {
					return cut
				}
				return nil
			}, elt.RunFailed, elt.LoadStep, []elt.Code{"cut", "cut", "cut"},
		},
		"of the data": {
			func(k elt.StepKind, _ int) error {
				if k == elt.VerifyStep {
					return wrong
				}
				return nil
			}, elt.RunFailed, elt.VerifyStep, []elt.Code{"wrong"},
		},
		"of no known kind": {
			func(k elt.StepKind, _ int) error {
				if k == elt.ExtractStep {
					return errors.New("a bug")
				}
				return nil
			}, elt.RunFailed, elt.ExtractStep, []elt.Code{"internal_error"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			l := newLedger(t)
			run := beginRun(t, l, "r1", aDay)
			drive(ctx, t, newRunner(l, func(_ context.Context, s elt.Step, attempt int) error { return c.fail(s.Kind, attempt) }))
			if got := stateOf(t, l, run.ID); got != c.state {
				t.Errorf("the run is %s, want %s", got, c.state)
			}
			if diff := cmp.Diff(c.codes, codesOf(t, l, elt.NewStepID(run.ID, c.step, "shop.users"))); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever has a run tried again gives its failed step all of its attempts anew, from that step on.
func TestARetryByAPersonCountsAnew(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l := newLedger(t)
	run := beginRun(t, l, "r1", aDay)
	extracted := 0
	drive(ctx, t, newRunner(l, func(_ context.Context, s elt.Step, attempt int) error {
		if s.Kind == elt.ExtractStep && s.Dataset == "shop.users" {
			extracted++
		}
		if s.Kind == elt.LoadStep && s.Dataset == "shop.users" && attempt != 5 {
			return &elt.Error{Code: "cut", Class: elt.Transient, What: "the connection was cut"}
		}
		return nil
	}))
	if got := stateOf(t, l, run.ID); got != elt.RunFailed && got != elt.RunPartial {
		t.Fatalf("the run is %s", got)
	}
	if _, err := l.RetryRun(ctx, run.ID, "on-call"); err != nil {
		t.Fatal(err)
	}
	drive(ctx, t, newRunner(l, func(_ context.Context, s elt.Step, attempt int) error {
		if s.Kind == elt.ExtractStep {
			extracted++
		}
		if s.Kind == elt.LoadStep && s.Dataset == "shop.users" && attempt != 5 {
			return &elt.Error{Code: "cut", Class: elt.Transient, What: "the connection was cut"}
		}
		return nil
	}))
	if got := stateOf(t, l, run.ID); got != elt.RunSucceeded || extracted != 1 {
		t.Errorf("the run is %s, and its table was extracted %d times", got, extracted)
	}
	if diff := cmp.Diff([]elt.Code{"cut", "cut", "cut", "cut", ""}, codesOf(t, l, elt.NewStepID(run.ID, elt.LoadStep, "shop.users"))); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

// A source that asks for time is asked again, for as long as the schedule says, and costs no attempt.
func TestAStepWaitsForItsSource(t *testing.T) {
	l := newLedger(t)
	early := &elt.Error{Code: elt.WindowOpen, Class: elt.Budget, What: "a transaction is open", Do: "nothing"}
	for id, ends := range map[elt.RunID]struct {
		date  elt.Date
		after int // attempts that the transaction outlives; 0 for all
		wait  time.Duration
		state elt.RunState
	}{"r1": {aDay, 6, time.Hour, elt.RunSucceeded}, "r2": {aDay.AddDays(1), 0, 20 * time.Millisecond, elt.RunFailed}} {
		run := beginRun(t, l, id, ends.date)
		r := newRunner(l, func(_ context.Context, s elt.Step, attempt int) error {
			if s.Kind == elt.ExtractStep && (ends.after == 0 || attempt <= ends.after) {
				return early
			}
			return nil
		})
		r.Retries = func(context.Context, elt.RunID) (schedules.Retries, error) {
			return schedules.Retries{Attempts: 1, First: time.Millisecond, Max: time.Millisecond, Wait: ends.wait}, nil
		}
		drive(t.Context(), t, r)
		if got := stateOf(t, l, run.ID); got != ends.state {
			t.Errorf("%s: the run is %s, expected %s", id, got, ends.state)
		}
		codes := codesOf(t, l, elt.NewStepID(run.ID, elt.ExtractStep, "shop.users"))
		if len(codes) < 2 || ends.after > 0 && len(codes) != ends.after+1 {
			t.Errorf("%s: the step was tried with %v", id, codes)
		}
	}
}

func TestAnInterruptionIsNoFailure(t *testing.T) {
	l := newLedger(t)
	run := beginRun(t, l, "r1", aDay)
	for range 5 { // more often than a step may fail
		ctx, cancel := context.WithCancel(t.Context())
		r := newRunner(l, func(ctx context.Context, _ elt.Step, _ int) error {
			cancel()
			<-ctx.Done()
			return errors.New("the driver's own words for a cancelled query")
		})
		workers := pool.New(1, r.Log, r.Work)
		if _, err := r.Sweep(ctx, workers); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		workers.Drain()
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drive(ctx, t, newRunner(l, func(context.Context, elt.Step, int) error { return nil }))
	if got := stateOf(t, l, run.ID); got != elt.RunSucceeded {
		t.Errorf("the run is %s after interruptions, want succeeded", got)
	}
	codes := codesOf(t, l, elt.NewStepID(run.ID, elt.ExtractStep, "shop.users"))
	if len(codes) != 6 || slices.ContainsFunc(codes[:5], func(c elt.Code) bool { return c != elt.Interrupted }) {
		t.Errorf("the attempts ended as %v, want five interruptions and a success", codes)
	}
}

// A worker whose lease went to another one stops, and records nothing.
func TestALostLeaseStopsItsStep(t *testing.T) {
	l := newLedger(t)
	run := beginRun(t, l, "r1", aDay)
	step := elt.NewStepID(run.ID, elt.ExtractStep, "shop.users")
	slow := newRunner(l, func(ctx context.Context, _ elt.Step, _ int) error {
		if _, err := l.ReleaseLeases(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		if _, err := l.Claim(context.WithoutCancel(ctx), step, "other", time.Hour); err != nil {
			return err
		}
		<-ctx.Done() // the heartbeat finds out
		return ctx.Err()
	})
	slow.Lease = 200 * time.Millisecond
	steps, err := l.Steps(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := slow.Work(t.Context(), steps[0]); err != nil {
		t.Fatal(err)
	}
	now, err := l.Step(t.Context(), step)
	if err != nil {
		t.Fatal(err)
	}
	if now.State != elt.StepRunning || now.Attempt != 2 {
		t.Errorf("the step is %s in attempt %d, want running in the other worker's attempt 2", now.State, now.Attempt)
	}
}

// handed keeps what it is handed, and begins none of it.
type handed []elt.Step

func (q *handed) Enqueue(_ context.Context, steps ...elt.Step) error {
	*q = append(*q, steps...)
	return nil
}

// A step whose worker fell silent is handed over as another attempt: a queue must be able to tell it from the job of that
// worker, which is still there.
func TestWhatIsTakenOverIsAnotherAttempt(t *testing.T) {
	l := newLedger(t)
	run := beginRun(t, l, "r1", aDay)
	r := newRunner(l, nil)
	var q handed
	for want := range 3 {
		if q = nil; r.Carry(t.Context(), &q, run) != nil || len(q) != 1 || q[0].Attempt != want {
			t.Fatalf("after %d attempts was handed over %+v", want, q)
		}
		if _, err := l.Claim(t.Context(), q[0].ID, "silent", -time.Second); err != nil { // its lease has run out
			t.Fatal(err)
		}
	}
}

func TestTheRunsOfAScheduleGoInDateOrder(t *testing.T) {
	l := newLedger(t)
	for i, n := range []int{2, 0, 1} {
		beginRun(t, l, elt.RunID([]string{"a", "b", "c"}[i]), aDay.AddDays(n))
	}
	var mu sync.Mutex
	var published []string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	drive(ctx, t, newRunner(l, func(_ context.Context, s elt.Step, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if s.Kind == elt.PublishStep {
			published = append(published, s.Date.String())
		}
		return nil
	}))
	if diff := cmp.Diff([]string{"2026-01-05", "2026-01-06", "2026-01-07"}, published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// clocked is a ledger whose clock the test sets.
type clocked struct {
	*ledger.Ledger
	now     time.Time
	pauses  []elt.Pause
	windows []elt.Maintenance
}

func (c *clocked) Pauses(context.Context) ([]elt.Pause, error) { return c.pauses, nil }

func (c *clocked) Maintenance(context.Context, time.Time) ([]elt.Maintenance, error) {
	return c.windows, nil
}

func (c *clocked) Now(context.Context) (time.Time, error) { return c.now, nil }

// starter creates runs of one dataset.
type starter struct {
	t       *testing.T
	l       *ledger.Ledger
	missing *[]elt.DatasetName
}

func (s starter) Missing(context.Context, []elt.DatasetName, elt.Date) ([]elt.DatasetName, error) {
	return *s.missing, nil
}

func (s starter) Resting(_ *schedules.Schedule, windows []elt.Maintenance, now time.Time) *elt.Maintenance {
	for _, m := range windows {
		if m.Holds(now) {
			return &m
		}
	}
	return nil
}

func (s starter) Start(_ context.Context, _ *schedules.Schedule, date elt.Date, _ string) (elt.Run, error) {
	return beginRun(s.t, s.l, elt.RunID("run-"+date.String()), date), nil
}

func (s starter) Days(_ context.Context, _ *schedules.Schedule, date elt.Date) ([]elt.Day, error) {
	return []elt.Day{{Dataset: "shop.users", Date: date, DueAt: date.AddDays(1).At(2, 0, time.UTC)}}, nil
}

func TestEveryTickIsDecidedOnceWhateverWasMissed(t *testing.T) {
	for catchUp, want := range map[string][]string{
		"all":    {"2026-01-11 began after", "2026-01-12 ran", "2026-01-13 ran", "2026-01-14 ran", "2026-01-15 ran", "2026-01-16 ran"},
		"latest": {"2026-01-11 began after", "2026-01-12 missed while", "2026-01-13 missed while", "2026-01-14 ran", "2026-01-15 missed while", "2026-01-16 ran"},
	} {
		t.Run(catchUp, func(t *testing.T) {
			l := newLedger(t)
			if err := l.SyncDatasets(t.Context(), users); err != nil {
				t.Fatal(err)
			}
			// It starts Tuesday to Saturday, so it brings Monday to Friday.
			scheds, problems := schedules.Parse(fstest.MapFS{"nightly.yaml": {Data: []byte(`
at: "02:00"
days: [tue, wed, thu, fri, sat]
timezone: UTC
catch_up: ` + catchUp + `
owners: [a@example.com, b@example.com]
tables:
  shop.users: {mode: full}
`)}}, schedules.Options{Sources: map[elt.SourceName]string{"shop": ""}})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			clock := &clocked{Ledger: l}
			s := &schedules.Scheduler{Schedules: scheds, Ledger: clock, Controls: clock, Going: l, Starter: starter{t, l, nil}, Log: slog.New(slog.DiscardHandler)}
			at := func(day, hour int) {
				clock.now = time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC)
				for range 3 { // as often as one likes
					if err := s.Tick(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			at(10, 12) // Saturday noon: the first look; the next night brings Monday
			at(15, 12) // Thursday noon, after three missed nights
			at(17, 12) // Saturday noon, after two more
			ticks, err := l.Ticks(t.Context(), "nightly", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(ticks) != len(want) {
				t.Fatalf("%d ticks are decided, want %d: %+v", len(ticks), len(want), ticks)
			}
			slices.Reverse(ticks)
			for i, tick := range ticks {
				got := tick.Skipped
				if tick.Run != "" {
					got = "ran" + tick.Skipped
				}
				if date, words, _ := strings.Cut(want[i], " "); tick.Date.String() != date || !strings.Contains(got, words) {
					t.Errorf("tick %d is of %s: %q, want %q", i, tick.Date, got, want[i])
				}
			}
			facts, err := l.Facts(t.Context(), elt.Date{Year: 2026, Month: 1, Day: 1}, elt.Date{Year: 2026, Month: 1, Day: 31})
			if err != nil {
				t.Fatal(err)
			}
			days := map[string]bool{}
			for _, d := range facts.Days {
				days[d.Date.String()] = d.NotExpected == ""
			}
			wantDays := map[string]bool{
				"2026-01-12": catchUp == "all", "2026-01-13": catchUp == "all", "2026-01-14": true,
				"2026-01-15": catchUp == "all", "2026-01-16": true,
				"2026-01-17": false, "2026-01-18": false, // a weekend
				"2026-01-19": true, // the next night's
			}
			if diff := cmp.Diff(wantDays, days); diff != "" {
				t.Errorf("days that are expected (-want +got):\n%s", diff)
			}
		})
	}
}
