package dbt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// build is what this process knows of a run: the dbt process that is at work, and what dbt has said so far. What is
// good stays; what is not is told once, and then another dbt process does it again.
type build struct {
	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, when something below changes
	results  map[string]result
	wanted   map[string]int // how many steps wait for a node
	waiting  int            // how many steps wait at all
	session  *session       // nil when no dbt is at work
	unbilled elt.Usage      // what was billed for the run's places, and is no step's yet
	// contradiction is set when dbt's log and its results disagree: nothing of the run is published then.
	contradiction error
}

// session is one dbt process.
type session struct {
	place     Place
	selection selection
	cancel    context.CancelCauseFunc
}

// errAbandoned is why dbt is stopped when no step waits for it any more.
var errAbandoned = errors.New("no step waits for it any more")

func (e *Engine) build(run elt.RunID) *build {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.runs[run]
	if b == nil {
		b = &build{changed: make(chan struct{}), results: make(map[string]result), wanted: make(map[string]int)}
		e.runs[run] = b
	}
	return b
}

// broadcast wakes everybody who waits. The lock is held.
func (b *build) broadcast() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// report records what dbt says of a node.
func (b *build) report(id string, r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results[id] = r
	b.broadcast()
}

// good returns what need not be done again in this run.
func (b *build) good() map[string]result {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.goodLocked()
}

func (b *build) goodLocked() map[string]result {
	out := maps.Clone(b.results)
	maps.DeleteFunc(out, func(_ string, r result) bool { return !r.succeeded() && !r.passed() })
	return out
}

// await returns what dbt says of the nodes, and has it begin where it is not at work. The results are those of every
// node that this process knows of.
func (e *Engine) await(ctx context.Context, s transform.Scope, nodes []*node) (map[string]result, error) {
	b := e.build(s.Run)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range nodes {
		b.wanted[n.ID]++
		defer func() { b.wanted[n.ID]-- }()
	}
	for {
		if b.has(nodes) {
			results := b.tell(nodes)
			b.bill(ctx, results, nodes)
			return results, nil
		}
		if b.session == nil {
			if err := e.begin(b, s, nodes); err != nil {
				return nil, err
			}
		}
		if err := b.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (b *build) has(nodes []*node) bool {
	for _, n := range nodes {
		if _, ok := b.results[n.ID]; !ok {
			return false
		}
	}
	return true
}

// tell returns the results, and forgets what is not good of the nodes.
func (b *build) tell(nodes []*node) map[string]result {
	out := maps.Clone(b.results)
	for _, n := range nodes {
		if r := b.results[n.ID]; !r.succeeded() && !r.passed() {
			delete(b.results, n.ID)
		}
	}
	return out
}

// wait waits for a change. The lock is held before and after, and not meanwhile. The last one that stops waiting
// before dbt has ended stops dbt.
func (b *build) wait(ctx context.Context) error {
	changed := b.changed
	b.waiting++
	b.mu.Unlock()
	var err error
	select {
	case <-changed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	b.waiting--
	if err != nil && b.waiting == 0 && b.session != nil {
		b.session.cancel(errAbandoned)
	}
	return err
}

// begin starts a dbt process on everything that remains of the run and can be done now. The lock is held.
func (e *Engine) begin(b *build, s transform.Scope, nodes []*node) error {
	x := &session{selection: e.project.remaining(s, b.goodLocked())}
	for _, n := range nodes {
		if _, known := b.results[n.ID]; !known && !x.selection.has(n.ID) {
			return fmt.Errorf("the %s cannot be built now, and yet its step was begun", n.label())
		}
	}
	for id := range b.results {
		if x.selection.has(id) {
			delete(b.results, id)
		}
	}
	var ctx context.Context
	ctx, x.cancel = context.WithCancelCause(e.ctx)
	b.session = x
	e.all.Go(func() {
		var meter elt.Meter
		end, err := e.work(elt.WithMeter(ctx, &meter), b, x, s)
		x.cancel(nil)
		b.owe(meter.Used())
		b.over(x, end, err)
	})
	return nil
}

// owe records what was billed and is no step's yet; bill has the step that is next to tell something bear it, and what
// was billed for the nodes. The lock is held for bill.
func (b *build) owe(used elt.Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unbilled = b.unbilled.Plus(used)
}

func (b *build) bill(ctx context.Context, results map[string]result, nodes []*node) {
	used := b.unbilled
	b.unbilled = elt.Usage{}
	for _, n := range nodes {
		used = used.Plus(results[n.ID].used)
	}
	if !used.IsZero() {
		elt.AddUsage(ctx, used)
	}
}

// over records that dbt has ended. Those who wait for what it said nothing of get the reason; for what nobody waits,
// there is nothing to keep.
func (b *build) over(x *session, end ended, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range x.selection.all() {
		r, known := b.results[n.ID]
		if known && r.status != "skipped" {
			continue
		}
		if b.wanted[n.ID] == 0 {
			delete(b.results, n.ID)
		} else if !known {
			b.results[n.ID] = result{status: "missing", err: missing(n, end, err)}
		}
	}
	b.session = nil
	b.broadcast()
}

// atRest waits until no dbt is at work on the run, and says whether what it said may be published.
func (b *build) atRest(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ended(ctx); err != nil {
		return err
	}
	return b.contradiction
}

// ended waits until no dbt is at work on the run. The lock is held.
func (b *build) ended(ctx context.Context) error {
	for b.session != nil {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rest waits until no dbt is at work on the run, whatever it said.
func (b *build) rest(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended(ctx)
}
