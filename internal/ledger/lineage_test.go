package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

const marquez elt.DestinationName = "openlineage"

// tell takes everything that is due, and returns it in its order.
func tell(t *testing.T, l *ledger.Ledger) (out []string) {
	t.Helper()
	for {
		m, found, err := l.Lineage().ClaimMessage(t.Context(), marquez, hour)
		ok(t, err)
		if !found {
			return out
		}
		in := m.Lineage
		s := fmt.Sprintf("%s %d", in.Kind, in.Round)
		if in.Step != nil {
			s = fmt.Sprintf("%s %s/%s %d", in.Kind, in.Step.Kind, in.Step.Dataset, in.Attempt)
		}
		if in.Failure != nil {
			s += " " + string(in.Failure.Code)
		}
		out = append(out, s)
		ok(t, l.Lineage().FinishMessage(t.Context(), m, elt.Delivery{State: elt.MessageDelivered}))
	}
}

func TestRunsAndAttemptsAreToldInTheirOrder(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		before, steps, days := night("run-0", day("2026-01-04"))
		must2(l.CreateRun(ctx, before, steps, days))(t) // of which a new destination is told nothing
		ok(t, l.Lineage().Sync(ctx, []elt.DestinationName{marquez}))
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{{Name: "shop.users", Schedule: "nightly", Zone: "Europe/Dublin"}, {Name: "revenue", Inputs: []elt.DatasetName{"shop.users", "gone"}}}))
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		users, orders := steps[0].ID, steps[2].ID
		failure := &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "away"}
		now := must(l.Now(ctx))(t)
		ok(t, l.Finish(ctx, must(l.Claim(ctx, users, "w", hour))(t), elt.Outcome{State: elt.StepRetrying, Error: failure, NextAttemptAt: now.Add(-time.Second)}))
		must(l.Claim(ctx, users, "w", 0))(t) // and its worker dies
		ok(t, l.Finish(ctx, must(l.Claim(ctx, users, "v", hour))(t), elt.Outcome{State: elt.StepSucceeded, Result: elt.Result{Rows: 3}}))
		ok(t, l.Finish(ctx, must(l.Claim(ctx, orders, "v", hour))(t), elt.Outcome{State: elt.StepFailed, Error: failure}))
		must(l.Claim(ctx, steps[1].ID, "v", hour))(t)
		ok(t, l.CancelRun(ctx, run.ID, "ada", "enough"))
		must(l.RetryRun(ctx, run.ID, "ada"))(t)
		must(l.Claim(ctx, steps[1].ID, "v", hour))(t)
		states := must(l.LineageStates(ctx))(t)
		if len(states) != 1 || states[0].Behind == 0 || states[0].Delivered != 0 {
			t.Errorf("before anything was told: %+v", states)
		}
		want := []string{
			"START 1", "START extract/shop.users 1", "FAIL extract/shop.users 1 source_unreachable", "START extract/shop.users 2",
			"FAIL extract/shop.users 2 interrupted", "START extract/shop.users 3", "COMPLETE extract/shop.users 3",
			"START extract/shop.orders 1", "FAIL extract/shop.orders 1 source_unreachable", "START load/shop.users 1",
			"ABORT load/shop.users 1 run_cancelled", "ABORT 1 run_cancelled", "START 2", "START load/shop.users 2",
		}
		if diff := cmp.Diff(want, tell(t, l)); diff != "" {
			t.Error(diff)
		}
		if more := tell(t, l); more != nil {
			t.Errorf("told again: %v", more)
		}
		states = must(l.LineageStates(ctx))(t)
		if s := states[0]; s.Behind > 1 || s.Delivered != int64(len(want)) || s.GivenUp != 0 || s.DeliveredAt.IsZero() || s.Error != nil {
			t.Errorf("after everything was told: %+v", s)
		}
		checkInvariants(t, l)
	})
}

func TestLineageIsClaimedOnceAndAgainWhenItsSenderDied(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx, lineage := t.Context(), l.Lineage()
		ok(t, lineage.Sync(ctx, []elt.DestinationName{marquez}))
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		revision := must(l.Revision(ctx))(t)
		take := func(ttl time.Duration) (elt.Message, bool) {
			t.Helper()
			m, found, err := lineage.ClaimMessage(ctx, marquez, ttl)
			ok(t, err)
			return m, found
		}
		lost, _ := take(0) // its sender is killed
		held, found := take(hour)
		if !found || held.ID != lost.ID || held.Attempt != 2 || cmp.Diff(lost.Lineage, held.Lineage) != "" {
			t.Errorf("claimed %+v after %+v", held, lost)
		}
		if m, found := take(hour); found {
			t.Errorf("%s is claimed while it is being sent", m.ID)
		}
		wantCode(t, lineage.FinishMessage(ctx, lost, elt.Delivery{State: elt.MessageDelivered}), "message_not_held")
		failure := &elt.Failure{Code: "destination_failed", Class: elt.Transient, Message: "503"}
		ok(t, lineage.FinishMessage(ctx, held, elt.Delivery{State: elt.MessagePending, Wait: hour, Error: failure}))
		if _, found := take(hour); found {
			t.Error("it is claimed before its next attempt is due")
		}
		if s := must(l.LineageStates(ctx))(t)[0]; s.Attempt != 2 || cmp.Diff(failure, s.Error) != "" || s.NextAttemptAt.IsZero() || s.Behind != 1 {
			t.Errorf("while it waits: %+v", s)
		}
		ok(t, lineage.Sync(ctx, []elt.DestinationName{marquez})) // as after a restart: it is tried at once
		held, found = take(hour)
		if !found || held.Attempt != 3 {
			t.Errorf("after a restart: %+v", held)
		}
		ok(t, lineage.FinishMessage(ctx, held, elt.Delivery{State: elt.MessageFailed, Error: failure}))
		if s := must(l.LineageStates(ctx))(t)[0]; s.GivenUp != 1 || s.Delivered != 0 {
			t.Errorf("given up: %+v", s)
		}
		if after := must(l.Revision(ctx))(t); after != revision {
			t.Errorf("telling moved the revision from %d to %d: every page would be drawn again", revision, after)
		}
		ok(t, lineage.Sync(ctx, nil))
		if states := must(l.LineageStates(ctx))(t); len(states) > 0 {
			t.Errorf("a destination that left: %+v", states)
		}
	})
}

// Who was away for too long is told what is not too old, and how much it missed.
func TestLineageThatGrewOldIsPassedOver(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.Lineage().Sync(ctx, []elt.DestinationName{marquez}))
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		_, err := l.Writer().ExecContext(ctx, `UPDATE events SET at = '2020-01-01T00:00:00.000000Z'`)
		ok(t, err)
		must(l.Claim(ctx, steps[2].ID, "w", hour))(t)
		m, found, err := l.Lineage().ClaimMessage(ctx, marquez, hour)
		ok(t, err)
		if !found || m.Lineage.Step.ID != steps[2].ID {
			t.Fatalf("told %+v", m)
		}
		if s := must(l.LineageStates(ctx))(t)[0]; s.GivenUp != 2 || s.Error == nil || s.Error.Code != "lineage_expired" {
			t.Errorf("what was missed: %+v", s)
		}
	})
}

// A run that was forgotten is told no more, and holds up nothing.
func TestLineageOfAForgottenRun(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.Lineage().Sync(ctx, []elt.DestinationName{marquez}))
		for i, date := range []string{"2026-01-05", "2026-03-05"} {
			run, steps, days := night(fmt.Sprintf("run-%d", i), day(date))
			must2(l.CreateRun(ctx, run, steps, days))(t)
			ok(t, l.CancelRun(ctx, run.ID, "ada", "enough"))
		}
		must(l.Forget(ctx, day("2026-02-01"), nil, false))(t)
		if diff := cmp.Diff([]string{"START 1", "ABORT 1 run_cancelled"}, tell(t, l)); diff != "" {
			t.Error(diff)
		}
	})
}
