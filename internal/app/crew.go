package app

import (
	"context"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/queue/pool"
	"github.com/daybreak-data/daybreak/internal/queue/river"
	"github.com/daybreak-data/daybreak/schedules"
)

// crew is who works at the steps of backfills.
type crew interface {
	schedules.Queue
	// Done receives after a step has ended and was recorded.
	Done() <-chan struct{}
	// Yield has the steps that are at work end, but for those that publish.
	Yield()
	// Busy reports whether steps are at work that have still to end before others begin.
	Busy() bool
	// Drain waits until every step that was begun has ended.
	Drain()
}

// ownCrew is workers in this process. Their steps are handed over under a context that a night interrupts, and publishing
// under the process's own.
type ownCrew struct {
	*pool.Pool
	yields context.Context // of the steps that are at work
	stop   context.CancelFunc
}

// Enqueue implements schedules.Queue.
func (c *ownCrew) Enqueue(ctx context.Context, steps ...elt.Step) error {
	if c.stop == nil {
		c.yields, c.stop = context.WithCancel(ctx)
	}
	for _, s := range steps {
		within := c.yields
		if s.Kind == elt.PublishStep {
			within = ctx
		}
		if err := c.Pool.Enqueue(within, s); err != nil {
			return err
		}
	}
	return nil
}

// Yield implements crew.
func (c *ownCrew) Yield() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

// sharedCrew is the workers of all processes, those of this one among them, behind the steps of nights. They learn from
// the ledger, with each heartbeat, when they are to end; and the ledger lets nobody begin meanwhile.
type sharedCrew struct{ *river.Behind }

// newCrew returns who works at backfills where w works at nights.
func (p *parts) newCrew(w workers) crew {
	if q, shared := w.(*river.Queue); shared {
		return sharedCrew{q.Behind()}
	}
	return p.newOwnCrew()
}

// newOwnCrew returns workers for backfills in this process.
func (p *parts) newOwnCrew() *ownCrew {
	return &ownCrew{Pool: pool.New(p.ws.config.Backfills.Threads, p.log, p.runner.Work)}
}

// Yield implements crew.
func (sharedCrew) Yield() {}

// Busy implements crew.
func (sharedCrew) Busy() bool { return false }

// Drain implements crew: whoever drains the queue of nights waits for these steps, too.
func (sharedCrew) Drain() {}
