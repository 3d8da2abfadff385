package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// tables is a run that extracts from many tables of a source.
func tables(t *testing.T, l *ledger.Ledger, id elt.RunID, n int) (steps []elt.Step) {
	t.Helper()
	run := elt.Run{ID: id, Schedule: "nightly", Date: day("2026-01-05"), Kind: elt.ManualRun, Sequence: len(id)}
	for i := range n {
		d := elt.DatasetName(fmt.Sprintf("shop.table_%02d", i))
		steps = append(steps, elt.Step{ID: elt.NewStepID(id, elt.ExtractStep, d), Run: id, Kind: elt.ExtractStep, Dataset: d, Date: run.Date, State: elt.StepPending})
	}
	must2(l.CreateRun(t.Context(), run, steps, nil))(t)
	return steps
}

// Two workers that claim at the same instant count each other: a limit holds on all machines.
func TestLimitsHoldUnderClaims(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		steps := tables(t, l, "run-1", 30)
		machines := []*ledger.Ledger{l, open(t, dsn), open(t, dsn)}
		for _, m := range machines {
			m.Limit(elt.Limits{Sources: map[elt.SourceName]int{"shop": 3}})
		}
		// One worker: who else reads from the source in the same run is another matter.
		claim := func() (held []elt.Lease) {
			var mu sync.Mutex
			var all sync.WaitGroup
			for i, s := range steps {
				all.Go(func() {
					lease, err := machines[i%len(machines)].Claim(t.Context(), s.ID, "w", hour)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						held = append(held, lease)
					case elt.CodeOf(err) != "step_not_claimable":
						t.Error(err)
					}
				})
			}
			all.Wait()
			return held
		}
		held := claim()
		if len(held) != 3 {
			t.Fatalf("%d tables are read, want 3", len(held))
		}
		if working := must(l.Working(t.Context()))(t); len(working) != 3 {
			t.Errorf("at work: %v", working)
		}
		if more := claim(); len(more) != 0 {
			t.Errorf("%d more are read", len(more))
		}
		ok(t, l.Finish(t.Context(), held[0], elt.Outcome{State: elt.StepSucceeded}))
		if more := claim(); len(more) != 1 {
			t.Errorf("after one has ended %d more are read, want 1", len(more))
		}
	})
}

// Of a dataset one step is at work at a time, in whichever run.
func TestADatasetIsWorkedAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		one, other := tables(t, l, "run-1", 1), tables(t, l, "run-1b", 1)
		lease := must(l.Claim(t.Context(), one[0].ID, "w", hour))(t)
		_, err := l.Claim(t.Context(), other[0].ID, "w", hour)
		if e := wantCode(t, err, "step_not_claimable"); !strings.Contains(e.What, "waits for shop.table_00, at which run run-1 is at work") {
			t.Errorf("it says %s", e.What)
		}
		ok(t, l.Finish(t.Context(), lease, elt.Outcome{State: elt.StepSucceeded}))
		must(l.Claim(t.Context(), other[0].ID, "w", hour))(t)
	})
}

// Why a step waits stands on it until it begins.
func TestNoteWaiting(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		steps := tables(t, l, "run-1", 3)
		ids := []elt.StepID{steps[0].ID, steps[1].ID}
		const why = "waits for source shop: 1 of 1 are read"
		ok(t, l.NoteWaiting(t.Context(), ids, why))
		revision := must(l.Revision(t.Context()))(t)
		ok(t, l.NoteWaiting(t.Context(), ids, why))
		if again := must(l.Revision(t.Context()))(t); again != revision {
			t.Errorf("saying the same again raised the revision from %d to %d", revision, again)
		}
		must(l.Claim(t.Context(), ids[0], "w", hour))(t)
		ok(t, l.NoteWaiting(t.Context(), ids, why))
		var says []string
		for _, s := range must(l.Steps(t.Context(), "run-1"))(t) {
			says = append(says, s.Progress.Paused)
		}
		if diff := cmp.Diff([]string{"", why, ""}, says); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWorkersAndTheirLeader(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		one := elt.Worker{ID: "one", Host: "a", Process: 1, Command: "serve", Version: "1", Kinds: elt.StepKinds(), Threads: 4}
		two := elt.Worker{ID: "two", Host: "b", Process: 2, Command: "worker", Version: "1", Kinds: []elt.StepKind{elt.ExtractStep}, Threads: 8}
		ok(t, l.BeatWorker(ctx, one))
		ok(t, l.BeatWorker(ctx, two))
		revision := must(l.Revision(ctx))(t)
		ok(t, l.BeatWorker(ctx, one))
		if must(l.Revision(ctx))(t) != revision {
			t.Error("a sign of life makes everybody read the ledger again")
		}
		lead := func(id elt.WorkerID) bool { return must(l.Lead(ctx, "scheduling", id, hour))(t) }
		if !lead("one") || lead("two") || !lead("one") {
			t.Error("there is not one leader")
		}
		steps := tables(t, l, "run-1", 2)
		must(l.Claim(ctx, steps[1].ID, "two", hour))(t)
		ok(t, l.BeatWorker(ctx, one)) // however long the machine took for all this
		ok(t, l.BeatWorker(ctx, two))
		got := must(l.Workers(ctx))(t)
		for i := range got {
			if got[i].StartedAt.IsZero() || got[i].SeenAt.Before(got[i].StartedAt) {
				t.Errorf("worker %s was seen at %s and began at %s", got[i].ID, got[i].SeenAt, got[i].StartedAt)
			}
			got[i].StartedAt, got[i].SeenAt = one.StartedAt, one.SeenAt
		}
		one.Alive, one.Leads, one.Steps = true, true, []elt.StepID{}
		two.Alive, two.Steps = true, []elt.StepID{steps[1].ID}
		if diff := cmp.Diff([]elt.Worker{one, two}, got); diff != "" {
			t.Error(diff)
		}
		ok(t, l.Resign(ctx, "scheduling", "one"))
		if !lead("two") || lead("one") {
			t.Error("nobody took the lead that was left")
		}
		ok(t, l.LeaveWorker(ctx, "one"))
		if left := must(l.Workers(ctx))(t); len(left) != 1 || left[0].ID != "two" || !left[0].Leads {
			t.Errorf("left: %+v", left)
		}
	})
}

// A leader that falls silent is followed by another when its time is up, by the ledger's clock.
func TestASilentLeaderIsFollowed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		if !must(l.Lead(t.Context(), "scheduling", "one", 1))(t) {
			t.Fatal("nobody led, and one could not")
		}
		since := must(l.Now(t.Context()))(t)
		for !must(l.Now(t.Context()))(t).After(since) { // the clock's next instant
		}
		if !must(l.Lead(t.Context(), "scheduling", "two", hour))(t) {
			t.Error("its time is up, and two could not lead")
		}
	})
}
