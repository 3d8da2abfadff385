package dbt

import (
	"context"
	"fmt"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// spending holds one dbt process to what its run may still be billed for.
type spending struct {
	left    int64
	limited bool
	tables  func() int64 // what the run's tables were billed, on all machines
	before  int64        // of that, when this process began
	stop    context.CancelCauseFunc

	mu   sync.Mutex
	used int64
}

// spending returns what a session may be billed for; nothing left is the error over_budget.
func (e *Engine) spending(run elt.RunID, stop context.CancelCauseFunc) (*spending, error) {
	s := &spending{stop: stop, tables: func() int64 { return 0 }}
	if e.options.ByTables != nil {
		s.tables = func() int64 { return e.options.ByTables(run) }
	}
	s.before = s.tables()
	if e.options.Left != nil {
		s.left, s.limited = e.options.Left(run)
	}
	if s.limited && s.left <= 0 {
		return nil, overBudget("the night has been billed for all that it may be")
	}
	return s, nil
}

// add counts what dbt says of a node, and stops dbt where that is too much.
func (s *spending) add(u elt.Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += u.BytesBilled
	if left := s.left - (s.tables() - s.before); s.limited && s.used > left {
		s.stop(overBudget(fmt.Sprintf("dbt has been billed for %d bytes, and might be for %d in what was left of the night", s.used, left)))
	}
}

func overBudget(what string) error {
	return &elt.Error{
		Code: codeBudget, Class: elt.Quota, What: what,
		Do: "see on the run's page what was billed for what; make that read less, or raise warehouse.bigquery.budget.night, and retry the run",
	}
}
