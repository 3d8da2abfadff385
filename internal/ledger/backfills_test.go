package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// pastDays is a backfill of a table and the model on it, for two days, with one that is skipped and one that is refused.
func pastDays() (elt.Backfill, []elt.BackfillDay) {
	b := elt.Backfill{
		Request:  elt.BackfillRequest{Select: []string{"shop.orders"}, From: day("2026-01-05"), To: day("2026-01-06"), Mode: elt.AllDays, Downstream: true},
		Estimate: elt.Estimate{Effort: elt.Effort{Rows: 7, Bytes: 70, Duration: time.Minute}, Unknown: []elt.DatasetName{"revenue"}},
		Actor:    "growth@example.com", Reason: "wrong currency",
	}
	return b, []elt.BackfillDay{
		{Dataset: "shop.orders", Date: day("2026-01-05"), Action: elt.ExtractDay, Reason: "asked", Seen: "shop.orders@r"},
		{Dataset: "revenue", Date: day("2026-01-05"), Action: elt.BuildDay, Reason: "follows"},
		{Dataset: "shop.users", Date: day("2026-01-05"), Action: elt.RefuseDay, Reason: "read whole"},
		{Dataset: "shop.orders", Date: day("2026-01-06"), Action: elt.ReloadDay, Reason: "asked", Manifest: "m.json"},
		{Dataset: "revenue", Date: day("2026-01-06"), Action: elt.SkipDay, Reason: "ready", Phase: 1},
	}
}

// beginDate begins the next date of a backfill.
func beginDate(ctx context.Context, l *ledger.Ledger, b elt.Backfill, id elt.RunID) ([]elt.Step, error) {
	days, err := l.NextBackfillDays(ctx, b.ID)
	if err != nil || len(days) == 0 {
		return nil, err
	}
	run := elt.Run{ID: id, Schedule: "nightly", Date: days[0].Date, Sequence: b.Sequence(days[0].Phase)}
	var steps []elt.Step
	var brings []elt.Day
	var ends []elt.StepID
	for _, d := range days {
		s := elt.Step{ID: elt.NewStepID(id, elt.TransformStep, d.Dataset), Run: id, Kind: elt.TransformStep, Dataset: d.Dataset, Date: d.Date}
		steps, brings, ends = append(steps, s), append(brings, elt.Day{Dataset: d.Dataset, Date: d.Date, Run: id}), append(ends, s.ID)
	}
	steps = append(steps, elt.Step{ID: elt.NewStepID(id, elt.PublishStep, ""), Run: id, Kind: elt.PublishStep, Date: run.Date, Needs: ends})
	return steps, l.BeginBackfillRun(ctx, b.ID, run, steps, brings, nil)
}

// endRun ends each step of a run in a state; what succeeded is published.
func endRun(t *testing.T, l *ledger.Ledger, run elt.RunID, states map[elt.DatasetName]elt.StepState) {
	t.Helper()
	ctx := t.Context()
	state := elt.RunFailed
	var versions []elt.Version
	for _, s := range must(l.Steps(ctx, run))(t) {
		if s.State == elt.StepSucceeded {
			continue
		}
		want := states[s.Dataset]
		if s.Kind == elt.PublishStep {
			want = elt.StepSucceeded
			if len(versions) == 0 {
				ok(t, l.BlockSteps(ctx, []elt.StepID{s.ID}))
				break
			}
			state = elt.RunPartial
			ok(t, l.RecordVersions(ctx, versions))
		}
		o := elt.Outcome{State: want}
		if want == elt.StepFailed {
			o.Error = &elt.Failure{Code: "boom", Class: elt.Data, Message: "it broke"}
		} else if s.Dataset != "" {
			versions = append(versions, elt.Version{ID: elt.NewVersionID(s.Dataset, run), Dataset: s.Dataset, Date: s.Date, Run: run})
		}
		ok(t, l.Finish(ctx, must(l.Claim(ctx, s.ID, "w", hour))(t), o))
	}
	ok(t, l.FinishRun(ctx, run, state))
}

func statesOf(t *testing.T, l *ledger.Ledger, id elt.BackfillID) string {
	t.Helper()
	text := string(must(l.Backfill(t.Context(), id))(t).State) + ":"
	for _, d := range must(l.BackfillDays(t.Context(), id, "", 0, 0))(t) {
		text += fmt.Sprintf(" %s %d %s", d.Dataset, d.Date.Day, d.State)
	}
	return text
}

func TestBackfillFromStartToEnd(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		asked, days := pastDays()
		b := must(l.StartBackfill(ctx, asked, days))(t)
		if b.ID != "backfill-1" || b.State != elt.BackfillRunning || b.CreatedAt.IsZero() {
			t.Fatalf("started %+v", b)
		}
		kept := must(l.Backfill(ctx, b.ID))(t)
		if diff := cmp.Diff(b, kept, cmpopts.IgnoreFields(elt.Backfill{}, "Progress", "CreatedAt")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(days, must(l.BackfillDays(ctx, b.ID, "", 0, 0))(t), cmpopts.IgnoreFields(elt.BackfillDay{}, "State")); diff != "" {
			t.Error(diff)
		}
		if held := must(l.HeldDays(ctx))(t); len(held) != 3 || held[elt.DayKey{Dataset: "shop.orders", Date: day("2026-01-06")}] != "backfill-1" {
			t.Errorf("held %v", held)
		}
		_, err := l.StartBackfill(ctx, asked, days[3:])
		wantCode(t, err, "backfill_overlaps")

		must(beginDate(ctx, l, b, "run-1"))(t)
		endRun(t, l, "run-1", map[elt.DatasetName]elt.StepState{"shop.orders": elt.StepSucceeded, "revenue": elt.StepFailed})
		want := "running: shop.orders 5 succeeded revenue 5 failed shop.users 5 refused shop.orders 6 pending revenue 6 skipped"
		if got := statesOf(t, l, b.ID); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if d := must(l.BackfillDays(ctx, b.ID, elt.BackfillDayFailed, 0, 10))(t); len(d) != 1 || d[0].Says != "transform: it broke" {
			t.Errorf("failed days %+v", d)
		}
		must(beginDate(ctx, l, b, "run-2"))(t)
		if d := must(l.BackfillDayOf(ctx, "run-2", "shop.orders"))(t); d.Manifest != "m.json" {
			t.Errorf("run-2 loads %+v", d)
		}
		endRun(t, l, "run-2", map[elt.DatasetName]elt.StepState{"shop.orders": elt.StepSucceeded})
		if got := must(l.Backfill(ctx, b.ID))(t); got.State != elt.BackfillFailed || got.EndedAt.IsZero() || got.Progress[elt.BackfillDaySucceeded] != 2 {
			t.Errorf("ended as %+v", got)
		}
		checkInvariants(t, l)

		// Retrying takes up the failed step alone.
		if !must(l.SteerBackfill(ctx, b.ID, elt.RetryBackfill, "growth@example.com", "mended"))(t) {
			t.Error("nothing was retried")
		}
		if s := must(l.Steps(ctx, "run-1"))(t); s[0].State != elt.StepSucceeded || s[1].State != elt.StepPending || s[2].State != elt.StepPending {
			t.Errorf("steps after the retry %+v", s)
		}
		endRun(t, l, "run-1", map[elt.DatasetName]elt.StepState{"revenue": elt.StepSucceeded})
		if got := must(l.Backfill(ctx, b.ID))(t); got.State != elt.BackfillSucceeded {
			t.Errorf("ended as %+v", got)
		}
		if must(l.SteerBackfill(ctx, b.ID, elt.RetryBackfill, "growth@example.com", ""))(t) {
			t.Error("there was nothing to retry")
		}
		for _, act := range []elt.BackfillAct{elt.PauseBackfill, elt.ResumeBackfill, elt.CancelBackfill} {
			_, err := l.SteerBackfill(ctx, b.ID, act, "growth@example.com", "")
			wantCode(t, err, "backfill_ended")
		}
		trail, _, err := l.AuditTrail(ctx, 0, 10)
		ok(t, err)
		if len(trail) != 2 || trail[0].Action != "backfill.retry" || trail[1].Reason != "wrong currency" || trail[1].Actor != "growth@example.com" {
			t.Errorf("audit trail %+v", trail)
		}
		checkInvariants(t, l)
	})
}

// Cancel means that nothing more starts: no step, no date, not by a retry of the run, the day or the backfill, and not in
// another process.
func TestACancelledBackfillStartsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: elt.BackfillRequest{Mode: elt.AllDays}, Actor: "a"}, second(pastDays())))(t)
		steps := must(beginDate(ctx, l, b, "run-1"))(t)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		if !must(l.SteerBackfill(ctx, b.ID, elt.CancelBackfill, "on-call", "wrong range"))(t) {
			t.Error("nothing was cancelled")
		}
		want := "cancelled: shop.orders 5 cancelled revenue 5 cancelled shop.users 5 refused shop.orders 6 cancelled revenue 6 skipped"
		if got := statesOf(t, l, b.ID); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		_, err := l.Heartbeat(ctx, lease, hour, elt.Progress{})
		wantCode(t, err, "lease_lost")
		for _, other := range []*ledger.Ledger{l, open(t, dsn)} { // also for a process that has just begun
			for _, s := range steps {
				_, err := other.Claim(ctx, s.ID, "w", hour)
				wantCode(t, err, "step_not_claimable")
			}
			_, err := other.RetryRun(ctx, "run-1", "on-call")
			wantCode(t, err, "backfill_cancelled")
			_, err = other.SteerBackfill(ctx, b.ID, elt.RetryBackfill, "on-call", "")
			wantCode(t, err, "backfill_cancelled")
			_, err = other.SteerBackfill(ctx, b.ID, elt.ResumeBackfill, "on-call", "")
			wantCode(t, err, "backfill_ended")
			if days := must(other.NextBackfillDays(ctx, b.ID))(t); len(days) != 0 {
				t.Errorf("next are %+v", days)
			}
			run := elt.Run{ID: "run-2", Schedule: "nightly", Date: day("2026-01-06")}
			wantCode(t, other.BeginBackfillRun(ctx, b.ID, run, steps, nil, nil), "backfill_resting")
			if must(other.SteerBackfill(ctx, b.ID, elt.CancelBackfill, "on-call", ""))(t) {
				t.Error("cancelled twice")
			}
		}
		if held := must(l.HeldDays(ctx))(t); len(held) != 0 {
			t.Errorf("held %v", held)
		}
		must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())))(t) // the days are free again
		checkInvariants(t, l)
	})
}

var anyRequest = elt.BackfillRequest{Mode: elt.AllDays}

func second[T, U any](_ T, u U) U { return u }

func TestAPausedBackfillRests(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())))(t)
		steps := must(beginDate(ctx, l, b, "run-1"))(t)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		must(l.SteerBackfill(ctx, b.ID, elt.PauseBackfill, "on-call", "source is slow"))(t)
		if must(l.SteerBackfill(ctx, b.ID, elt.PauseBackfill, "on-call", ""))(t) {
			t.Error("paused twice")
		}
		if got := must(l.Backfill(ctx, b.ID))(t); got.Says != "paused by on-call: source is slow" {
			t.Errorf("it says %q", got.Says)
		}
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded})) // what is at work ends
		_, err := l.Claim(ctx, steps[1].ID, "w", hour)
		wantCode(t, err, "step_not_claimable")
		_, err = beginDate(ctx, l, b, "run-2")
		wantCode(t, err, "backfill_resting")
		if !must(l.SteerBackfill(ctx, b.ID, elt.ResumeBackfill, "on-call", ""))(t) {
			t.Error("nothing was resumed")
		}
		must(l.Claim(ctx, steps[1].ID, "w", hour))(t)
		checkInvariants(t, l)
	})
}

// However many processes begin a date at once, it has one run.
func TestADateOfABackfillBeginsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, second(pastDays())[:1]))(t)
		others := []*ledger.Ledger{l, open(t, dsn), open(t, dsn)}
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				_, err := beginDate(ctx, others[i%len(others)], b, elt.RunID(fmt.Sprintf("run-%d", i)))
				if err != nil && elt.CodeOf(err) != "backfill_resting" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if runs := must(l.Runs(ctx, elt.RunFilter{}))(t); len(runs) != 1 || runs[0].Backfill != b.ID || runs[0].Kind != elt.BackfillRun {
			t.Errorf("runs %+v", runs)
		}
		checkInvariants(t, l)
	})
}

// After a few dates in a row that failed, somebody should look; what was resumed counts anew.
func TestBackfillFailuresInARow(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		var days []elt.BackfillDay
		for i := range 4 {
			days = append(days, elt.BackfillDay{Dataset: "d", Date: day("2026-01-05").AddDays(i), Action: elt.BuildDay, Reason: "asked"})
		}
		b := must(l.StartBackfill(ctx, elt.Backfill{Request: anyRequest, Actor: "a"}, days))(t)
		for i := range 3 {
			run := elt.RunID(fmt.Sprintf("run-%d", i))
			must(beginDate(ctx, l, b, run))(t)
			endRun(t, l, run, map[elt.DatasetName]elt.StepState{"d": elt.StepFailed})
		}
		if n := must(l.BackfillFailures(ctx, b))(t); n != 3 {
			t.Errorf("%d failed in a row", n)
		}
		must(l.SteerBackfill(ctx, b.ID, elt.PauseBackfill, "Daybreak", ""))(t)
		must(l.SteerBackfill(ctx, b.ID, elt.ResumeBackfill, "a", ""))(t)
		if n := must(l.BackfillFailures(ctx, b))(t); n != 0 {
			t.Errorf("%d failed in a row since it was resumed", n)
		}
		must(l.SteerBackfill(ctx, b.ID, elt.PauseBackfill, "Daybreak", "3 dates in a row have failed"))(t)
		if !must(l.SteerBackfill(ctx, b.ID, elt.RetryBackfill, "a", "mended"))(t) {
			t.Error("nothing was retried")
		}
		if got := must(l.Backfill(ctx, b.ID))(t); got.State != elt.BackfillRunning || got.Says != "" || got.Progress[elt.BackfillDayRunning] != 3 {
			t.Errorf("paused and retried, it is %+v", got)
		}
		checkInvariants(t, l)
	})
}

func TestEfforts(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		for i := range 3 {
			id := elt.RunID(fmt.Sprintf("run-%d", i))
			run, steps, days := night(string(id), day("2026-01-05").AddDays(i))
			must2(l.CreateRun(ctx, run, steps, days))(t)
			for _, s := range steps {
				if s.Kind == elt.PublishStep {
					ok(t, l.RecordVersions(ctx, []elt.Version{{ID: elt.NewVersionID("shop.users", id), Dataset: "shop.users", Date: run.Date, Run: id, Rows: int64(10 * (i + 1))}}))
				}
				o := elt.Outcome{State: elt.StepSucceeded, Usage: elt.Usage{Jobs: 1, BytesBilled: 100}}
				lease := must(l.Claim(ctx, s.ID, "w", hour))(t)
				since := must(l.Now(ctx))(t)
				for !must(l.Now(ctx))(t).After(since) { // it takes a moment, by the ledger's clock
				}
				ok(t, l.Finish(ctx, lease, o))
			}
			ok(t, l.FinishRun(ctx, id, elt.RunSucceeded))
		}
		efforts := must(l.Efforts(ctx))(t)
		if e := efforts["shop.users"]; len(efforts) != 1 || e.Rows != 20 || e.BytesBilled != 200 || e.Duration <= 0 {
			t.Errorf("efforts %+v", efforts)
		}
		first, newest, err := l.PublishedDates(ctx)
		ok(t, err)
		if first["shop.users"] != day("2026-01-05") || newest["shop.users"] != day("2026-01-07") {
			t.Errorf("published from %v to %v", first, newest)
		}
	})
}
