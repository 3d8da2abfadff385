package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// held is the condition of every write under a lease.
const (
	heldBy = `id = $1 AND attempt = $2 AND fence = $3 AND state = 'running'`
	held   = ` WHERE ` + heldBy
)

// Claim begins an attempt at a step that is pending, whose retry is due, or whose lease has run out, and
// returns the lease on it. The error's code is step_not_claimable when somebody was faster or the step
// is in another state.
func (l *Ledger) Claim(ctx context.Context, id elt.StepID, w elt.WorkerID, ttl time.Duration) (lease elt.Lease, err error) {
	err = l.change(ctx, fmt.Sprintf("claim step %s", id), func(ctx context.Context, c *change) error {
		s, err := readStep(ctx, c, "steps", id)
		if err != nil {
			return err
		}
		if why := notClaimable(s, c.now); why != "" {
			return stepNotClaimable(id, why)
		}
		for _, objection := range []func() (string, error){
			func() (string, error) { return backfillRests(ctx, c, s.Run, c.alone) },
			func() (string, error) { return c.needIsOpen(ctx, s.Step) },
			func() (string, error) { return c.sourceIsRead(ctx, s.Step, w, ttl) },
			func() (string, error) { return c.runIsBuilt(ctx, s.Step, w, ttl, l.limits.Load()) },
			func() (string, error) { return c.overLimit(ctx, s.Step, l.limits.Load()) },
		} {
			switch why, err := objection(); {
			case err != nil:
				return err
			case why != "":
				return stepNotClaimable(id, why)
			}
		}
		fence, err := c.nextFence(ctx)
		if err != nil {
			return err
		}
		lease = elt.Lease{Step: id, Attempt: s.Attempt + 1, Fence: fence, Worker: w, Until: c.now.Add(ttl).Truncate(time.Microsecond)}
		const text = `UPDATE steps SET state = 'running', attempt = $2, fence = $3, worker = $4, lease_until = $5, next_attempt_at = NULL,
				started_at = COALESCE(started_at, $6), rows = 0, rows_expected = 0, bytes = 0, paused = '', note = ''
			WHERE id = $1 AND fence = $7 AND (state <> 'running' OR lease_until <= $6)`
		if err := c.keep(ctx, "steps", `id = $1`, string(id)); err != nil {
			return err
		}
		n, err := c.exec(ctx, text, string(id), lease.Attempt, fence, string(w), instant(lease.Until), instant(c.now), s.fence)
		if err != nil {
			return err
		}
		if n == 0 { // a heartbeat came between
			return stepNotClaimable(id, "its worker has just answered")
		}
		if s.State == elt.StepRunning {
			if err := c.endAttempt(ctx, s, "lost", leaseExpired(s), elt.Usage{}); err != nil {
				return err
			}
			l.log.WarnContext(ctx, "lease ran out: step taken over", slog.String("step", string(id)), slog.String("from", string(s.worker)), slog.String("by", string(w)))
		}
		if s.Attempt > 0 && s.Kind == elt.ExtractStep {
			if err := dropLoans(ctx, c.Tx, id); err != nil { // what an attempt before this one lent
				return err
			}
		}
		row := []any{string(id), lease.Attempt, string(w), fence, instant(c.now)}
		if err := c.insert(ctx, "attempts (step, number, worker, fence, started_at)", [][]any{row}); err != nil {
			return err
		}
		_, err = c.record(stepEvent(s.Step, elt.StepRunning), map[string]int{"attempt": lease.Attempt})
		return err
	})
	if err != nil {
		return elt.Lease{}, err
	}
	return lease, nil
}

// notClaimable says why nobody may begin the step now, "" when somebody may.
func notClaimable(s heldStep, now time.Time) string {
	switch {
	case s.State == elt.StepRunning && s.LeaseUntil.After(now):
		return fmt.Sprintf("worker %s holds it until %s", s.worker, s.LeaseUntil.Format(time.RFC3339))
	case s.State == elt.StepRetrying && s.NextAttemptAt.After(now):
		return "its next attempt is due at " + s.NextAttemptAt.Format(time.RFC3339)
	case s.State.Terminal():
		return "it is " + string(s.State)
	}
	return ""
}

// needIsOpen says which step must end before this one of a backfill, "" when none must. What it needs may have been opened again
// since the step was handed out, because a night has overtaken it.
func (c *change) needIsOpen(ctx context.Context, s elt.Step) (why string, err error) {
	const text = `SELECT other.id FROM steps AS other JOIN runs ON runs.id = other.run
		WHERE other.run = $1 AND runs.kind = $2 AND other.state IN ('pending', 'running', 'retrying')`
	scan := func(row scanner) (id elt.StepID, err error) { return id, row.Scan(&id) }
	open, err := collect(ctx, c, scan, text, string(s.Run), string(elt.BackfillRun))
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(s.Needs, func(id elt.StepID) bool { return slices.Contains(open, id) }); i >= 0 {
		return fmt.Sprintf("it needs step %s, which has not ended", s.Needs[i]), nil
	}
	return "", nil
}

// sourceIsRead says who else extracts from the step's source in this run, if that keeps the worker from doing so, too. One
// worker holds the snapshot that a run's tables of a source share, and where it cannot be joined nobody else can read in it:
// what it has begun is its own until it says farewell, or is silent for the length of a lease. Who has a seat at a snapshot
// that is shared, or finds one free, reads beside the others. Runs that share no snapshot share nothing. On SQLite one process works at a time,
// which says it is the only one by holding a lock, so that there what a dead process began is free at once.
func (c *change) sourceIsRead(ctx context.Context, s elt.Step, w elt.WorkerID, ttl time.Duration) (why string, err error) {
	if s.Kind != elt.ExtractStep || c.alone {
		return "", nil
	}
	source, _ := s.Dataset.Split()
	holder, err := c.holderOf(ctx, s.Run, []elt.StepKind{elt.ExtractStep}, source+".", w, ttl)
	if err != nil || holder == "" {
		return "", err
	}
	why, err = c.cannotSit(ctx, s.Run, elt.SourceName(source), w)
	if why != "" {
		why = fmt.Sprintf("worker %s reads source %s in this run, and %s", holder, source, why)
	}
	return why, err
}

// runIsBuilt says who else builds the run's models, where one worker is to build them all.
func (c *change) runIsBuilt(ctx context.Context, s elt.Step, w elt.WorkerID, ttl time.Duration, limits *elt.Limits) (why string, err error) {
	kinds := []elt.StepKind{elt.TransformStep, elt.TestStep}
	if c.alone || limits == nil || !limits.OneBuilder || !slices.Contains(kinds, s.Kind) {
		return "", nil
	}
	holder, err := c.holderOf(ctx, s.Run, kinds, "", w, ttl)
	if err != nil || holder == "" {
		return "", err
	}
	return fmt.Sprintf("worker %s builds the models of this run", holder), nil
}

// holderOf returns another worker who works at steps of those kinds in a run, of datasets whose names begin so: what it has
// begun is its own until it says farewell, or is silent for the length of a lease.
func (c *change) holderOf(ctx context.Context, run elt.RunID, kinds []elt.StepKind, prefix string, w elt.WorkerID, ttl time.Duration) (holder elt.WorkerID, err error) {
	const text = `SELECT other.worker FROM steps AS other
		WHERE other.run = $1 AND other.kind IN ($6, $7) AND substr(other.dataset, 1, length($2)) = $2
			AND other.worker NOT IN ('', $3) AND other.state IN ('running', 'retrying', 'succeeded')
			AND (other.finished_at > $4 AND NOT EXISTS (SELECT 1 FROM workers WHERE id = other.worker AND ` + hasLeft + `) OR EXISTS (
				SELECT 1 FROM steps AS its WHERE its.worker = other.worker AND its.state = 'running' AND its.lease_until > $5))
		LIMIT 1`
	err = c.QueryRowContext(ctx, text, string(run), prefix, string(w), instant(c.now.Add(-ttl)), instant(c.now), string(kinds[0]), string(kinds[len(kinds)-1])).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return holder, err
}

func stepNotClaimable(id elt.StepID, why string) error {
	return &elt.Error{
		Code: "step_not_claimable", Class: elt.Conflict,
		What: fmt.Sprintf("cannot claim step %s: %s", id, why),
		Do:   "nothing: whoever holds it works on it",
	}
}

// leaseExpired is how an attempt ends whose worker fell silent: an interruption, which does not count as
// the step's own failure.
func leaseExpired(s heldStep) *elt.Failure {
	return &elt.Failure{
		Code: elt.Interrupted, Class: elt.Transient,
		Message: fmt.Sprintf("worker %s stopped answering: its lease ended at %s", s.worker, s.LeaseUntil.Format(time.RFC3339)),
		Do:      "nothing: the step is taken up again; look at that worker if it happens often",
	}
}

// Heartbeat prolongs a lease to ttl from now and writes the attempt's progress. It raises the revision
// without recording an event. As long as nobody else claimed the step, a lease that ran out revives. The lease says
// whether its holder should let go of the step all the same.
func (l *Ledger) Heartbeat(ctx context.Context, lease elt.Lease, ttl time.Duration, p elt.Progress) (elt.Lease, error) {
	op := fmt.Sprintf("renew the lease on step %s", lease.Step)
	err := l.update(ctx, op, func(ctx context.Context, t *sql.Tx) error {
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		lease.Until = now.Add(ttl).Truncate(time.Microsecond)
		if err := l.keepBeat(ctx, t, now, lease, p); err != nil {
			return err
		}
		const text = `UPDATE steps SET lease_until = $4, rows = $5, rows_expected = $6, bytes = $7, paused = $8, note = $9` + held
		r, err := t.ExecContext(ctx, text, string(lease.Step), lease.Attempt, lease.Fence, instant(lease.Until), p.Rows, p.RowsExpected, p.Bytes, p.Paused, p.Note)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return orLost(err, lease, op)
		}
		if lease.Yields, err = l.yields(ctx, t, lease.Step); err != nil {
			return err
		}
		return touch(ctx, t)
	})
	if err != nil {
		return elt.Lease{}, err
	}
	return lease, nil
}

func orLost(err error, lease elt.Lease, op string) error {
	if err != nil {
		return err
	}
	return leaseLost(lease, op)
}

// Finish ends an attempt. When the ledger already has this very ending, as after an answer that was
// lost on its way, it changes nothing and there is no error.
func (l *Ledger) Finish(ctx context.Context, lease elt.Lease, o elt.Outcome) error {
	op := fmt.Sprintf("finish step %s as %s", lease.Step, o.State)
	if err := checkOutcome(o, op); err != nil {
		return err
	}
	return l.change(ctx, op, func(ctx context.Context, c *change) error {
		result, err := document{o.Result}.text()
		if err != nil {
			return err
		}
		failure, err := document{o.Error}.text()
		if err != nil {
			return err
		}
		ended := c.now
		if !o.State.Terminal() {
			ended = time.Time{}
		}
		if err := c.keep(ctx, "steps", heldBy, string(lease.Step), lease.Attempt, lease.Fence); err != nil {
			return err
		}
		const text = `UPDATE steps SET state = $4, lease_until = NULL, next_attempt_at = $5, finished_at = $6, result = $7, error = $8, paused = '',
				jobs = jobs + $9, bytes_billed = bytes_billed + $10, slot_ms = slot_ms + $11` + held
		n, err := c.exec(ctx, text, string(lease.Step), lease.Attempt, lease.Fence, string(o.State), instant(o.NextAttemptAt), instant(ended), result, failure,
			o.Usage.Jobs, o.Usage.BytesBilled, o.Usage.SlotTime.Milliseconds())
		if err != nil {
			return err
		}
		s, err := readStep(ctx, c, "steps", lease.Step)
		if err != nil {
			return err
		}
		if n == 0 {
			if s.Attempt == lease.Attempt && s.fence == lease.Fence && s.State == o.State {
				return nil
			}
			return leaseLost(lease, op)
		}
		if err := c.endAttempt(ctx, s, string(o.State), o.Error, o.Usage); err != nil {
			return err
		}
		if _, err := c.record(stepEvent(s.Step, o.State), outcomeDetail(lease, o)); err != nil || s.Kind != elt.TransformStep || len(o.Result.Changes) == 0 {
			return err // of an extraction, its manifest tells what changed
		}
		_, err = c.record(elt.Event{Kind: schemaChanged, Dataset: s.Dataset, Date: s.Date, Run: s.Run, Step: s.ID}, changesDetail{o.Result.Changes})
		return err
	})
}

func checkOutcome(o elt.Outcome, op string) error {
	ending := o.State == elt.StepSucceeded || o.State == elt.StepFailed || o.State == elt.StepCancelled
	if ending && o.NextAttemptAt.IsZero() || o.State == elt.StepRetrying && !o.NextAttemptAt.IsZero() {
		return nil
	}
	return &elt.Error{
		Code: "outcome_invalid", Class: elt.Internal,
		What: fmt.Sprintf("cannot %s: an attempt ends as succeeded, failed or cancelled, or as retrying with a time", op),
		Do:   "report it with this message",
	}
}

func outcomeDetail(lease elt.Lease, o elt.Outcome) map[string]any {
	detail := map[string]any{"attempt": lease.Attempt}
	if o.Error != nil {
		detail["code"] = o.Error.Code
	}
	if o.State == elt.StepRetrying {
		detail["next_attempt_at"] = instant(o.NextAttemptAt)
	}
	return detail
}

// endAttempt closes the latest attempt's row.
func (c *change) endAttempt(ctx context.Context, s heldStep, outcome string, failure *elt.Failure, used elt.Usage) error {
	text, err := document{failure}.text()
	if err != nil {
		return err
	}
	const update = `UPDATE attempts SET finished_at = $3, outcome = $4, error = $5, jobs = jobs + $6, bytes_billed = bytes_billed + $7, slot_ms = slot_ms + $8 WHERE step = $1 AND number = $2`
	_, err = c.exec(ctx, update, string(s.ID), s.Attempt, instant(c.now), outcome, text, used.Jobs, used.BytesBilled, used.SlotTime.Milliseconds())
	return err
}

// RecordUsage notes what the warehouse has done for an attempt whose lease was lost before it could finish: it was
// billed all the same. It changes nothing else, and nothing when the attempt has its usage already.
func (l *Ledger) RecordUsage(ctx context.Context, lease elt.Lease, used elt.Usage) error {
	op := fmt.Sprintf("record the usage of step %s", lease.Step)
	return l.change(ctx, op, func(ctx context.Context, c *change) error {
		const attempt = `UPDATE attempts SET jobs = $4, bytes_billed = $5, slot_ms = $6 WHERE step = $1 AND number = $2 AND fence = $3 AND jobs = 0`
		if n, err := c.exec(ctx, attempt, string(lease.Step), lease.Attempt, lease.Fence, used.Jobs, used.BytesBilled, used.SlotTime.Milliseconds()); err != nil || n == 0 {
			return err
		}
		if err := c.keep(ctx, "steps", `id = $1`, string(lease.Step)); err != nil {
			return err
		}
		const step = `UPDATE steps SET jobs = jobs + $2, bytes_billed = bytes_billed + $3, slot_ms = slot_ms + $4 WHERE id = $1`
		if _, err := c.exec(ctx, step, string(lease.Step), used.Jobs, used.BytesBilled, used.SlotTime.Milliseconds()); err != nil {
			return err
		}
		s, err := readStep(ctx, c, "steps", lease.Step)
		if err != nil {
			return err
		}
		e := stepEvent(s.Step, s.State)
		e.Kind = "step.billed"
		_, err = c.record(e, nil)
		return err
	})
}

// ReleaseLeases ends every live lease now, so that its step can be claimed at once, and returns how many
// there were. Only a process that holds the worker lock may call it: it is for what a killed process left.
// Should its holder live after all, its fence is no longer the step's.
func (l *Ledger) ReleaseLeases(ctx context.Context) (released int, err error) {
	err = l.change(ctx, "release the leases of a process that ended", func(ctx context.Context, c *change) error {
		const live = `SELECT ` + stepColumns + ` FROM steps WHERE state = 'running' AND lease_until > $1 ORDER BY run, position`
		steps, err := collect(ctx, c, scanHeldStep, live, instant(c.now))
		if err != nil {
			return err
		}
		for _, s := range steps {
			fence, err := c.nextFence(ctx)
			if err != nil {
				return err
			}
			if err := c.keep(ctx, "steps", `id = $1`, string(s.ID)); err != nil {
				return err
			}
			const text = `UPDATE steps SET lease_until = $2, fence = $3 WHERE id = $1`
			if _, err := c.exec(ctx, text, string(s.ID), instant(c.now), fence); err != nil {
				return err
			}
			e := stepEvent(s.Step, s.State)
			e.Kind = "step.released"
			if _, err := c.record(e, map[string]int{"attempt": s.Attempt}); err != nil {
				return err
			}
		}
		released = len(steps)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return released, nil
}
