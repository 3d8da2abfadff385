package ledger

import (
	"context"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Reserve holds bytes of the budget of a step's run for the step, until it ends, unless they are more than is left of most:
// what the run's steps have been billed, on all machines, and what others that are at work have reserved. Whoever reserves
// does so after others, so that two who ask at the same instant count each other. A step that is taken over keeps what it had
// reserved until it reserves anew: whoever had it may have spent that. The code is lease_lost when the lease is not the
// step's any more.
func (l *Ledger) Reserve(ctx context.Context, lease elt.Lease, bytes, most int64) (s elt.Spending, granted bool, err error) {
	op := fmt.Sprintf("reserve %d bytes for step %s", bytes, lease.Step)
	err = l.change(ctx, op, func(ctx context.Context, c *change) error {
		step, err := readStep(ctx, c, "steps", lease.Step)
		if err != nil {
			return err
		}
		if s, err = spending(ctx, c, step.Run, lease.Step); err != nil {
			return err
		}
		if granted = bytes <= most-s.Billed-s.Reserved; !granted {
			bytes = 0
		}
		n, err := c.exec(ctx, `UPDATE steps SET bytes_reserved = $4`+held, string(lease.Step), lease.Attempt, lease.Fence, bytes)
		if err != nil || n == 0 {
			return orLost(err, lease, op)
		}
		c.touched = true
		return nil
	})
	return s, granted && err == nil, err
}

// Spending returns what a run has spent of its budget.
func (l *Ledger) Spending(ctx context.Context, run elt.RunID) (s elt.Spending, err error) {
	err = l.read(ctx, fmt.Sprintf("read what run %s has spent", run), func(ctx context.Context, q queryer) error {
		s, err = spending(ctx, q, run, "")
		return err
	})
	return s, err
}

// spending reads what a run has spent, but for what a step has reserved.
func spending(ctx context.Context, q queryer, run elt.RunID, but elt.StepID) (s elt.Spending, err error) {
	const text = `SELECT CAST(COALESCE(SUM(bytes_billed), 0) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN kind IN ('transform', 'test') THEN 0 ELSE bytes_billed END), 0) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN state = 'running' AND id <> $2 THEN bytes_reserved ELSE 0 END), 0) AS BIGINT)
		FROM steps WHERE run = $1`
	err = q.QueryRowContext(ctx, text, string(run), string(but)).Scan(&s.Billed, &s.ByTables, &s.Reserved)
	return s, err
}
