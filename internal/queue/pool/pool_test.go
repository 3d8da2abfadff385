package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/queue/queuetest"
)

func step(n int) elt.Step { return elt.Step{ID: elt.StepID(fmt.Sprintf("r/%d", n))} }

func TestPoolIsBoundedAndForgetsWhatItCannotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, ended atomic.Int32
		p := New(3, slog.New(slog.DiscardHandler), func(context.Context, elt.Step) error {
			now := running.Add(1)
			defer running.Add(-1)
			most.Store(max(most.Load(), now))
			time.Sleep(time.Minute) // of the bubble's clock
			ended.Add(1)
			return nil
		})
		for n := range 10 {
			if err := p.Enqueue(t.Context(), step(n)); err != nil {
				t.Fatal(err)
			}
		}
		p.Drain()
		if most.Load() != 3 || ended.Load() != 3 {
			t.Errorf("%d ran at once and %d ended, want 3 and 3: the rest waits for the next sweep", most.Load(), ended.Load())
		}
		if err := p.Enqueue(t.Context(), step(9)); err != nil {
			t.Fatal(err)
		}
		p.Drain()
		if ended.Load() != 4 {
			t.Errorf("%d ended, want 4: a worker that is free takes the next step", ended.Load())
		}
	})
}

func TestPoolRunsAStepOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		p := New(4, slog.New(slog.DiscardHandler), func(context.Context, elt.Step) error {
			begun.Add(1)
			time.Sleep(time.Minute)
			return errors.New("the ledger is away")
		})
		for range 5 {
			if err := p.Enqueue(t.Context(), step(1)); err != nil {
				t.Fatal(err)
			}
		}
		p.Drain()
		if p.Err() == nil || p.Err() != nil {
			t.Error("the error is not told, or told twice")
		}
		select {
		case <-p.Done():
			t.Error("a sweep at once would meet the same ledger")
		default:
		}
		if begun.Load() != 1 {
			t.Errorf("the step was begun %d times at once", begun.Load())
		}
		if err := p.Enqueue(t.Context(), step(1)); err != nil {
			t.Fatal(err)
		}
		p.Drain()
		if begun.Load() != 1 {
			t.Errorf("begun %d times: the pool did not rest", begun.Load())
		}
		time.Sleep(firstPause)
		if err := p.Enqueue(t.Context(), step(1)); err != nil {
			t.Fatal(err)
		}
		p.Drain()
		if begun.Load() != 2 {
			t.Errorf("begun %d times, want 2: a step whose end was not recorded is taken up again", begun.Load())
		}
	})
}

// A ledger that is away for long is not asked twice a second: the pauses grow to a limit, and end with the first step that
// is recorded.
func TestPausesGrowAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		var begun int
		p := New(1, slog.New(slog.DiscardHandler), func(context.Context, elt.Step) error {
			if begun++; away.Load() {
				return errors.New("the ledger is away")
			}
			return nil
		})
		sweepFor := func(d time.Duration) int {
			before := begun
			for range d / (100 * time.Millisecond) {
				if err := p.Enqueue(t.Context(), step(1)); err != nil {
					t.Fatal(err)
				}
				p.Drain()
				time.Sleep(100 * time.Millisecond)
			}
			return begun - before
		}
		if n := sweepFor(2 * time.Minute); n < 8 || n > 12 {
			t.Errorf("in two minutes the step was begun %d times, want about one at 0, 1, 3, 7, 15, 31, 47, … seconds", n)
		}
		away.Store(false)
		sweepFor(longestPause)
		if n := sweepFor(time.Second); n != 10 {
			t.Errorf("the ledger is back, and of ten sweeps %d began the step", n)
		}
	})
}

func TestPoolTakesNothingAfterTheEnd(t *testing.T) {
	p := New(1, slog.New(slog.DiscardHandler), func(context.Context, elt.Step) error {
		t.Error("a step was begun")
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Enqueue(ctx, step(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	p.Drain()
}

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Harness {
		return queuetest.Harness{
			Open: func(_ *testing.T, ctx context.Context, threads int, work func(context.Context, elt.StepID) error) queuetest.Queue {
				p := New(threads, slog.New(slog.DiscardHandler), func(ctx context.Context, s elt.Step) error { return work(ctx, s.ID) })
				return within{p, ctx}
			},
			Kill: func(*testing.T, queuetest.Queue) {}, // a pool has nothing beyond its process
		}
	})
}

// within enqueues under the steps' own context, which a pool is given with each of them.
type within struct {
	*Pool
	steps context.Context
}

// Enqueue hands over steps unless either context has ended.
func (w within) Enqueue(ctx context.Context, steps ...elt.Step) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.Pool.Enqueue(w.steps, steps...)
}
