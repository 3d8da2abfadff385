package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const stepColumns = `id, run, kind, dataset, date, needs, state, attempt, next_attempt_at, lease_until, started_at, finished_at,
	rows, rows_expected, bytes, paused, note, result, error, jobs, bytes_billed, slot_ms, fence, worker, position`

// heldStep is a step with who holds it, and its place.
type heldStep struct {
	elt.Step
	fence    int64
	worker   elt.WorkerID
	position int // within its run
}

func scanHeldStep(row scanner) (s heldStep, err error) {
	err = row.Scan(&s.ID, &s.Run, &s.Kind, &s.Dataset, intoDate{&s.Date}, intoDocument{&s.Needs}, &s.State, &s.Attempt,
		intoInstant{&s.NextAttemptAt}, intoInstant{&s.LeaseUntil}, intoInstant{&s.StartedAt}, intoInstant{&s.FinishedAt},
		&s.Progress.Rows, &s.Progress.RowsExpected, &s.Progress.Bytes, &s.Progress.Paused, &s.Progress.Note, intoDocument{&s.Result}, intoDocument{&s.Error},
		&s.Usage.Jobs, &s.Usage.BytesBilled, intoMillis{&s.Usage.SlotTime}, &s.fence, &s.worker, &s.position)
	s.Worker = s.worker
	return s, err
}

func scanStep(row scanner) (elt.Step, error) {
	s, err := scanHeldStep(row)
	return s.Step, err
}

// Steps returns a run's steps in their order.
func (l *Ledger) Steps(ctx context.Context, run elt.RunID) (steps []elt.Step, err error) {
	err = l.read(ctx, fmt.Sprintf("read the steps of run %s", run), func(ctx context.Context, q queryer) error {
		steps, err = collect(ctx, q, scanStep, `SELECT `+stepColumns+` FROM `+l.table("steps")+` WHERE run = $1 ORDER BY position`, string(run))
		return err
	})
	return steps, err
}

// Step returns one step; code step_unknown.
func (l *Ledger) Step(ctx context.Context, id elt.StepID) (step elt.Step, err error) {
	err = l.read(ctx, fmt.Sprintf("read step %s", id), func(ctx context.Context, q queryer) error {
		held, err := readStep(ctx, q, l.table("steps"), id)
		step = held.Step
		return err
	})
	return step, err
}

func readStep(ctx context.Context, q queryer, table string, id elt.StepID) (heldStep, error) {
	s, err := scanHeldStep(q.QueryRowContext(ctx, `SELECT `+stepColumns+` FROM `+table+` WHERE id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return s, unknown("step", id)
	}
	return s, err
}

// Attempts returns every try at a step, the first one first.
func (l *Ledger) Attempts(ctx context.Context, step elt.StepID) (attempts []elt.Attempt, err error) {
	text := `SELECT ` + l.attemptColumns() + ` FROM attempts WHERE step = $1 AND ` + l.until("started_at") + ` ORDER BY number`
	scan := func(row scanner) (a elt.Attempt, err error) {
		err = row.Scan(&a.Step, &a.Number, &a.Worker, &a.Fence, intoInstant{&a.StartedAt}, intoInstant{&a.FinishedAt}, intoDocument{&a.Error},
			&a.Usage.Jobs, &a.Usage.BytesBilled, intoMillis{&a.Usage.SlotTime}, &a.Outcome)
		return a, err
	}
	err = l.read(ctx, fmt.Sprintf("read the attempts of step %s", step), func(ctx context.Context, q queryer) error {
		attempts, err = collect(ctx, q, scan, text, string(step))
		return err
	})
	return attempts, err
}

// stepEvent is the event of a step that came into a state.
func stepEvent(s elt.Step, state elt.StepState) elt.Event {
	return elt.Event{Kind: "step." + string(state), Dataset: s.Dataset, Date: s.Date, Run: s.Run, Step: s.ID}
}

// Built returns those of the datasets whose rows the run has staged: their verify or transform step has succeeded.
func (l *Ledger) Built(ctx context.Context, run elt.RunID, datasets []elt.DatasetName) (built []elt.DatasetName, err error) {
	rows := make([][]any, len(datasets))
	for i, d := range datasets {
		rows[i] = []any{string(run), string(d)}
	}
	scan := func(row scanner) (d elt.DatasetName, err error) { return d, row.Scan(&d) }
	err = l.read(ctx, fmt.Sprintf("read what run %s has built", run), func(ctx context.Context, q queryer) error {
		built = nil
		for text, args := range statements(`SELECT dataset FROM steps WHERE kind IN ('verify', 'transform') AND state = 'succeeded' AND (run, dataset) IN (VALUES `, `)`, rows) {
			some, err := collect(ctx, q, scan, text, args...)
			if err != nil {
				return err
			}
			built = append(built, some...)
		}
		return nil
	})
	return built, err
}

// Unfinished returns those of a run's steps that have not succeeded, with their states alone: what a night asks for
// after each of its steps.
func (l *Ledger) Unfinished(ctx context.Context, run elt.RunID) (steps []elt.Step, err error) {
	scan := func(row scanner) (s elt.Step, err error) {
		return s, row.Scan(&s.ID, &s.State, &s.Attempt, intoInstant{&s.NextAttemptAt}, intoInstant{&s.LeaseUntil})
	}
	err = l.read(ctx, fmt.Sprintf("read the unfinished steps of run %s", run), func(ctx context.Context, q queryer) error {
		steps, err = collect(ctx, q, scan, `SELECT id, state, attempt, next_attempt_at, lease_until FROM steps WHERE run = $1 AND state <> 'succeeded'`, string(run))
		return err
	})
	return steps, err
}
