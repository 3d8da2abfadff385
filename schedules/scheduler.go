package schedules

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Clockwork is what the scheduler asks of the ledger.
type Clockwork interface {
	Now(ctx context.Context) (time.Time, error)
	Ticks(ctx context.Context, s elt.ScheduleName, limit int) ([]elt.Tick, error)
	RecordTick(ctx context.Context, t elt.Tick) (bool, error)
	ExpectDays(ctx context.Context, days []elt.Day) error
}

// Controls is what people have said of schedules and of what they bring.
type Controls interface {
	Pauses(ctx context.Context) ([]elt.Pause, error)
	Maintenance(ctx context.Context, since time.Time) ([]elt.Maintenance, error)
}

// Going is what the scheduler asks about runs that still go on.
type Going interface {
	Runs(ctx context.Context, f elt.RunFilter) ([]elt.Run, error)
	CancelRun(ctx context.Context, id elt.RunID, actor, reason string) error
}

// Starter creates the run of a schedule for a data date, or finds the one that is there already.
type Starter interface {
	Start(ctx context.Context, s *Schedule, date elt.Date, reason string) (elt.Run, error)
	// Days returns the days that the schedule brings for the date, each with its deadline.
	Days(ctx context.Context, s *Schedule, date elt.Date) ([]elt.Day, error)
	// Missing returns those of the datasets that are expected for the date and not ready.
	Missing(ctx context.Context, datasets []elt.DatasetName, date elt.Date) ([]elt.DatasetName, error)
	// Resting returns the window that covers all that the schedule brings at that moment, nil when there is none.
	Resting(s *Schedule, windows []elt.Maintenance, now time.Time) *elt.Maintenance
}

// Scheduler turns the passing of time into runs: one for each local date of each schedule, whatever the
// process missed while it was away.
type Scheduler struct {
	Schedules []*Schedule
	Ledger    Clockwork
	Controls  Controls
	Going     Going
	Starter   Starter
	Log       *slog.Logger
}

// said is what people have said, as it holds at one moment.
type said struct {
	now     time.Time
	pauses  []elt.Pause
	windows []elt.Maintenance
}

// Tick decides every tick that is due by now: it starts the run, records why it was skipped, or why it is held. It also
// makes sure that the next date of each schedule is known to be expected. It may be called at any rate.
func (s *Scheduler) Tick(ctx context.Context) (err error) {
	var say said
	if say.now, err = s.Ledger.Now(ctx); err != nil {
		return err
	}
	if say.pauses, err = s.Controls.Pauses(ctx); err != nil {
		return err
	}
	if say.windows, err = s.Controls.Maintenance(ctx, say.now); err != nil {
		return err
	}
	for _, sched := range s.Schedules {
		if err := s.tick(ctx, sched, say); err != nil {
			return fmt.Errorf("schedule %s: %w", sched.Name, err)
		}
	}
	return nil
}

func (s *Scheduler) tick(ctx context.Context, sched *Schedule, say said) error {
	next := sched.Next(say.now, 1)
	if len(next) == 0 {
		return nil
	}
	decided, held, err := s.history(ctx, sched)
	if err != nil {
		return err
	}
	if decided.IsZero() {
		// A schedule that was never seen before starts with its next tick: what went before it was nobody's
		// promise. The row makes that a decision that can be read.
		decided = next[0].Date.AddDays(-1)
		_, err := s.Ledger.RecordTick(ctx, elt.Tick{Schedule: sched.Name, Date: decided, DueAt: say.now, Skipped: "the schedule began after this date"})
		if err != nil {
			return err
		}
	}
	due := sched.Due(decided, say.now)
	hold := s.rests(sched, say)
	for _, tick := range due {
		if was := held[tick.Date]; was != nil && tick.Skipped != "" && hold == nil { // it was not missed, it was held
			tick.Skipped = fmt.Sprintf("%s; catch_up: latest runs %s only", was.Reason, newestOf(due))
		}
		if hold == nil && tick.Skipped == "" {
			if tick, hold, err = s.judge(ctx, sched, tick, say.now); err != nil {
				return err
			}
		}
		if hold != nil { // and all that come after it: what is decided is decided in order
			tick.Hold, tick.Skipped = hold, ""
		}
		if err := s.decide(ctx, sched, tick); err != nil {
			return err
		}
	}
	return s.expect(ctx, sched, decided.AddDays(1), next[0].Date)
}

func newestOf(due []elt.Tick) elt.Date { return due[len(due)-1].Date }

// history returns the last date that was decided, and the dates since for which a tick is held.
func (s *Scheduler) history(ctx context.Context, sched *Schedule) (decided elt.Date, held map[elt.Date]*elt.Hold, err error) {
	const most = 1000 // dates for which a schedule can rest
	for _, limit := range []int{1, most} {
		ticks, err := s.Ledger.Ticks(ctx, sched.Name, limit)
		if err != nil {
			return decided, nil, err
		}
		held = make(map[elt.Date]*elt.Hold)
		for _, t := range ticks {
			if t.Hold == nil {
				return t.Date, held, nil
			}
			held[t.Date] = t.Hold
			decided = t.Date.AddDays(-1)
		}
		if len(ticks) == 0 {
			return elt.Date{}, nil, nil
		}
	}
	return decided, held, nil
}

// rests returns why nothing of the schedule starts now, nil when it may.
func (s *Scheduler) rests(sched *Schedule, say said) *elt.Hold {
	for _, p := range say.pauses {
		if p.Schedule == sched.Name && p.Holds(say.now) {
			until := ""
			if !p.Until.IsZero() {
				until = " until " + p.Until.In(sched.Zone).Format("Mon 2 Jan 15:04")
			}
			return &elt.Hold{Kind: elt.HoldPaused, Reason: fmt.Sprintf("schedule %s is paused by %s%s: %s", sched.Name, p.By, until, p.Reason), Until: p.Until}
		}
	}
	if m := s.Starter.Resting(sched, say.windows, say.now); m != nil {
		return &elt.Hold{Kind: elt.HoldMaintenance, Reason: "maintenance until " + m.Until().In(sched.Zone).Format("Mon 2 Jan 15:04") + ": " + m.Reason, Until: m.Until()}
	}
	return nil
}

// judge decides about a tick that nobody holds up: it may start, must wait for others, or is skipped.
func (s *Scheduler) judge(ctx context.Context, sched *Schedule, tick elt.Tick, now time.Time) (elt.Tick, *elt.Hold, error) {
	if names := sched.WaitFor.Datasets; len(names) > 0 {
		missing, err := s.Starter.Missing(ctx, names, tick.Date)
		if err != nil {
			return tick, nil, err
		}
		last := tick.DueAt.Add(sched.WaitFor.AtMost)
		clock := last.In(sched.Zone).Format("15:04")
		switch {
		case len(missing) > 0 && !now.Before(last):
			tick.Skipped = fmt.Sprintf("%s of %s %s not ready by %s; wait_for.at_most is %s", joined(missing), tick.Date, were(len(missing)), clock, sched.WaitFor.AtMost)
			tick.Hold = &elt.Hold{Kind: elt.HoldDependency, Reason: tick.Skipped, Waits: missing, GaveUp: true}
			return tick, nil, s.giveUp(ctx, sched, tick)
		case len(missing) > 0:
			return tick, &elt.Hold{Kind: elt.HoldDependency, Reason: fmt.Sprintf("waits for %s of %s, until %s at most", joined(missing), tick.Date, clock), Waits: missing, Until: last}, nil
		}
	}
	return s.overlap(ctx, sched, tick)
}

// overlap looks at what is still going on of the schedule.
func (s *Scheduler) overlap(ctx context.Context, sched *Schedule, tick elt.Tick) (elt.Tick, *elt.Hold, error) {
	if sched.Overlap == OverlapQueue && sched.CatchUp == CatchUpAll {
		return tick, nil, nil // each date was promised: all of them queue
	}
	running, err := s.Going.Runs(ctx, elt.RunFilter{Schedule: sched.Name, State: elt.RunRunning})
	if err != nil {
		return tick, nil, err
	}
	var others []elt.Run
	for _, r := range running {
		if r.Date != tick.Date && (r.Kind == elt.ScheduledRun || r.Kind == elt.ManualRun) {
			others = append(others, r)
		}
	}
	switch {
	case len(others) == 0:
	case sched.Overlap == OverlapSkip:
		tick.Skipped = fmt.Sprintf("run %s of %s was still going on; overlap: skip", others[0].ID, others[0].Date)
	case sched.Overlap == OverlapCancel:
		for _, r := range others {
			if err := s.Going.CancelRun(ctx, r.ID, "schedule "+string(sched.Name), fmt.Sprintf("%s is due; overlap: cancel", tick.Date)); err != nil {
				return tick, nil, err
			}
		}
	case len(others) > 1: // one at work and one in the queue
		return tick, &elt.Hold{Kind: elt.HoldOverlap, Reason: fmt.Sprintf("waits behind the runs of %s and %s", others[len(others)-1].Date, others[0].Date)}, nil
	}
	return tick, nil, nil
}

func joined(names []elt.DatasetName) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// expect makes sure that the ledger knows what is due on each of the dates up to the next tick's, and on which of
// them nothing is.
func (s *Scheduler) expect(ctx context.Context, sched *Schedule, from, to elt.Date) error {
	for date := from; !date.After(to); date = date.AddDays(1) {
		kind, reason := sched.NotExpected(date)
		if reason == "" && date != to {
			continue // its own tick says what becomes of it
		}
		if err := s.expectDay(ctx, sched, date, elt.Day{NotExpected: reason, NotExpectedKind: kind}); err != nil {
			return err
		}
	}
	return nil
}

// expectDay writes what is said of the date for all that the schedule brings.
func (s *Scheduler) expectDay(ctx context.Context, sched *Schedule, date elt.Date, says elt.Day) error {
	days, err := s.Starter.Days(ctx, sched, date)
	if err != nil {
		return err
	}
	for i := range days {
		days[i].NotExpected, days[i].NotExpectedKind, days[i].Hold = says.NotExpected, says.NotExpectedKind, says.Hold
	}
	return s.Ledger.ExpectDays(ctx, days)
}

// giveUp writes that nothing is waited for any more: the days stay expected, and are blocked by what did not come.
func (s *Scheduler) giveUp(ctx context.Context, sched *Schedule, tick elt.Tick) error {
	return s.expectDay(ctx, sched, tick.Date, elt.Day{Hold: tick.Hold})
}

// decide starts the tick's run first and records the tick after it: a crash in between finds the same run
// again, while the other order would lose it.
func (s *Scheduler) decide(ctx context.Context, sched *Schedule, tick elt.Tick) error {
	gaveUp := tick.Hold != nil && tick.Hold.GaveUp
	switch {
	case gaveUp:
		tick.Hold = nil
	case tick.Hold != nil && sched.Expected(tick.Date):
		if err := s.expectDay(ctx, sched, tick.Date, elt.Day{Hold: tick.Hold}); err != nil {
			return err
		}
	case tick.Hold != nil: // a holiday, of which expect tells
	case tick.Skipped == "":
		run, err := s.Starter.Start(ctx, sched, tick.Date, "schedule "+string(sched.Name))
		if err != nil {
			return err
		}
		failpoint.Here("tick.started")
		tick.Run = run.ID
	default:
		kind, reason := sched.NotExpected(tick.Date)
		if reason == "" {
			kind, reason = elt.BySkip, tick.Skipped
		}
		if err := s.expectDay(ctx, sched, tick.Date, elt.Day{NotExpected: reason, NotExpectedKind: kind}); err != nil {
			return err
		}
	}
	fresh, err := s.Ledger.RecordTick(ctx, tick)
	failpoint.Here("tick.recorded")
	if err != nil {
		return err
	}
	if fresh {
		s.Log.Info("tick", "schedule", sched.Name, "date", tick.Date, "run", tick.Run, "skipped", tick.Skipped, "hold", tick.Hold)
	}
	return nil
}
