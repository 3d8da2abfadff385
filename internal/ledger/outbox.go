package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const messageColumns = `id, destination, notice, state, attempt, created_at, claimed_at, next_attempt_at, ended_at, error`

func scanMessage(row scanner) (m elt.Message, err error) {
	err = row.Scan(&m.ID, &m.Destination, intoDocument{&m.Notice}, &m.State, &m.Attempt, intoInstant{&m.CreatedAt},
		intoInstant{&m.ClaimedAt}, intoInstant{&m.NextAttemptAt}, intoInstant{&m.EndedAt}, intoDocument{&m.Error})
	return m, err
}

// openMessage is the condition of a message that is still to be delivered.
const openMessage = `state IN ('pending', 'sending')`

// SyncDestinations makes those who are told of incidents the ones of the configuration, whichever process changes an
// incident from then on. What was still to be sent to one that is left out ends as failed.
func (l *Ledger) SyncDestinations(ctx context.Context, names []elt.DestinationName) error {
	return l.change(ctx, "write the destinations of notices", func(ctx context.Context, c *change) error {
		known, err := readDestinations(ctx, c)
		if err != nil {
			return err
		}
		for _, name := range names {
			if slices.Contains(known, name) {
				continue
			}
			c.touched = true
			if _, err := c.exec(ctx, `INSERT INTO destinations (name) VALUES ($1)`, string(name)); err != nil {
				return err
			}
		}
		for _, name := range known {
			if slices.Contains(names, name) {
				continue
			}
			if err := c.removeDestination(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func readDestinations(ctx context.Context, q queryer) ([]elt.DestinationName, error) {
	scan := func(row scanner) (name elt.DestinationName, err error) { return name, row.Scan(&name) }
	return collect(ctx, q, scan, `SELECT name FROM destinations ORDER BY name`)
}

func (c *change) removeDestination(ctx context.Context, name elt.DestinationName) error {
	c.touched = true
	if _, err := c.exec(ctx, `DELETE FROM destinations WHERE name = $1`, string(name)); err != nil {
		return err
	}
	failure, err := document{&elt.Failure{
		Code: "destination_removed", Class: elt.Config,
		Message: fmt.Sprintf("%s left the configuration before this was delivered", name), Do: "nothing",
	}}.text()
	if err != nil {
		return err
	}
	const text = `UPDATE outbox SET state = 'failed', lease_until = NULL, next_attempt_at = NULL, ended_at = $2, error = $3
		WHERE destination = $1 AND ` + openMessage
	_, err = c.exec(ctx, text, string(name), instant(c.now), failure)
	return err
}

// tell raises the incident's revision and puts a message for each destination into the outbox. It belongs to the
// transaction that changes the incident, after its event was recorded.
func (c *change) tell(ctx context.Context, kind elt.NoticeKind, i elt.Incident, added []elt.DatasetName) error {
	destinations, err := readDestinations(ctx, c)
	if err != nil || len(destinations) == 0 {
		return err
	}
	n := elt.Notice{Kind: kind, At: c.now, Incident: i, Added: added}
	const raise = `UPDATE incidents SET revision = revision + 1 WHERE id = $1 RETURNING revision`
	if err := c.QueryRowContext(ctx, raise, string(i.ID)).Scan(&n.Revision); err != nil {
		return err
	}
	if i.Failure != nil {
		n.Incident.Failure = &elt.Failure{Code: i.Failure.Code, Class: i.Failure.Class}
	}
	if err := c.describe(ctx, &n); err != nil {
		return err
	}
	text, err := document{n}.text()
	if err != nil {
		return err
	}
	rows := make([][]any, len(destinations))
	for k, to := range destinations {
		id := fmt.Sprintf("%s/%s/%d/%s", i.ID, kind, n.Revision, to)
		rows[k] = []any{id, c.seq, string(to), string(i.ID), i.Title, text, string(elt.MessagePending), instant(c.now)}
	}
	return c.insert(ctx, "outbox (id, seq, destination, incident, title, notice, state, created_at)", rows)
}

// news returns what an update of an incident is worth telling: that a person took it, that more is affected, or a
// failure that was not told yet. An incident that goes to and fro between two titles tells each of them once.
func (c *change) news(ctx context.Context, old, i elt.Incident) (kind elt.NoticeKind, added []elt.DatasetName, err error) {
	for _, d := range i.Affected {
		if !slices.Contains(old.Affected, d) {
			added = append(added, d)
		}
	}
	switch {
	case len(added) > 0:
		return elt.NoticeUpdated, added, nil
	case i.AcknowledgedBy != old.AcknowledgedBy && i.AcknowledgedBy != "":
		return elt.NoticeAcknowledged, nil, nil
	case i.Failure == nil || i.Title == old.Title:
		return "", nil, nil
	}
	var told int
	const text = `SELECT COUNT(*) FROM outbox WHERE incident = $1 AND title = $2`
	if err := c.QueryRowContext(ctx, text, string(i.ID), i.Title).Scan(&told); err != nil || told > 0 {
		return "", nil, err
	}
	return elt.NoticeUpdated, nil, nil
}

// describe adds to a notice who owns what is affected, what its readers have, and how far the cause came.
func (c *change) describe(ctx context.Context, n *elt.Notice) error {
	found := make(map[elt.DatasetName]elt.AffectedDataset)
	scan := func(row scanner) (a elt.AffectedDataset, err error) {
		var zone string
		err = row.Scan(&a.Name, intoDocument{&a.Owners}, &zone, intoInstant{&a.Deadline}, intoDate{&a.Serving})
		found[a.Name] = a
		if a.Name == n.Incident.Cause {
			n.Zone = zone
		}
		return a, err
	}
	for names := range slices.Chunk(n.Incident.Affected, 400) {
		args, places := []any{n.Incident.Date.String()}, make([]string, len(names))
		for i, name := range names {
			args = append(args, string(name))
			places[i] = "$" + strconv.Itoa(len(args))
		}
		text := `SELECT d.name, d.owners, d.zone, days.deadline, v.date FROM datasets d
			LEFT JOIN days ON days.dataset = d.name AND days.date = $1
			LEFT JOIN versions v ON v.dataset = d.name AND v.is_current = 1
			WHERE d.name IN (` + strings.Join(places, ", ") + `)`
		if _, err := collect(ctx, c, scan, text, args...); err != nil {
			return err
		}
	}
	for _, name := range n.Incident.Affected {
		a := found[name]
		a.Name = name // also of a dataset that the catalogue does not hold
		n.Affected = append(n.Affected, a)
	}
	if n.Kind == elt.NoticeResolved {
		return nil
	}
	const text = `SELECT s.kind, s.attempt, s.next_attempt_at FROM days d JOIN steps s ON s.run = d.run AND s.dataset = d.dataset
		WHERE d.dataset = $1 AND d.date = $2 AND s.attempt > 0 AND s.state IN ('failed', 'retrying', 'running') ORDER BY s.position LIMIT 1`
	err := c.QueryRowContext(ctx, text, string(n.Incident.Cause), n.Incident.Date.String()).Scan(&n.Step, &n.Attempts, intoInstant{&n.NextAttemptAt})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// dueMessage finds the first message to $1 that may be sent at $2. Of one incident, none overtakes another.
const dueMessage = `SELECT id FROM outbox m WHERE destination = $1
	AND (state = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at <= $2) OR state = 'sending' AND lease_until <= $2)
	AND NOT EXISTS (SELECT 1 FROM outbox earlier WHERE earlier.destination = m.destination AND earlier.incident = m.incident
		AND earlier.seq < m.seq AND earlier.` + openMessage + `)
	ORDER BY seq LIMIT 1`

// ClaimMessage begins an attempt to deliver the next message that is due to the destination; found is false when there
// is none. Should the sender not finish it within ttl, another one sends it again.
func (l *Ledger) ClaimMessage(ctx context.Context, to elt.DestinationName, ttl time.Duration) (m elt.Message, found bool, err error) {
	op := fmt.Sprintf("claim a message to %s", to)
	var id string
	err = l.read(ctx, op, func(ctx context.Context, q queryer) error { // an empty outbox costs no lock
		now, err := l.clock(ctx, q)
		if err != nil {
			return err
		}
		err = q.QueryRowContext(ctx, dueMessage, string(to), instant(now)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || id == "" {
		return elt.Message{}, false, err
	}
	err = l.change(ctx, op, func(ctx context.Context, c *change) error {
		err := c.QueryRowContext(ctx, dueMessage, string(to), instant(c.now)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) { // somebody was faster
			return nil
		}
		if err != nil {
			return err
		}
		c.touched, found = true, true
		const text = `UPDATE outbox SET state = 'sending', attempt = attempt + 1, claimed_at = $2, lease_until = $3, next_attempt_at = NULL
			WHERE id = $1 RETURNING ` + messageColumns
		m, err = scanMessage(c.QueryRowContext(ctx, text, id, instant(c.now), instant(c.now.Add(ttl))))
		return err
	})
	if err != nil {
		return elt.Message{}, false, err
	}
	return m, found, nil
}

// FinishMessage ends the attempt at a claimed message. The error's code is message_not_held when another sender has
// taken it since.
func (l *Ledger) FinishMessage(ctx context.Context, m elt.Message, d elt.Delivery) error {
	return l.change(ctx, fmt.Sprintf("record the delivery of %s", m.ID), func(ctx context.Context, c *change) error {
		failure, err := document{d.Error}.text()
		if err != nil {
			return err
		}
		var next, ended time.Time
		if d.State == elt.MessagePending {
			next = c.now.Add(d.Wait)
		} else {
			ended = c.now
		}
		c.touched = true
		const text = `UPDATE outbox SET state = $3, lease_until = NULL, next_attempt_at = $4, ended_at = $5, error = COALESCE($6, error)
			WHERE id = $1 AND attempt = $2 AND state = 'sending'`
		n, err := c.exec(ctx, text, string(m.ID), m.Attempt, string(d.State), instant(next), instant(ended), failure)
		if err != nil {
			return err
		}
		if n == 0 {
			return &elt.Error{
				Code: "message_not_held", Class: elt.Conflict,
				What: fmt.Sprintf("attempt %d no longer holds message %s", m.Attempt, m.ID),
				Do:   "nothing: another sender has taken it, or its destination left the configuration",
			}
		}
		return nil
	})
}

// Messages returns at most limit messages of the outbox, the latest first; of one incident, unless it is "".
func (l *Ledger) Messages(ctx context.Context, incident elt.IncidentID, limit int) (messages []elt.Message, err error) {
	text := fmt.Sprintf(`SELECT %s FROM outbox WHERE incident = $1 OR $1 = '' ORDER BY seq DESC, destination LIMIT %d`, messageColumns, limited(limit))
	err = l.read(ctx, "read the outbox", func(ctx context.Context, q queryer) error {
		messages, err = collect(ctx, q, scanMessage, text, string(incident))
		return err
	})
	return messages, err
}
