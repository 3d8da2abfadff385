package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Limit bounds how many steps may work at the same time from now on, whoever claims them through this ledger.
func (l *Ledger) Limit(limits elt.Limits) { l.limits.Store(&limits) }

// Working returns the steps at which somebody is at work: their run, kind and dataset.
func (l *Ledger) Working(ctx context.Context) (steps []elt.AtWork, err error) {
	err = l.read(ctx, "read which steps are at work", func(ctx context.Context, q queryer) error {
		now, err := l.clock(ctx, q)
		if err != nil {
			return err
		}
		steps, err = working(ctx, q, now)
		return err
	})
	return steps, err
}

func working(ctx context.Context, q queryer, now time.Time) ([]elt.AtWork, error) {
	scan := func(row scanner) (s elt.AtWork, err error) {
		var kind elt.RunKind
		err = row.Scan(&s.ID, &s.Run, &s.Kind, &s.Dataset, &kind)
		s.Backfill = kind == elt.BackfillRun
		return s, err
	}
	const text = `SELECT s.id, s.run, s.kind, s.dataset, r.kind FROM steps s JOIN runs r ON r.id = s.run WHERE s.state = 'running' AND s.lease_until > $1`
	return collect(ctx, q, scan, text, instant(now))
}

// overLimit says which limit keeps the step from beginning now; empty when none does. Claims follow one another, so that
// two that come at the same instant count each other.
func (c *change) overLimit(ctx context.Context, s elt.Step, limits *elt.Limits) (why string, err error) {
	at, err := working(ctx, c, c.now)
	if err != nil {
		return "", err
	}
	if limits == nil {
		limits = &elt.Limits{}
	}
	of, err := readRun(ctx, c, "runs", s.Run)
	return limits.Waits(elt.AtWork{Step: s, Backfill: of.Kind == elt.BackfillRun}, at), err
}

// NoteWaiting writes down why steps wait that nobody has begun, for people to see. It changes those alone that say
// something else.
func (l *Ledger) NoteWaiting(ctx context.Context, steps []elt.StepID, why string) error {
	rows := make([][]any, len(steps))
	for i, id := range steps {
		rows[i] = []any{string(id)}
	}
	return l.change(ctx, "note why steps wait", func(ctx context.Context, c *change) error {
		for text, args := range statements(`id IN (VALUES `, `)`, rows) {
			args = append(args, why)
			text += fmt.Sprintf(` AND state IN ('pending', 'retrying') AND paused <> $%d`, len(args))
			if err := c.keep(ctx, "steps", text, args...); err != nil {
				return err
			}
			n, err := c.exec(ctx, fmt.Sprintf(`UPDATE steps SET paused = $%d WHERE `, len(args))+text, args...)
			if err != nil {
				return err
			}
			c.touched = c.touched || n > 0
		}
		return nil
	})
}
