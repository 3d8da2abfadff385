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
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/schedules"
)

// backfiller brings the days of backfills, one date at a time, the oldest first, with workers of its own. A night never
// waits for it: while any other run goes on it begins nothing, and its steps are interrupted, but for one that publishes.
// Where it is follows from the ledger alone.
type backfiller struct {
	catalog *catalog
	ledger  *ledger.Ledger
	stages  *stages
	runner  *schedules.Runner
	workers *pool.Pool
	log     *slog.Logger
	show    display
	shown   elt.RunID // the run that it has shown as begun

	stop   context.CancelFunc // interrupts the steps that are at work
	yields context.Context    // of those steps
	rested bool               // something else may have been published since it last looked
}

// mostFailures is after how many dates in a row that failed a backfill pauses by itself.
const mostFailures = 3

func (p *parts) newBackfiller() *backfiller {
	return &backfiller{
		catalog: p.ws.catalog, ledger: p.ledger, stages: p.stages, runner: p.runner, show: p.nights.show, log: p.log, rested: true,
		workers: pool.New(p.ws.config.Backfills.Threads, p.log, p.runner.Work),
	}
}

// sweep does what can be done now. ctx is that of the steps.
func (b *backfiller) sweep(ctx context.Context) error {
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
	b.rested = true
	if b.stop != nil {
		b.log.Info("backfills rest while another run goes on", "run", night.ID)
		b.stop()
		b.stop = nil
	}
	return b.letGo(ctx)
}

// letGo ends the sources' snapshots of backfills whose steps are over.
func (b *backfiller) letGo(ctx context.Context) error {
	if b.workers.Busy() {
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
		if b.workers.Busy() { // what was interrupted has still to end
			return true, nil
		}
		if err := b.freshen(ctx, run); err != nil {
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
	if b.stop == nil {
		b.yields, b.stop = context.WithCancel(ctx)
	}
	if err := b.runner.Carry(b.yields, queue{b.workers, ctx}, run); err != nil {
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
	return true, b.stages.endNight(run.ID)
}

// queue hands steps to workers under the context that a night interrupts, and publishing under the process's own.
type queue struct {
	*pool.Pool
	whole context.Context
}

// Enqueue implements schedules.Queue.
func (q queue) Enqueue(ctx context.Context, steps ...elt.Step) error {
	for _, s := range steps {
		within := ctx
		if s.Kind == elt.PublishStep {
			within = q.whole
		}
		if err := q.Pool.Enqueue(within, s); err != nil {
			return err
		}
	}
	return nil
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
		return fmt.Sprintf("%s was published meanwhile: an older day is never published over a newer one", newer)
	}
	again := slices.ContainsFunc(with, func(o elt.Dataset) bool { return slices.Contains(set.Inputs, o.Name) })
	if v, there := b.stages.versionOf(d.Dataset, d.Date); there && !again && v.ID != d.Seen && v.PublishedAt.After(f.CreatedAt) {
		return fmt.Sprintf("run %s has brought it meanwhile", v.Run)
	}
	return ""
}

// freshen has the run's tables extracted again of which something newer was published since: a row could go back to what
// it was. A night may have come between two steps of the run.
func (b *backfiller) freshen(ctx context.Context, run elt.Run) error {
	steps, err := b.ledger.Steps(ctx, run.ID)
	if err != nil {
		return err
	}
	stale := make(map[elt.StepID]bool)
	var again []elt.StepID
	for _, s := range steps { // in plan order: what needs a step comes after it
		old := slices.ContainsFunc(s.Needs, func(id elt.StepID) bool { return stale[id] }) && s.Kind != elt.PublishStep
		if s.Kind == elt.ExtractStep && s.State == elt.StepSucceeded {
			err := b.stages.notOlder(ctx, s.Dataset, run.ID, s.Result.Manifest)
			if err != nil && elt.CodeOf(err) != "extract_superseded" {
				return err
			}
			old = err != nil
		}
		if old {
			stale[s.ID] = true
			again = append(again, s.ID)
		}
	}
	if len(again) == 0 {
		return nil
	}
	b.log.Info("something newer was published since: the run's tables are extracted again", "run", run.ID, "steps", len(again))
	return b.ledger.ReopenSteps(ctx, again)
}

// finishBackfill carries a backfill to its end, or to where it is paused, with the nights that come before it.
func (p *parts) finishBackfill(ctx context.Context, id elt.BackfillID) (f elt.Backfill, err error) {
	b := p.newBackfiller()
	defer b.workers.Drain()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		going, err := p.ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning, Limit: 10_000})
		if err != nil {
			return f, err
		}
		if i := slices.IndexFunc(going, func(r elt.Run) bool { return r.Kind != elt.BackfillRun }); i >= 0 && !b.workers.Busy() {
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
		if f.State != elt.BackfillRunning && !b.workers.Busy() {
			return f, b.letGo(ctx)
		}
		if err := b.workers.Err(); err != nil && elt.NewFailure(err).Class != elt.Transient {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-b.workers.Done():
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
			trouble.note("backfills cannot be carried forward", b.sweep(stepCtx))
		}
		select {
		case <-ctx.Done():
		case <-b.workers.Done():
		case <-tick.C:
		}
	}
}
