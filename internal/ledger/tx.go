package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// change is a transaction that records events. From its first statement it holds the lock of the event
// counter, so that changes follow one another; whatever it reads stays true until it ends, except that a
// heartbeat may still prolong a lease.
type change struct {
	*sql.Tx
	now     time.Time // the ledger's, when the lock was obtained
	seq     int64     // of the last event
	events  [][]any
	touched bool
	alone   bool // no other process works on the ledger
}

// change runs do in a transaction. When do records no event and touches nothing, nothing is written.
//
// Locks are taken in one order: the event counter, then rows, then the touch counter. A heartbeat takes
// a step's row and then the touch counter, so that the two can never wait for each other.
func (l *Ledger) change(ctx context.Context, op string, do func(context.Context, *change) error) error {
	return l.update(ctx, op, func(ctx context.Context, t *sql.Tx) error {
		c := &change{Tx: t, alone: l.engine.dialect().alone}
		lock := `UPDATE counters SET value = value WHERE name = 'event' RETURNING value, ` + l.engine.dialect().clock
		if err := t.QueryRowContext(ctx, lock).Scan(&c.seq, intoInstant{&c.now}); err != nil {
			return fmt.Errorf("lock the event counter: %w", err)
		}
		if err := do(ctx, c); err != nil {
			return err
		}
		return c.flush(ctx)
	})
}

// record adds an event to the transaction and returns its seq. At is the transaction's.
func (c *change) record(e elt.Event, detail any) (int64, error) {
	text, err := document{detail}.text()
	if err != nil {
		return 0, err
	}
	c.seq++
	c.events = append(c.events, []any{c.seq, instant(c.now), e.Kind, string(e.Dataset), e.Date.String(), string(e.Run), string(e.Step), text})
	return c.seq, nil
}

func (c *change) flush(ctx context.Context) error {
	if len(c.events) == 0 && !c.touched {
		return errUnchanged
	}
	if len(c.events) > 0 {
		if err := c.insert(ctx, "events (seq, at, kind, dataset, date, run, step, detail)", c.events); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `UPDATE counters SET value = $1 WHERE name = 'event'`, c.seq); err != nil {
			return err
		}
	}
	if c.touched {
		return touch(ctx, c.Tx)
	}
	return nil
}

// touch raises the revision without an event. It is always a transaction's last statement.
func touch(ctx context.Context, t *sql.Tx) error {
	_, err := t.ExecContext(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'touch'`)
	return err
}

// nextFence returns a number that no lease has had.
func (c *change) nextFence(ctx context.Context) (fence int64, err error) {
	const text = `UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value`
	err = c.QueryRowContext(ctx, text).Scan(&fence)
	return fence, err
}

// exec runs a statement and returns how many rows it changed.
func (c *change) exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// insert adds rows to a table with few statements; into is "table (column, …)".
func (c *change) insert(ctx context.Context, into string, rows [][]any) error {
	for text, args := range statements("INSERT INTO "+into+" VALUES ", "", rows) {
		if _, err := c.ExecContext(ctx, text, args...); err != nil {
			return err
		}
	}
	return nil
}

// statements yields head, a parenthesis of parameters for each row, tail: each statement with as many rows
// as a few hundred parameters allow.
func statements(head, tail string, rows [][]any) iter.Seq2[string, []any] {
	const most = 500 // SQLite looks each parameter up among those before it
	return func(yield func(string, []any) bool) {
		for len(rows) > 0 {
			n := min(len(rows), max(1, most/len(rows[0])))
			var text strings.Builder
			var args []any
			text.WriteString(head)
			for i, row := range rows[:n] {
				if i > 0 {
					text.WriteString(", ")
				}
				places := make([]string, len(row))
				for j, v := range row {
					args = append(args, v)
					places[j] = "$" + strconv.Itoa(len(args))
				}
				text.WriteString("(" + strings.Join(places, ", ") + ")")
			}
			text.WriteString(tail)
			if !yield(text.String(), args) {
				return
			}
			rows = rows[n:]
		}
	}
}
