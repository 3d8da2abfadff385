package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const backfillColumns = `id, number, state, request, estimate, actor, reason, says, created_at, ended_at`

func scanBackfill(row scanner) (b elt.Backfill, err error) {
	err = row.Scan(&b.ID, &b.Number, &b.State, intoDocument{&b.Request}, intoDocument{&b.Estimate}, &b.Actor, &b.Reason, &b.Says, intoInstant{&b.CreatedAt}, intoInstant{&b.EndedAt})
	return b, err
}

const backfillDayColumns = `dataset, date, action, reason, phase, manifest, seen, state, run, says`

func scanBackfillDay(row scanner) (d elt.BackfillDay, err error) {
	err = row.Scan(&d.Dataset, intoDate{&d.Date}, &d.Action, &d.Reason, &d.Phase, &d.Manifest, &d.Seen, &d.State, &d.Run, &d.Says)
	return d, err
}

// beginning is the state in which a backfill's day starts.
func beginning(a elt.BackfillAction) elt.BackfillDayState {
	switch a {
	case elt.SkipDay:
		return elt.BackfillDaySkipped
	case elt.RefuseDay:
		return elt.BackfillDayRefused
	}
	return elt.BackfillDayPending
}

// StartBackfill commits a plan: the backfill with every day of it, all or nothing. Each day that it brings is locked for
// it until the day has ended; the code is backfill_overlaps when another one holds a day.
func (l *Ledger) StartBackfill(ctx context.Context, b elt.Backfill, days []elt.BackfillDay) (elt.Backfill, error) {
	err := l.change(ctx, "start a backfill of "+b.Request.String(), func(ctx context.Context, c *change) error {
		const next = `SELECT COALESCE(MAX(number), 0) + 1 FROM backfills`
		if err := c.QueryRowContext(ctx, next).Scan(&b.Number); err != nil {
			return err
		}
		b.ID, b.State, b.CreatedAt = elt.BackfillID(fmt.Sprintf("backfill-%d", b.Number)), elt.BackfillRunning, c.now
		request, err := document{b.Request}.text()
		if err != nil {
			return err
		}
		estimate, err := document{b.Estimate}.text()
		if err != nil {
			return err
		}
		row := []any{string(b.ID), b.Number, string(b.State), request, estimate, b.Actor, b.Reason, instant(c.now), instant(c.now)}
		if err := c.insert(ctx, "backfills (id, number, state, request, estimate, actor, reason, created_at, begun_at)", [][]any{row}); err != nil {
			return err
		}
		if err := c.addBackfillDays(ctx, b, days); err != nil {
			return err
		}
		if err := c.recordBackfill(b.ID, "started", b.Actor); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: b.Actor, Action: "backfill.start", Target: string(b.ID), Reason: cmp.Or(b.Reason, b.Request.String())})
	})
	return b, err
}

func (c *change) addBackfillDays(ctx context.Context, b elt.Backfill, days []elt.BackfillDay) error {
	rows := make([][]any, len(days))
	for i, d := range days {
		rows[i] = []any{string(b.ID), i, string(d.Dataset), d.Date.String(), string(d.Action), d.Reason, d.Phase, d.Manifest, string(d.Seen), string(beginning(d.Action))}
	}
	const head = `INSERT INTO backfill_days (backfill, position, dataset, date, action, reason, phase, manifest, seen, state) VALUES `
	const tail = ` ON CONFLICT (dataset, date) WHERE state IN ('pending', 'running') DO NOTHING`
	var written int64
	for text, args := range statements(head, tail, rows) {
		n, err := c.exec(ctx, text, args...)
		if err != nil {
			return err
		}
		written += n
	}
	if written == int64(len(days)) {
		return nil
	}
	for _, d := range days { // the first one that somebody else holds
		if !d.Action.Acts() {
			continue
		}
		if err := c.unheld(ctx, b.ID, d); err != nil {
			return err
		}
	}
	return fmt.Errorf("the plan names a day twice")
}

// unheld refuses a day that another backfill holds.
func (c *change) unheld(ctx context.Context, id elt.BackfillID, d elt.BackfillDay) error {
	var other string
	const text = `SELECT backfill FROM backfill_days WHERE dataset = $1 AND date = $2 AND state IN ('pending', 'running') AND backfill <> $3`
	err := c.QueryRowContext(ctx, text, string(d.Dataset), d.Date.String(), string(id)).Scan(&other)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return &elt.Error{
		Code: "backfill_overlaps", Class: elt.Conflict,
		What: fmt.Sprintf("%s has %s of %s in hand already", other, d.Dataset, d.Date),
		Do:   "wait until it has ended, or cancel it; then plan again",
	}
}

// recordBackfill tells those who watch that a backfill has changed.
func (c *change) recordBackfill(id elt.BackfillID, what, actor string) error {
	_, err := c.record(elt.Event{Kind: "backfill." + what}, map[string]string{"backfill": string(id), "actor": actor})
	return err
}

// Backfill returns one backfill with its progress; code backfill_unknown.
func (l *Ledger) Backfill(ctx context.Context, id elt.BackfillID) (b elt.Backfill, err error) {
	err = l.read(ctx, fmt.Sprintf("read %s", id), func(ctx context.Context, q queryer) error {
		if b, err = readBackfill(ctx, q, id); err != nil {
			return err
		}
		return readProgress(ctx, q, &b)
	})
	return b, err
}

func readBackfill(ctx context.Context, q queryer, id elt.BackfillID) (elt.Backfill, error) {
	b, err := scanBackfill(q.QueryRowContext(ctx, `SELECT `+backfillColumns+` FROM backfills WHERE id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return b, unknown("backfill", id)
	}
	return b, err
}

func readProgress(ctx context.Context, q queryer, b *elt.Backfill) error {
	type some struct {
		state elt.BackfillDayState
		days  int
	}
	scan := func(row scanner) (s some, err error) { return s, row.Scan(&s.state, &s.days) }
	counts, err := collect(ctx, q, scan, `SELECT state, COUNT(*) FROM backfill_days WHERE backfill = $1 GROUP BY state`, string(b.ID))
	b.Progress = make(map[elt.BackfillDayState]int, len(counts))
	for _, s := range counts {
		b.Progress[s.state] = s.days
	}
	return err
}

// Backfills returns the backfills with numbers below before, the latest first, each with its progress; 0 begins at the
// latest.
func (l *Ledger) Backfills(ctx context.Context, before, limit int) (backfills []elt.Backfill, err error) {
	if before <= 0 {
		before = math.MaxInt32
	}
	text := fmt.Sprintf(`SELECT %s FROM backfills WHERE number < $1 ORDER BY number DESC LIMIT %d`, backfillColumns, limited(limit))
	return l.backfills(ctx, "list backfills", text, before)
}

// OpenBackfills returns the backfills that have not ended, the one that was started first at the head, without progress.
func (l *Ledger) OpenBackfills(ctx context.Context) (backfills []elt.Backfill, err error) {
	err = l.read(ctx, "list the open backfills", func(ctx context.Context, q queryer) error {
		backfills, err = collect(ctx, q, scanBackfill, `SELECT `+backfillColumns+` FROM backfills WHERE state IN ('running', 'paused') ORDER BY number`)
		return err
	})
	return backfills, err
}

func (l *Ledger) backfills(ctx context.Context, op, text string, args ...any) (backfills []elt.Backfill, err error) {
	err = l.read(ctx, op, func(ctx context.Context, q queryer) error {
		if backfills, err = collect(ctx, q, scanBackfill, text, args...); err != nil {
			return err
		}
		for i := range backfills {
			if err := readProgress(ctx, q, &backfills[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return backfills, err
}

// BackfillDays returns days of a backfill in the order of its plan, at most limit of them from the offset; limit 0 means
// all. With a state only those in it. Each says who is at work at it.
func (l *Ledger) BackfillDays(ctx context.Context, id elt.BackfillID, state elt.BackfillDayState, offset, limit int) (days []elt.BackfillDay, err error) {
	text := `SELECT ` + backfillDayColumns + ` FROM backfill_days WHERE backfill = $1 AND ($2 = '' OR state = $2) ORDER BY position`
	if limit > 0 {
		text += fmt.Sprintf(` LIMIT %d OFFSET %d`, limit, max(0, offset))
	}
	err = l.read(ctx, fmt.Sprintf("read the days of %s", id), func(ctx context.Context, q queryer) error {
		if days, err = collect(ctx, q, scanBackfillDay, text, string(id), string(state)); err != nil {
			return err
		}
		return l.readHands(ctx, q, id, days)
	})
	return days, err
}

// readHands notes who is at work at which of a backfill's days: at publishing, at all that the run brings.
func (l *Ledger) readHands(ctx context.Context, q queryer, id elt.BackfillID, days []elt.BackfillDay) error {
	if !slices.ContainsFunc(days, func(d elt.BackfillDay) bool { return d.State == elt.BackfillDayRunning }) {
		return nil
	}
	now, err := l.clock(ctx, q)
	if err != nil {
		return err
	}
	const text = `SELECT s.run, s.dataset, s.worker FROM steps s JOIN runs r ON r.id = s.run
		WHERE r.backfill = $1 AND r.state = 'running' AND s.state = 'running' AND s.lease_until > $2 ORDER BY s.worker`
	scan := func(row scanner) (s elt.Step, err error) { return s, row.Scan(&s.Run, &s.Dataset, &s.Worker) }
	steps, err := collect(ctx, q, scan, text, string(id), instant(now))
	if err != nil {
		return err
	}
	for i, d := range days {
		if d.State != elt.BackfillDayRunning {
			continue
		}
		for _, s := range steps {
			if s.Run == d.Run && (s.Dataset == d.Dataset || s.Dataset == "") && !slices.Contains(days[i].Workers, s.Worker) {
				days[i].Workers = append(days[i].Workers, s.Worker)
			}
		}
	}
	return nil
}

// NextBackfillDays returns the days of the first phase and date of which a backfill has still to begin some; none when it has begun
// all.
func (l *Ledger) NextBackfillDays(ctx context.Context, id elt.BackfillID) (days []elt.BackfillDay, err error) {
	const text = `SELECT ` + backfillDayColumns + ` FROM backfill_days WHERE backfill = $1 AND state = 'pending'
		AND (phase, date) = (SELECT phase, date FROM backfill_days WHERE backfill = $1 AND state = 'pending' ORDER BY phase, date LIMIT 1) ORDER BY position`
	err = l.read(ctx, fmt.Sprintf("read what is next of %s", id), func(ctx context.Context, q queryer) error {
		days, err = collect(ctx, q, scanBackfillDay, text, string(id))
		return err
	})
	return days, err
}

// HeldDays returns the days that backfills have in hand, each with the backfill.
func (l *Ledger) HeldDays(ctx context.Context) (held map[elt.DayKey]string, err error) {
	type day struct {
		key elt.DayKey
		by  string
	}
	scan := func(row scanner) (d day, err error) {
		return d, row.Scan(&d.key.Dataset, intoDate{&d.key.Date}, &d.by)
	}
	held = make(map[elt.DayKey]string)
	err = l.read(ctx, "read the days that backfills hold", func(ctx context.Context, q queryer) error {
		days, err := collect(ctx, q, scan, `SELECT dataset, date, backfill FROM backfill_days WHERE state IN ('pending', 'running')`)
		for _, d := range days {
			held[d.key] = d.by
		}
		return err
	})
	return held, err
}

// BackfillDatasets returns the datasets of which a run of a backfill brings the day.
func (l *Ledger) BackfillDatasets(ctx context.Context, run elt.RunID) (datasets map[elt.DatasetName]bool, err error) {
	scan := func(row scanner) (d elt.DatasetName, err error) { return d, row.Scan(&d) }
	datasets = make(map[elt.DatasetName]bool)
	err = l.read(ctx, fmt.Sprintf("read what run %s brings", run), func(ctx context.Context, q queryer) error {
		names, err := collect(ctx, q, scan, `SELECT dataset FROM backfill_days WHERE run = $1`, string(run))
		for _, d := range names {
			datasets[d] = true
		}
		return err
	})
	return datasets, err
}

// BackfillDayOf returns the day of a dataset that a backfill's run brings; code backfill_day_unknown.
func (l *Ledger) BackfillDayOf(ctx context.Context, run elt.RunID, d elt.DatasetName) (day elt.BackfillDay, err error) {
	err = l.read(ctx, fmt.Sprintf("read what run %s does with %s", run, d), func(ctx context.Context, q queryer) error {
		const text = `SELECT ` + backfillDayColumns + ` FROM backfill_days WHERE run = $1 AND dataset = $2`
		day, err = scanBackfillDay(q.QueryRowContext(ctx, text, string(run), string(d)))
		if errors.Is(err, sql.ErrNoRows) {
			return unknown("backfill_day", string(run)+" "+string(d))
		}
		return err
	})
	return day, err
}
