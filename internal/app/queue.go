package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/internal/queue/river"
	"github.com/daybreak-data/daybreak/schedules"
)

// workers is a work queue with the part of its workers that is in this process.
type workers interface {
	schedules.Queue
	Done() <-chan struct{}
	Drain()
}

// openWorkers opens the queue that fits the ledger and begins to work at some kinds of step, within ctx: on SQLite a pool in
// this process, on PostgreSQL the queue that many machines share.
func (p *parts) openWorkers(ctx context.Context, kinds []elt.StepKind) (workers, error) {
	if !p.ledger.Shared() {
		return pool.New(p.ws.config.Threads, p.log, p.runner.Work), nil
	}
	var q *river.Queue
	q, err := river.Open(ctx, river.Options{
		URL: p.ws.config.Ledger.Reveal(), ID: string(p.runner.Worker), Kinds: kinds, Threads: p.ws.config.Threads, Log: p.log,
		Work: func(ctx context.Context, id elt.StepID) error { return p.workAt(ctx, q, q.Behind(), id) },
	})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, q.Close)
	return q, q.Start(ctx)
}

// drain has queues begin nothing more, and returns when what they work at has ended; stopSteps is called once the grace is
// over.
func drain(grace time.Duration, stopSteps context.CancelFunc, queues ...interface{ Drain() }) {
	timer := time.AfterFunc(grace, stopSteps)
	defer timer.Stop()
	for _, q := range queues {
		q.Drain()
	}
}

// workAt does the step of a job, as it now stands in the ledger, and enqueues what that made ready: behind all others, of a
// backfill. A job that comes too late finds its step done or held, and that is all.
func (p *parts) workAt(ctx context.Context, q, behind schedules.Queue, id elt.StepID) error {
	step, err := p.ledger.Step(ctx, id)
	switch {
	case elt.CodeOf(err) == "step_unknown": // of a ledger that was restored from a backup
		return nil
	case err != nil || step.State.Terminal():
		return err
	}
	run, err := p.ledger.Run(ctx, step.Run)
	if err != nil || run.State.Terminal() {
		return err
	}
	if run.Kind == elt.BackfillRun {
		if why, err := p.ledger.BackfillRests(ctx, run.ID); err != nil || why != "" { // nobody may begin it, nor what comes after it
			return err
		}
		q = behind
	}
	if err := p.runner.Work(ctx, step); err != nil {
		return err
	}
	if err := p.runner.Onward(ctx, q, run); err != nil && ctx.Err() == nil {
		p.log.Warn("what comes next is left to the next sweep", "run", run.ID, "error", err)
	}
	return nil
}

// presence tells the ledger that this process is alive, and knows whether it leads: whether it is the one of several that
// decides about ticks and carries runs forward. Two that believe so for a moment do no harm.
type presence struct {
	ledger *ledger.Ledger
	worker elt.Worker
	led    atomic.Pointer[time.Time] // when it last led for certain
	log    *slog.Logger
}

const (
	beatEvery = elt.WorkerSilence / 3
	// leadTime is how long a leader that fell silent keeps the others waiting.
	leadTime  = 10 * time.Second
	leadEvery = leadTime / 5
	// leadership names what serves share on a ledger.
	leadership = "scheduling"
)

func (p *parts) newPresence(command string, kinds []elt.StepKind) *presence {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &presence{ledger: p.ledger, log: p.log, worker: elt.Worker{
		ID: p.runner.Worker, Host: host, Process: os.Getpid(), Command: command, Version: version, Kinds: kinds, Threads: p.ws.config.Threads,
	}}
}

// attend keeps the process on the list, while it drains too, until leave is called, which takes it off. It contends for the
// lead until leading ends; nil for a process that never leads.
func (p *presence) attend(ctx, leading context.Context) (leave func()) {
	beating, stop := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { p.keep(beating, leading) })
	return func() {
		stop()
		beats.Wait()
		p.leave(ctx)
	}
}

// farewell leaves when every step has ended. The sources' snapshots are let go before: others may take their own at once.
func (p *parts) farewell(leave func()) {
	if err := p.stages.endNights(); err != nil {
		p.log.Warn("a source's snapshot did not close cleanly", "error", err)
	}
	leave()
}

// leads reports whether this process leads. The only one that works on a ledger always does.
func (p *presence) leads() bool {
	if !p.ledger.Shared() {
		return true
	}
	led := p.led.Load()
	return led != nil && time.Since(*led) < leadTime
}

// keep says so, again and again, until ctx ends, and contends for the lead until leading does.
func (p *presence) keep(ctx, leading context.Context) {
	tick := time.NewTicker(leadEvery)
	defer tick.Stop()
	trouble := repeated{log: p.log}
	var beaten time.Time
	for ctx.Err() == nil {
		var err error
		if time.Since(beaten) >= beatEvery {
			beaten = time.Now()
			err = p.ledger.BeatWorker(ctx, p.worker)
		}
		if leading != nil && leading.Err() == nil && p.ledger.Shared() {
			err = errors.Join(err, p.contend(leading))
		}
		trouble.note("the ledger cannot be told that this process is alive", err)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// contend leads, or goes on leading, unless another process does.
func (p *presence) contend(ctx context.Context) error {
	before := time.Now()
	leads, err := p.ledger.Lead(ctx, leadership, p.worker.ID, leadTime)
	if err != nil {
		return err
	}
	was := p.leads()
	if p.led.Store(nil); leads {
		p.led.Store(&before)
	}
	if leads != was {
		p.log.Info(map[bool]string{true: "this process leads now", false: "another process leads now"}[leads])
	}
	return nil
}

// resign leaves the lead to another process, at once.
func (p *presence) resign(ctx context.Context) {
	if !p.leads() || !p.ledger.Shared() {
		return
	}
	p.led.Store(nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := p.ledger.Resign(ctx, leadership, p.worker.ID); err != nil {
		p.log.Warn("another process cannot lead before this one's time is up", "error", err)
	}
}

// leave takes the process off the list.
func (p *presence) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := p.ledger.LeaveWorker(ctx, p.worker.ID); err != nil {
		p.log.Warn("the ledger could not be told that this process ends", "error", err)
	}
}

// needWarehouse returns those of the kinds that work in the warehouse: all but extracting.
func needWarehouse(kinds []elt.StepKind) []elt.StepKind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k elt.StepKind) bool { return k == elt.ExtractStep })
}
