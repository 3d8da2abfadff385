package queuetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// patience is how long a test waits for what must come.
const patience = 5 * time.Minute

// book is what the suite has in the ledger's place: which steps are due, held and done.
type book struct {
	mu    sync.Mutex
	order []elt.StepID
	steps map[elt.StepID]*entry
}

type entry struct {
	step  elt.Step
	held  bool
	done  bool
	times int // it was done
}

func newBook(n int) *book {
	b := &book{steps: make(map[elt.StepID]*entry)}
	kinds := elt.StepKinds()
	for i := range n {
		b.add(elt.Step{ID: elt.StepID(fmt.Sprintf("r/%d", i)), Kind: kinds[i%len(kinds)]})
	}
	return b
}

func (b *book) add(s elt.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(b.order, s.ID)
	b.steps[s.ID] = &entry{step: s}
}

// due returns what nobody holds and nobody has done.
func (b *book) due() (due []elt.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range b.order {
		if e := b.steps[id]; !e.held && !e.done {
			due = append(due, e.step)
		}
	}
	return due
}

func (b *book) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := 0
	for _, e := range b.steps {
		if !e.done {
			left++
		}
	}
	return left
}

// claim takes a step, as the ledger's lease does, unless another holds it.
func (b *book) claim(id elt.StepID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.steps[id]
	if e.held || e.done {
		return false
	}
	e.held = true
	e.step.Attempt++
	return true
}

// process claims steps until it is dead.
type process struct {
	book *book

	mu      sync.Mutex
	dead    bool
	claimed []elt.StepID
}

func (p *process) claim(id elt.StepID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || !p.book.claim(id) {
		return false
	}
	p.claimed = append(p.claimed, id)
	return true
}

// leasesRunOut gives back all that the process had claimed. It claims nothing more.
func (p *process) leasesRunOut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	for _, id := range p.claimed {
		p.book.end(id, false)
	}
}

// end gives a step back: done, or due again.
func (b *book) end(id elt.StepID, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.steps[id]
	e.held, e.done = false, done
	if done {
		e.times++
	}
}

// does returns what a worker calls: it claims the step, does it and says so.
func (b *book) does(work func(context.Context, elt.StepID) error) func(context.Context, elt.StepID) error {
	return func(ctx context.Context, id elt.StepID) (err error) {
		if !b.claim(id) {
			return nil
		}
		done := false
		defer func() { b.end(id, done) }()
		if err = work(ctx, id); err == nil {
			done = true
		}
		return err
	}
}

// carry sweeps until everything is done.
func (b *book) carry(t *testing.T, q Queue) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.After(patience)
	for b.left() > 0 {
		if err := q.Enqueue(t.Context(), b.due()...); err != nil {
			t.Fatal(err)
		}
		select {
		case <-q.Done():
		case <-again.C:
		case <-end:
			t.Fatalf("%d steps were not done within %s", b.left(), patience)
		}
	}
}

// once checks that each step was done, and once.
func (b *book) once(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.steps {
		if e.times != 1 {
			t.Errorf("step %s was done %d times", id, e.times)
		}
	}
}

// await waits for a channel.
func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
	}
	return v
}
