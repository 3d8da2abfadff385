package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// BlockSteps marks those of the steps that are pending as blocked: something that they need failed.
func (l *Ledger) BlockSteps(ctx context.Context, ids []elt.StepID) error {
	return l.change(ctx, fmt.Sprintf("block %d steps", len(ids)), func(ctx context.Context, c *change) error {
		for _, id := range ids {
			s, err := readStep(ctx, c, "steps", id)
			if err != nil {
				return err
			}
			if s.State != elt.StepPending {
				continue
			}
			if err := c.setStep(ctx, s, elt.StepBlocked, c.now, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// setStep brings a step that nobody holds into a state.
func (c *change) setStep(ctx context.Context, s heldStep, state elt.StepState, ended time.Time, failure *elt.Failure) error {
	text, err := document{failure}.text()
	if err != nil {
		return err
	}
	if err := c.keep(ctx, "steps", `id = $1`, string(s.ID)); err != nil {
		return err
	}
	const update = `UPDATE steps SET state = $2, finished_at = $3, error = $4, lease_until = NULL, next_attempt_at = NULL, result = NULL,
			rows = 0, rows_expected = 0, bytes = 0, paused = '', note = ''
		WHERE id = $1`
	if _, err := c.exec(ctx, update, string(s.ID), string(state), instant(ended), text); err != nil {
		return err
	}
	_, err = c.record(stepEvent(s.Step, state), nil)
	return err
}

// RetryRun takes a run that has ended up again: its failed, blocked and cancelled steps, and its publish step with them,
// become pending, and it runs. It returns how many steps; none means that there was nothing to retry,
// and nothing changed. Attempts stay, and go on counting. Code run_running when it has not ended.
func (l *Ledger) RetryRun(ctx context.Context, id elt.RunID, actor string) (retried int, err error) {
	err = l.change(ctx, fmt.Sprintf("retry run %s", id), func(ctx context.Context, c *change) error {
		run, err := readRun(ctx, c, "runs", id)
		if err != nil {
			return err
		}
		if !run.State.Terminal() {
			return &elt.Error{
				Code: "run_running", Class: elt.Conflict,
				What: fmt.Sprintf("run %s is still running: cannot retry it", id),
				Do:   "wait until it has ended, or cancel it first",
			}
		}
		if retried, err = c.retryRun(ctx, run); err != nil || retried == 0 {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "run.retry", Target: string(id)})
	})
	if err != nil {
		return 0, err
	}
	return retried, nil
}

// retryRun takes up a run that has ended, and returns how many of its steps.
func (c *change) retryRun(ctx context.Context, run elt.Run) (retried int, err error) {
	const text = `SELECT ` + stepColumns + ` FROM steps
		WHERE run = $1 AND (state IN ('failed', 'blocked', 'cancelled') OR (kind = 'publish' AND state = 'succeeded')) ORDER BY position`
	steps, err := collect(ctx, c, scanHeldStep, text, string(run.ID))
	if err != nil || !slices.ContainsFunc(steps, func(s heldStep) bool { return s.State != elt.StepSucceeded }) {
		return 0, err
	}
	if run.Kind == elt.BackfillRun {
		if err := c.retakeBackfill(ctx, run); err != nil {
			return 0, err
		}
	}
	for _, s := range steps {
		if err := c.setStep(ctx, s, elt.StepPending, time.Time{}, nil); err != nil {
			return 0, err
		}
	}
	if err := c.keep(ctx, "runs", `id = $1`, string(run.ID)); err != nil {
		return 0, err
	}
	if _, err := c.exec(ctx, `UPDATE runs SET state = 'running', finished_at = NULL WHERE id = $1`, string(run.ID)); err != nil {
		return 0, err
	}
	_, err = c.record(runEvent("retried", run), map[string]int{"steps": len(steps)})
	return len(steps), err
}

// CancelRun ends a run for ever unless a person retries it: no step of it starts any more, and whoever
// works on one loses its lease. Cancelling a cancelled run changes nothing; a run that ended otherwise has
// code run_not_running.
func (l *Ledger) CancelRun(ctx context.Context, id elt.RunID, actor, reason string) error {
	return l.change(ctx, fmt.Sprintf("cancel run %s", id), func(ctx context.Context, c *change) error {
		run, err := readRun(ctx, c, "runs", id)
		switch {
		case err != nil:
			return err
		case run.State == elt.RunCancelled:
			return nil
		case run.State.Terminal():
			return notRunning(run, "cancel it")
		}
		if err := c.cancelRun(ctx, run, reason); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "run.cancel", Target: string(id), Reason: reason})
	})
}

// cancelRun ends a run that goes on, with its steps.
func (c *change) cancelRun(ctx context.Context, run elt.Run, reason string) error {
	const text = `SELECT ` + stepColumns + ` FROM steps WHERE run = $1 AND state IN ('pending', 'running', 'retrying') ORDER BY position`
	steps, err := collect(ctx, c, scanHeldStep, text, string(run.ID))
	if err != nil {
		return err
	}
	failure := &elt.Failure{
		Code: "run_cancelled", Class: elt.Conflict, Message: "the run was cancelled: " + reason,
		Do: "retry the run when its reason is gone",
	}
	for _, s := range steps {
		if s.State == elt.StepRunning {
			if err := c.endAttempt(ctx, s, string(elt.StepCancelled), failure, elt.Usage{}); err != nil {
				return err
			}
		}
		if err := c.setStep(ctx, s, elt.StepCancelled, c.now, failure); err != nil {
			return err
		}
	}
	return c.endRun(ctx, run, elt.RunCancelled)
}
