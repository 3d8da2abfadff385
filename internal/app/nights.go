package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/transform"
)

// nights starts runs and carries them to their end. It implements schedules.Starter.
type nights struct {
	catalog *catalog
	ledger  *ledger.Ledger
	stages  *stages
	runner  *schedules.Runner
	show    display
	threads int
	log     *slog.Logger
}

// Start returns the run that a schedule's tick asks for, created now or found as it is: whatever asks for a date,
// there is one run for it.
func (n *nights) Start(ctx context.Context, s *schedules.Schedule, date elt.Date, reason string) (elt.Run, error) {
	days, err := n.Days(ctx, s, date)
	if err != nil {
		return elt.Run{}, err
	}
	return n.start(ctx, s, days, elt.Run{Date: date, Kind: elt.ScheduledRun, Reason: reason})
}

// ByHand returns the run that a person asks for, as Start does; again makes one more run of a date that has had
// its run already. A run with options is one of its own: one more unless there is one that was asked for the same and
// has not succeeded yet. A deadline that has passed before anybody expected the day was promised to nobody.
func (n *nights) ByHand(ctx context.Context, s *schedules.Schedule, date elt.Date, reason string, again bool, options elt.RunOptions) (elt.Run, error) {
	now, err := n.ledger.Now(ctx)
	if err != nil {
		return elt.Run{}, err
	}
	days, err := n.Days(ctx, s, date)
	if err != nil {
		return elt.Run{}, err
	}
	for i := range days {
		if days[i].Deadline.Before(now) {
			days[i].Deadline = time.Time{}
		}
	}
	run := elt.Run{Date: date, Kind: elt.ScheduledRun, Reason: reason, Options: options}
	if again || !options.IsZero() {
		earlier, err := n.ledger.Runs(ctx, elt.RunFilter{Schedule: s.Name, From: date, To: date})
		if err != nil {
			return elt.Run{}, err
		}
		for _, e := range earlier {
			if e.Kind == elt.ManualRun && !again && e.State != elt.RunSucceeded && e.Options.Equal(options) {
				return e, nil
			}
		}
		run.Kind, run.Sequence = elt.ManualRun, len(earlier)
	}
	return n.start(ctx, s, days, run)
}

// start creates the run over those of the days that can still be brought, unless it is there.
func (n *nights) start(ctx context.Context, s *schedules.Schedule, days []elt.Day, run elt.Run) (elt.Run, error) {
	if err := n.stages.refresh(ctx); err != nil {
		return elt.Run{}, err
	}
	now, err := n.ledger.Now(ctx)
	if err != nil {
		return elt.Run{}, err
	}
	earlier, err := n.ledger.Runs(ctx, elt.RunFilter{Schedule: s.Name, From: run.Date, To: run.Date})
	if err != nil {
		return elt.Run{}, err
	}
	for _, e := range earlier {
		if e.Kind == run.Kind && e.Sequence == run.Sequence {
			return e, nil
		}
	}
	chosen, err := n.chosen(s, run.Options)
	if err != nil {
		return elt.Run{}, err
	}
	run.ID, run.Schedule, run.State = newRunID(now), s.Name, elt.RunRunning
	var datasets []elt.Dataset
	var brings []elt.Day
	var left []elt.DatasetName
	for i, d := range n.catalog.of(s.Name) {
		if !chosen(d.Name) {
			continue
		}
		if _, held := n.stages.supersededBy(d, run.Date, run.Options.FullRefresh); held {
			left = append(left, d.Name)
			continue
		}
		days[i].Run = run.ID
		datasets, brings = append(datasets, d), append(brings, days[i])
	}
	if len(datasets) == 0 {
		return elt.Run{}, &elt.Error{
			Code: "day_superseded", Class: elt.Data,
			What: fmt.Sprintf("nothing of schedule %s can be brought for %s: newer versions of all its datasets are published", s.Name, run.Date),
			Do:   "run a later date; a full table's past cannot be extracted again, because production has moved on",
		}
	}
	if len(left) > 0 {
		n.log.Warn("left out: newer versions are published, and a whole table's past cannot be extracted again", "date", run.Date, "datasets", left)
	}
	if err := n.inputsThere(datasets); err != nil {
		return elt.Run{}, err
	}
	run, created, err := n.ledger.CreateRun(ctx, run, schedules.Plan(run, datasets, n.catalog.tests), brings)
	if err == nil && created {
		n.log.Info("run created", "run", run.ID, "schedule", s.Name, "date", run.Date, "reason", run.Reason, "options", run.Options)
	}
	if err == nil && created && !run.Options.IsZero() {
		err = n.ledger.Audit(ctx, elt.AuditEntry{Actor: actor(), Action: "run.special", Target: string(run.ID), Reason: run.Options.String()})
	}
	return run, err
}

// chosen returns what says whether a run with these options brings a dataset of the schedule.
func (n *nights) chosen(s *schedules.Schedule, o elt.RunOptions) (func(elt.DatasetName) bool, error) {
	selection := transform.Selection{Select: o.Select, Exclude: o.Exclude}
	if selection.Empty() {
		return func(elt.DatasetName) bool { return true }, nil
	}
	names, err := n.catalog.project.Pick(selection)
	if err != nil {
		return nil, err
	}
	all := n.catalog.of(s.Name)
	if !slices.ContainsFunc(all, func(d elt.Dataset) bool { return slices.Contains(names, d.Name) }) {
		return nil, &elt.Error{
			Code: "nothing_selected", Class: elt.Config,
			What: fmt.Sprintf("schedule %s brings nothing of what is selected", s.Name),
			Do:   "name another schedule with --schedule, or select something else: daybreak ls shows what a selection means",
		}
	}
	return func(d elt.DatasetName) bool { return slices.Contains(names, d) }, nil
}

// inputsThere refuses to build a model for which something is missing: an input that the run does not bring, and that
// was never published.
func (n *nights) inputsThere(datasets []elt.Dataset) error {
	for _, d := range datasets {
		for _, in := range d.Inputs {
			if n.stages.isPublished(in) || slices.ContainsFunc(datasets, func(o elt.Dataset) bool { return o.Name == in }) || n.catalog.byName[in].Schedule != d.Schedule {
				continue
			}
			return &elt.Error{
				Code: "input_unpublished", Class: elt.Config,
				What: fmt.Sprintf("%s reads %s, which the run does not bring and nobody has published yet", d.Name, in),
				Do:   fmt.Sprintf("select it too, with everything that it is made from: --select +%s", d.Name),
			}
		}
	}
	return nil
}

// Days returns the days that the schedule brings for the date, in the order of the catalog. A dataset that has
// never succeeded has no deadline yet: nobody was promised anything.
func (n *nights) Days(ctx context.Context, s *schedules.Schedule, date elt.Date) ([]elt.Day, error) {
	var days []elt.Day
	for _, d := range n.catalog.of(s.Name) {
		day := elt.Day{Dataset: d.Name, Date: date, DueAt: s.DueAt(date)}
		if d.DeadlineTime != "" && n.stages.isPublished(d.Name) {
			day.Deadline = s.DeadlineAt(date, d.DeadlineTime)
		}
		days = append(days, day)
	}
	return days, nil
}

// retriable refuses to try a run again whose failed datasets have newer versions by now.
func (n *nights) retriable(ctx context.Context, run elt.Run) error {
	if err := n.stages.refresh(ctx); err != nil {
		return err
	}
	steps, err := n.ledger.Steps(ctx, run.ID)
	if err != nil {
		return err
	}
	for _, st := range steps {
		if st.State == elt.StepSucceeded || st.Dataset == "" {
			continue
		}
		if newer, held := n.stages.supersededBy(n.catalog.byName[st.Dataset], run.Date, run.Options.FullRefresh); held {
			return superseded(st.Dataset, run.Date, newer)
		}
	}
	for _, st := range steps {
		if st.Kind == elt.ExtractStep && st.State == elt.StepSucceeded {
			if err := n.stages.notOlder(ctx, st.Dataset, run.ID, st.Result.Manifest); err != nil {
				return err
			}
		}
	}
	return nil
}

// superseded is the error of a day that is not brought any more, because a newer one is published.
func superseded(d elt.DatasetName, date, newer elt.Date) error {
	return &elt.Error{
		Code: "day_superseded", Class: elt.Data,
		What: fmt.Sprintf("%s of %s cannot be brought any more: production has moved on since, and %s is published", d, date, newer),
		Do:   fmt.Sprintf("nothing for it: what is published is newer, and the day stays a gap; daybreak run --again --date %s brings what can be brought of the others", date),
	}
}

// newRunID returns an ID that sorts by the time of creation: 20261121t020003-9f3a1c.
func newRunID(now time.Time) elt.RunID {
	var b [3]byte
	rand.Read(b[:]) // never fails
	return elt.RunID(now.UTC().Format("20060102t150405") + "-" + hex.EncodeToString(b[:]))
}

// sweepEvery is how often the ledger is asked for due steps when nothing in this process has ended meanwhile.
const sweepEvery = 500 * time.Millisecond

// ledgerPatience is how long a night that a command carries goes on without its ledger: a server that is started again is
// back by then, and a disk that has died is not.
const ledgerPatience = time.Minute

// away says for how long the ledger has refused, to give up on it.
type away struct{ since, last time.Time }

// bears reports whether the night goes on in spite of the ledger's error. A ledger that is away may come back; one that is
// full or damaged does not by itself.
func (a *away) bears(err error, now time.Time) bool {
	if elt.NewFailure(err).Class != elt.Transient {
		return false
	}
	if now.Sub(a.last) > ledgerPatience { // of an earlier trouble
		a.since = now
	}
	a.last = now
	return now.Sub(a.since) < ledgerPatience
}

// finish carries the run to its end and returns it. When ctx ends, no step is begun any more and those that
// run are stopped; the run stays as it is in the ledger, for whoever goes on with it.
func (n *nights) finish(ctx context.Context, run elt.Run) (elt.Run, []elt.Step, error) {
	return n.carry(ctx, run, func(ctx context.Context, workers *pool.Pool) error {
		_, err := n.runner.Sweep(ctx, workers)
		return err
	})
}

// finishAlone does so without carrying other runs forward, which may take the whole night.
func (n *nights) finishAlone(ctx context.Context, run elt.Run) (elt.Run, []elt.Step, error) {
	return n.carry(ctx, run, func(ctx context.Context, workers *pool.Pool) error { return n.runner.Carry(ctx, workers, run) })
}

func (n *nights) carry(ctx context.Context, run elt.Run, forward func(context.Context, *pool.Pool) error) (elt.Run, []elt.Step, error) {
	workers := pool.New(n.threads, n.log, n.runner.Work)
	defer workers.Drain()
	steps, err := n.ledger.Steps(ctx, run.ID)
	if err != nil {
		return run, nil, err
	}
	n.show.began(run, len(steps))
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var trouble away
	for {
		ended, err := n.advance(ctx, &run, workers, forward)
		if ended {
			break
		}
		if err != nil && (ctx.Err() != nil || !trouble.bears(err, time.Now())) {
			return run, nil, err
		}
		if err != nil && trouble.since.Equal(trouble.last) {
			n.log.Warn("the ledger does not take what happens; the night goes on when it does", "patience", ledgerPatience, "error", err)
		}
		select {
		case <-ctx.Done():
			return run, nil, ctx.Err()
		case <-workers.Done():
		case <-tick.C:
		}
	}
	if err := n.stages.endNight(run.ID); err != nil {
		n.log.Warn("the source's snapshot did not close cleanly", "run", run.ID, "error", err)
	}
	steps, err = n.ledger.Steps(ctx, run.ID)
	if err != nil {
		return run, nil, err
	}
	n.show.ended(run, steps)
	if folder := n.stages.models.artifactsOf(run.ID); folder != "" {
		n.show.wrote(run, folder)
	}
	return run, steps, nil
}

// advance carries the run forward once, renews what is known of it, and reports whether it has ended. The error is the
// ledger's, from the sweep or from a step whose end could not be recorded.
func (n *nights) advance(ctx context.Context, run *elt.Run, workers *pool.Pool, forward func(context.Context, *pool.Pool) error) (ended bool, err error) {
	if err := forward(ctx, workers); err != nil {
		return false, err
	}
	now, err := n.ledger.Run(ctx, run.ID)
	if err != nil {
		return false, err
	}
	*run = now
	if run.State.Terminal() {
		return true, nil
	}
	return false, workers.Err()
}
