package statustest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// backfillNight is the newest data date of the world's backfills.
var backfillNight = elt.Date{Year: 2026, Month: 11, Day: 20}

// backfillDays are the days of a backfill of the world: some of each kind.
func backfillDays() []elt.BackfillDay {
	var days []elt.BackfillDay
	for i := range 14 {
		date := backfillNight.AddDays(i - 13)
		for _, d := range []elt.DatasetName{"finance.invoices", "revenue"} {
			day := elt.BackfillDay{Dataset: d, Date: date, Action: elt.ExtractDay, Reason: "every day was asked for", State: elt.BackfillDayPending}
			if d == "revenue" {
				day.Action, day.Reason = elt.BuildDay, "finance.invoices is brought again"
			}
			switch {
			case i == 0:
				day.Action, day.Reason, day.State = elt.RefuseDay, "its history begins on 2026-11-08", elt.BackfillDayRefused
			case i < 6:
				day.State, day.Run = elt.BackfillDaySucceeded, elt.RunID(fmt.Sprintf("20261121t0700-%d", i))
			case i == 6 && d == "revenue":
				day.State, day.Run, day.Says = elt.BackfillDayFailed, "20261121t0700-6", "transform: division by zero in revenue.sql"
			case i == 6:
				day.State, day.Run = elt.BackfillDaySucceeded, "20261121t0700-6"
			case i == 7:
				day.State, day.Run = elt.BackfillDayRunning, "20261121t0700-7"
			}
			days = append(days, day)
		}
	}
	return days
}

// backfillList are the backfills of the world, the latest first, steered as was asked.
func (a *Acts) backfillList() []elt.Backfill {
	at := time.Date(2026, 11, 21, 6, 40, 0, 0, time.UTC)
	request := elt.BackfillRequest{Select: []string{"finance.invoices"}, From: backfillNight.AddDays(-13), To: backfillNight, Mode: elt.AllDays, Downstream: true}
	progress := make(map[elt.BackfillDayState]int)
	for _, d := range backfillDays() {
		progress[d.State]++
	}
	going := elt.Backfill{
		ID: "backfill-2", Number: 2, State: elt.BackfillRunning, Request: request, Actor: "head (aaaaaaaa)", Reason: "credit notes were counted twice", CreatedAt: at,
		Estimate: elt.Estimate{Effort: elt.Effort{Rows: 32_351_418, Bytes: 1_300_000_000, Duration: 3 * time.Hour}}, Progress: progress,
	}
	if state, steered := a.steered[going.ID]; steered {
		going.State = state
	}
	request.Select, request.Mode = []string{"shop.users"}, elt.MissingDays
	return []elt.Backfill{going, {
		ID: "backfill-1", Number: 1, State: elt.BackfillSucceeded, Request: request, Actor: "growth@example.com", CreatedAt: at.AddDate(0, 0, -9), EndedAt: at.AddDate(0, 0, -8),
		Progress: map[elt.BackfillDayState]int{elt.BackfillDaySucceeded: 3, elt.BackfillDaySkipped: 11},
	}}
}

// Backfill is part of status.Backfills.
func (a *Acts) Backfill(_ context.Context, id elt.BackfillID) (elt.Backfill, error) {
	all := a.backfillList()
	i := slices.IndexFunc(all, func(f elt.Backfill) bool { return f.ID == id })
	if i < 0 {
		return elt.Backfill{}, &elt.Error{Code: "backfill_unknown", Class: elt.Data, What: "no such backfill", Do: "look"}
	}
	return all[i], nil
}

// Backfills is part of status.Backfills.
func (a *Acts) Backfills(_ context.Context, before, limit int) ([]elt.Backfill, error) {
	all := slices.DeleteFunc(a.backfillList(), func(f elt.Backfill) bool { return before > 0 && f.Number >= before })
	return all[:min(limit, len(all))], nil
}

// BackfillDays is part of status.Backfills.
func (a *Acts) BackfillDays(_ context.Context, _ elt.BackfillID, state elt.BackfillDayState, offset, limit int) ([]elt.BackfillDay, error) {
	days := slices.DeleteFunc(backfillDays(), func(d elt.BackfillDay) bool { return state != "" && d.State != state })
	days = days[min(offset, len(days)):]
	if limit > 0 {
		days = days[:min(limit, len(days))]
	}
	return days, nil
}

// SteerBackfill is part of status.Backfills.
func (a *Acts) SteerBackfill(ctx context.Context, id elt.BackfillID, act elt.BackfillAct, actor, reason string) (bool, error) {
	f, err := a.Backfill(ctx, id)
	if err != nil {
		return false, err
	}
	if f.State.Terminal() {
		return false, &elt.Error{Code: "backfill_ended", Class: elt.Conflict, What: "it has ended", Do: "nothing"}
	}
	to := map[elt.BackfillAct]elt.BackfillState{
		elt.PauseBackfill: elt.BackfillPaused, elt.ResumeBackfill: elt.BackfillRunning, elt.CancelBackfill: elt.BackfillCancelled, elt.RetryBackfill: elt.BackfillRunning,
	}[act]
	if to == f.State {
		return false, nil
	}
	if a.steered == nil {
		a.steered = make(map[elt.BackfillID]elt.BackfillState)
	}
	a.steered[id] = to
	a.asked("%s %s by %s: %s", act, id, actor, reason)
	return true, nil
}

// PlanBackfill is part of status.BackfillDesk: the world's own days, within the range that is asked for.
func (a *Acts) PlanBackfill(_ context.Context, r elt.BackfillRequest) (elt.BackfillPlan, error) {
	if r.Select[0] == "nothing" {
		return elt.BackfillPlan{}, &elt.Error{Code: "nothing_selected", Class: elt.Config, What: "no schedule brings anything of nothing", Do: "select something else"}
	}
	plan := elt.BackfillPlan{Request: r, Estimate: elt.Estimate{Effort: elt.Effort{Rows: 4_621_774, Bytes: 190_000_000, Duration: 28 * time.Minute}}}
	for _, d := range backfillDays() {
		if !d.Date.Before(r.From) && !d.Date.After(r.To) && (r.Downstream || d.Dataset != "revenue") {
			d.State, d.Run, d.Says = "", "", ""
			d.Seen = a.seen
			plan.Days = append(plan.Days, d)
		}
	}
	return plan, nil
}

// Publish changes what plans are made over: what was planned before is stale.
func (a *Acts) Publish(v elt.VersionID) { a.seen = v }

// StartBackfill is part of status.BackfillDesk.
func (a *Acts) StartBackfill(ctx context.Context, r elt.BackfillRequest, token elt.PlanToken, actor, reason string) (elt.Backfill, error) {
	plan, err := a.PlanBackfill(ctx, r)
	if err != nil {
		return elt.Backfill{}, err
	}
	if how := plan.Differs(token); how != "" {
		return elt.Backfill{}, &elt.Error{Code: "plan_stale", Class: elt.Conflict, What: "it is not the plan that was looked at: " + how, Do: "plan it again"}
	}
	a.asked("backfill %s by %s: %s", r, actor, reason)
	return a.backfillList()[0], nil
}
