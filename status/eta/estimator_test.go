package eta_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// books keep recorded runs as the ledger does, and count how often they are read.
type books struct {
	runs     []elt.Run // oldest first
	steps    map[elt.RunID][]elt.Step
	attempts map[elt.StepID][]elt.Attempt
	read     int
	failure  error
}

func (b *books) Runs(_ context.Context, f elt.RunFilter) ([]elt.Run, error) {
	var out []elt.Run
	for _, r := range slices.Backward(b.runs) {
		if r.Schedule == f.Schedule && len(out) < f.Limit {
			out = append(out, r)
		}
	}
	return out, b.failure
}

func (b *books) Steps(_ context.Context, run elt.RunID) ([]elt.Step, error) {
	b.read++
	return b.steps[run], nil
}

func (b *books) Attempts(_ context.Context, step elt.StepID) ([]elt.Attempt, error) {
	return b.attempts[step], nil
}

// record writes a night into the books, as it was at now.
func (b *books) record(n eta.Night, now time.Time) elt.RunID {
	run := elt.RunID("r" + n.Date.String())
	r := elt.Run{ID: run, Schedule: "nightly", Date: n.Date, Kind: n.Trigger, State: elt.RunSucceeded, CreatedAt: n.Started, FinishedAt: n.Started}
	id := func(s eta.Step) elt.StepID { return elt.NewStepID(run, s.Kind, s.Dataset) }
	b.steps[run] = nil
	for _, s := range n.Rewind(now).Steps {
		st := elt.Step{ID: id(s), Run: run, Kind: s.Kind, Dataset: s.Dataset, Date: n.Date, State: s.State, Attempt: s.Attempt, StartedAt: s.Start, FinishedAt: s.End}
		st.Result.Rows = s.Rows
		for _, need := range s.Needs {
			st.Needs = append(st.Needs, id(n.Steps[need]))
		}
		if s.State == elt.StepRunning {
			st.LeaseUntil = now.Add(time.Minute)
		}
		if !s.State.Terminal() {
			r.State, r.FinishedAt = elt.RunRunning, time.Time{}
		}
		if s.End.After(r.FinishedAt) && r.State.Terminal() {
			r.FinishedAt = s.End
		}
		if s.Attempt > 1 { // all of them at the beginning, as far as these books know
			for i := range s.Attempt {
				b.attempts[st.ID] = append(b.attempts[st.ID], elt.Attempt{Step: st.ID, Number: i + 1, StartedAt: s.Start, FinishedAt: s.Start, Error: &elt.Failure{Code: "x"}})
			}
		}
		b.steps[run] = append(b.steps[run], st)
	}
	b.runs = slices.DeleteFunc(b.runs, func(o elt.Run) bool { return o.ID == run })
	b.runs = append(b.runs, r)
	return run
}

func newBooks() *books {
	return &books{steps: make(map[elt.RunID][]elt.Step), attempts: make(map[elt.StepID][]elt.Attempt)}
}

func due(d elt.Date) time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return d.AddDays(1).At(2, 0, time.UTC)
}

func estimate(t *testing.T, e *eta.Estimator, now time.Time, a eta.Ask) *eta.Estimates {
	t.Helper()
	a.Schedule, a.Due = "nightly", due
	got, err := e.Estimate(t.Context(), now, []eta.Ask{a})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEstimatorReadsWhatIsNew(t *testing.T) {
	b := newBooks()
	for n := range 40 {
		b.record(chain(n), chain(n).Due.Add(5*time.Hour))
	}
	e := eta.NewEstimator(b)
	tonight := chain(40)
	key := elt.DayKey{Dataset: "b", Date: tonight.Date}

	now := tonight.Due.Add(-10 * time.Minute)
	if got := estimate(t, e, now, eta.Ask{}); len(got.Days) != 0 {
		t.Errorf("nothing is due, and yet there are estimates of %d days", len(got.Days))
	}
	got := estimate(t, e, now, eta.Ask{Next: tonight.Date})
	around(t, "a night that has not begun", tonight, got.Days[key].Expected, 61)
	if r := got.Records["b"]; r.Nights != 14 || r.Kept < 12 {
		t.Errorf("the record is %+v", r)
	}
	if b.read != 41 { // the newest twice: first to see how far back is worth reading
		t.Errorf("the steps of %d runs were read, want those of 40", b.read-1)
	}

	now = tonight.Due.Add(20 * time.Minute)
	b.record(tonight, now)
	around(t, "a night under way", tonight, estimate(t, e, now, eta.Ask{}).Days[key].Expected, 61)
	b.record(tonight, tonight.Due.Add(3*time.Hour))
	if got := estimate(t, e, tonight.Due.Add(3*time.Hour), eta.Ask{}); len(got.Days) != 0 {
		t.Errorf("everything has arrived, and yet there are estimates of %d days", len(got.Days))
	}
	if b.read != 43 { // once under way, once ended
		t.Errorf("the steps of %d runs were read, want those of 42", b.read-1)
	}
	b.failure = errors.New("no route to the ledger")
	if _, err := e.Estimate(t.Context(), now, []eta.Ask{{Schedule: "nightly"}}); !errors.Is(err, b.failure) {
		t.Errorf("the ledger is away, and the estimator says %v", err)
	}
}

// The same night gives the same estimate, however often it is asked for and by whom.
func TestEstimatesStandStill(t *testing.T) {
	b, w := newBooks(), newWorld(601)
	for n := range 40 {
		night := w.play(n)
		b.record(night, night.Due.Add(20*time.Hour))
	}
	night := w.play(40)
	now := night.Started.Add(10 * time.Minute)
	b.record(night, now)
	first := eta.NewEstimator(b)
	want := estimate(t, first, now, eta.Ask{})
	if len(want.Days) == 0 {
		t.Fatal("nothing was estimated")
	}
	for _, e := range []*eta.Estimator{first, eta.NewEstimator(b)} {
		if diff := cmp.Diff(want, estimate(t, e, now, eta.Ask{})); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	}
}

func TestAtRiskIsSustained(t *testing.T) {
	b := newBooks()
	for n := range 40 {
		b.record(chain(n), chain(n).Due.Add(5*time.Hour))
	}
	e, tonight := eta.NewEstimator(b), chain(40)
	key := elt.DayKey{Dataset: "b", Date: tonight.Date}
	for _, step := range []struct {
		minute, deadline float64
		want             bool
	}{
		{10, 50, false}, {11, 50, false}, {12, 50, true}, // likely missed for two minutes
		{13, 100, false},                                   // a later deadline is kept
		{14, 50, false}, {15.9, 50, false}, {16, 50, true}, // and the two minutes begin anew
	} {
		now := tonight.Due.Add(minutes(step.minute))
		b.record(tonight, now)
		got := estimate(t, e, now, eta.Ask{Deadlines: map[elt.DayKey]time.Time{key: tonight.Due.Add(minutes(step.deadline))}}).Days[key]
		if got.AtRisk != step.want {
			t.Errorf("at minute %v with a deadline at %v: at risk %t with %v", step.minute, step.deadline, got.AtRisk, got.Miss)
		}
	}
}

// What a person had run again began when it began again.
func TestWhatAPersonHadRunAgain(t *testing.T) {
	b := newBooks()
	for n := range 40 {
		run := b.record(chain(n), chain(n).Due.Add(50*time.Hour))
		if n%2 == 1 {
			continue
		}
		// The transform broke, and somebody had it run again ten hours later; both times it took half an hour.
		s := &b.steps[run][2]
		s.Attempt, s.FinishedAt = 2, s.StartedAt.Add(10*time.Hour+30*time.Minute)
		b.attempts[s.ID] = []elt.Attempt{
			{Step: s.ID, Number: 1, StartedAt: s.StartedAt, FinishedAt: s.StartedAt.Add(30 * time.Minute), Error: &elt.Failure{Code: "test_failed"}},
			{Step: s.ID, Number: 2, StartedAt: s.StartedAt.Add(10 * time.Hour), FinishedAt: s.FinishedAt},
		}
	}
	tonight := chain(40)
	now := tonight.Due.Add(20 * time.Minute)
	b.record(tonight, now)
	got := estimate(t, eta.NewEstimator(b), now, eta.Ask{}).Days[elt.DayKey{Dataset: "b", Date: tonight.Date}]
	around(t, "the likely-by time", tonight, got.LikelyBy, 61)
}
