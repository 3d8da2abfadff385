package ledger_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// While another run goes on nothing of a backfill begins, and whoever is at work at a step of it is told to let go; but for
// who publishes. A process that is alone on its ledger looks to that itself.
func TestABackfillRestsForANight(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())))(t)
		steps := must(beginDate(ctx, l, b, "run-1"))(t)
		_, err := beginDate(ctx, l, b, "run-2") // as one would that believes to lead
		wantCode(t, err, "backfill_resting")
		held := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		if beat := must(l.Heartbeat(ctx, held, hour, elt.Progress{}))(t); beat.Yields != "" {
			t.Errorf("it is to yield: %s", beat.Yields)
		}
		night := tables(t, l, "night", 1)
		beat := must(l.Heartbeat(ctx, held, hour, elt.Progress{}))(t)
		_, err = l.Claim(ctx, steps[1].ID, "other", hour)
		why := must(l.BackfillRests(ctx, "run-1"))(t)
		const want = "backfill-1 rests while run night goes on"
		if !l.Shared() {
			if beat.Yields != "" || err != nil || why != "" {
				t.Errorf("alone, it is to yield %q, claims end with %v, and it rests: %q", beat.Yields, err, why)
			}
			return
		}
		if e := wantCode(t, err, "step_not_claimable"); beat.Yields != want || why != want || !strings.Contains(e.What, want) {
			t.Errorf("it is to yield %q, rests: %q, and cannot be claimed: %s", beat.Yields, why, e.What)
		}
		must(l.Claim(ctx, night[0].ID, "w", hour))(t)
		ok(t, l.CancelRun(ctx, "night", "a", "it is over"))
		must(l.Claim(ctx, steps[1].ID, "other", hour))(t)
		for _, s := range steps[:2] {
			lease := must(l.Step(ctx, s.ID))(t)
			ok(t, l.Finish(ctx, elt.Lease{Step: s.ID, Attempt: lease.Attempt, Fence: fenceOf(t, l, s.ID)}, elt.Outcome{State: elt.StepSucceeded}))
		}
		publishes := must(l.Claim(ctx, steps[2].ID, "w", hour))(t)
		tables(t, l, "a-second-night", 1)
		if beat := must(l.Heartbeat(ctx, publishes, hour, elt.Progress{}))(t); beat.Yields != "" {
			t.Errorf("who publishes is to yield: %s", beat.Yields)
		}
	})
}

// fenceOf returns the fence of a step's latest attempt.
func fenceOf(t *testing.T, l *ledger.Ledger, id elt.StepID) int64 {
	t.Helper()
	attempts := must(l.Attempts(t.Context(), id))(t)
	return attempts[len(attempts)-1].Fence
}

// No more steps of backfills work at a time than may, on all machines; those that publish are not counted.
func TestBackfillsAreLimitedUnderClaims(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		machines := []*ledger.Ledger{l, open(t, dsn), open(t, dsn)}
		for _, m := range machines {
			m.Limit(elt.Limits{Backfills: 2})
		}
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())))(t)
		run := elt.Run{ID: "run-1", Schedule: "nightly", Date: day("2026-01-05"), Sequence: b.Sequence(0)}
		var steps []elt.Step
		for _, name := range []elt.DatasetName{"a", "b", "c", "d", "e", "f"} {
			steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.TransformStep, name), Run: run.ID, Kind: elt.TransformStep, Dataset: name, Date: run.Date})
		}
		ok(t, l.BeginBackfillRun(ctx, b.ID, run, steps, []elt.Day{{Dataset: "shop.orders", Date: run.Date, Run: run.ID}}, nil))
		held := make(chan elt.Lease, len(steps))
		var all sync.WaitGroup
		for i, s := range steps {
			all.Go(func() {
				switch lease, err := machines[i%len(machines)].Claim(ctx, s.ID, "w", hour); {
				case err == nil:
					held <- lease
				case elt.CodeOf(err) != "step_not_claimable":
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(held) != 2 {
			t.Fatalf("%d steps are at work, want 2", len(held))
		}
		if at := must(l.Working(ctx))(t); len(at) != 2 || !at[0].Backfill {
			t.Errorf("at work: %+v", at)
		}
	})
}

// What is too old is done again with what was made from it: whoever is at work at that loses the lease. What was done again
// meanwhile, or is published, stays.
func TestReopenedSteps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())))(t)
		steps := must(beginDate(ctx, l, b, "run-1"))(t)
		first, others := steps[0].ID, []elt.StepID{steps[1].ID, steps[2].ID}
		seen := func() elt.Step { return must(l.Step(ctx, first))(t) }
		states := func() (states []elt.StepState) {
			for _, s := range must(l.Steps(ctx, "run-1"))(t) {
				states = append(states, s.State)
			}
			return states
		}
		do := func(id elt.StepID) {
			ok(t, l.Finish(ctx, must(l.Claim(ctx, id, "w", hour))(t), elt.Outcome{State: elt.StepSucceeded}))
		}
		do(first)
		old := seen()
		at := must(l.Claim(ctx, steps[1].ID, "other", hour))(t)
		if !must(l.ReopenSteps(ctx, []elt.Step{old}, others, "something newer was published"))(t) {
			t.Error("nothing was reopened")
		}
		if diff := cmp.Diff([]elt.StepState{elt.StepPending, elt.StepPending, elt.StepPending}, states()); diff != "" {
			t.Errorf("reopened (-want +got):\n%s", diff)
		}
		wantCode(t, l.Finish(ctx, at, elt.Outcome{State: elt.StepSucceeded}), "lease_lost")
		if a := must(l.Attempts(ctx, steps[1].ID))(t); len(a) != 1 || a[0].Error == nil || a[0].Error.Code != elt.Interrupted || !strings.Contains(a[0].Error.Message, "newer") {
			t.Errorf("its attempts: %+v", a)
		}
		do(first)
		if must(l.ReopenSteps(ctx, []elt.Step{old}, others, "again"))(t) {
			t.Error("what was done again meanwhile was reopened")
		}
		do(steps[1].ID)
		do(steps[2].ID)
		if must(l.ReopenSteps(ctx, []elt.Step{seen()}, others, "again"))(t) {
			t.Error("what is published was reopened")
		}
		checkInvariants(t, l)
	})
}

// Of ten who ask for a part of a budget at the same instant as many have it as it allows, on all machines; what was billed
// takes the place of what was reserved, and a step that is taken over keeps its part.
func TestReservations(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		machines := []*ledger.Ledger{l, open(t, dsn)}
		var leases []elt.Lease
		for _, s := range tables(t, l, "run-1", 10) {
			leases = append(leases, must(l.Claim(ctx, s.ID, "w", hour))(t))
		}
		const most = 35
		granted := make([]bool, len(leases))
		var all sync.WaitGroup
		for i, lease := range leases {
			all.Go(func() {
				_, has, err := machines[i%2].Reserve(ctx, lease, 10, most)
				if granted[i] = has; err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var have, have2 []elt.Lease
		for i, has := range granted {
			if has {
				have = append(have, leases[i])
			} else {
				have2 = append(have2, leases[i])
			}
		}
		if s := must(l.Spending(ctx, "run-1"))(t); len(have) != 3 || s != (elt.Spending{Reserved: 30}) {
			t.Fatalf("%d have a part: %+v, want 3 of 10 each", len(have), s)
		}
		ok(t, l.Finish(ctx, have[0], elt.Outcome{State: elt.StepSucceeded, Usage: elt.Usage{Jobs: 1, BytesBilled: 4}}))
		s, has, err := l.Reserve(ctx, have2[0], 12, most)
		if want := (elt.Spending{Billed: 4, ByTables: 4, Reserved: 20}); err != nil || has || s != want {
			t.Errorf("after one was billed 4: %+v, granted %t, %v; want %+v, refused", s, has, err, want)
		}
		if _, has, err := l.Reserve(ctx, have2[0], 11, most); err != nil || !has {
			t.Errorf("the last 11 were refused: %v", err)
		}
		must(l.ReleaseLeases(ctx))(t)
		wantCode(t, third(l.Reserve(ctx, have[1], 1, most)), "lease_lost")
		again := must(l.Claim(ctx, have[1].Step, "w", hour))(t)
		if s := must(l.Spending(ctx, "run-1"))(t); s.Reserved != 31 {
			t.Errorf("taken over, %d are reserved, want 31", s.Reserved)
		}
		if _, has, err := l.Reserve(ctx, again, 10, most); err != nil || !has {
			t.Errorf("its own part was refused: %v", err)
		}
		checkInvariants(t, l)
	})
}

func third[A, B any](_ A, _ B, err error) error { return err }
