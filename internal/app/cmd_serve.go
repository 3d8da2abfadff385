package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/status"
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
	if g.Log == "auto" {
		g.Log = "text"
	}
	log := c.Logger(g, slog.LevelInfo)
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
	listener, err := listen(p.ws.config.Status)
	if err != nil {
		return err
	}
	service, err := p.ws.newStatus(p.ledger, p.log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	sender, err := p.newSender(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := p.ledger.SyncMaintenance(ctx, p.ws.config.Windows); err != nil {
		return errors.Join(err, listener.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Steps have a context of their own: they outlive the signal by the grace.
	stepCtx, stopSteps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSteps()
	here := p.newPresence("serve", kinds)
	workers, err := p.openWorkers(stepCtx, kinds)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	backfills := p.newBackfiller()
	server := status.NewServer("", service.Handler())

	var scheduling, serving sync.WaitGroup
	scheduling.Go(func() { p.keepScheduling(ctx, stepCtx, workers, here) })
	scheduling.Go(func() { p.keepBackfilling(ctx, stepCtx, backfills, here) })
	beating, stopBeating := context.WithCancel(stepCtx) // it stays on the list while it drains
	defer stopBeating()
	serving.Go(func() { here.keep(beating, ctx) })
	serving.Go(func() { p.keepWatching(ctx, service.AtRisk, here) })
	serving.Go(func() { p.keepCleaning(ctx, here) })
	serving.Go(func() { sender.Run(ctx) })
	serving.Go(func() {
		if err := service.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			p.log.Error("the status service stopped looking at the ledger", "error", err)
		}
	})
	failed := make(chan error, 1)
	serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	})
	p.log.Info("serving", "url", "http://"+listener.Addr().String(), "schedules", len(p.ws.schedules))

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop()
	p.log.Info("draining", "grace", grace)
	scheduling.Wait()
	here.resign(ctx)
	timer := time.AfterFunc(grace, stopSteps)
	workers.Drain()
	backfills.workers.Drain()
	timer.Stop()
	stopBeating()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shut := server.Shutdown(closing); shut != nil {
		p.log.Warn("some clients were still connected", "error", shut, "closed", server.Close())
	}
	serving.Wait()
	here.leave(ctx)
	p.log.Info("stopped")
	return err
}

// listen takes the status service's address, or says who should change what.
func listen(s config.Status) (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, &elt.Error{
			Code: "address_in_use", Class: elt.Conflict,
			What: fmt.Sprintf("cannot listen on %s", s.Listen), Err: err,
			Do: "stop what listens there, or choose another address with --listen or status.listen",
		}
	}
	return netutil.LimitListener(l, s.Connections), nil
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

// tidy lets go of the snapshots of runs that have ended.
func (p *parts) tidy(ctx context.Context) error {
	for _, id := range p.stages.openNights() {
		run, err := p.ledger.Run(ctx, id)
		if err != nil {
			return err
		}
		if run.State.Terminal() {
			if err := p.stages.endNight(id); err != nil {
				p.log.Warn("the source's snapshot did not close cleanly", "run", id, "error", err)
			}
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
