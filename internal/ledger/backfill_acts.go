package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// BeginBackfillRun begins a date of a backfill: it creates the run of the date, with its steps and the days that it brings,
// and notes which of the date's days are left out, and why. It is the only way to a run of a backfill, and refuses one
// that is paused or has ended with code backfill_resting. Without steps it only notes what is left out.
func (l *Ledger) BeginBackfillRun(ctx context.Context, id elt.BackfillID, run elt.Run, steps []elt.Step, days []elt.Day, left map[elt.DatasetName]string) error {
	return l.change(ctx, fmt.Sprintf("begin %s of %s", run.Date, id), func(ctx context.Context, c *change) error {
		b, err := readBackfill(ctx, c, id)
		if err != nil {
			return err
		}
		if b.State != elt.BackfillRunning {
			return backfillResting(b)
		}
		var before int
		if err := c.QueryRowContext(ctx, `SELECT COUNT(*) FROM runs WHERE backfill = $1 AND state = 'running'`, string(id)).Scan(&before); err != nil {
			return err
		}
		if before > 0 { // another process has begun a date
			return backfillResting(b)
		}
		c.touched = true
		for name, why := range left {
			const text = `UPDATE backfill_days SET state = 'skipped', says = $4 WHERE backfill = $1 AND dataset = $2 AND date = $3 AND state = 'pending'`
			if _, err := c.exec(ctx, text, string(id), string(name), run.Date.String(), why); err != nil {
				return err
			}
		}
		if len(steps) == 0 {
			return c.endBackfill(ctx, b)
		}
		for _, d := range days {
			const text = `UPDATE backfill_days SET state = 'running', run = $4 WHERE backfill = $1 AND dataset = $2 AND date = $3 AND state = 'pending'`
			n, err := c.exec(ctx, text, string(id), string(d.Dataset), d.Date.String(), string(run.ID))
			if err != nil {
				return err
			}
			if n == 0 { // another process has begun it
				return backfillResting(b)
			}
		}
		run.Kind, run.Backfill = elt.BackfillRun, b.ID
		return c.createRun(ctx, &run, steps, days)
	})
}

// LeaveBackfillDays notes that a run of a backfill leaves out some of the days that it was to bring, and why.
func (l *Ledger) LeaveBackfillDays(ctx context.Context, run elt.RunID, left map[elt.DatasetName]string) error {
	return l.change(ctx, fmt.Sprintf("leave %d days of run %s out", len(left), run), func(ctx context.Context, c *change) error {
		for name, why := range left {
			const text = `UPDATE backfill_days SET state = 'skipped', says = $3 WHERE run = $1 AND dataset = $2 AND state = 'running'`
			n, err := c.exec(ctx, text, string(run), string(name), why)
			if err != nil {
				return err
			}
			c.touched = c.touched || n > 0
		}
		return nil
	})
}

func backfillResting(b elt.Backfill) error {
	return &elt.Error{
		Code: "backfill_resting", Class: elt.Conflict,
		What: fmt.Sprintf("%s is %s: nothing of it begins", b.ID, b.State), Do: "nothing; daybreak backfill show says how far it is",
	}
}

// backfillOf returns the backfill to which a run belongs.
func backfillOf(ctx context.Context, q queryer, run elt.Run) (elt.Backfill, error) {
	return readBackfill(ctx, q, run.Backfill)
}

// aNight is a run that goes on and before which backfills rest, where there is one.
const aNight = `(SELECT n.id FROM runs n WHERE n.state = 'running' AND n.kind <> 'backfill' LIMIT 1)`

// backfillRests says why no step of the run may begin now: its backfill is paused or has ended, or another run goes on. It is
// empty for every other run. A process that works alone on the ledger looks itself whether another run goes on.
func backfillRests(ctx context.Context, q queryer, run elt.RunID, alone bool) (why string, err error) {
	const text = `SELECT b.id, b.state, COALESCE(` + aNight + `, '') FROM runs r JOIN backfills b ON b.id = r.backfill WHERE r.id = $1`
	var id, state, night string
	err = q.QueryRowContext(ctx, text, string(run)).Scan(&id, &state, &night)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case state != string(elt.BackfillRunning):
		return fmt.Sprintf("%s is %s", id, state), nil
	case night != "" && !alone:
		return fmt.Sprintf("%s rests while run %s goes on", id, night), nil
	}
	return "", nil
}

// BackfillRests says why no step of the run may begin now: its backfill is paused or has ended, or another run goes on. It is
// empty for every other run.
func (l *Ledger) BackfillRests(ctx context.Context, run elt.RunID) (why string, err error) {
	err = l.read(ctx, fmt.Sprintf("find out whether run %s may go on", run), func(ctx context.Context, q queryer) error {
		why, err = backfillRests(ctx, q, run, l.engine.dialect().alone)
		return err
	})
	return why, err
}

// yields says for which run the holder of a backfill's step should let go of it. One that publishes is soon done.
func (l *Ledger) yields(ctx context.Context, q queryer, step elt.StepID) (why string, err error) {
	if l.engine.dialect().alone {
		return "", nil
	}
	const text = `SELECT r.backfill, COALESCE(` + aNight + `, '') FROM steps s JOIN runs r ON r.id = s.run
		WHERE s.id = $1 AND s.kind <> 'publish' AND r.kind = 'backfill'`
	var id, night string
	err = q.QueryRowContext(ctx, text, string(step)).Scan(&id, &night)
	if errors.Is(err, sql.ErrNoRows) || err == nil && night == "" {
		return "", nil
	}
	return fmt.Sprintf("%s rests while run %s goes on", id, night), err
}

// settleBackfill notes what became of the days of a run that has ended, and ends its backfill if they were the last.
func (c *change) settleBackfill(ctx context.Context, run elt.Run, state elt.RunState) error {
	otherwise := elt.BackfillDayFailed
	if state == elt.RunCancelled {
		otherwise = elt.BackfillDayCancelled
	}
	const text = `UPDATE backfill_days SET says = '', state = CASE
			WHEN EXISTS (SELECT 1 FROM versions v WHERE v.dataset = backfill_days.dataset AND v.run = backfill_days.run) THEN 'succeeded' ELSE $2 END
		WHERE run = $1 AND state = 'running'`
	if _, err := c.exec(ctx, text, string(run.ID), string(otherwise)); err != nil {
		return err
	}
	const reasons = `SELECT ` + stepColumns + ` FROM steps WHERE run = $1 AND state = 'failed' ORDER BY position DESC`
	failed, err := collect(ctx, c, scanStep, reasons, string(run.ID))
	if err != nil {
		return err
	}
	for _, s := range failed { // the first of a dataset's failures is told
		if s.Error == nil {
			continue
		}
		const say = `UPDATE backfill_days SET says = $3 WHERE run = $1 AND state = 'failed' AND (dataset = $2 OR $2 = '')`
		if _, err := c.exec(ctx, say, string(run.ID), string(s.Dataset), fmt.Sprintf("%s: %s", s.Kind, s.Error.Message)); err != nil {
			return err
		}
	}
	const held = `UPDATE backfill_days SET says = 'held up by what it is made from' WHERE run = $1 AND state = 'failed' AND says = ''`
	if _, err := c.exec(ctx, held, string(run.ID)); err != nil {
		return err
	}
	b, err := backfillOf(ctx, c, run)
	if err != nil {
		return err
	}
	if err := c.recordBackfill(b.ID, "progressed", ""); err != nil {
		return err
	}
	return c.endBackfill(ctx, b)
}

// endBackfill ends a backfill that has nothing left to bring.
func (c *change) endBackfill(ctx context.Context, b elt.Backfill) error {
	if err := readProgress(ctx, c, &b); err != nil || b.Left() > 0 || b.State.Terminal() {
		return err
	}
	state := elt.BackfillSucceeded
	if b.Progress[elt.BackfillDayFailed]+b.Progress[elt.BackfillDayCancelled] > 0 {
		state = elt.BackfillFailed
	}
	if _, err := c.exec(ctx, `UPDATE backfills SET state = $2, ended_at = $3 WHERE id = $1`, string(b.ID), string(state), instant(c.now)); err != nil {
		return err
	}
	return c.recordBackfill(b.ID, string(state), "")
}

// retakeBackfill gives the days of a run that is tried again back to it. A cancelled backfill refuses: nothing of it ever
// starts again.
func (c *change) retakeBackfill(ctx context.Context, run elt.Run) error {
	b, err := backfillOf(ctx, c, run)
	if err != nil {
		return err
	}
	if b.State == elt.BackfillCancelled {
		return backfillCancelled(b)
	}
	const read = `SELECT ` + backfillDayColumns + ` FROM backfill_days WHERE run = $1 AND state IN ('failed', 'cancelled')`
	days, err := collect(ctx, c, scanBackfillDay, read, string(run.ID))
	if err != nil {
		return err
	}
	for _, d := range days {
		if err := c.unheld(ctx, b.ID, d); err != nil {
			return err
		}
	}
	if _, err := c.exec(ctx, `UPDATE backfill_days SET state = 'running', says = '' WHERE run = $1 AND state IN ('failed', 'cancelled')`, string(run.ID)); err != nil {
		return err
	}
	const again = `UPDATE backfills SET state = CASE state WHEN 'paused' THEN state ELSE 'running' END, ended_at = NULL, begun_at = $2 WHERE id = $1`
	if _, err := c.exec(ctx, again, string(b.ID), instant(c.now)); err != nil {
		return err
	}
	return c.recordBackfill(b.ID, "retried", "")
}

func backfillCancelled(b elt.Backfill) error {
	return &elt.Error{
		Code: "backfill_cancelled", Class: elt.Conflict,
		What: fmt.Sprintf("%s was cancelled: nothing of it starts any more", b.ID), Do: "plan a new backfill of what is still wanted",
	}
}

// SteerBackfill pauses, resumes, cancels or retries a backfill. changed is false when it was so already. The codes are
// backfill_unknown, backfill_ended and backfill_cancelled.
func (l *Ledger) SteerBackfill(ctx context.Context, id elt.BackfillID, act elt.BackfillAct, actor, reason string) (changed bool, err error) {
	err = l.change(ctx, fmt.Sprintf("%s %s", act, id), func(ctx context.Context, c *change) error {
		b, err := readBackfill(ctx, c, id)
		if err != nil {
			return err
		}
		steer := map[elt.BackfillAct]func(context.Context, elt.Backfill, string, string) (bool, error){
			elt.PauseBackfill: c.pauseBackfill, elt.ResumeBackfill: c.resumeBackfill, elt.CancelBackfill: c.cancelBackfill, elt.RetryBackfill: c.retryBackfill,
		}[act]
		if steer == nil {
			return fmt.Errorf("%q is nothing that can be done with a backfill", act)
		}
		if changed, err = steer(ctx, b, actor, reason); err != nil || !changed {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "backfill." + string(act), Target: string(id), Reason: reason})
	})
	return changed && err == nil, err
}

func backfillEnded(b elt.Backfill, act elt.BackfillAct) error {
	return &elt.Error{
		Code: "backfill_ended", Class: elt.Conflict,
		What: fmt.Sprintf("%s has ended (%s): cannot %s it", b.ID, b.State, act), Do: "nothing, or plan a new one",
	}
}

func (c *change) pauseBackfill(ctx context.Context, b elt.Backfill, actor, reason string) (bool, error) {
	if b.State == elt.BackfillPaused {
		return false, nil
	}
	if b.State.Terminal() {
		return false, backfillEnded(b, elt.PauseBackfill)
	}
	return true, c.moveBackfill(ctx, b, elt.BackfillPaused, "paused", actor, reason)
}

func (c *change) resumeBackfill(ctx context.Context, b elt.Backfill, actor, _ string) (bool, error) {
	switch b.State {
	case elt.BackfillRunning:
		return false, nil
	case elt.BackfillPaused:
		return true, c.moveBackfill(ctx, b, elt.BackfillRunning, "resumed", actor, "")
	}
	return false, backfillEnded(b, elt.ResumeBackfill)
}

// moveBackfill brings a backfill into a state, and says who did so and why.
func (c *change) moveBackfill(ctx context.Context, b elt.Backfill, state elt.BackfillState, what, actor, reason string) error {
	says := ""
	if state != elt.BackfillRunning {
		says = fmt.Sprintf("%s by %s", what, actor)
		if reason != "" {
			says += ": " + reason
		}
	}
	begun, ended := any(nil), any(nil)
	if state == elt.BackfillRunning {
		begun = instant(c.now)
	}
	if state.Terminal() {
		ended = instant(c.now)
	}
	const text = `UPDATE backfills SET state = $2, says = $3, begun_at = COALESCE($4, begun_at), ended_at = $5 WHERE id = $1`
	if _, err := c.exec(ctx, text, string(b.ID), string(state), says, begun, ended); err != nil {
		return err
	}
	return c.recordBackfill(b.ID, what, actor)
}

// cancelBackfill ends the backfill for ever: what has not begun never does, and its runs are cancelled.
func (c *change) cancelBackfill(ctx context.Context, b elt.Backfill, actor, reason string) (bool, error) {
	switch b.State {
	case elt.BackfillCancelled:
		return false, nil
	case elt.BackfillSucceeded:
		return false, backfillEnded(b, elt.CancelBackfill)
	}
	if err := c.moveBackfill(ctx, b, elt.BackfillCancelled, "cancelled", actor, reason); err != nil {
		return false, err
	}
	if _, err := c.exec(ctx, `UPDATE backfill_days SET state = 'cancelled' WHERE backfill = $1 AND state = 'pending'`, string(b.ID)); err != nil {
		return false, err
	}
	const going = `SELECT ` + runColumns + ` FROM runs WHERE backfill = $1 AND state = 'running'`
	runs, err := collect(ctx, c, scanRun, going, string(b.ID))
	if err != nil {
		return false, err
	}
	for _, run := range runs {
		if err := c.cancelRun(ctx, run, fmt.Sprintf("%s was cancelled by %s", b.ID, actor)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// retryBackfill has every day that failed tried again, from the failed steps of its run. A backfill that is paused goes on:
// three dates that failed may have paused it.
func (c *change) retryBackfill(ctx context.Context, b elt.Backfill, actor, _ string) (changed bool, err error) {
	if b.State == elt.BackfillCancelled {
		return false, backfillCancelled(b)
	}
	const failed = `SELECT DISTINCT run FROM backfill_days WHERE backfill = $1 AND state IN ('failed', 'cancelled') ORDER BY run`
	ids, err := collect(ctx, c, func(row scanner) (id elt.RunID, err error) { return id, row.Scan(&id) }, failed, string(b.ID))
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		run, err := readRun(ctx, c, "runs", id)
		if elt.CodeOf(err) == "run_unknown" { // it is so old that it was forgotten: it begins anew
			const anew = `UPDATE backfill_days SET state = 'pending', run = '', says = '' WHERE backfill = $1 AND run = $2 AND state IN ('failed', 'cancelled')`
			if _, err := c.exec(ctx, anew, string(b.ID), string(id)); err != nil {
				return false, err
			}
			if err := c.moveBackfill(ctx, b, elt.BackfillRunning, "retried", "", ""); err != nil {
				return false, err
			}
			changed = true
			continue
		}
		if err != nil {
			return false, err
		}
		if !run.State.Terminal() {
			continue
		}
		n, err := c.retryRun(ctx, run)
		if err != nil {
			return false, err
		}
		changed = changed || n > 0
	}
	if changed && b.State == elt.BackfillPaused {
		return true, c.moveBackfill(ctx, b, elt.BackfillRunning, "resumed", actor, "")
	}
	return changed, nil
}

// BackfillFailures returns how many runs of a backfill in a row have failed, the last that ended among them, since it
// was started, resumed or retried.
func (l *Ledger) BackfillFailures(ctx context.Context, b elt.Backfill) (inARow int, err error) {
	const text = `SELECT r.state FROM runs r JOIN backfills b ON b.id = r.backfill
		WHERE r.backfill = $1 AND r.finished_at > b.begun_at ORDER BY r.finished_at DESC LIMIT 20`
	scan := func(row scanner) (s elt.RunState, err error) { return s, row.Scan(&s) }
	err = l.read(ctx, fmt.Sprintf("read how %s goes", b.ID), func(ctx context.Context, q queryer) error {
		states, err := collect(ctx, q, scan, text, string(b.ID))
		inARow = 0
		for _, s := range states {
			if s != elt.RunFailed {
				break
			}
			inARow++
		}
		return err
	})
	return inARow, err
}

// ReopenSteps has steps of a run that goes on done again: what the first of them left is too old by now, and the others were
// made from it, or are being made. Who is at work at one loses its lease, which counts as an interruption. Nothing changes, and
// reopened is false, when the first were begun again or have been reopened meanwhile, or when the run has published.
func (l *Ledger) ReopenSteps(ctx context.Context, first []elt.Step, others []elt.StepID, why string) (reopened bool, err error) {
	err = l.change(ctx, fmt.Sprintf("reopen %d steps", len(first)+len(others)), func(ctx context.Context, c *change) error {
		reopened = false
		var steps []heldStep
		for _, seen := range first {
			s, err := readStep(ctx, c, "steps", seen.ID)
			if err != nil || s.State != elt.StepSucceeded || s.Attempt != seen.Attempt {
				return err
			}
			steps = append(steps, s)
		}
		for _, id := range others {
			s, err := readStep(ctx, c, "steps", id)
			if err != nil || s.Kind == elt.PublishStep && s.State.Terminal() {
				return err
			}
			if s.State != elt.StepPending && s.State != elt.StepFailed {
				steps = append(steps, s)
			}
		}
		for _, s := range steps {
			if s.State == elt.StepRunning {
				failure := &elt.Failure{Code: elt.Interrupted, Class: elt.Transient, Message: why, Do: "nothing: the step is taken up again"}
				if err := c.endAttempt(ctx, s, "lost", failure, elt.Usage{}); err != nil {
					return err
				}
			}
			if err := c.setStep(ctx, s, elt.StepPending, time.Time{}, nil); err != nil {
				return err
			}
		}
		reopened = len(steps) > 0
		return nil
	})
	return reopened && err == nil, err
}
