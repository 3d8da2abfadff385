package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Lineage tells the ledger's events to OpenLineage destinations, as the outbox does news of incidents. It keeps how far
// each destination has come, and makes the messages when they are sent: a night pays nothing for it, however many steps
// it has and however long nobody listens. None of its transactions takes the lock that changes of the night take.
type Lineage struct{ *Ledger }

// Lineage returns what takes the place of the outbox for OpenLineage destinations.
func (l *Ledger) Lineage() Lineage { return Lineage{l} }

// toldAsLineage is the condition of the events that make messages.
const toldAsLineage = `kind IN ('run.created', 'run.retried', 'run.succeeded', 'run.partial', 'run.failed', 'run.cancelled',
	'step.running', 'step.retrying', 'step.succeeded', 'step.failed', 'step.cancelled')`

// Sync makes the destinations those of the configuration. One that is new is told what happens from then on; one that
// is left out is forgotten. What waits for its next attempt is tried at once.
func (l Lineage) Sync(ctx context.Context, names []elt.DestinationName) error {
	return l.update(ctx, "write the destinations of lineage", func(ctx context.Context, t *sql.Tx) error {
		scan := func(row scanner) (name elt.DestinationName, err error) { return name, row.Scan(&name) }
		known, err := collect(ctx, t, scan, `SELECT destination FROM lineage`)
		if err != nil {
			return err
		}
		for _, name := range known {
			if slices.Contains(names, name) {
				continue
			}
			if _, err := t.ExecContext(ctx, `DELETE FROM lineage WHERE destination = $1`, string(name)); err != nil {
				return err
			}
		}
		const begin = `INSERT INTO lineage (destination, seq) SELECT $1, value FROM counters WHERE name = 'event' ON CONFLICT (destination) DO NOTHING`
		for _, name := range names {
			text := begin
			if slices.Contains(known, name) { // somebody may have corrected what was wrong
				text = `UPDATE lineage SET next_attempt_at = NULL WHERE destination = $1`
			}
			if _, err := t.ExecContext(ctx, text, string(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// cursor is how far a destination has come.
type cursor struct {
	elt.LineageState
	part       int
	claimedAt  time.Time
	leaseUntil time.Time
}

func readCursors(ctx context.Context, q queryer, where string, args ...any) ([]cursor, error) {
	scan := func(row scanner) (c cursor, err error) {
		err = row.Scan(&c.Destination, &c.Seq, &c.part, &c.Attempt, intoInstant{&c.claimedAt}, intoInstant{&c.leaseUntil}, intoInstant{&c.NextAttemptAt},
			intoDocument{&c.Error}, &c.Delivered, &c.GivenUp, intoInstant{&c.DeliveredAt})
		return c, err
	}
	const text = `SELECT destination, seq, part, attempt, claimed_at, lease_until, next_attempt_at, error, delivered, given_up, delivered_at FROM lineage `
	return collect(ctx, q, scan, text+where, args...)
}

// LineageStates returns how far each OpenLineage destination has come.
func (l *Ledger) LineageStates(ctx context.Context) (states []elt.LineageState, err error) {
	err = l.read(ctx, "read how far lineage was told", func(ctx context.Context, q queryer) error {
		cursors, err := readCursors(ctx, q, `ORDER BY destination`)
		states = nil
		for _, c := range cursors {
			const behind = `SELECT COUNT(*) FROM events WHERE seq > $1 AND ` + toldAsLineage
			if err := q.QueryRowContext(ctx, behind, c.Seq).Scan(&c.Behind); err != nil {
				return err
			}
			states = append(states, c.LineageState)
		}
		return err
	})
	return states, err
}

// ClaimMessage begins an attempt to tell the destination of the next event; found is false when there is none, or its
// next attempt is not due. Should the sender not finish it within ttl, another one sends it again.
func (l Lineage) ClaimMessage(ctx context.Context, to elt.DestinationName, ttl time.Duration) (m elt.Message, found bool, err error) {
	op := fmt.Sprintf("claim lineage for %s", to)
	var at cursor
	var next *elt.Lineage
	var now time.Time
	var old int64
	var failure any
	err = l.read(ctx, op, func(ctx context.Context, q queryer) error {
		next = nil
		if now, err = l.clock(ctx, q); err != nil {
			return err
		}
		cursors, err := readCursors(ctx, q, `WHERE destination = $1`, string(to))
		if err != nil || len(cursors) == 0 || cursors[0].NextAttemptAt.After(now) || cursors[0].leaseUntil.After(now) {
			return err
		}
		at = cursors[0]
		since := instant(now.Add(-elt.LineageKept))
		if next, err = nextLineage(ctx, q, at.Seq, at.part, since); err != nil || next == nil {
			return err
		}
		old, failure, err = expired(ctx, q, at, next, since)
		return err
	})
	if err != nil || next == nil {
		return elt.Message{}, false, err
	}
	attempt := 1
	if next.Seq == at.Seq+1 && next.Part == at.part {
		attempt = at.Attempt + 1
	}
	err = l.update(ctx, op, func(ctx context.Context, t *sql.Tx) error {
		const text = `UPDATE lineage SET seq = $5, part = $6, attempt = $7, claimed_at = $8, lease_until = $9, next_attempt_at = NULL,
				given_up = given_up + $10, error = COALESCE($11, error)
			WHERE destination = $1 AND seq = $2 AND part = $3 AND attempt = $4 AND (lease_until IS NULL OR lease_until <= $8)`
		r, err := t.ExecContext(ctx, text, string(to), at.Seq, at.part, at.Attempt, next.Seq-1, next.Part, attempt,
			instant(now), instant(now.Add(ttl)), old, failure)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		found = n > 0 // or somebody was faster
		return err
	})
	if err != nil || !found {
		return elt.Message{}, false, err
	}
	return elt.Message{
		ID: elt.MessageID(fmt.Sprintf("%d/%d/%s", next.Seq, next.Part, to)), Destination: to, State: elt.MessageSending, Attempt: attempt,
		CreatedAt: next.At, ClaimedAt: now, Lineage: next,
	}, true, nil
}

// expired counts the events before the next one that grew too old to be told, and says so.
func expired(ctx context.Context, q queryer, at cursor, next *elt.Lineage, since any) (n int64, failure any, err error) {
	const text = `SELECT COUNT(*) FROM events WHERE seq > $1 AND seq < $2 AND at < $3 AND ` + toldAsLineage
	if err := q.QueryRowContext(ctx, text, at.Seq, next.Seq, since).Scan(&n); err != nil || n == 0 {
		return 0, nil, err
	}
	failure, err = document{&elt.Failure{
		Code: "lineage_expired", Class: elt.Transient,
		Message: fmt.Sprintf("%s took nothing for %d days: %d events are not told any more", at.Destination, int(elt.LineageKept/(24*time.Hour)), n),
		Do:      "nothing: whatever happens from now on is told",
	}}.text()
	return n, failure, err
}

// FinishMessage ends the attempt at a claimed message. The error's code is message_not_held when another sender has
// taken it since.
func (l Lineage) FinishMessage(ctx context.Context, m elt.Message, d elt.Delivery) error {
	return l.update(ctx, fmt.Sprintf("record the delivery of %s", m.ID), func(ctx context.Context, t *sql.Tx) error {
		failure, err := document{d.Error}.text()
		if err != nil {
			return err
		}
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		const held = ` WHERE destination = $1 AND seq = $2 AND part = $3 AND attempt = $4 AND lease_until IS NOT NULL`
		args := []any{string(m.Destination), m.Lineage.Seq - 1, m.Lineage.Part, m.Attempt}
		text := `UPDATE lineage SET lease_until = NULL, next_attempt_at = $5, error = $6` + held
		switch d.State {
		case elt.MessagePending:
			args = append(args, instant(now.Add(d.Wait)), failure)
		case elt.MessageDelivered:
			text = `UPDATE lineage SET lease_until = NULL, part = part + 1, attempt = 0, delivered = delivered + 1, delivered_at = $5, error = NULL` + held
			args = append(args, instant(now))
		default:
			text = `UPDATE lineage SET lease_until = NULL, part = part + 1, attempt = 0, given_up = given_up + 1, error = $5` + held
			args = append(args, failure)
		}
		r, err := t.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return &elt.Error{
			Code: "message_not_held", Class: elt.Conflict,
			What: fmt.Sprintf("attempt %d no longer holds message %s", m.Attempt, m.ID),
			Do:   "nothing: another sender has taken it, or its destination left the configuration",
		}
	})
}
