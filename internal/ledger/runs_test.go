package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func TestCreateRunKeepsEverything(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		made, created, err := l.CreateRun(ctx, run, steps, days)
		ok(t, err)
		if !created || made.State != elt.RunRunning || made.CreatedAt.IsZero() {
			t.Fatalf("created %v, run %+v", created, made)
		}
		for i := range steps {
			steps[i].State = elt.StepPending
		}
		if diff := cmp.Diff(steps, must(l.Steps(ctx, run.ID))(t)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(made, must(l.Run(ctx, run.ID))(t)); diff != "" {
			t.Error(diff)
		}
		facts := must(l.Facts(ctx, run.Date, run.Date))(t)
		if len(facts.Days) != 3 || facts.Days[0].Run != run.ID || !facts.Days[0].Deadline.Equal(days[0].Deadline) {
			t.Errorf("days %+v", facts.Days)
		}

		other, steps, days := night("run-2", day("2026-01-05"))
		again, created, err := l.CreateRun(ctx, other, steps, days)
		ok(t, err)
		if created {
			t.Error("the same night was created twice")
		}
		if diff := cmp.Diff(made, again); diff != "" {
			t.Errorf("the second caller did not get the first one's run: %s", diff)
		}
		events := must(l.Events(ctx, 0, 0))(t)
		if len(events) != 1 || events[0].Kind != "run.created" || events[0].Seq != 1 {
			t.Errorf("events %+v", events)
		}
		checkInvariants(t, l)
	})
}

func TestACreatedRunKeepsTheDeadlineOfTheCalendar(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		ok(t, l.ExpectDays(ctx, days))
		before := must(l.Revision(ctx))(t)
		ok(t, l.ExpectDays(ctx, append(days, days...)))
		if after := must(l.Revision(ctx))(t); after != before {
			t.Errorf("expecting the same again moved the revision from %d to %d", before, after)
		}
		bare := []elt.Day{{Dataset: days[0].Dataset, Date: run.Date}}
		must2(l.CreateRun(ctx, run, steps, bare))(t)
		ok(t, l.ExpectDays(ctx, days))
		got := must(l.Facts(ctx, run.Date, run.Date))(t).Days
		slices.SortFunc(got, func(a, b elt.Day) int { return strings.Compare(string(a.Dataset), string(b.Dataset)) })
		if len(got) != 3 || got[2].Dataset != "shop.users" || got[2].Run != run.ID || !got[2].Deadline.Equal(days[0].Deadline) {
			t.Errorf("days %+v", got)
		}
		if got[0].Run != "" {
			t.Errorf("a day that no run brings has run %q", got[0].Run)
		}
		days[0].Deadline, days[0].NotExpected = days[0].Deadline.AddDate(0, 0, 1), "a holiday"
		ok(t, l.ExpectDays(ctx, days))
		events := must(l.Events(ctx, 4, 0))(t)
		if len(events) != 1 || events[0].Kind != "day.not_expected" || events[0].Dataset != "shop.users" {
			t.Errorf("events %+v", events)
		}
	})
}

func TestRunsAreListedNewestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		for i := range 7 {
			run, steps, days := night(fmt.Sprintf("run-%d", 9-i), day("2026-01-01").AddDays(i)) // IDs against the order of creation
			if i >= 5 {
				run.Schedule = "hourly"
			}
			must2(l.CreateRun(ctx, run, steps, days))(t)
		}
		ok(t, l.CancelRun(ctx, "run-4", "growth@example.com", "not needed"))
		for name, c := range map[string]struct {
			filter elt.RunFilter
			want   string
		}{
			"all":         {elt.RunFilter{}, "run-3 run-4 run-5 run-6 run-7 run-8 run-9"},
			"limit":       {elt.RunFilter{Limit: 2}, "run-3 run-4"},
			"before":      {elt.RunFilter{Before: "run-5", Limit: 2}, "run-6 run-7"},
			"before none": {elt.RunFilter{Before: "run-99"}, ""},
			"dates":       {elt.RunFilter{From: day("2026-01-02"), To: day("2026-01-03")}, "run-7 run-8"},
			"schedule":    {elt.RunFilter{Schedule: "hourly"}, "run-3 run-4"},
			"state":       {elt.RunFilter{Schedule: "hourly", State: elt.RunCancelled}, "run-4"},
		} {
			var got []string
			for _, r := range must(l.Runs(ctx, c.filter))(t) {
				got = append(got, string(r.ID))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %v, want %s", name, got, c.want)
			}
		}
	})
}

func TestOneRunWhoeverAsks(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		children := make([]*child, 3)
		for i := range children {
			children[i] = startChild(t, "create", dsn, fmt.Sprint("process-", i))
		}
		for _, c := range children {
			if c.line() != "ready" {
				t.Fatal("a child did not start")
			}
		}
		for _, c := range children {
			c.release(t)
		}
		created, ids := 0, map[string]bool{}
		for _, c := range children {
			for line := c.line(); line != ""; line = c.line() {
				made, id, _ := strings.Cut(line, " ")
				ids[id] = true
				if made == "true" {
					created++
				}
			}
			ok(t, c.Wait())
		}
		if created != 1 || len(ids) != 1 {
			t.Errorf("%d runs were created, callers saw %v", created, ids)
		}
		if runs := must(l.Runs(t.Context(), elt.RunFilter{}))(t); len(runs) != 1 {
			t.Errorf("the ledger has %d runs", len(runs))
		}
		checkInvariants(t, l)
	})
}

// childCreatesRuns asks for the same night from fifty goroutines and prints what each got.
func childCreatesRuns(ctx context.Context, dsn, name string) error {
	l, err := ledger.Open(ctx, dsn, discard())
	if err != nil {
		return err
	}
	if err := awaitSignal(); err != nil {
		return err
	}
	var all sync.WaitGroup
	answers := make([]string, 50)
	for i := range answers {
		all.Go(func() {
			run, steps, days := night(fmt.Sprintf("%s-%d", name, i), day("2026-01-05"))
			made, created, err := l.CreateRun(ctx, run, steps, days)
			answers[i] = fmt.Sprint(created, " ", made.ID)
			if err != nil {
				answers[i] = "error " + err.Error()
			}
		})
	}
	all.Wait()
	fmt.Println(strings.Join(answers, "\n"))
	return l.Close()
}

func TestFinishRun(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		wantCode(t, l.FinishRun(ctx, run.ID, elt.RunSucceeded), "run_unfinished")
		wantCode(t, l.FinishRun(ctx, "none", elt.RunSucceeded), "run_unknown")
		for _, s := range steps {
			lease := must(l.Claim(ctx, s.ID, "w", hour))(t)
			ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded}))
		}
		ok(t, l.FinishRun(ctx, run.ID, elt.RunSucceeded))
		ok(t, l.FinishRun(ctx, run.ID, elt.RunSucceeded))
		wantCode(t, l.FinishRun(ctx, run.ID, elt.RunFailed), "run_not_running")
		wantCode(t, l.CancelRun(ctx, run.ID, "growth@example.com", "late"), "run_not_running")
		if n := must(l.RetryRun(ctx, run.ID, "growth@example.com"))(t); n != 0 {
			t.Errorf("retried %d steps of a run that succeeded", n)
		}
		if r := must(l.Run(ctx, run.ID))(t); r.State != elt.RunSucceeded || r.FinishedAt.IsZero() {
			t.Errorf("run %+v", r)
		}
		checkInvariants(t, l)
	})
}

func TestRetryRunKeepsHistory(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		end := func(i int, o elt.Outcome) {
			t.Helper()
			ok(t, l.Finish(ctx, must(l.Claim(ctx, steps[i].ID, "w", hour))(t), o))
		}
		cut := &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "the connection was cut", Do: "nothing"}
		end(0, elt.Outcome{State: elt.StepSucceeded, Result: elt.Result{Rows: 5}})
		end(1, elt.Outcome{State: elt.StepSucceeded})
		end(2, elt.Outcome{State: elt.StepRetrying, Error: cut, NextAttemptAt: days[0].Deadline.AddDate(-1, 0, 0)})
		end(2, elt.Outcome{State: elt.StepFailed, Error: cut})
		ok(t, l.BlockSteps(ctx, []elt.StepID{steps[0].ID, steps[3].ID, steps[4].ID}))
		end(5, elt.Outcome{State: elt.StepSucceeded, Result: elt.Result{Versions: 1}})
		_, err := l.RetryRun(ctx, run.ID, "growth@example.com")
		wantCode(t, err, "run_running")
		ok(t, l.FinishRun(ctx, run.ID, elt.RunPartial))

		if n := must(l.RetryRun(ctx, run.ID, "growth@example.com"))(t); n != 4 {
			t.Errorf("retried %d steps, want the failed one, two blocked ones and publish", n)
		}
		var states []elt.StepState
		for _, s := range must(l.Steps(ctx, run.ID))(t) {
			states = append(states, s.State)
		}
		want := []elt.StepState{"succeeded", "succeeded", "pending", "pending", "pending", "pending"}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Error(diff)
		}
		if r := must(l.Run(ctx, run.ID))(t); r.State != elt.RunRunning || !r.FinishedAt.IsZero() {
			t.Errorf("run %+v", r)
		}
		lease := must(l.Claim(ctx, steps[2].ID, "w", hour))(t)
		if lease.Attempt != 3 {
			t.Errorf("attempt %d, want 3", lease.Attempt)
		}
		attempts := must(l.Attempts(ctx, steps[2].ID))(t)
		if len(attempts) != 3 || attempts[1].Error == nil || attempts[2].Error != nil || attempts[2].Fence <= attempts[1].Fence || attempts[2].Worker != "w" {
			t.Errorf("attempts %+v", attempts)
		}
		if diff := cmp.Diff(cut, attempts[0].Error); diff != "" {
			t.Error(diff)
		}
		trail, next, err := l.AuditTrail(ctx, 0, 0)
		ok(t, err)
		if len(trail) != 1 || next != 0 || trail[0].Action != "run.retry" || trail[0].Target != "run-1" || trail[0].Actor != "growth@example.com" || trail[0].At.IsZero() {
			t.Errorf("audit trail %+v", trail)
		}
		checkInvariants(t, l)
	})
}

func TestCancelRunEndsEverything(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		must2(l.CreateRun(ctx, run, steps, days))(t)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		ok(t, l.CancelRun(ctx, run.ID, "growth@example.com", "wrong source"))
		ok(t, l.CancelRun(ctx, run.ID, "growth@example.com", "wrong source"))
		_, err := l.Heartbeat(ctx, lease, hour, elt.Progress{})
		wantCode(t, err, "lease_lost")
		wantCode(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded}), "lease_lost")
		for _, s := range steps {
			_, err := l.Claim(ctx, s.ID, "w", hour)
			wantCode(t, err, "step_not_claimable")
		}
		for _, s := range must(l.Steps(ctx, run.ID))(t) {
			if s.State != elt.StepCancelled || s.Error == nil || s.Error.Code != "run_cancelled" || !strings.Contains(s.Error.Message, "wrong source") {
				t.Errorf("step %+v", s)
			}
		}
		checkInvariants(t, l)
		if n := must(l.RetryRun(ctx, run.ID, "growth@example.com"))(t); n != len(steps) {
			t.Errorf("retried %d steps", n)
		}
		wantCode(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepCancelled}), "lease_lost")
		checkInvariants(t, l)
	})
}
