package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Queue is what the suite asks of a queue.
type Queue interface {
	Enqueue(ctx context.Context, steps ...elt.Step) error
	Done() <-chan struct{}
	Err() error
	Busy() bool
	Drain()
}

// Harness makes the queues of one test.
type Harness struct {
	// Open begins to work at every kind of step with so many threads. ctx is that of the steps' work. Each queue that a test
	// opens is another process on the same ledger.
	Open func(t *testing.T, ctx context.Context, threads int, work func(context.Context, elt.StepID) error) Queue
	// Kill ends a queue's process as SIGKILL would: what it works at never comes to an end, and is never told of.
	Kill func(t *testing.T, q Queue)
}

// Run holds a queue to the suite. harness is called for each test.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"every step is done":                       everyStep,
		"no step is worked at twice at a time":     neverTwice,
		"no more work than there are threads":      bounded,
		"a step enqueues the next":                 chain,
		"draining ends what has begun":             drains,
		"a cancelled context enqueues nothing":     cancelled,
		"the steps' context ends their work":       stopped,
		"work that fails or panics is found again": fails,
		"a killed process's step is found again":   killed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, harness(t))
		})
	}
}

func everyStep(t *testing.T, h Harness) {
	b := newBook(100)
	q := h.Open(t, t.Context(), 4, b.does(func(context.Context, elt.StepID) error { return nil }))
	b.carry(t, q)
	q.Drain()
	b.once(t)
	if err := q.Err(); err != nil || q.Busy() {
		t.Errorf("afterwards: error %v, busy %t", err, q.Busy())
	}
}

func neverTwice(t *testing.T, h Harness) {
	var at, most, times atomic.Int32
	begun, end := make(chan struct{}, 100), make(chan struct{})
	q := h.Open(t, t.Context(), 4, func(context.Context, elt.StepID) error {
		most.Store(max(most.Load(), at.Add(1)))
		times.Add(1)
		begun <- struct{}{}
		<-end
		at.Add(-1)
		return nil
	})
	step := elt.Step{ID: "r/one", Kind: elt.ExtractStep}
	enqueue := func() {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := q.Enqueue(t.Context(), step); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	enqueue()
	await(t, "the step begins", begun)
	enqueue()
	step.Attempt++ // as a ledger would say whose lease on it has run out
	enqueue()
	close(end)
	q.Drain()
	if most.Load() != 1 || times.Load() > 2 {
		t.Errorf("%d workers were at the step at a time, and it was begun %d times", most.Load(), times.Load())
	}
}

func bounded(t *testing.T, h Harness) {
	const threads = 3
	var at, most atomic.Int32
	b := newBook(40)
	q := h.Open(t, t.Context(), threads, b.does(func(context.Context, elt.StepID) error {
		now := at.Add(1)
		defer at.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		return nil
	}))
	b.carry(t, q)
	q.Drain()
	if most.Load() > threads {
		t.Errorf("%d steps were at work at the same time, with %d threads", most.Load(), threads)
	}
}

func chain(t *testing.T, h Harness) {
	const length = 20
	id := func(i int) elt.StepID { return elt.StepID(fmt.Sprintf("r/link/%d", i)) }
	b := newBook(0)
	b.add(elt.Step{ID: id(0), Kind: elt.LoadStep})
	var q Queue
	var opened sync.Mutex
	opened.Lock()
	next := 0 // the links follow one another
	q = h.Open(t, t.Context(), 2, b.does(func(ctx context.Context, _ elt.StepID) error {
		opened.Lock()
		defer opened.Unlock()
		if next++; next == length {
			return nil
		}
		s := elt.Step{ID: id(next), Kind: elt.LoadStep}
		b.add(s)
		return q.Enqueue(ctx, s)
	}))
	opened.Unlock()
	b.carry(t, q)
	q.Drain()
	b.once(t)
	if next != length {
		t.Errorf("%d links were done, want %d", next, length)
	}
}

func drains(t *testing.T, h Harness) {
	b := newBook(12)
	begun, end := make(chan elt.StepID, 12), make(chan struct{})
	q := h.Open(t, t.Context(), 2, b.does(func(_ context.Context, id elt.StepID) error {
		begun <- id
		<-end
		return nil
	}))
	if err := q.Enqueue(t.Context(), b.due()...); err != nil {
		t.Fatal(err)
	}
	await(t, "a step begins", begun)
	if !q.Busy() {
		t.Error("it is not busy in the middle of a step")
	}
	drained := make(chan struct{})
	go func() {
		q.Drain()
		close(drained)
	}()
	select {
	case <-drained:
		t.Error("it was drained in the middle of a step")
	default:
	}
	close(end)
	await(t, "it is drained", drained)
	if did := 12 - b.left(); did == 0 || q.Busy() {
		t.Errorf("after draining %d steps are done, busy %t", did, q.Busy())
	}
	other := h.Open(t, t.Context(), 2, b.does(func(context.Context, elt.StepID) error { return nil }))
	b.carry(t, other)
	other.Drain()
	b.once(t)
}

func cancelled(t *testing.T, h Harness) {
	q := h.Open(t, t.Context(), 1, func(context.Context, elt.StepID) error {
		t.Error("a step was begun")
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Enqueue(ctx, elt.Step{ID: "r/one", Kind: elt.ExtractStep}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	q.Drain()
}

func stopped(t *testing.T, h Harness) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	b := newBook(1)
	begun := make(chan struct{})
	q := h.Open(t, ctx, 1, b.does(func(ctx context.Context, _ elt.StepID) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}))
	if err := q.Enqueue(ctx, b.due()...); err != nil {
		t.Fatal(err)
	}
	await(t, "the step begins", begun)
	stop()
	q.Drain()
	if b.left() != 1 || len(b.due()) != 1 {
		t.Error("a step that was stopped is not due again")
	}
}

func fails(t *testing.T, h Harness) {
	b := newBook(12)
	var failed, panicked atomic.Bool
	q := h.Open(t, t.Context(), 2, b.does(func(_ context.Context, id elt.StepID) error {
		switch {
		case id == "r/3" && failed.CompareAndSwap(false, true):
			return errors.New("the ledger is away")
		case id == "r/7" && panicked.CompareAndSwap(false, true):
			panic("a fault")
		}
		return nil
	}))
	b.carry(t, q)
	q.Drain()
	b.once(t)
	if !failed.Load() || !panicked.Load() {
		t.Error("nothing has failed")
	}
	if q.Err() == nil || q.Err() != nil {
		t.Error("the error is not told, or told twice")
	}
}

func killed(t *testing.T, h Harness) {
	b := newBook(10)
	begun, end := make(chan elt.StepID, 10), make(chan struct{})
	t.Cleanup(func() { close(end) })
	dead := &process{book: b}
	first := h.Open(t, context.WithoutCancel(t.Context()), 2, func(_ context.Context, id elt.StepID) error {
		if dead.claim(id) {
			begun <- id
			<-end // for ever, as far as the test goes
		}
		return nil
	})
	if err := first.Enqueue(t.Context(), b.due()...); err != nil {
		t.Fatal(err)
	}
	await(t, "a step begins", begun)
	h.Kill(t, first)
	second := h.Open(t, t.Context(), 2, b.does(func(context.Context, elt.StepID) error { return nil }))
	dead.leasesRunOut()
	b.carry(t, second)
	second.Drain()
	b.once(t)
}
