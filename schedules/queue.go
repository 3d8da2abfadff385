package schedules

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Queue hands steps to workers. A step may be handed over more than once, or not at all: the ledger's lease decides who does
// it, and what is still due is enqueued again.
type Queue interface {
	Enqueue(ctx context.Context, steps ...elt.Step) error
}

// Queues is what the runner asks of the ledger about steps that may have to wait for others.
type Queues interface {
	Working(ctx context.Context) ([]elt.AtWork, error)
	NoteWaiting(ctx context.Context, steps []elt.StepID, why string) error
}

// Onward enqueues what a run's last step has made ready, and decides nothing else about the run: what a worker calls that
// leaves the rest to whoever sweeps.
func (r *Runner) Onward(ctx context.Context, q Queue, run elt.Run) error {
	now, err := r.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	steps, err := r.steps(ctx, run.ID)
	if err != nil {
		return err
	}
	advice := Advise(steps, func(s elt.Step) bool { return due(s, now) })
	if advice.State.Terminal() {
		r.forget(run.ID)
	}
	return r.enqueue(ctx, q, run, advice.Ready, now)
}

// enqueue hands over those of the steps that are ready which may begin now.
func (r *Runner) enqueue(ctx context.Context, q Queue, run elt.Run, ready []elt.Step, now time.Time) error {
	if r.Rests != nil && run.Kind != elt.RollbackRun && len(ready) > 0 {
		rests, err := r.Rests(ctx, now)
		if err != nil {
			return err
		}
		ready = slices.DeleteFunc(ready, func(s elt.Step) bool { return s.Dataset != "" && rests(s.Dataset) })
	}
	ready = slices.DeleteFunc(ready, r.justRefused)
	ready, err := r.admit(ctx, ready, run.Kind == elt.BackfillRun)
	if err != nil || len(ready) == 0 {
		return err
	}
	return q.Enqueue(ctx, ready...)
}

// refusalRest is how long a step is left alone that another worker's claim has kept from beginning.
const refusalRest = time.Second

func (r *Runner) justRefused(s elt.Step) bool {
	at, refused := r.refused.Load(s.ID)
	if refused && time.Since(at.(time.Time)) < refusalRest {
		return true
	}
	r.refused.Delete(s.ID)
	return false
}

// admit returns those of the steps that no limit keeps waiting, and notes why the others wait.
func (r *Runner) admit(ctx context.Context, ready []elt.Step, backfill bool) (admitted []elt.Step, err error) {
	if len(ready) == 0 {
		return nil, nil
	}
	working, err := r.Ledger.Working(ctx)
	if err != nil {
		return nil, err
	}
	waiting := make(map[string][]elt.StepID)
	for _, s := range ready {
		at := elt.AtWork{Step: s, Backfill: backfill}
		why := r.Limits.Waits(at, working)
		if why == "" {
			admitted, working = append(admitted, s), append(working, at)
			r.waits.Delete(s.ID)
			continue
		}
		if said, known := r.waits.Swap(s.ID, why); !known || said != why {
			waiting[why] = append(waiting[why], s.ID)
		}
	}
	for why, steps := range waiting {
		if err := r.Ledger.NoteWaiting(ctx, steps, why); err != nil {
			return nil, err
		}
	}
	return admitted, nil
}

// forget drops what is remembered of a run that has ended.
func (r *Runner) forget(run elt.RunID) {
	r.plans.Delete(run)
	for _, said := range []*sync.Map{&r.waits, &r.refused} {
		said.Range(func(step, _ any) bool {
			if strings.HasPrefix(string(step.(elt.StepID)), string(run)+"/") {
				said.Delete(step)
			}
			return true
		})
	}
}
