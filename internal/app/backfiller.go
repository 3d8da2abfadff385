package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
)

// backfiller brings the days of backfills, one date at a time, the oldest first, by a crew of its own or by the workers of
// all machines. A night never waits for it: while any other run goes on it begins nothing, and its steps are interrupted,
// but for one that publishes. Where it is follows from the ledger alone, so that any process can go on with it.
type backfiller struct {
	catalog *catalog
	ledger  *ledger.Ledger
	stages  *stages
	runner  *schedules.Runner
	crew    crew
	log     *slog.Logger
	show    display
	shown   elt.RunID // the run that it has shown as begun
	rested  bool      // something else may have been published since it last looked
	moved   bool      // a run has begun or ended: there is more to do at once
}

// mostFailures is after how many dates in a row that failed a backfill pauses by itself.
const mostFailures = 3

func (p *parts) newBackfiller(by crew) *backfiller {
	return &backfiller{
		catalog: p.ws.catalog, ledger: p.ledger, stages: p.stages, runner: p.runner, show: p.nights.show, log: p.log, crew: by, rested: true,
	}
}

// sweep does what can be done now. ctx is that of the steps.
func (b *backfiller) sweep(ctx context.Context) error {
	b.moved = false
	open, err := b.ledger.OpenBackfills(ctx)
	if err != nil {
		return err
	}
	runs, err := b.ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning, Limit: 10_000})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(runs, func(r elt.Run) bool { return r.Kind != elt.BackfillRun }); i >= 0 {
		return b.rest(ctx, runs[i])
	}
	for _, f := range open {
		if f.State != elt.BackfillRunning {
			continue
		}
		went, err := b.forward(ctx, f, runs)
		if err != nil {
			return fmt.Errorf("carry %s forward: %w", f.ID, err)
		}
		if went {
			return nil
		}
	}
	return b.letGo(ctx)
}

// rest interrupts what is at work, because a night goes on.
func (b *backfiller) rest(ctx context.Context, night elt.Run) error {
	if !b.rested {
		b.log.Info("backfills rest while another run goes on", "run", night.ID)
	}
	b.rested = true
	b.crew.Yield()
	return b.letGo(ctx)
}

// letGo ends the sources' snapshots of backfills whose steps are over.
func (b *backfiller) letGo(ctx context.Context) error {
	if b.crew.Busy() {
		return nil
	}
	return b.stages.endBackfillNights(ctx)
}

// forward does the next thing for a backfill. went is false when it has nothing left to do.
func (b *backfiller) forward(ctx context.Context, f elt.Backfill, runs []elt.Run) (went bool, err error) {
	own := slices.DeleteFunc(slices.Clone(runs), func(r elt.Run) bool { return r.Backfill != f.ID })
	if len(own) == 0 {
		return b.begin(ctx, f)
	}
	run := slices.MinFunc(own, func(a, b elt.Run) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), a.Date.Compare(b.Date))
	})
	if b.rested {
		if b.crew.Busy() { // what was interrupted has still to end
			return true, nil
		}
		if _, err := b.stages.freshen(ctx, run.ID); err != nil {
			return false, err
		}
		b.rested = false
	}
	if b.shown != run.ID {
		steps, err := b.ledger.Steps(ctx, run.ID)
		if err != nil {
			return false, err
		}
		b.shown = run.ID
		b.show.began(run, len(steps))
	}
	if err := b.runner.Carry(ctx, b.crew, run); err != nil {
		return false, err
	}
	if run, err = b.ledger.Run(ctx, run.ID); err != nil || !run.State.Terminal() {
		return true, err
	}
	steps, err := b.ledger.Steps(ctx, run.ID)
	if err != nil {
		return true, err
	}
	b.show.ended(run, steps)
	b.moved = true
	return true, b.stages.endNight(run.ID)
}

// begin starts the next date. Days that have been brought meanwhile, or cannot be brought any more, are left out.
func (b *backfiller) begin(ctx context.Context, f elt.Backfill) (began bool, err error) {
	failures, err := b.ledger.BackfillFailures(ctx, f)
	if err != nil {
		return false, err
	}
	if failures >= mostFailures {
		b.log.Warn("backfill pauses by itself", "backfill", f.ID, "failures", failures)
		_, err := b.ledger.SteerBackfill(ctx, f.ID, elt.PauseBackfill, "Daybreak", fmt.Sprintf("%d dates in a row have failed; see why, then retry what failed, resume without it, or cancel it", failures))
		return false, err
	}
	if err := b.stages.refresh(ctx); err != nil {
		return false, err
	}
	days, err := b.ledger.NextBackfillDays(ctx, f.ID)
	if err != nil || len(days) == 0 {
		return false, err
	}
	now, err := b.ledger.Now(ctx)
	if err != nil {
		return false, err
	}
	left := make(map[elt.DatasetName]string)
	lake := make(map[elt.DatasetName]bool)
	var datasets []elt.Dataset
	var brings []elt.Day
	run := elt.Run{ID: newRunID(now), Date: days[0].Date, Kind: elt.BackfillRun, Sequence: f.Sequence(days[0].Phase), Reason: fmt.Sprintf("%s, by %s", f.ID, f.Actor)}
	for _, d := range days {
		set := b.catalog.byName[d.Dataset]
		if why := b.obsolete(set, d, f, datasets); why != "" {
			left[d.Dataset] = why
			continue
		}
		if run.Schedule == "" {
			run.Schedule = set.Schedule
		}
		lake[d.Dataset] = d.Action == elt.ReloadDay
		datasets = append(datasets, set)
		brings = append(brings, elt.Day{Dataset: d.Dataset, Date: d.Date, Run: run.ID})
	}
	var steps []elt.Step
	if len(datasets) > 0 {
		steps = schedules.PlanFrom(run, slices.Concat(datasets, b.between(datasets)), b.catalog.tests, func(d elt.DatasetName) bool { return lake[d] })
	}
	if err := b.ledger.BeginBackfillRun(ctx, f.ID, run, steps, brings, left); err != nil {
		if elt.CodeOf(err) == "backfill_resting" { // somebody has paused or cancelled it a moment ago
			return false, nil
		}
		return false, err
	}
	b.log.Info("backfill begins a date", "backfill", f.ID, "date", run.Date, "run", run.ID, "datasets", len(datasets), "left", len(left))
	b.moved = true
	return true, nil
}

// between returns the views through which some of the datasets read others of them. Their older days are not published
// again, and yet what is read through them must be what the run has staged.
func (b *backfiller) between(datasets []elt.Dataset) (views []elt.Dataset) {
	brought := make(map[elt.DatasetName]bool)
	for _, d := range datasets {
		brought[d.Name] = true
	}
	fed, feeds := maps.Clone(brought), make(map[elt.DatasetName]bool) // by some of them; some of them
	for _, d := range b.catalog.datasets {                            // inputs come first
		if d.Materialized == string(elt.AsView) && slices.ContainsFunc(d.Inputs, func(in elt.DatasetName) bool { return fed[in] }) {
			fed[d.Name] = true
		}
	}
	for _, d := range slices.Backward(b.catalog.datasets) {
		if brought[d.Name] || feeds[d.Name] && fed[d.Name] {
			for _, in := range d.Inputs {
				feeds[in] = true
			}
		}
	}
	for _, d := range b.catalog.datasets {
		if fed[d.Name] && feeds[d.Name] && !brought[d.Name] {
			views = append(views, d)
		}
	}
	return views
}

// obsolete says why a day that was planned is not brought after all; "" when it is. with are the datasets before it that
// are brought on the same date.
func (b *backfiller) obsolete(set elt.Dataset, d elt.BackfillDay, f elt.Backfill, with []elt.Dataset) string {
	if set.Name == "" {
		return "no schedule brings the dataset any more"
	}
	if newer, held := b.stages.supersededBy(set, d.Date, false); held {
		return publishedMeanwhile(newer)
	}
	again := slices.ContainsFunc(with, func(o elt.Dataset) bool { return slices.Contains(set.Inputs, o.Name) })
	if v, there := b.stages.versionOf(d.Dataset, d.Date); there && !again && v.ID != d.Seen && v.PublishedAt.After(f.CreatedAt) {
		return fmt.Sprintf("run %s has brought it meanwhile", v.Run)
	}
	return ""
}

// finishBackfill carries a backfill to its end, or to where it is paused, with the nights that come before it.
func (p *parts) finishBackfill(ctx context.Context, id elt.BackfillID) (f elt.Backfill, err error) {
	crew := p.newOwnCrew()
	defer crew.Drain()
	b := p.newBackfiller(crew)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		going, err := p.ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning, Limit: 10_000})
		if err != nil {
			return f, err
		}
		if i := slices.IndexFunc(going, func(r elt.Run) bool { return r.Kind != elt.BackfillRun }); i >= 0 && !crew.Busy() {
			if _, _, err := p.nights.finish(ctx, going[i]); err != nil {
				return f, err
			}
		}
		if err := b.sweep(ctx); err != nil {
			return f, err
		}
		if f, err = p.ledger.Backfill(ctx, id); err != nil {
			return f, err
		}
		if f.State != elt.BackfillRunning && !crew.Busy() {
			return f, b.letGo(ctx)
		}
		if err := crew.Err(); err != nil && elt.NewFailure(err).Class != elt.Transient {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-crew.Done():
		case <-tick.C:
		}
	}
}

// keepBackfilling brings backfills forward until ctx ends, while this process leads. A ledger that is away is asked again.
func (p *parts) keepBackfilling(ctx, stepCtx context.Context, b *backfiller, here *presence) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	trouble := repeated{log: p.log}
	for ctx.Err() == nil {
		if here.leads() {
			err := b.sweep(stepCtx)
			trouble.note("backfills cannot be carried forward", err)
			if err == nil && b.moved {
				continue
			}
		} else {
			b.rested = true // whoever leads sees nights that this process does not
		}
		select {
		case <-ctx.Done():
		case <-b.crew.Done():
		case <-tick.C:
		}
	}
}
