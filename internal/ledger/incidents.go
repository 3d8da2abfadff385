package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const incidentColumns = `id, cause, date, title, failure, affected, opened_at, acknowledged_by, acknowledged_at, resolved_at`

func scanIncident(row scanner) (i elt.Incident, err error) {
	err = row.Scan(&i.ID, &i.Cause, intoDate{&i.Date}, &i.Title, intoDocument{&i.Failure}, intoDocument{&i.Affected},
		intoInstant{&i.OpenedAt}, &i.AcknowledgedBy, intoInstant{&i.AcknowledgedAt}, intoInstant{&i.ResolvedAt})
	return i, err
}

// OpenIncident opens an incident, unless one is open for the same cause and date: then it returns that
// one, and opened is false. An incident without an ID is given one. What is news of an incident is told to every
// destination by way of the outbox, in the transaction that makes it so.
func (l *Ledger) OpenIncident(ctx context.Context, in elt.Incident) (incident elt.Incident, opened bool, err error) {
	err = l.change(ctx, fmt.Sprintf("open an incident for %s of %s", in.Cause, in.Date), func(ctx context.Context, c *change) error {
		const same = `SELECT ` + incidentColumns + ` FROM incidents WHERE cause = $1 AND date = $2 AND resolved_at IS NULL`
		incident, err = scanIncident(c.QueryRowContext(ctx, same, string(in.Cause), in.Date.String()))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		incident, opened = in, true
		incident.OpenedAt, incident.AcknowledgedAt = c.now, time.Time{}
		if incident.AcknowledgedBy != "" {
			incident.AcknowledgedAt = c.now
		}
		seq, err := c.record(incidentEvent("opened", incident), nil)
		if err != nil {
			return err
		}
		if incident.ID == "" {
			incident.ID = elt.IncidentID(fmt.Sprintf("incident-%d", seq))
		}
		failure, affected, err := incidentTexts(incident)
		if err != nil {
			return err
		}
		row := []any{string(incident.ID), string(incident.Cause), incident.Date.String(), incident.Title, failure, affected, instant(incident.OpenedAt), seq, incident.AcknowledgedBy, instant(incident.AcknowledgedAt), instant(incident.OpenedAt)}
		if err := c.insert(ctx, "incidents (id, cause, date, title, failure, affected, opened_at, opened_seq, acknowledged_by, acknowledged_at, since)", [][]any{row}); err != nil {
			return err
		}
		return c.tell(ctx, elt.NoticeOpened, incident, nil)
	})
	if err != nil {
		return elt.Incident{}, false, err
	}
	return incident, opened, nil
}

func incidentTexts(i elt.Incident) (failure, affected any, err error) {
	if failure, err = (document{i.Failure}).text(); err != nil {
		return nil, nil, err
	}
	affected, err = document{i.Affected}.text()
	return failure, affected, err
}

func incidentEvent(what string, i elt.Incident) elt.Event {
	return elt.Event{Kind: "incident." + what, Dataset: i.Cause, Date: i.Date}
}

// UpdateIncident writes an open incident's title, failure, affected datasets and who acknowledged it;
// code incident_resolved when it is open no more. Saying the same again changes nothing, and an empty
// AcknowledgedBy keeps who acknowledged it.
func (l *Ledger) UpdateIncident(ctx context.Context, i elt.Incident) error {
	return l.change(ctx, fmt.Sprintf("update incident %s", i.ID), func(ctx context.Context, c *change) error {
		old, err := c.incident(ctx, i.ID)
		if err != nil {
			return err
		}
		if !old.ResolvedAt.IsZero() {
			return incidentResolved(old)
		}
		if i.AcknowledgedBy == "" { // whoever read the incident before a person took it does not take it back
			i.AcknowledgedBy = old.AcknowledgedBy
		}
		if i.AcknowledgedAt = old.AcknowledgedAt; i.AcknowledgedBy != old.AcknowledgedBy {
			i.AcknowledgedAt = c.now
		}
		failure, affected, err := incidentTexts(i)
		if err != nil {
			return err
		}
		const other = `id = $1 AND (title <> $2 OR failure IS DISTINCT FROM $3 OR affected IS DISTINCT FROM $4 OR acknowledged_by <> $5)`
		if err := c.keep(ctx, "incidents", other, string(i.ID), i.Title, failure, affected, i.AcknowledgedBy); err != nil {
			return err
		}
		const text = `UPDATE incidents SET title = $2, failure = $3, affected = $4, acknowledged_by = $5, acknowledged_at = $6 WHERE ` + other
		n, err := c.exec(ctx, text, string(i.ID), i.Title, failure, affected, i.AcknowledgedBy, instant(i.AcknowledgedAt))
		if err != nil || n == 0 {
			return err
		}
		if _, err := c.record(incidentEvent("updated", old), nil); err != nil {
			return err
		}
		kind, added, err := c.news(ctx, old, i)
		if err != nil || kind == "" {
			return err
		}
		i.Cause, i.Date, i.OpenedAt = old.Cause, old.Date, old.OpenedAt // what no update changes
		return c.tell(ctx, kind, i, added)
	})
}

// AcknowledgeIncident records who looks after an open incident, and tells every destination. The first to take it has
// it; whoever takes it over afterwards says so by doing it again under another name.
func (l *Ledger) AcknowledgeIncident(ctx context.Context, id elt.IncidentID, actor string) (changed bool, err error) {
	err = l.change(ctx, fmt.Sprintf("acknowledge incident %s", id), func(ctx context.Context, c *change) error {
		old, err := c.incident(ctx, id)
		if err != nil || old.AcknowledgedBy == actor {
			return err
		}
		if !old.ResolvedAt.IsZero() {
			return incidentResolved(old)
		}
		if err := c.keep(ctx, "incidents", `id = $1`, string(id)); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `UPDATE incidents SET acknowledged_by = $2, acknowledged_at = $3 WHERE id = $1`, string(id), actor, instant(c.now)); err != nil {
			return err
		}
		if _, err := c.record(incidentEvent("acknowledged", old), nil); err != nil {
			return err
		}
		changed = true
		taken := old
		taken.AcknowledgedBy, taken.AcknowledgedAt = actor, c.now
		if err := c.tell(ctx, elt.NoticeAcknowledged, taken, nil); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "incident.acknowledge", Target: string(id), Reason: old.Title})
	})
	return changed && err == nil, err
}

func incidentResolved(i elt.Incident) error {
	return &elt.Error{
		Code: "incident_resolved", Class: elt.Conflict,
		What: fmt.Sprintf("incident %s was resolved at %s", i.ID, instant(i.ResolvedAt)),
		Do:   "nothing: every affected day is ready",
	}
}

// ResolveIncident closes an incident. Resolving it again changes nothing.
func (l *Ledger) ResolveIncident(ctx context.Context, id elt.IncidentID) error {
	return l.change(ctx, fmt.Sprintf("resolve incident %s", id), func(ctx context.Context, c *change) error {
		i, err := c.incident(ctx, id)
		if err != nil || !i.ResolvedAt.IsZero() {
			return err
		}
		if err := c.keep(ctx, "incidents", `id = $1`, string(id)); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `UPDATE incidents SET resolved_at = $2 WHERE id = $1`, string(id), instant(c.now)); err != nil {
			return err
		}
		if _, err := c.record(incidentEvent("resolved", i), nil); err != nil {
			return err
		}
		i.ResolvedAt = c.now
		return c.tell(ctx, elt.NoticeResolved, i, nil)
	})
}

func (c *change) incident(ctx context.Context, id elt.IncidentID) (elt.Incident, error) {
	i, err := scanIncident(c.QueryRowContext(ctx, `SELECT `+incidentColumns+` FROM incidents WHERE id = $1`, string(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return i, unknown("incident", id)
	}
	return i, err
}

// Incidents returns incidents, the last opened first; openOnly leaves out those that are resolved.
func (l *Ledger) Incidents(ctx context.Context, openOnly bool, limit int) (incidents []elt.Incident, err error) {
	text := fmt.Sprintf(`SELECT %s FROM %s WHERE resolved_at IS NULL OR $1 = 0 ORDER BY opened_seq DESC LIMIT %d`, incidentColumns, l.table("incidents"), limited(limit))
	err = l.read(ctx, "list incidents", func(ctx context.Context, q queryer) error {
		incidents, err = collect(ctx, q, scanIncident, text, number(openOnly))
		return err
	})
	return incidents, err
}
