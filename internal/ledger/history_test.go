package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// moment waits until the ledger's clock has moved on, and returns what it showed before: what follows is later.
func moment(t *testing.T, l *ledger.Ledger) time.Time {
	t.Helper()
	then := must(l.Now(t.Context()))(t)
	for !must(l.Now(t.Context()))(t).After(then) {
		continue // a millisecond
	}
	return then
}

// The ledger as of a moment says what it said then, of everything that changes, and cannot be changed.
func TestAsOf(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		date := day("2026-01-05")
		users := elt.Dataset{Name: "shop.users", Description: "everybody"}
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users}))
		_, steps := begin(t, l)
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		ok(t, l.RecordVersions(ctx, []elt.Version{version("shop.users", date, "run-1", "2026-01-06T05:00:00Z")}))
		in, _, err := l.OpenIncident(ctx, elt.Incident{Cause: "shop.users", Date: date, Title: "it failed"})
		ok(t, err)
		remark := must(l.Remark(ctx, elt.Remark{Dataset: "shop.users", Actor: "ops", Text: "look"}))(t)

		type picture struct {
			Facts     elt.Facts
			Run       elt.Run
			Steps     []elt.Step
			Attempts  []elt.Attempt
			Versions  []elt.Version
			Incidents []elt.Incident
			Remarks   []elt.Remark
			Ticks     []elt.Tick
			Pauses    []elt.Pause
			Windows   []elt.Maintenance
			Events    int
			Acts      int
		}
		draw := func(l *ledger.Ledger) (p picture) {
			p.Facts = must(l.Facts(ctx, date, date))(t)
			p.Facts.Revision, p.Facts.Now = 0, time.Time{}
			slices.SortFunc(p.Facts.Days, func(a, b elt.Day) int { return strings.Compare(string(a.Dataset), string(b.Dataset)) })
			p.Run, p.Steps, p.Attempts = must(l.Run(ctx, "run-1"))(t), must(l.Steps(ctx, "run-1"))(t), must(l.Attempts(ctx, steps[0].ID))(t)
			p.Versions, p.Incidents = must(l.Versions(ctx, "shop.users", 0))(t), must(l.Incidents(ctx, false, 0))(t)
			p.Ticks, p.Pauses, p.Windows = must(l.Ticks(ctx, "nightly", 0))(t), must(l.Pauses(ctx))(t), must(l.Maintenance(ctx, time.Time{}))(t)
			p.Remarks, p.Events = must(l.Remarks(ctx, in.ID, "shop.users", 0))(t), len(must(l.Events(ctx, 0, 500))(t))
			acts, _, err := l.AuditTrail(ctx, 0, 100)
			ok(t, err)
			p.Acts = len(acts)
			return p
		}
		tick := elt.Tick{Schedule: "nightly", Date: date, DueAt: date.AddDays(1).Start(time.UTC), Hold: &elt.Hold{Kind: elt.HoldPaused, Reason: "paused by ann"}}
		must(l.RecordTick(ctx, tick))(t)
		must(l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ann", Reason: "the disk is full"}))(t)
		now := must(l.Now(ctx))(t)
		window := must(l.AddMaintenance(ctx, elt.Maintenance{From: now, To: now.Add(hour), Zone: "UTC", Everything: true, Reason: "a migration", By: "ann"}))(t)
		l.KeepEveryBeat()
		then, was := moment(t, l), draw(l)

		users.Description = "nobody"
		ok(t, l.SyncDatasets(ctx, []elt.Dataset{users}))
		lease = must(l.Heartbeat(ctx, lease, 2*hour, elt.Progress{Rows: 7}))(t)
		tick.Hold.Reason = "paused by ben"
		must(l.RecordTick(ctx, tick))(t)
		must(l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ben", Reason: "still", Until: must(l.Now(ctx))(t).Add(hour)}))(t)
		must2(l.EndMaintenance(ctx, window.ID, "ben", "quicker"))(t)
		must(l.AcknowledgeIncident(ctx, in.ID, "ann"))(t)
		beating, beat := moment(t, l), draw(l)
		must(l.ResumeSchedule(ctx, "nightly", "ben", "mended"))(t)
		tick.Hold, tick.Run = nil, "run-1"
		must(l.RecordTick(ctx, tick))(t)
		must(l.RecordTick(ctx, elt.Tick{Schedule: "nightly", Date: date.AddDays(1), DueAt: date.AddDays(2).Start(time.UTC), Skipped: "too late"}))(t)
		ok(t, l.Finish(ctx, lease, elt.Outcome{State: elt.StepFailed, Error: &elt.Failure{Code: "cut", Message: "cut"}}))
		must2(l.CreateRun(ctx, elt.Run{ID: "run-2", Schedule: "nightly", Date: date, Kind: elt.ManualRun}, nil, []elt.Day{{Dataset: "shop.users", Date: date, Deadline: date.Start(time.UTC)}}))(t)
		ok(t, l.RecordVersions(ctx, []elt.Version{version("shop.users", date, "run-2", "2026-01-07T05:00:00Z")}))
		must(l.Withdraw(ctx, "shop.users", date, "ops", "wrong"))(t)
		ok(t, l.CancelRun(ctx, "run-1", "ops", "enough"))
		must(l.AcknowledgeIncident(ctx, in.ID, "ops"))(t)
		ok(t, l.UpdateIncident(ctx, elt.Incident{ID: in.ID, Title: "it failed again"}))
		ok(t, l.ResolveIncident(ctx, in.ID))
		ok(t, l.RemoveRemark(ctx, remark.ID, "ops"))
		ok(t, l.ExpectDays(ctx, []elt.Day{{Dataset: "shop.users", Date: date, NotExpected: "a holiday"}}))
		if diff := cmp.Diff(was, draw(l)); diff == "" {
			t.Fatal("nothing changed")
		}
		for at, said := range map[time.Time]picture{then: was, beating: beat} {
			past := must(l.AsOf(ctx, at))(t)
			if diff := cmp.Diff(said, draw(past)); diff != "" {
				t.Errorf("as of %s: %s", at, diff)
			}
			if now := must(past.Now(ctx))(t); !now.Equal(at) {
				t.Errorf("its clock shows %s at %s", now, at)
			}
			wantCode(t, past.ResolveIncident(ctx, in.ID), "as_of_read_only")
		}
		_, err = l.AsOf(ctx, must(l.Now(ctx))(t).Add(hour))
		wantCode(t, err, "as_of_ahead")
		_, err = l.AsOf(ctx, date.Start(time.UTC))
		wantCode(t, err, "as_of_forgotten")

		// Retention moves the beginning, and drops what old rows said.
		tomorrow := elt.DateOf(must(l.Now(ctx))(t)).AddDays(1)
		_, err = l.Forget(ctx, tomorrow, nil, false)
		ok(t, err)
		_, err = l.AsOf(ctx, beating)
		wantCode(t, err, "as_of_forgotten")
		for _, table := range []string{"past_datasets", "past_days", "past_versions", "past_steps", "past_runs", "past_incidents", "past_ticks", "past_pauses"} {
			var left int
			ok(t, l.Writer().QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table).Scan(&left))
			if left > 0 {
				t.Errorf("%d rows are left in %s", left, table)
			}
		}
	})
}

// A step that beats for an hour leaves a row a minute, and each reason for which it waited.
func TestHistoryOfBeats(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		_, steps := begin(t, l)
		lease := must(l.Claim(t.Context(), steps[0].ID, "w", hour))(t)
		began := must(l.Now(t.Context()))(t)
		minutes := func() int { return int(must(l.Now(t.Context()))(t).Sub(began) / time.Minute) } // each may leave a row
		kept := func() (n int) {
			ok(t, l.Writer().QueryRowContext(t.Context(), "SELECT count(*) FROM past_steps WHERE state = 'running'").Scan(&n))
			return n
		}
		beat := func(p elt.Progress) {
			moment(t, l) // what was said for no time at all is not kept
			lease = must(l.Heartbeat(t.Context(), lease, hour, p))(t)
		}
		for n := range 20 {
			beat(elt.Progress{Rows: int64(n)})
		}
		if n, passed := kept(), minutes(); n > 1+passed {
			t.Errorf("%d rows are kept of 20 beats within %d whole minutes", n, passed)
		}
		before, early := kept(), minutes()
		beat(elt.Progress{Rows: 20, Paused: "source budget"})
		beat(elt.Progress{Rows: 20, Paused: "source budget"})
		beat(elt.Progress{Rows: 21})
		if n, passed := kept()-before, minutes()-early; n < 2 || n > 2+passed {
			t.Errorf("%d rows are kept of a pause, want one of its beginning and one of its end, and %d for as many minutes", n, passed)
		}
	})
}
