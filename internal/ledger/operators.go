package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Withdraw marks a day as bad, for a reason. changed is false when the day says so already. The code is day_unknown
// when nobody has ever expected the day.
func (l *Ledger) Withdraw(ctx context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (changed bool, err error) {
	return l.judge(ctx, withdrawal{d, date, reason, "day.withdrawn", elt.AuditEntry{Actor: actor, Action: "withdraw", Reason: reason}})
}

// Reinstate takes a withdrawal back, for a reason. changed is false when the day is not withdrawn.
func (l *Ledger) Reinstate(ctx context.Context, d elt.DatasetName, date elt.Date, actor, reason string) (changed bool, err error) {
	return l.judge(ctx, withdrawal{d, date, "", "day.reinstated", elt.AuditEntry{Actor: actor, Action: "withdraw.undo", Reason: reason}})
}

// withdrawal is what a person says of a day.
type withdrawal struct {
	dataset elt.DatasetName
	date    elt.Date
	says    string // what the day will say; empty that it is not withdrawn
	event   string
	act     elt.AuditEntry
}

func (l *Ledger) judge(ctx context.Context, w withdrawal) (changed bool, err error) {
	w.act.Target = dayTarget(w.dataset, w.date)
	err = l.change(ctx, w.act.Action+" "+w.act.Target, func(ctx context.Context, c *change) error {
		changed = false
		const read = `SELECT ` + dayColumns + ` FROM days WHERE dataset = $1 AND date = $2`
		day, err := scanDay(c.QueryRowContext(ctx, read, string(w.dataset), w.date.String()))
		if errors.Is(err, sql.ErrNoRows) {
			return &elt.Error{
				Code: "day_unknown", Class: elt.Config,
				What: fmt.Sprintf("nothing is known of %s on %s", w.dataset, w.date), Do: "see daybreak status, or the page, for the days that are known",
			}
		}
		if err != nil || day.Withdrawn == w.says {
			return err
		}
		changed = true
		if err := c.keepDays(ctx, []elt.Day{day}); err != nil {
			return err
		}
		const text = `UPDATE days SET withdrawn = $3 WHERE dataset = $1 AND date = $2`
		if _, err := c.exec(ctx, text, string(w.dataset), w.date.String(), w.says); err != nil {
			return err
		}
		e := elt.Event{Kind: w.event, Dataset: w.dataset, Date: w.date, Run: day.Run}
		if _, err := c.record(e, map[string]string{"reason": w.act.Reason, "actor": w.act.Actor}); err != nil {
			return err
		}
		return c.audit(ctx, w.act)
	})
	return changed, err
}

func dayTarget(d elt.DatasetName, date elt.Date) string { return fmt.Sprintf("%s %s", d, date) }

// Allow lets the day pass its dataset's guards once. Allowing it again before that was used changes nothing but the
// reason.
func (l *Ledger) Allow(ctx context.Context, a elt.Allowance) error {
	return l.change(ctx, fmt.Sprintf("let %s of %s pass", a.Dataset, a.Date), func(ctx context.Context, c *change) error {
		const again = `UPDATE allowances SET actor = $3, reason = $4, at = $5 WHERE dataset = $1 AND date = $2 AND run = ''`
		n, err := c.exec(ctx, again, string(a.Dataset), a.Date.String(), a.Actor, a.Reason, instant(c.now))
		if err != nil {
			return err
		}
		if n == 0 {
			const text = `INSERT INTO allowances (id, dataset, date, at, actor, reason) SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5 FROM allowances`
			if _, err := c.exec(ctx, text, string(a.Dataset), a.Date.String(), instant(c.now), a.Actor, a.Reason); err != nil {
				return err
			}
		}
		if _, err := c.record(elt.Event{Kind: "day.allowed", Dataset: a.Dataset, Date: a.Date}, map[string]string{"reason": a.Reason, "actor": a.Actor}); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: a.Actor, Action: "allow", Target: dayTarget(a.Dataset, a.Date), Reason: a.Reason})
	})
}

// UseAllowance gives the run the allowance of a day, if there is one that nobody has used; a run that has used one
// gets it again. found is false when there is none.
func (l *Ledger) UseAllowance(ctx context.Context, d elt.DatasetName, date elt.Date, run elt.RunID) (a elt.Allowance, found bool, err error) {
	err = l.change(ctx, fmt.Sprintf("use the allowance of %s of %s", d, date), func(ctx context.Context, c *change) error {
		const read = `SELECT id, actor, reason, run FROM allowances WHERE dataset = $1 AND date = $2 AND run IN ('', $3) ORDER BY run DESC, id LIMIT 1`
		a = elt.Allowance{Dataset: d, Date: date}
		var used string
		err := c.QueryRowContext(ctx, read, string(d), date.String(), string(run)).Scan(&a.ID, &a.Actor, &a.Reason, &used)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		if used != "" {
			return nil
		}
		if _, err := c.exec(ctx, `UPDATE allowances SET run = $2, used_at = $3 WHERE id = $1`, a.ID, string(run), instant(c.now)); err != nil {
			return err
		}
		_, err = c.record(elt.Event{Kind: "day.let_pass", Dataset: d, Date: date, Run: run}, map[string]string{"reason": a.Reason, "actor": a.Actor})
		return err
	})
	return a, found, err
}

// TrailingRows returns the row counts of the last published versions of a dataset, the last first: of other dates than
// the given one, and without what was rolled back or only brought again.
func (l *Ledger) TrailingRows(ctx context.Context, d elt.DatasetName, except elt.Date, n int) (rows []int64, err error) {
	const text = `SELECT rows FROM versions WHERE dataset = $1 AND date <> $2 AND is_newest = 1 AND rolled_back = '' AND restores = ''
		ORDER BY date DESC LIMIT $3`
	scan := func(row scanner) (n int64, err error) { return n, row.Scan(&n) }
	err = l.read(ctx, fmt.Sprintf("read the row counts of %s", d), func(ctx context.Context, q queryer) error {
		rows, err = collect(ctx, q, scan, text, string(d), except.String(), n)
		return err
	})
	return rows, err
}
