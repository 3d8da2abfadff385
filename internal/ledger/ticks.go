package ledger

import (
	"context"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const tickColumns = `schedule, date, due_at, run, skipped, hold`

func scanTick(row scanner) (t elt.Tick, err error) {
	err = row.Scan(&t.Schedule, intoDate{&t.Date}, intoInstant{&t.DueAt}, &t.Run, &t.Skipped, intoDocument{&t.Hold})
	return t, err
}

// RecordTick keeps the decision about one date of a schedule, or why it is held. There is one decision for each date, the
// first: recorded is false when somebody had decided already, or when the same is said of a tick that is held.
func (l *Ledger) RecordTick(ctx context.Context, t elt.Tick) (recorded bool, err error) {
	err = l.change(ctx, fmt.Sprintf("record the tick of %s for %s", t.Schedule, t.Date), func(ctx context.Context, c *change) error {
		hold, err := document{t.Hold}.text()
		if err != nil {
			return err
		}
		const other = `schedule = $1 AND date = $2 AND hold IS NOT NULL AND hold IS DISTINCT FROM $3`
		if err := c.keep(ctx, "ticks", other, string(t.Schedule), t.Date.String(), hold); err != nil {
			return err
		}
		const text = `INSERT INTO ticks (` + tickColumns + `, since) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (schedule, date) DO UPDATE
			SET due_at = excluded.due_at, run = excluded.run, skipped = excluded.skipped, hold = excluded.hold
			WHERE ticks.hold IS NOT NULL AND ticks.hold IS DISTINCT FROM excluded.hold`
		n, err := c.exec(ctx, text, string(t.Schedule), t.Date.String(), instant(t.DueAt), string(t.Run), t.Skipped, hold, instant(c.now))
		if err != nil || n == 0 {
			return err
		}
		recorded = true
		e := elt.Event{Kind: "tick.run", Date: t.Date, Run: t.Run}
		switch {
		case t.Hold != nil:
			e.Kind = "tick.held"
		case t.Skipped != "":
			e.Kind = "tick.skipped"
		}
		_, err = c.record(e, map[string]string{"schedule": string(t.Schedule)})
		return err
	})
	return recorded && err == nil, err
}

// Ticks returns a schedule's ticks, the newest date first.
func (l *Ledger) Ticks(ctx context.Context, s elt.ScheduleName, limit int) (ticks []elt.Tick, err error) {
	known := `1 = 1`
	if !l.moment.IsZero() { // of a tick that was decided before history told when, all that is known is when it was due
		known = l.until("due_at")
	}
	text := fmt.Sprintf(`SELECT %s FROM %s WHERE schedule = $1 AND %s ORDER BY date DESC LIMIT %d`, tickColumns, l.table("ticks"), known, limited(limit))
	err = l.read(ctx, fmt.Sprintf("list the ticks of %s", s), func(ctx context.Context, q queryer) error {
		ticks, err = collect(ctx, q, scanTick, text, string(s))
		return err
	})
	return ticks, err
}
