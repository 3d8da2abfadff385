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

// purse is where a run's spending is counted, by all machines.
type purse interface {
	Spending(ctx context.Context, run elt.RunID) (elt.Spending, error)
	Reserve(ctx context.Context, lease elt.Lease, bytes, most int64) (s elt.Spending, granted bool, err error)
}

// budget keeps models from being built that would cost more than they may.
type budget struct {
	estimator    estimator
	model, night int64 // bytes; 0 is no limit
	purse        purse

	mu     sync.Mutex
	leases map[elt.StepID]elt.Lease   // of this process's steps that are at work
	runs   map[elt.RunID]elt.Spending // as it was when the newest step of each began here
}

// newBudget returns the budget of a warehouse that bills by use, nil for another.
func newBudget(w warehouse, cfg config.Warehouse, p purse) *budget {
	e, ok := w.(estimator)
	if !ok || cfg.BigQuery == nil {
		return nil
	}
	night, _ := cfg.BigQuery.Budget.Night.Bytes()
	return &budget{
		estimator: e, model: cfg.BigQuery.MaxBytesBilled(), night: night, purse: p,
		leases: make(map[elt.StepID]elt.Lease), runs: make(map[elt.RunID]elt.Spending),
	}
}

// begin notes who does a step, and what its run was billed before.
func (b *budget) begin(ctx context.Context, lease elt.Lease, run elt.RunID) error {
	if b == nil || b.night == 0 {
		return nil
	}
	spent, err := b.purse.Spending(ctx, run)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.runs) >= mostRuns {
		clear(b.runs)
	}
	b.runs[run], b.leases[lease.Step] = spent, lease
	return nil
}

// end forgets a step.
func (b *budget) end(lease elt.Lease) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leases[lease.Step] == lease {
		delete(b.leases, lease.Step)
	}
}

// admit estimates a model and refuses it when that is over a budget. Until its step ends, the run's other models are held
// to what is left, on all machines.
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
	lease, known := b.leases[elt.NewStepID(m.Run, elt.TransformStep, m.Dataset)]
	b.mu.Unlock()
	if !known { // without a night's budget
		return nil
	}
	s, granted, err := b.purse.Reserve(ctx, lease, bytes, b.night)
	if err != nil || granted {
		return err
	}
	under := ""
	if s.Reserved > 0 {
		under = fmt.Sprintf(", models that are being built read another %s", size(s.Reserved))
	}
	return &elt.Error{
		Code: codeOverBudget, Class: elt.Quota,
		What: fmt.Sprintf("building %s would read %s; the night has been billed for %s%s, and may be for %s in all", m.Dataset, size(bytes), size(s.Billed), under, size(b.night)),
		Do:   "see on the run's page what was billed for what; make that read less, or raise warehouse.bigquery.budget.night, and retry the run",
	}
}

// left returns how much a run may still be billed for, as it was when its newest step began here; limited is false where that
// has no limit.
func (b *budget) left(run elt.RunID) (bytes int64, limited bool) {
	if b == nil || b.night == 0 {
		return 0, false
	}
	return b.night - b.spent(run).Billed, true
}

// byTables returns what the run's steps were billed that load and verify, on all machines.
func (b *budget) byTables(run elt.RunID) int64 {
	if b == nil {
		return 0
	}
	return b.spent(run).ByTables
}

func (b *budget) spent(run elt.RunID) elt.Spending {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs[run]
}

// codeOverBudget is the code of a model that would cost more than it may.
const codeOverBudget elt.Code = "over_budget"
