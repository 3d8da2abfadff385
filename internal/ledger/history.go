package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Of these tables what a row said is kept, in the table past_… beside it, when the row is changed; the columns are those
// that can be read as they were. The others need no history: their rows never change, or tell their times themselves.
var keptColumns = map[string]string{
	"datasets":  datasetColumns,
	"runs":      runColumns + `, created_seq`,
	"steps":     stepColumns,
	"days":      dayColumns,
	"versions":  versionColumns + `, is_newest`,
	"incidents": incidentColumns + `, opened_seq`,
	"ticks":     tickColumns,
}

// executor is a transaction.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// keep keeps what the rows of a table say that a condition selects, right before they are changed. What they said for no
// time at all is not kept.
func keep(ctx context.Context, t executor, now time.Time, table, condition string, args ...any) error {
	at := `'` + instant(now).(string) + `'`
	columns := keptColumns[table]
	within := ` WHERE (since IS NULL OR since < ` + at + `) AND (` + condition + `)`
	text := `INSERT INTO past_` + table + ` (` + columns + `, since, until) SELECT ` + columns + `, since, ` + at + ` FROM ` + table + within
	if _, err := t.ExecContext(ctx, text, args...); err != nil {
		return fmt.Errorf("keep what %s said: %w", table, err)
	}
	_, err := t.ExecContext(ctx, `UPDATE `+table+` SET since = `+at+within, args...)
	return err
}

// beatsKept is how far apart heartbeats are of which history keeps the progress: a step beats every second, and what it
// said of its rows is of interest to the minute.
const beatsKept = time.Minute

// keepBeat keeps what a step said before a heartbeat, where it was something that a person would have seen: another
// reason to wait, a worker that had been silent for too long, or progress of a while ago.
func (l *Ledger) keepBeat(ctx context.Context, t executor, now time.Time, lease elt.Lease, p elt.Progress) error {
	condition := fmt.Sprintf(`%s AND (since IS NULL OR since <= '%s' OR lease_until <= '%s' OR paused <> $4 OR note <> $5)`,
		heldBy, instant(now.Add(-l.beats)), instant(now))
	return keep(ctx, t, now, "steps", condition, string(lease.Step), lease.Attempt, lease.Fence, p.Paused, p.Note)
}

func (c *change) keep(ctx context.Context, table, condition string, args ...any) error {
	return keep(ctx, c, c.now, table, condition, args...)
}

// table is where a query reads what the table says, at the ledger's moment if it has one.
func (l *Ledger) table(name string) string {
	if l.moment.IsZero() {
		return name
	}
	at, columns := `'`+instant(l.moment).(string)+`'`, keptColumns[name]
	return `(SELECT ` + columns + ` FROM ` + name + ` WHERE since IS NULL OR since <= ` + at +
		` UNION ALL SELECT ` + columns + ` FROM past_` + name + ` WHERE (since IS NULL OR since <= ` + at + `) AND until > ` + at + `) AS ` + name
}

// until is a condition that holds for what had happened by the ledger's moment, by the column that tells when.
func (l *Ledger) until(column string) string {
	if l.moment.IsZero() {
		return `1 = 1`
	}
	return column + ` <= '` + instant(l.moment).(string) + `'`
}

// AsOf returns the ledger as it was at a moment: everything that is read of it is what was known then, and it refuses to
// be changed. It lives as long as l, and need not be closed. The code is as_of_ahead when the moment has not come, and
// as_of_forgotten when it is before anything that is still known.
//
// A change counts from when its transaction had the ledger's lock. Whoever read the ledger in the moment that it took to
// commit may have been told what was before.
func (l *Ledger) AsOf(ctx context.Context, moment time.Time) (*Ledger, error) {
	past := &Ledger{engine: l.engine, writer: l.writer, reader: l.reader, log: l.log, moment: moment.UTC().Truncate(time.Microsecond)}
	past.migrated.Store(l.migrated.Load())
	var now, began time.Time
	var forgotten int
	err := l.read(ctx, "find how far back the ledger knows", func(ctx context.Context, q queryer) (err error) {
		if now, err = l.clock(ctx, q); err != nil {
			return err
		}
		const text = `SELECT (SELECT value FROM counters WHERE name = 'forgotten'),
			(SELECT at FROM events WHERE seq >= (SELECT value FROM counters WHERE name = 'history') AND seq > 0 ORDER BY seq LIMIT 1)`
		return q.QueryRowContext(ctx, text).Scan(&forgotten, intoInstant{&began})
	})
	if err != nil {
		return nil, err
	}
	if forgotten > 0 {
		if first := (elt.Date{Year: 1970, Month: time.January, Day: 1}).AddDays(forgotten).Start(time.UTC); first.After(began) {
			began = first
		}
	}
	switch {
	case past.moment.After(now):
		return nil, &elt.Error{
			Code: "as_of_ahead", Class: elt.Config,
			What: fmt.Sprintf("%s has not come: the ledger's clock shows %s", past.moment.Format(time.RFC3339Nano), now.Format(time.RFC3339Nano)),
			Do:   "ask for a moment that has passed, or leave as_of out",
		}
	case past.moment.Before(began) || began.IsZero():
		return nil, &elt.Error{
			Code: "as_of_forgotten", Class: elt.Config,
			What: fmt.Sprintf("nothing is known any more of what was said at %s: the ledger's history begins at %s", past.moment.Format(time.RFC3339Nano), began.Format(time.RFC3339Nano)),
			Do:   "ask for a later moment; retention says how long history is kept",
		}
	}
	return past, nil
}

// readOnly refuses a change of the past.
func (l *Ledger) readOnly(op string) error {
	return &elt.Error{
		Code: "as_of_read_only", Class: elt.Internal,
		What: fmt.Sprintf("cannot %s: this is the ledger as it was at %s", op, instant(l.moment)), Do: "report it with this message",
	}
}

// forgetPast drops what old rows said.
func (l *Ledger) forgetPast(ctx context.Context, before elt.Date) error {
	if err := l.change(ctx, "move the beginning of history", func(ctx context.Context, c *change) error {
		first := before.DaysSince(elt.Date{Year: 1970, Month: time.January, Day: 1})
		n, err := c.exec(ctx, `UPDATE counters SET value = $1 WHERE name = 'forgotten' AND value < $1`, first)
		c.touched = n > 0
		return err
	}); err != nil {
		return err
	}
	at := instant(before.Start(time.UTC)).(string)
	for _, table := range []string{"past_days", "past_versions", "past_steps", "past_runs", "past_ticks"} {
		if err := l.drop(ctx, `DELETE FROM `+table+` WHERE date < $1`, before.String()); err != nil {
			return err
		}
	}
	for _, table := range []string{"past_datasets", "past_incidents"} {
		if err := l.drop(ctx, `DELETE FROM `+table+` WHERE until < $1`, at); err != nil {
			return err
		}
	}
	return l.drop(ctx, `DELETE FROM past_pauses WHERE over_at < $1`, at)
}

// known returns those of some days that the ledger has a row of.
func (c *change) known(ctx context.Context, days []elt.Day) (map[elt.DayKey]elt.Day, error) {
	known := make(map[elt.DayKey]elt.Day, len(days))
	for text, args := range statements(`SELECT `+dayColumns+` FROM days WHERE (dataset, date) IN (VALUES `, `)`, keysOf(days)) {
		some, err := collect(ctx, c, scanDay, text, args...)
		if err != nil {
			return nil, err
		}
		for _, d := range some {
			known[elt.DayKey{Dataset: d.Dataset, Date: d.Date}] = d
		}
	}
	return known, nil
}

// keepDays keeps what days say that are about to change.
func (c *change) keepDays(ctx context.Context, days []elt.Day) error {
	for text, args := range statements(`(dataset, date) IN (VALUES `, `)`, keysOf(days)) {
		if err := c.keep(ctx, "days", text, args...); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(days []elt.Day) [][]any {
	keys := make([][]any, len(days))
	for i, d := range days {
		keys[i] = []any{string(d.Dataset), d.Date.String()}
	}
	return keys
}

// attemptColumns are those of attempts as they were at the ledger's moment.
func (l *Ledger) attemptColumns() string {
	const columns = `step, number, worker, fence, started_at, finished_at, error, jobs, bytes_billed, slot_ms, COALESCE(outcome, '')`
	if l.moment.IsZero() {
		return columns
	}
	then := func(column, otherwise string) string {
		return `CASE WHEN ` + l.until("finished_at") + ` THEN ` + column + ` ELSE ` + otherwise + ` END`
	}
	return strings.Join([]string{`step, number, worker, fence, started_at`, then("finished_at", "NULL"), then("error", "NULL"), then("jobs", "0"), then("bytes_billed", "0"), then("slot_ms", "0"), then("COALESCE(outcome, '')", "''")}, ", ")
}
