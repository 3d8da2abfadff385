package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
)

// stage is a scheduler over one schedule of shop.users, on a real ledger, with a clock that the test sets.
type stage struct {
	t       *testing.T
	l       *ledger.Ledger
	clock   *clocked
	s       *schedules.Scheduler
	missing []elt.DatasetName
}

// company keeps two holidays, a Wednesday and a Thursday.
var company = &elt.Calendar{Name: "company", Dates: map[elt.Date]string{
	{Year: 2026, Month: 1, Day: 14}: "Founders' Day", {Year: 2026, Month: 1, Day: 15}: "",
}}

func newStage(t *testing.T, rules string) *stage {
	t.Helper()
	l := newLedger(t)
	if err := l.SyncDatasets(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	scheds, problems := schedules.Parse(fstest.MapFS{"nightly.yaml": {Data: []byte(`
at: "02:00"
timezone: UTC
owners: [a@example.com, b@example.com]
` + rules + `
tables:
  shop.users: {mode: full}
`)}}, schedules.Options{Sources: map[elt.SourceName]string{"shop": ""}, Calendars: map[elt.CalendarName]*elt.Calendar{"company": company}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	st := &stage{t: t, l: l, clock: &clocked{Ledger: l}}
	st.s = &schedules.Scheduler{
		Schedules: scheds, Ledger: st.clock, Controls: st.clock, Going: l, Starter: starter{t, l, &st.missing},
		Log: slog.New(slog.DiscardHandler),
	}
	st.at(10, 12) // the first look, on a Saturday: the next night brings the 10th
	return st
}

// at sets the clock to a time of January 2026 and lets the scheduler look, as often as it likes.
func (st *stage) at(day, hour int) {
	st.t.Helper()
	st.clock.now = time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC)
	for range 3 {
		if err := st.s.Tick(st.t.Context()); err != nil {
			st.t.Fatal(err)
		}
	}
}

// done ends the run of a date, as if it had been brought.
func (st *stage) done(day int) {
	st.t.Helper()
	run := elt.RunID(fmt.Sprintf("run-2026-01-%02d", day))
	if err := st.l.CancelRun(st.t.Context(), run, "test", "over"); err != nil {
		st.t.Fatal(err)
	}
}

// ticks tells each tick since the first look: "11 ran", "12 skipped: …", "13 held paused: …".
func (st *stage) ticks() (out []string) {
	st.t.Helper()
	ticks, err := st.l.Ticks(st.t.Context(), "nightly", 100)
	if err != nil {
		st.t.Fatal(err)
	}
	slices.Reverse(ticks)
	for _, tick := range ticks[1:] {
		what := "ran"
		switch {
		case tick.Hold != nil:
			what = fmt.Sprintf("held %s: %s", tick.Hold.Kind, tick.Hold.Reason)
		case tick.Skipped != "":
			what = "skipped: " + tick.Skipped
		}
		out = append(out, fmt.Sprintf("%d %s", tick.Date.Day, what))
	}
	return out
}

func (st *stage) want(want ...string) {
	st.t.Helper()
	if diff := cmp.Diff(want, st.ticks()); diff != "" {
		st.t.Error(diff)
	}
}

// state is what the board says of shop.users on a day of January 2026.
func (st *stage) state(day int) elt.DayStatus {
	st.t.Helper()
	date := elt.Date{Year: 2026, Month: 1, Day: day}
	facts, err := st.l.Facts(st.t.Context(), date, date)
	if err != nil {
		st.t.Fatal(err)
	}
	facts.Now, facts.Maintenance = st.clock.now, st.clock.windows
	return elt.NewBoard(facts).Days[elt.DayKey{Dataset: "shop.users", Date: date}]
}

func TestHolidaysAreSkippedOrRun(t *testing.T) {
	st := newStage(t, "calendar: company\ncatch_up: all")
	st.at(17, 3)
	st.want("10 ran", "11 ran", "12 ran", "13 ran", "14 skipped: Founders' Day (calendar company)", "15 skipped: a holiday (calendar company)", "16 ran")
	if s := st.state(14); s.State != elt.DayNotExpected || s.NotExpected.Kind != elt.ByCalendar || s.NotExpected.Reason != "Founders' Day (calendar company)" {
		t.Errorf("%+v", s)
	}
	st = newStage(t, "calendar: company\non_holiday: run\ndeadline: \"07:00\"\ncatch_up: all")
	st.at(16, 3)
	st.want("10 ran", "11 ran", "12 ran", "13 ran", "14 ran", "15 ran")
	if at := st.s.Schedules[0].DeadlineAt(elt.Date{Year: 2026, Month: 1, Day: 14}, "07:00"); !at.IsZero() {
		t.Errorf("a holiday is due at %s", at)
	}
}

// After a pause, catch_up decides as it does after any downtime, and the rows say what held them.
func TestAPausedSchedule(t *testing.T) {
	for catchUp, want := range map[string][]string{
		"latest": {"10 ran", "11 skipped: schedule nightly is paused by ann: the disk is full; catch_up: latest runs 2026-01-13 only",
			"12 skipped: schedule nightly is paused by ann: the disk is full; catch_up: latest runs 2026-01-13 only", "13 ran"},
		"all": {"10 ran", "11 ran", "12 ran", "13 ran"},
	} {
		t.Run(catchUp, func(t *testing.T) {
			st := newStage(t, "catch_up: "+catchUp)
			st.at(11, 3)
			st.clock.pauses = []elt.Pause{{Schedule: "nightly", By: "ann", Reason: "the disk is full"}}
			st.at(12, 3)
			st.at(14, 1)
			held := "held paused: schedule nightly is paused by ann: the disk is full"
			st.want("10 ran", "11 "+held, "12 "+held)
			if s := st.state(12); s.State != elt.DayWaiting || s.Hold == nil || s.Hold.Kind != elt.HoldPaused {
				t.Errorf("%+v", s)
			}
			st.at(14, 3)
			st.clock.pauses = nil
			st.at(14, 4)
			st.want(want...)
			if s := st.state(13); s.Hold != nil || s.State != elt.DayScheduled && s.State != elt.DayRunning {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestATickUnderMaintenance(t *testing.T) {
	st := newStage(t, "")
	st.clock.windows = []elt.Maintenance{{
		ID: "m", Everything: true, Reason: "the server moves", From: time.Date(2026, 1, 11, 1, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 11, 5, 0, 0, 0, time.UTC),
	}}
	st.at(11, 3)
	st.want("10 held maintenance: maintenance until Sun 11 Jan 05:00: the server moves")
	if s := st.state(10); s.State != elt.DayNotExpected || !s.Comes() {
		t.Errorf("%+v", s)
	}
	st.at(11, 5)
	st.want("10 ran")
	if s := st.state(10); s.State != elt.DayScheduled {
		t.Errorf("%+v", s)
	}
}

func TestAScheduleWaitsForAnother(t *testing.T) {
	st := newStage(t, "wait_for: {datasets: [revenue], at_most: 3h}")
	st.missing = []elt.DatasetName{"revenue"}
	st.at(11, 3)
	st.want("10 held dependency: waits for revenue of 2026-01-10, until 05:00 at most")
	if s := st.state(10); s.State != elt.DayWaiting || !cmp.Equal(s.Hold.Waits, st.missing) {
		t.Errorf("%+v", s)
	}
	st.missing = nil
	st.at(11, 4)
	st.want("10 ran")

	st.done(10)
	st.missing = []elt.DatasetName{"revenue"}
	st.at(12, 4)
	st.at(12, 5)
	gaveUp := "11 skipped: revenue of 2026-01-11 was not ready by 05:00; wait_for.at_most is 3h0m0s"
	st.want("10 ran", gaveUp)
	s := st.state(11)
	if s.State != elt.DayBlocked || !cmp.Equal(s.BlockedBy, st.missing) || s.Cause.Failure.Code != "wait_gave_up" {
		t.Errorf("%+v", s)
	}
	st.missing = nil
	st.at(13, 3)
	st.want("10 ran", gaveUp, "12 ran")
}

func TestOverlaps(t *testing.T) {
	t.Run("skip", func(t *testing.T) {
		st := newStage(t, "overlap: skip")
		st.at(11, 3)
		st.at(12, 3)
		st.want("10 ran", "11 skipped: run run-2026-01-10 of 2026-01-10 was still going on; overlap: skip")
		st.done(10)
		st.at(13, 3)
		if got := st.ticks(); got[len(got)-1] != "12 ran" {
			t.Error(got)
		}
	})
	t.Run("queue", func(t *testing.T) {
		st := newStage(t, "overlap: queue")
		st.at(11, 3)
		st.at(12, 3)
		st.at(13, 3)
		st.want("10 ran", "11 ran", "12 held overlap: waits behind the runs of 2026-01-10 and 2026-01-11")
		st.done(10)
		st.at(13, 4)
		st.want("10 ran", "11 ran", "12 ran")
	})
	t.Run("cancel", func(t *testing.T) {
		st := newStage(t, "overlap: cancel")
		st.at(11, 3)
		st.at(12, 3)
		st.want("10 ran", "11 ran")
		run, err := st.l.Run(t.Context(), "run-2026-01-10")
		if err != nil || run.State != elt.RunCancelled {
			t.Errorf("%+v, %v", run, err)
		}
		trail, _, err := st.l.AuditTrail(t.Context(), 0, 1)
		if err != nil || len(trail) != 1 || trail[0].Actor != "schedule nightly" || !strings.Contains(trail[0].Reason, "2026-01-11 is due") {
			t.Errorf("%+v, %v", trail, err)
		}
	})
}

// A dataset under maintenance rests within a run; the others go on, and it follows when the window is over.
func TestStepsRestUnderMaintenance(t *testing.T) {
	l := newLedger(t)
	if err := l.SyncDatasets(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	run := beginRun(t, l, "r1", aDay)
	resting, asked := true, 0
	r := newRunner(l, func(context.Context, elt.Step, int) error { return nil })
	r.Rests = func(context.Context, time.Time) (func(elt.DatasetName) bool, error) {
		asked++
		return func(d elt.DatasetName) bool { return resting && d == "shop.users" }, nil
	}
	q := &counting{}
	for range 3 {
		if _, err := r.Sweep(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if q.steps != nil || asked != 3 {
		t.Errorf("%v began under maintenance; asked %d times", q.steps, asked)
	}
	resting = false
	if _, err := r.Sweep(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if want := []elt.StepID{elt.NewStepID(run.ID, elt.ExtractStep, "shop.users")}; !slices.Equal(q.steps, want) {
		t.Errorf("%v began after it", q.steps)
	}
}

type counting struct{ steps []elt.StepID }

func (c *counting) Enqueue(_ context.Context, steps ...elt.Step) error {
	for _, s := range steps {
		c.steps = append(c.steps, s.ID)
	}
	return nil
}
