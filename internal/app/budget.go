package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// estimator is a warehouse that bills by use, and can tell before a model is built what it would read.
type estimator interface {
	Estimate(ctx context.Context, b elt.Build) (bytes int64, err error)
}

// budget keeps models from being built that would cost more than they may.
type budget struct {
	estimator    estimator
	model, night int64 // bytes; 0 is no limit
	spent        func(context.Context, elt.RunID) (int64, error)

	mu   sync.Mutex
	runs map[elt.RunID]*spending
}

// spending is what a run has been billed, and what its models that are being built would read.
type spending struct {
	billed   int64
	reserved map[elt.DatasetName]int64
}

// newBudget returns the budget of a warehouse that bills by use, nil for another.
func newBudget(w warehouse, cfg config.Warehouse, spent func(context.Context, elt.RunID) (int64, error)) *budget {
	e, ok := w.(estimator)
	if !ok || cfg.BigQuery == nil {
		return nil
	}
	night, _ := cfg.BigQuery.Budget.Night.Bytes()
	return &budget{estimator: e, model: cfg.BigQuery.MaxBytesBilled(), night: night, spent: spent, runs: make(map[elt.RunID]*spending)}
}

// begin reads what the run was billed before, once, so that a run which is taken up again does not begin at nothing.
func (b *budget) begin(ctx context.Context, run elt.RunID) error {
	if b == nil || b.night == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.runs[run] != nil {
		return nil
	}
	billed, err := b.spent(ctx, run)
	if err != nil {
		return err
	}
	b.runs[run] = &spending{billed: billed, reserved: make(map[elt.DatasetName]int64)}
	return nil
}

// end adds what a step was billed, in the place of what it would have been.
func (b *budget) end(step elt.Step, used elt.Usage) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.runs[step.Run]; s != nil {
		s.billed += used.BytesBilled
		delete(s.reserved, step.Dataset)
	}
}

// admit estimates a model and refuses it when that is over a budget. Until its step ends, the run's other models are held
// to what is left.
func (b *budget) admit(ctx context.Context, m elt.Build) error {
	if b == nil || b.model == 0 && b.night == 0 || m.Materialized == elt.AsView {
		return nil
	}
	bytes, err := b.estimator.Estimate(ctx, m)
	if err != nil {
		return err
	}
	if b.model > 0 && bytes > b.model {
		return &elt.Error{
			Code: codeOverBudget, Class: elt.Quota,
			What: fmt.Sprintf("building %s would read %s, and a model may read %s; nothing was billed", m.Dataset, size(bytes), size(b.model)),
			Do:   "make it read less: name the columns that it needs, filter by the column of partition_by; or raise warehouse.bigquery.budget.model and retry the run",
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.runs[m.Run]
	if s == nil {
		return nil
	}
	var reserved int64
	for _, other := range s.reserved {
		reserved += other
	}
	if bytes > b.night-s.billed-reserved {
		under := ""
		if reserved > 0 {
			under = fmt.Sprintf(", models that are being built read another %s", size(reserved))
		}
		return &elt.Error{
			Code: codeOverBudget, Class: elt.Quota,
			What: fmt.Sprintf("building %s would read %s; the night has been billed for %s%s, and may be for %s in all", m.Dataset, size(bytes), size(s.billed), under, size(b.night)),
			Do:   "see on the run's page what was billed for what; make that read less, or raise warehouse.bigquery.budget.night, and retry the run",
		}
	}
	s.reserved[m.Dataset] = bytes
	return nil
}

// left returns how much a run may still be billed for; limited is false where that has no limit.
func (b *budget) left(run elt.RunID) (bytes int64, limited bool) {
	if b == nil || b.night == 0 {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.runs[run]
	if s == nil {
		return b.night, true
	}
	return b.night - s.billed, true
}

// codeOverBudget is the code of a model that would cost more than it may.
const codeOverBudget elt.Code = "over_budget"
