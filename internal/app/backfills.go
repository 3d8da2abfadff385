package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/transform"
)

// planner plans and starts backfills over what the ledger and the workspace's files say. It opens nothing else, so that the
// page can plan beside whatever is at work.
type planner struct {
	ws   *workspace
	book *ledger.Ledger
}

// PlanBackfill says what a backfill would do, day by day.
func (p planner) PlanBackfill(ctx context.Context, r elt.BackfillRequest) (elt.BackfillPlan, error) {
	if err := r.Check(); err != nil {
		return elt.BackfillPlan{}, err
	}
	chosen, err := p.chosen(r)
	if err != nil {
		return elt.BackfillPlan{}, err
	}
	facts, err := p.facts(ctx, r)
	if err != nil {
		return elt.BackfillPlan{}, err
	}
	plan := schedules.PlanBackfill(facts, r, chosen)
	return plan, p.wholeInLake(ctx, &plan)
}

// chosen returns the datasets that the request's selectors mean.
func (p planner) chosen(r elt.BackfillRequest) ([]elt.DatasetName, error) {
	c := p.ws.catalog
	var chosen, selectors []string
	for word := range strings.FieldsSeq(strings.Join(r.Select, " ")) {
		if _, known := c.byName[elt.DatasetName(word)]; known {
			chosen = append(chosen, word)
		} else {
			selectors = append(selectors, word)
		}
	}
	names := make(map[elt.DatasetName]bool)
	for _, name := range chosen {
		names[elt.DatasetName(name)] = true
	}
	if len(selectors) > 0 {
		picked, err := c.project.Pick(transform.Selection{Select: selectors})
		if err != nil {
			return nil, err
		}
		for _, name := range picked {
			names[name] = true
		}
	}
	maps.DeleteFunc(names, func(name elt.DatasetName, _ bool) bool { return c.byName[name].Schedule == "" })
	if len(names) == 0 {
		return nil, &elt.Error{
			Code: "nothing_selected", Class: elt.Config, What: fmt.Sprintf("no schedule brings anything of %s", strings.Join(r.Select, " ")),
			Do: "select something else: daybreak ls shows what a selection means",
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// facts reads what the plan follows from.
func (p planner) facts(ctx context.Context, r elt.BackfillRequest) (f schedules.BackfillFacts, err error) {
	c := p.ws.catalog
	now, err := p.book.Now(ctx)
	if err != nil {
		return f, err
	}
	first, newest, err := p.book.PublishedDates(ctx)
	if err != nil {
		return f, err
	}
	f.Dates = make(map[elt.DatasetName]schedules.PublishedDates, len(newest))
	to := r.To
	for name, date := range newest {
		f.Dates[name] = schedules.PublishedDates{First: first[name], Newest: date}
		if date.After(to) { // a model that is built whole is built for its newest day
			to = date
		}
	}
	known, err := p.book.Facts(ctx, r.From, to)
	if err != nil {
		return f, err
	}
	f.Board = elt.NewBoard(known)
	if f.Lake, err = p.book.LakeDays(ctx, r.From, r.To); err != nil {
		return f, err
	}
	if f.Held, err = p.book.HeldDays(ctx); err != nil {
		return f, err
	}
	if f.Efforts, err = p.book.Efforts(ctx); err != nil {
		return f, err
	}
	going, err := p.book.Runs(ctx, elt.RunFilter{State: elt.RunRunning, Limit: 10_000})
	if err != nil {
		return f, err
	}
	f.Going = make(map[elt.RunID]bool, len(going))
	for _, run := range going {
		f.Going[run.ID] = true
	}
	f.Datasets, f.Extractions, f.Threads = c.datasets, c.tables, p.ws.config.Backfills.Threads
	last := make(map[elt.ScheduleName]elt.Date, len(c.schedules))
	for name, s := range c.schedules {
		last[name] = elt.DateOf(now.In(s.Zone)).AddDays(-1)
	}
	f.Last = func(d elt.Dataset) elt.Date { return last[d.Schedule] }
	f.NotExpected = func(d elt.Dataset, date elt.Date) string {
		if s := c.schedules[d.Schedule]; s != nil {
			_, why := s.NotExpected(date)
			return why
		}
		return ""
	}
	return f, nil
}

// wholeInLake refuses what is to come from the lake and is only a part of its table there: it was extracted when the table
// was incremental.
func (p planner) wholeInLake(ctx context.Context, plan *elt.BackfillPlan) error {
	for i := range plan.Days {
		d := &plan.Days[i]
		if d.Action != elt.ReloadDay {
			continue
		}
		m, err := p.book.Manifest(ctx, d.Manifest)
		if err != nil {
			return err
		}
		if m.Mode != elt.Full {
			d.Action, d.Manifest, d.Reason = elt.RefuseDay, "", "it is read whole, and the lake has a part of it alone"
		}
	}
	return nil
}

// StartBackfill commits the plan that the token was given for, if it would still be the same.
func (p planner) StartBackfill(ctx context.Context, r elt.BackfillRequest, token elt.PlanToken, actor, reason string) (elt.Backfill, error) {
	plan, err := p.PlanBackfill(ctx, r)
	if err != nil {
		return elt.Backfill{}, err
	}
	if how := plan.Differs(token); how != "" {
		return elt.Backfill{}, &elt.Error{
			Code: "plan_stale", Class: elt.Conflict, What: "the backfill is not the one that was planned any more: " + how,
			Do: "plan it again, and look before you start it",
		}
	}
	if days, _ := plan.Acts(); days == 0 {
		return elt.Backfill{}, &elt.Error{
			Code: "nothing_to_backfill", Class: elt.Config, What: "the backfill would bring nothing",
			Do: "see the reasons in its plan; --mode all brings days that are ready again",
		}
	}
	return p.book.StartBackfill(ctx, elt.Backfill{Request: r, Estimate: plan.Estimate, Actor: actor, Reason: reason}, plan.Days)
}
