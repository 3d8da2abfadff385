// Package pool is the work queue inside one process: a bounded number of workers, and no memory of its own.
// What it has not begun when the process dies is found again in the ledger by the next sweep.
package pool

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Pool runs steps on a bounded number of goroutines. The zero Pool is not usable; call New.
type Pool struct {
	work    func(context.Context, elt.Step) error
	log     *slog.Logger
	idle    chan struct{} // one token for each worker that is free
	running sync.WaitGroup

	mu    sync.Mutex
	held  map[elt.StepID]bool // enqueued and not ended
	err   error               // of the newest step that could not be recorded, until Err returns it
	wake  chan struct{}       // receives after each step that was recorded
	pause time.Duration       // how long no step is begun after one could not be recorded; each lasts twice as long as the one before
	until time.Time           // when the last pause ends
}

// How long the pool begins no step after one whose end could not be recorded: its work would be for nothing again.
const (
	firstPause   = time.Second
	longestPause = 16 * time.Second
)

// New returns a pool of the given number of workers, each of which calls work with a step.
func New(workers int, log *slog.Logger, work func(context.Context, elt.Step) error) *Pool {
	p := &Pool{
		work: work, log: log,
		idle: make(chan struct{}, workers),
		held: make(map[elt.StepID]bool),
		wake: make(chan struct{}, 1),
	}
	for range workers {
		p.idle <- struct{}{}
	}
	return p
}

// Enqueue starts each step for which a worker is free and which isn't running already; the others wait for a later
// sweep. ctx ends the steps' own work too.
func (p *Pool) Enqueue(ctx context.Context, steps ...elt.Step) error {
	for _, s := range steps {
		if err := p.enqueue(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pool) enqueue(ctx context.Context, s elt.Step) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[s.ID] || ctx.Err() != nil || time.Now().Before(p.until) {
		return ctx.Err()
	}
	select {
	case <-p.idle:
	default:
		return nil
	}
	p.held[s.ID] = true
	p.running.Go(func() {
		err := p.do(ctx, s)
		if err != nil {
			p.log.Error("step not recorded, a later sweep takes it up again", "step", s.ID, "error", err)
		}
		p.mu.Lock()
		delete(p.held, s.ID)
		p.rest(err)
		p.mu.Unlock()
		p.idle <- struct{}{}
		if err != nil {
			return // sweeping at once would meet the same ledger
		}
		select {
		case p.wake <- struct{}{}:
		default:
		}
	})
	return nil
}

// rest notes how the record of a step's end ended, and has the pool rest after one that could not be written.
func (p *Pool) rest(err error) {
	now := time.Now()
	switch {
	case err == nil:
		p.pause = 0
	case !now.Before(p.until): // of several that end at once, one counts
		p.pause = min(max(firstPause, 2*p.pause), longestPause)
		p.until = now.Add(p.pause)
	}
	if err != nil {
		p.err = err
	}
}

// do works at a step. One that panics is like one whose process died: its lease runs out, and a later sweep finds it.
func (p *Pool) do(ctx context.Context, s elt.Step) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return p.work(ctx, s)
}

// Err returns why the newest of the steps could not be recorded that ended so since it was last called; nil when all
// were.
func (p *Pool) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.err
	p.err = nil
	return err
}

// Done receives after a step has ended and was recorded: a good moment for the next sweep.
func (p *Pool) Done() <-chan struct{} { return p.wake }

// Busy reports whether a step is at work.
func (p *Pool) Busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held) > 0
}

// Drain waits until every step that was begun has ended.
func (p *Pool) Drain() { p.running.Wait() }
