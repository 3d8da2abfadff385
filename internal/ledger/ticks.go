package ledger

import (
	"context"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// RecordTick keeps the decision about one date of a schedule. There is one for each date, the first:
// recorded is false when somebody had decided already.
func (l *Ledger) RecordTick(ctx context.Context, t elt.Tick) (recorded bool, err error) {
	err = l.change(ctx, fmt.Sprintf("record the tick of %s for %s", t.Schedule, t.Date), func(ctx context.Context, c *change) error {
		const text = `INSERT INTO ticks (schedule, date, due_at, run, skipped) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (schedule, date) DO NOTHING`
		n, err := c.exec(ctx, text, string(t.Schedule), t.Date.String(), instant(t.DueAt), string(t.Run), t.Skipped)
		if err != nil || n == 0 {
			return err
		}
		recorded = true
		e := elt.Event{Kind: "tick.run", Date: t.Date, Run: t.Run}
		if t.Skipped != "" {
			e.Kind = "tick.skipped"
		}
		_, err = c.record(e, map[string]string{"schedule": string(t.Schedule)})
		return err
	})
	return recorded && err == nil, err
}

// Ticks returns a schedule's ticks, the newest date first.
func (l *Ledger) Ticks(ctx context.Context, s elt.ScheduleName, limit int) (ticks []elt.Tick, err error) {
	text := fmt.Sprintf(`SELECT schedule, date, due_at, run, skipped FROM ticks WHERE schedule = $1 ORDER BY date DESC LIMIT %d`, limited(limit))
	scan := func(row scanner) (t elt.Tick, err error) {
		err = row.Scan(&t.Schedule, intoDate{&t.Date}, intoInstant{&t.DueAt}, &t.Run, &t.Skipped)
		return t, err
	}
	err = l.read(ctx, fmt.Sprintf("list the ticks of %s", s), func(ctx context.Context, q queryer) error {
		ticks, err = collect(ctx, q, scan, text, string(s))
		return err
	})
	return ticks, err
}
