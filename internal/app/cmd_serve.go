package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// Serve runs the schedules and the status service in one process.
type Serve struct {
	Kinds  []string      `placeholder:"KIND,…" help:"The kinds of step that it works at itself; by default all. The others, or all with --kinds none, are left to daybreak worker."`
	Listen string        `placeholder:"ADDR" help:"Where the status service listens; by default status.listen of daybreak.yaml."`
	Grace  time.Duration `default:"60s" help:"How long running steps may go on after SIGTERM before they are stopped."`
}

// Help is the long help of the command.
func (Serve) Help() string {
	return `Starts every schedule's run when it is due, carries the runs forward, and serves the status page and API. Runs that another process left unfinished are picked up.

With a ledger on PostgreSQL the steps may also be done by daybreak worker, on any machines, and several daybreak serve may run: one of them leads, and another takes over when it falls silent.

SIGTERM (or Ctrl-C) drains: no new step begins, running steps may end within --grace, and the rest goes on with the next process. A second signal ends at once.

  daybreak serve
  daybreak serve --listen 0.0.0.0:8080 --log json`
}

// Run runs the command.
func (v *Serve) Run(ctx context.Context, g *Globals, c *Console) error {
	log := c.Lines(g)
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	if v.Listen != "" {
		ws.config.Status.Listen = v.Listen
	}
	kinds, err := ws.serveKinds(v.Kinds)
	if err != nil {
		return err
	}
	p, err := ws.open(ctx, log, logLines{log})
	if err != nil {
		return err
	}
	defer p.close(log)
	return p.serve(ctx, kinds, v.Grace)
}

// serveKinds reads the kinds of step at which daybreak serve works itself. What nobody else could do it may not leave.
func (ws *workspace) serveKinds(names []string) (kinds []elt.StepKind, err error) {
	if !slices.Equal(names, []string{"none"}) {
		if kinds, err = stepKinds(names); err != nil {
			return nil, err
		}
	}
	if left := slices.DeleteFunc(elt.StepKinds(), func(k elt.StepKind) bool { return slices.Contains(kinds, k) }); len(left) > 0 {
		return kinds, ws.sharable(left)
	}
	return kinds, nil
}

// serve runs scheduler, workers, watch, notices and status until ctx ends, and then lets running steps end within grace.
func (p *parts) serve(ctx context.Context, kinds []elt.StepKind, grace time.Duration) error {
	site, err := p.ws.openSite(p.ledger, p.log)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Steps have a context of their own: they outlive the signal by the grace.
	stepCtx, stopSteps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSteps()
	here := p.newPresence("serve", kinds)
	sender, err := p.newSender(ctx)
	if err == nil {
		err = p.ledger.SyncMaintenance(ctx, p.ws.config.Windows)
	}
	var workers workers
	if err == nil {
		workers, err = p.openWorkers(stepCtx, kinds)
	}
	if err != nil {
		return errors.Join(err, site.listener.Close())
	}
	backfills := p.newBackfiller(p.newCrew(workers))

	var scheduling, watching sync.WaitGroup
	scheduling.Go(func() { p.keepScheduling(ctx, stepCtx, workers, here) })
	scheduling.Go(func() { p.keepBackfilling(ctx, stepCtx, backfills, here) })
	leave := here.attend(stepCtx, ctx)
	watching.Go(func() { p.keepWatching(ctx, site.AtRisk, here) })
	watching.Go(func() { p.keepCleaning(ctx, here) })
	watching.Go(func() { sender.Run(ctx) })
	site.start(ctx)
	p.log.Info("serving", "url", site.url(), "schedules", len(p.ws.schedules))

	select {
	case <-ctx.Done():
	case err = <-site.failed:
	}
	stop()
	p.log.Info("draining", "grace", grace)
	scheduling.Wait()
	here.resign(ctx)
	drain(grace, stopSteps, workers, backfills.crew)
	site.stop(ctx)
	watching.Wait()
	p.farewell(leave)
	p.log.Info("stopped")
	return err
}

// keepScheduling decides ticks and carries runs forward until ctx ends, while this process leads. A ledger that is away is
// asked again.
func (p *parts) keepScheduling(ctx, stepCtx context.Context, workers workers, here *presence) {
	scheduler := &schedules.Scheduler{Schedules: p.ws.schedules, Ledger: p.ledger, Controls: p.ledger, Going: p.ledger, Starter: p.nights, Log: p.log}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	trouble := repeated{log: p.log}
	for ctx.Err() == nil {
		var err error
		if here.leads() {
			if err = scheduler.Tick(ctx); err == nil {
				_, err = p.runner.Sweep(stepCtx, workers)
			}
		}
		if err == nil {
			err = p.tidy(ctx)
		}
		trouble.note("the schedules cannot be carried forward", err)
		select {
		case <-ctx.Done():
		case <-workers.Done():
		case <-tick.C:
		}
	}
}

// tidy lets go of the snapshots of runs that have ended, and of those of backfills that rest: a night needs the sources.
func (p *parts) tidy(ctx context.Context) error {
	for _, id := range p.stages.openNights() {
		run, err := p.ledger.Run(ctx, id)
		if err != nil {
			return err
		}
		end := p.stages.endNight
		if !run.State.Terminal() {
			if run.Kind != elt.BackfillRun || !p.ledger.Shared() { // else its crew is in this process, which lets go of it
				continue
			}
			why, err := p.ledger.BackfillRests(ctx, id)
			if err != nil {
				return err
			}
			if why == "" {
				continue
			}
			end = p.stages.endIdleNight
		}
		if err := end(id); err != nil {
			p.log.Warn("the source's snapshot did not close cleanly", "run", id, "error", err)
		}
	}
	return nil
}

// watchEvery is how often deadlines are compared with the board: a deadline passes without any event.
const watchEvery = 5 * time.Second

// keepWatching opens and resolves incidents until ctx ends, while this process leads.
func (p *parts) keepWatching(ctx context.Context, atRisk func() []elt.DayKey, here *presence) {
	watch := schedules.Watch{Ledger: p.ledger, Days: 14, AtRisk: atRisk, Log: p.log}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	trouble := repeated{log: p.log}
	for ctx.Err() == nil {
		if here.leads() {
			now, err := p.ledger.Now(ctx)
			if err == nil {
				err = watch.Look(ctx, elt.DateOf(now))
			}
			trouble.note("deadlines cannot be watched", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// repeated logs an error that comes again and again once, and once when it is over.
type repeated struct {
	log  *slog.Logger
	last string
}

func (r *repeated) note(what string, err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && r.last != "":
		r.log.Info("over: " + what)
		r.last = ""
	case err != nil && err.Error() != r.last:
		r.log.Error(what, "error", err)
		r.last = err.Error()
	}
}
