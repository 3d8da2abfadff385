package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
)

// Schedules is the commands about when nights start.
type Schedules struct {
	List    SchedulesList    `cmd:"" help:"Say of each schedule when it starts next, and whether it rests."`
	Ticks   SchedulesTicks   `cmd:"" help:"Say what became of each date of a schedule, and why."`
	Pause   SchedulesPause   `cmd:"" help:"Let nothing of a schedule start, until a time or until it is resumed."`
	Resume  SchedulesResume  `cmd:"" help:"Let a paused schedule start again."`
	Trigger SchedulesTrigger `cmd:"" help:"Start a schedule's night now."`
}

// SchedulesList lists the schedules.
type SchedulesList struct {
	JSON bool `name:"json" help:"Print JSON instead of a table."`
}

// Help is the long help of the command.
func (SchedulesList) Help() string {
	return `Lists every schedule with its next start in its own zone, and who has paused it and why.

  daybreak schedules list`
}

// Run runs the command.
func (k *SchedulesList) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		now, err := book.Now(ctx)
		if err != nil {
			return err
		}
		pauses, err := book.Pauses(ctx)
		if err != nil {
			return err
		}
		all := ws.upcoming(now)
		for i := range all {
			for _, p := range pauses {
				if p.Schedule == all[i].Name {
					all[i].Paused = &p
				}
			}
		}
		if k.JSON {
			return printJSON(c, all)
		}
		w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "SCHEDULE\tSTARTS\tZONE\tNEXT\tBRINGS\tSTATE\n")
		for _, s := range all {
			zone := ws.catalog.schedules[s.Name].Zone
			next, brings := "–", "–"
			if len(s.Next) > 0 {
				next, brings = s.Next[0].DueAt.In(zone).Format("Mon 2 Jan 15:04"), s.Next[0].Date.String()
			}
			state := "on"
			if p := s.Paused; p != nil {
				state = "paused by " + p.By + untilWhen(p.Until, zone) + ": " + p.Reason
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.When, s.Zone, next, brings, state)
		}
		return w.Flush()
	})
}

func untilWhen(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return " until " + t.In(zone).Format("Mon 2 Jan 15:04 MST")
}

// SchedulesTicks lists what became of each date.
type SchedulesTicks struct {
	Name  string `arg:"" help:"The schedule."`
	Limit int    `default:"30" help:"How many of the latest dates."`
	JSON  bool   `name:"json" help:"Print JSON instead of a table."`
}

// Help is the long help of the command.
func (SchedulesTicks) Help() string {
	return `Lists the dates of a schedule, the latest first: the run that brings it, or why it was skipped or is held.

  daybreak schedules ticks nightly`
}

// Run runs the command.
func (k *SchedulesTicks) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		s, err := ws.schedule(k.Name)
		if err != nil {
			return err
		}
		ticks, err := book.Ticks(ctx, s.Name, k.Limit)
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(c, append([]elt.Tick{}, ticks...))
		}
		if len(ticks) == 0 {
			c.printf("No date of %s has come due yet: daybreak serve decides about each when it does.\n", s.Name)
			return nil
		}
		w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		printTicks(w, ticks, s.Zone)
		return w.Flush()
	})
}

func printTicks(w io.Writer, ticks []elt.Tick, zone *time.Location) {
	fmt.Fprintf(w, "DATE\tDUE\tWHAT BECAME OF IT\n")
	for _, t := range ticks {
		what := "run " + string(t.Run)
		switch {
		case t.Hold != nil:
			what = "held: " + t.Hold.Reason
		case t.Skipped != "":
			what = "skipped: " + t.Skipped
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.Date, t.DueAt.In(zone).Format("Mon 2 Jan 15:04"), what)
	}
}

// SchedulesPause pauses a schedule.
type SchedulesPause struct {
	Name   string `arg:"" help:"The schedule."`
	Until  string `placeholder:"TIME" help:"Until when: \"2026-12-01 06:00\" in the schedule's zone, or a span such as 12h; by default until it is resumed."`
	Reason string `required:"" placeholder:"WHY" help:"Why, for the audit trail and the page."`
}

// Help is the long help of the command.
func (SchedulesPause) Help() string {
	return `Lets nothing of the schedule start. What is running goes on. Dates that come due are held, and shown with the reason; afterwards catch_up decides about them: latest brings the newest only, all brings each. Deadlines stay: a pause is no excuse to those who wait. Announce maintenance where nobody should be called.

  daybreak schedules pause nightly --until "2026-12-01 06:00" --reason "the warehouse moves"
  daybreak schedules pause nightly --until 2h --reason "disk full"`
}

// Run runs the command.
func (k *SchedulesPause) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		s, err := ws.schedule(k.Name)
		if err != nil {
			return err
		}
		p := elt.Pause{Schedule: s.Name, By: actor(), Reason: strings.TrimSpace(k.Reason)}
		if k.Until != "" {
			now, err := book.Now(ctx)
			if err != nil {
				return err
			}
			if p.Until, err = parseMoment(k.Until, s.Zone, now); err != nil {
				return err
			}
		}
		if p, err = book.PauseSchedule(ctx, p); err != nil {
			return err
		}
		if p.Until.IsZero() {
			c.printf("%s is paused. It goes on with: daybreak schedules resume %s\n", s.Name, s.Name)
			return nil
		}
		c.printf("%s is paused%s.\n", s.Name, untilWhen(p.Until, s.Zone))
		return nil
	})
}

// SchedulesResume resumes a schedule.
type SchedulesResume struct {
	Name   string `arg:"" help:"The schedule."`
	Reason string `placeholder:"WHY" help:"Why, for the audit trail."`
}

// Help is the long help of the command.
func (SchedulesResume) Help() string {
	return `Lets a paused schedule start again. Dates that were held are decided by catch_up: latest brings the newest only, all brings each.

  daybreak schedules resume nightly`
}

// Run runs the command.
func (k *SchedulesResume) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		s, err := ws.schedule(k.Name)
		if err != nil {
			return err
		}
		changed, err := book.ResumeSchedule(ctx, s.Name, actor(), k.Reason)
		switch {
		case err != nil:
			return err
		case !changed:
			c.printf("%s is not paused.\n", s.Name)
		default:
			c.printf("%s starts again.\n", s.Name)
		}
		return nil
	})
}

// SchedulesTrigger starts a schedule's night.
type SchedulesTrigger struct {
	Name   string `arg:"" help:"The schedule."`
	Date   string `placeholder:"DATE" help:"The data date, such as 2026-01-05; by default the last date that has ended."`
	Reason string `required:"" placeholder:"WHY" help:"Why, for the audit trail and the run."`
}

// Help is the long help of the command.
func (SchedulesTrigger) Help() string {
	return `Makes the run of a data date now, whatever the schedule waits for, and leaves it to daybreak serve to carry out: there is one run for each date, so that asking twice is harmless and the schedule's own tick finds this one. Where no daybreak serve is at work, daybreak run brings it in this terminal.

  daybreak schedules trigger nightly --reason "the import was late"
  daybreak schedules trigger nightly --date 2026-01-05 --reason "it was skipped"`
}

// Run runs the command.
func (k *SchedulesTrigger) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		s, err := ws.schedule(k.Name)
		if err != nil {
			return err
		}
		var date elt.Date
		if k.Date != "" {
			if date, err = parseDate(k.Date); err != nil {
				return err
			}
		}
		run, created, err := ws.trigger(ctx, book, s, date, actor(), k.Reason, c.Logger(g, slog.LevelWarn))
		switch {
		case err != nil:
			return err
		case !created:
			c.printf("Run %s of %s is there already: it is %s.\n", run.ID, day(run.Date), run.State)
		default:
			c.printf("Run %s brings %s as soon as daybreak serve takes it up.\n", run.ID, day(run.Date))
		}
		return nil
	})
}

// withSchedules does something with the workspace's schedules on its ledger.
func withSchedules(ctx context.Context, g *Globals, c *Console, do func(*workspace, *ledger.Ledger) error) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	return withLedger(ctx, g, c, func(book *ledger.Ledger) error { return do(ws, book) })
}

var _ schedules.Controls = (*ledger.Ledger)(nil)
