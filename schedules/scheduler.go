package schedules

import (
	"context"
	"fmt"
	"log/slog"
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

// Starter creates the run of a schedule for a data date, or finds the one that is there already.
type Starter interface {
	Start(ctx context.Context, s *Schedule, date elt.Date, reason string) (elt.Run, error)
	// Days returns the days that the schedule brings for the date, each with its deadline.
	Days(ctx context.Context, s *Schedule, date elt.Date) ([]elt.Day, error)
}

// Scheduler turns the passing of time into runs: one for each local date of each schedule, whatever the
// process missed while it was away.
type Scheduler struct {
	Schedules []*Schedule
	Ledger    Clockwork
	Starter   Starter
	Log       *slog.Logger
}

// Tick decides every tick that is due by now: it starts the run, or records why it was skipped. It also
// makes sure that the next date of each schedule is known to be expected. It may be called at any rate.
func (s *Scheduler) Tick(ctx context.Context) error {
	now, err := s.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	for _, sched := range s.Schedules {
		if err := s.tick(ctx, sched, now); err != nil {
			return fmt.Errorf("schedule %s: %w", sched.Name, err)
		}
	}
	return nil
}

func (s *Scheduler) tick(ctx context.Context, sched *Schedule, now time.Time) error {
	next := sched.Next(now, 1)
	if len(next) == 0 {
		return nil
	}
	decided, err := s.Ledger.Ticks(ctx, sched.Name, 1)
	if err != nil {
		return err
	}
	if len(decided) == 0 {
		// A schedule that was never seen before starts with its next tick: what went before it was nobody's
		// promise. The row makes that a decision that can be read.
		_, err := s.Ledger.RecordTick(ctx, elt.Tick{
			Schedule: sched.Name, Date: next[0].Date.AddDays(-1), DueAt: now,
			Skipped: "the schedule began after this date",
		})
		if err != nil {
			return err
		}
		decided = []elt.Tick{{Date: next[0].Date.AddDays(-1)}}
	}
	for _, tick := range sched.Due(decided[0].Date, now) {
		if err := s.decide(ctx, sched, tick); err != nil {
			return err
		}
	}
	return s.expect(ctx, sched, decided[0].Date.AddDays(1), next[0].Date)
}

// expect makes sure that the ledger knows what is due on each of the dates up to the next tick's, and on which of
// them nothing is.
func (s *Scheduler) expect(ctx context.Context, sched *Schedule, from, to elt.Date) error {
	for date := from; !date.After(to); date = date.AddDays(1) {
		reason := sched.NotExpected(date)
		if reason == "" && date != to {
			continue // its own tick says what becomes of it
		}
		if err := s.expectDay(ctx, sched, date, reason); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scheduler) expectDay(ctx context.Context, sched *Schedule, date elt.Date, notExpected string) error {
	days, err := s.Starter.Days(ctx, sched, date)
	if err != nil {
		return err
	}
	for i := range days {
		days[i].NotExpected = notExpected
	}
	return s.Ledger.ExpectDays(ctx, days)
}

// decide starts the tick's run first and records the tick after it: a crash in between finds the same run
// again, while the other order would lose it.
func (s *Scheduler) decide(ctx context.Context, sched *Schedule, tick elt.Tick) error {
	if tick.Skipped == "" {
		run, err := s.Starter.Start(ctx, sched, tick.Date, "schedule "+string(sched.Name))
		if err != nil {
			return err
		}
		failpoint.Here("tick.started")
		tick.Run = run.ID
	} else if err := s.expectDay(ctx, sched, tick.Date, tick.Skipped); err != nil {
		return err
	}
	fresh, err := s.Ledger.RecordTick(ctx, tick)
	failpoint.Here("tick.recorded")
	if err != nil {
		return err
	}
	if fresh {
		s.Log.Info("tick", "schedule", sched.Name, "date", tick.Date, "run", tick.Run, "skipped", tick.Skipped)
	}
	return nil
}
