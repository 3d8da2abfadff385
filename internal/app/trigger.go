package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/status"
)

// trigger creates the run of a schedule's data date for whoever carries runs forward, or finds the one that is there. It
// needs the ledger alone: what is published is what the ledger has recorded. A zero date is the last one that is over.
func (ws *workspace) trigger(ctx context.Context, book *ledger.Ledger, s *schedules.Schedule, date elt.Date, by, why string, log *slog.Logger) (elt.Run, bool, error) {
	now, err := book.Now(ctx)
	if err != nil {
		return elt.Run{}, false, err
	}
	over := elt.DateOf(now.In(s.Zone)).AddDays(-1)
	switch {
	case date.IsZero():
		date = over
	case date.After(over):
		return elt.Run{}, false, &elt.Error{Code: "date_not_over", Class: elt.Config, What: fmt.Sprintf("%s is not over in %s yet", date, s.Zone), Do: "trigger it when the date has ended, or name an earlier one"}
	}
	if !date.Exists(s.Zone) {
		return elt.Run{}, false, &elt.Error{Code: "date_not_over", Class: elt.Config, What: fmt.Sprintf("no clock in %s ever showed %s", s.Zone, date), Do: "name another date"}
	}
	earlier, err := book.Runs(ctx, elt.RunFilter{Schedule: s.Name, From: date, To: date})
	if err != nil {
		return elt.Run{}, false, err
	}
	if i := slices.IndexFunc(earlier, func(r elt.Run) bool { return r.Kind == elt.ScheduledRun }); i >= 0 {
		return earlier[i], false, nil
	}
	current, err := book.Current(ctx)
	if err != nil {
		return elt.Run{}, false, err
	}
	n := &nights{catalog: ws.catalog, ledger: book, stages: knowing(ws.catalog, book, current, log), log: log}
	run, err := n.ByHand(ctx, s, date, "triggered by "+by+": "+why, false, elt.RunOptions{})
	if err != nil {
		return run, false, err
	}
	return run, true, book.Audit(ctx, elt.AuditEntry{Actor: by, Action: "schedule.trigger", Target: fmt.Sprintf("%s %s: %s", s.Name, date, run.ID), Reason: why})
}

// knowing returns stages that do nothing, and know what the ledger says is published.
func knowing(c *catalog, book *ledger.Ledger, current map[elt.DatasetName]elt.Version, log *slog.Logger) *stages {
	return &stages{
		catalog: c, ledger: book, published: current, log: log,
		dates: make(map[elt.DayKey]elt.Version), through: make(map[elt.DatasetName]elt.Date),
	}
}

// triggerer is trigger as the status service asks for it.
func (ws *workspace) triggerer(book *ledger.Ledger, log *slog.Logger) status.Trigger {
	return func(ctx context.Context, name elt.ScheduleName, date elt.Date, actor, reason string) (elt.Run, bool, error) {
		s, err := ws.schedule(string(name))
		if err != nil {
			return elt.Run{}, false, err
		}
		return ws.trigger(ctx, book, s, date, actor, reason, log)
	}
}

// parseMoment reads a moment of the command line: a wall-clock time in the zone, an instant, or a span from the given one.
func parseMoment(text string, zone *time.Location, from time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return from.Add(d), nil
	}
	t, err := elt.ParseMoment(text, zone)
	if err != nil {
		return t, &elt.Error{Code: "bad_moment", Class: elt.Config, What: err.Error(), Do: `write it as "2026-12-01 22:00", or as a span such as 12h`}
	}
	return t, nil
}
