package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const runColumns = `id, schedule, date, kind, sequence, reason, state, created_at, finished_at, target, options, backfill`

func scanRun(row scanner) (r elt.Run, err error) {
	err = row.Scan(&r.ID, &r.Schedule, intoDate{&r.Date}, &r.Kind, &r.Sequence, &r.Reason, &r.State, intoInstant{&r.CreatedAt}, intoInstant{&r.FinishedAt}, &r.Target, intoDocument{&r.Options}, &r.Backfill)
	return r, err
}

// CreateRun writes a run with its steps and gives it the days that it brings, all or nothing. Whoever
// asks for a run of the same schedule, date, kind and sequence first makes it; everyone else gets that
// one, and created is false.
func (l *Ledger) CreateRun(ctx context.Context, r elt.Run, steps []elt.Step, days []elt.Day) (run elt.Run, created bool, err error) {
	op := fmt.Sprintf("create a %s run of %s for %s", r.Kind, r.Schedule, r.Date)
	err = l.change(ctx, op, func(ctx context.Context, c *change) error {
		const same = `SELECT ` + runColumns + ` FROM runs WHERE schedule = $1 AND date = $2 AND kind = $3 AND sequence = $4`
		run, err = scanRun(c.QueryRowContext(ctx, same, string(r.Schedule), r.Date.String(), string(r.Kind), r.Sequence))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		run, created = r, true
		return c.createRun(ctx, &run, steps, days)
	})
	if err != nil {
		return elt.Run{}, false, err
	}
	return run, created, nil
}

// createRun writes a run that is not there yet, and when it was.
func (c *change) createRun(ctx context.Context, run *elt.Run, steps []elt.Step, days []elt.Day) error {
	run.State, run.CreatedAt = elt.RunRunning, c.now
	seq, err := c.record(runEvent("created", *run), map[string]int{"steps": len(steps), "days": len(days)})
	if err != nil {
		return err
	}
	options, err := document{run.Options}.text()
	if err != nil {
		return err
	}
	row := []any{string(run.ID), string(run.Schedule), run.Date.String(), string(run.Kind), run.Sequence, run.Reason, string(run.State), instant(run.CreatedAt), seq, string(run.Target), options, string(run.Backfill)}
	if err := c.insert(ctx, "runs (id, schedule, date, kind, sequence, reason, state, created_at, created_seq, target, options, backfill, since)", [][]any{append(row, instant(c.now))}); err != nil {
		return err
	}
	if err := c.addSteps(ctx, *run, steps); err != nil {
		return err
	}
	return c.bringDays(ctx, run.ID, days)
}

func (c *change) addSteps(ctx context.Context, run elt.Run, steps []elt.Step) error {
	var rows [][]any
	for i, s := range steps {
		needs, err := document{s.Needs}.text()
		if err != nil {
			return err
		}
		rows = append(rows, []any{string(s.ID), string(run.ID), i, string(s.Kind), string(s.Dataset), run.Date.String(), needs, string(cmp.Or(s.State, elt.StepPending)), instant(c.now)})
	}
	return c.insert(ctx, "steps (id, run, position, kind, dataset, date, needs, state, since)", rows)
}

func runEvent(what string, r elt.Run) elt.Event {
	return elt.Event{Kind: "run." + what, Run: r.ID, Date: r.Date}
}

// Run returns one run; code run_unknown.
func (l *Ledger) Run(ctx context.Context, id elt.RunID) (run elt.Run, err error) {
	err = l.read(ctx, fmt.Sprintf("read run %s", id), func(ctx context.Context, q queryer) error {
		run, err = readRun(ctx, q, l.table("runs"), id)
		return err
	})
	return run, err
}

func readRun(ctx context.Context, q queryer, table string, id elt.RunID) (elt.Run, error) {
	run, err := scanRun(q.QueryRowContext(ctx, `SELECT `+runColumns+` FROM `+table+` WHERE id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return run, unknown("run", id)
	}
	return run, err
}

// Runs returns the runs that the filter selects, the newest first.
func (l *Ledger) Runs(ctx context.Context, f elt.RunFilter) (runs []elt.Run, err error) {
	text, args := `SELECT `+runColumns+` FROM `+l.table("runs")+` WHERE 1 = 1`, []any(nil)
	where := func(condition string, value string) {
		if value != "" {
			args = append(args, value)
			text += fmt.Sprintf(` AND `+condition, len(args))
		}
	}
	where(`schedule = $%d`, string(f.Schedule))
	where(`date >= $%d`, f.From.String())
	where(`date <= $%d`, f.To.String())
	where(`state = $%d`, string(f.State))
	where(`created_seq < (SELECT created_seq FROM runs WHERE id = $%d)`, string(f.Before))
	text += fmt.Sprintf(` ORDER BY created_seq DESC LIMIT %d`, limited(f.Limit))
	err = l.read(ctx, "list runs", func(ctx context.Context, q queryer) error {
		runs, err = collect(ctx, q, scanRun, text, args...)
		return err
	})
	return runs, err
}

// FinishRun writes how a run ended. Every step must have ended before: code run_unfinished. Saying the
// same again changes nothing; a run that ended otherwise is left as it is, with code run_not_running.
func (l *Ledger) FinishRun(ctx context.Context, id elt.RunID, state elt.RunState) error {
	return l.change(ctx, fmt.Sprintf("finish run %s", id), func(ctx context.Context, c *change) error {
		run, err := readRun(ctx, c, "runs", id)
		switch {
		case err != nil:
			return err
		case run.State == state:
			return nil
		case run.State.Terminal() || !state.Terminal():
			return notRunning(run, "finish it as "+string(state))
		}
		var open int
		const text = `SELECT COUNT(*) FROM steps WHERE run = $1 AND state IN ('pending', 'running', 'retrying')`
		if err := c.QueryRowContext(ctx, text, string(id)).Scan(&open); err != nil {
			return err
		}
		if open > 0 {
			return &elt.Error{
				Code: "run_unfinished", Class: elt.Internal,
				What: fmt.Sprintf("cannot finish run %s as %s: %d of its steps have not ended", id, state, open),
				Do:   "nothing: the run goes on",
			}
		}
		return c.endRun(ctx, run, state)
	})
}

func (c *change) endRun(ctx context.Context, run elt.Run, state elt.RunState) error {
	if err := c.keep(ctx, "runs", `id = $1`, string(run.ID)); err != nil {
		return err
	}
	const text = `UPDATE runs SET state = $2, finished_at = $3 WHERE id = $1`
	if _, err := c.exec(ctx, text, string(run.ID), string(state), instant(c.now)); err != nil {
		return err
	}
	if _, err := c.record(runEvent(string(state), run), nil); err != nil || run.Kind != elt.BackfillRun {
		return err
	}
	return c.settleBackfill(ctx, run, state)
}

func notRunning(run elt.Run, op string) error {
	return &elt.Error{
		Code: "run_not_running", Class: elt.Conflict,
		What: fmt.Sprintf("run %s is %s: cannot %s", run.ID, run.State, op),
		Do:   "nothing, or start another run of that date",
	}
}
