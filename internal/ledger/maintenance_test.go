package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func TestMaintenanceWindows(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		now := must(l.Now(ctx))(t)
		m := elt.Maintenance{From: now.Add(-time.Hour), To: now.Add(time.Hour), Zone: "Europe/Dublin", Sources: []elt.SourceName{"shop"}, Datasets: []elt.DatasetName{"revenue"}, Reason: "the server moves", By: "ann"}
		kept := must(l.AddMaintenance(ctx, m))(t)
		if kept.ID == "" || kept.CreatedAt.IsZero() {
			t.Errorf("%+v", kept)
		}
		ok(t, l.ExpectDays(ctx, []elt.Day{{Dataset: "revenue", Date: day("2026-01-05")}}))
		facts := must(l.Facts(ctx, day("2026-01-01"), day("2026-01-05")))(t)
		if diff := cmp.Diff([]elt.Maintenance{kept}, facts.Maintenance, cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) })); diff != "" {
			t.Error(diff)
		}
		over := m
		over.From, over.To = now.Add(-2*time.Hour), now.Add(-time.Hour)
		_, err := l.AddMaintenance(ctx, over)
		wantCode(t, err, "bad_maintenance")
		_, err = l.AddMaintenance(ctx, elt.Maintenance{})
		wantCode(t, err, "bad_maintenance")

		ended, changed, err := l.EndMaintenance(ctx, kept.ID, "ben", "it was quicker")
		ok(t, err)
		if !changed || ended.EndedBy != "ben" || ended.Holds(must(l.Now(ctx))(t)) {
			t.Errorf("%v %+v", changed, ended)
		}
		if _, changed, err = l.EndMaintenance(ctx, kept.ID, "ben", "again"); changed || err != nil {
			t.Errorf("ended twice: %v, %v", changed, err)
		}
		_, _, err = l.EndMaintenance(ctx, "maintenance-999", "ben", "")
		wantCode(t, err, "maintenance_unknown")
		entries, _, err := l.AuditTrail(ctx, 0, 10)
		ok(t, err)
		if len(entries) != 2 || entries[0].Action != "maintenance.end" || entries[1].Action != "maintenance.add" || entries[1].Reason != "the server moves" {
			t.Errorf("%+v", entries)
		}
		checkInvariants(t, l)
	})
}

func TestMaintenanceOfTheConfiguration(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		now := must(l.Now(ctx))(t)
		m := elt.Maintenance{ID: "file-1", From: now.Add(time.Hour), To: now.Add(2 * time.Hour), Zone: "UTC", Everything: true, Reason: "r", By: "daybreak.yaml"}
		byHand := must(l.AddMaintenance(ctx, elt.Maintenance{From: m.From, To: m.To, Everything: true, Reason: "by hand", By: "ann"}))(t)
		until := func() (out []bool) {
			for _, w := range must(l.Maintenance(ctx, time.Time{}))(t) {
				out = append(out, w.Holds(m.From.Add(time.Minute)))
			}
			return out
		}
		for _, step := range []struct {
			windows []elt.Maintenance
			want    []bool // by hand, of the file
		}{
			{[]elt.Maintenance{m}, []bool{true, true}}, {[]elt.Maintenance{m}, []bool{true, true}},
			{nil, []bool{true, false}}, {[]elt.Maintenance{m}, []bool{true, true}},
		} {
			ok(t, l.SyncMaintenance(ctx, step.windows))
			if diff := cmp.Diff(step.want, until()); diff != "" {
				t.Error(diff)
			}
		}
		revision := must(l.Revision(ctx))(t)
		ok(t, l.SyncMaintenance(ctx, []elt.Maintenance{m}))
		if again := must(l.Revision(ctx))(t); again != revision {
			t.Errorf("saying the same again raised the revision from %d to %d", revision, again)
		}
		if windows := must(l.Maintenance(ctx, m.To))(t); len(windows) != 0 {
			t.Errorf("%s is after all of them: %+v", m.To, windows)
		}
		_, _, err := l.EndMaintenance(ctx, byHand.ID, "ann", "")
		ok(t, err)
	})
}

func TestASchedulePauses(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		now := must(l.Now(ctx))(t)
		_, err := l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ann"})
		wantCode(t, err, "bad_pause")
		_, err = l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ann", Reason: "r", Until: now.Add(-time.Second)})
		wantCode(t, err, "bad_pause")
		must(l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ann", Reason: "the disk is full"}))(t)
		must(l.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ben", Reason: "still", Until: now.Add(time.Hour)}))(t)
		pauses := must(l.Pauses(ctx))(t)
		if len(pauses) != 1 || pauses[0].By != "ben" || pauses[0].Reason != "still" || !pauses[0].Holds(now) || pauses[0].Holds(now.Add(time.Hour)) {
			t.Fatalf("%+v", pauses)
		}
		if !must(l.ResumeSchedule(ctx, "nightly", "ann", "mended"))(t) || must(l.ResumeSchedule(ctx, "nightly", "ann", ""))(t) {
			t.Error("it was not resumed exactly once")
		}
		if pauses := must(l.Pauses(ctx))(t); len(pauses) != 0 {
			t.Errorf("%+v", pauses)
		}
		checkInvariants(t, l)
	})
}

// A held tick is told once for each reason, decided once, and stays decided.
func TestHeldTicks(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		tick := elt.Tick{Schedule: "nightly", Date: day("2026-01-05"), DueAt: day("2026-01-06").Start(time.UTC)}
		held, other, ran, late := tick, tick, tick, tick
		held.Hold = &elt.Hold{Kind: elt.HoldPaused, Reason: "paused by ann"}
		other.Hold = &elt.Hold{Kind: elt.HoldDependency, Reason: "revenue is not ready", Waits: []elt.DatasetName{"revenue"}}
		ran.Run, late.Skipped = "run-1", "too late"
		for i, step := range []struct {
			tick elt.Tick
			want bool
		}{{held, true}, {held, false}, {other, true}, {ran, true}, {ran, false}, {late, false}, {held, false}} {
			if got := must(l.RecordTick(ctx, step.tick))(t); got != step.want {
				t.Errorf("%d: recorded %v", i, got)
			}
		}
		if diff := cmp.Diff([]elt.Tick{ran}, must(l.Ticks(ctx, "nightly", 0))(t)); diff != "" {
			t.Error(diff)
		}
		var kinds []string
		for _, e := range must(l.Events(ctx, 0, 0))(t) {
			kinds = append(kinds, e.Kind)
		}
		if diff := cmp.Diff([]string{"tick.held", "tick.held", "tick.run"}, kinds); diff != "" {
			t.Error(diff)
		}
	})
}

// What holds a day ends with its run; what the calendar says of it is kept with its kind.
func TestHeldDays(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		run, steps, days := night("run-1", day("2026-01-05"))
		due := day("2026-01-06").At(2, 0, time.UTC)
		expected := make([]elt.Day, len(days))
		for i, d := range days {
			expected[i] = elt.Day{Dataset: d.Dataset, Date: d.Date, DueAt: due, Hold: &elt.Hold{Kind: elt.HoldPaused, Reason: "paused by ann"}}
		}
		ok(t, l.ExpectDays(ctx, expected))
		facts := must(l.Facts(ctx, day("2026-01-05"), day("2026-01-05")))(t)
		for _, d := range facts.Days {
			if d.Hold == nil || d.Hold.Reason != "paused by ann" || !d.DueAt.Equal(due) {
				t.Errorf("%+v", d)
			}
		}
		must2(l.CreateRun(ctx, run, steps, days))(t)
		facts = must(l.Facts(ctx, day("2026-01-05"), day("2026-01-05")))(t)
		for _, d := range facts.Days {
			if d.Hold != nil || !d.DueAt.Equal(due) || d.Run != run.ID {
				t.Errorf("%+v", d)
			}
		}
		for i := range expected {
			expected[i].Hold, expected[i].NotExpected, expected[i].NotExpectedKind = nil, "Epiphany (calendar company)", elt.ByCalendar
		}
		ok(t, l.ExpectDays(ctx, expected))
		facts = must(l.Facts(ctx, day("2026-01-05"), day("2026-01-05")))(t)
		for _, d := range facts.Days {
			if d.NotExpectedKind != elt.ByCalendar || d.NotExpected != "Epiphany (calendar company)" {
				t.Errorf("%+v", d)
			}
		}
	})
}
