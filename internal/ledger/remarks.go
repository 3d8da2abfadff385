package ledger

import (
	"context"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const remarkColumns = `id, at, actor, text, incident, dataset, date`

func scanRemark(row scanner) (r elt.Remark, err error) {
	err = row.Scan(&r.ID, intoInstant{&r.At}, &r.Actor, &r.Text, &r.Incident, &r.Dataset, intoDate{&r.Date})
	return r, err
}

// Remark keeps what a person says. At is the ledger's.
func (l *Ledger) Remark(ctx context.Context, r elt.Remark) (elt.Remark, error) {
	about := string(r.Dataset)
	if r.Incident != "" {
		about = string(r.Incident)
	} else if !r.Date.IsZero() {
		about += "@" + r.Date.String()
	}
	err := l.change(ctx, "keep a remark about "+about, func(ctx context.Context, c *change) error {
		if r.Incident != "" {
			in, err := c.incident(ctx, r.Incident)
			if err != nil {
				return err
			}
			r.Dataset, r.Date = "", elt.Date{}
			if _, err := c.record(incidentEvent("remarked", in), nil); err != nil {
				return err
			}
		} else if _, err := c.record(elt.Event{Kind: "remark.pinned", Dataset: r.Dataset, Date: r.Date}, nil); err != nil {
			return err
		}
		r.ID, r.At = elt.RemarkID(fmt.Sprintf("remark-%d", c.seq)), c.now
		row := []any{string(r.ID), c.seq, string(r.Incident), string(r.Dataset), r.Date.String(), r.Text, r.Actor, instant(c.now)}
		if err := c.insert(ctx, "remarks (id, seq, incident, dataset, date, text, actor, at)", [][]any{row}); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: r.Actor, Action: "remark", Target: about, Reason: r.Text})
	})
	return r, err
}

// RemoveRemark takes a remark down; it stays in the audit trail. Removing it again changes nothing.
func (l *Ledger) RemoveRemark(ctx context.Context, id elt.RemarkID, actor string) error {
	return l.change(ctx, "remove "+string(id), func(ctx context.Context, c *change) error {
		found, err := collect(ctx, c, scanRemark, `SELECT `+remarkColumns+` FROM remarks WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return unknown("remark", id)
		}
		n, err := c.exec(ctx, `UPDATE remarks SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL`, instant(c.now), string(id))
		if err != nil || n == 0 {
			return err
		}
		if _, err := c.record(elt.Event{Kind: "remark.removed", Dataset: found[0].Dataset, Date: found[0].Date}, nil); err != nil {
			return err
		}
		return c.audit(ctx, elt.AuditEntry{Actor: actor, Action: "remark.remove", Target: string(id), Reason: found[0].Text})
	})
}

// Remarks returns what stands about an incident, or about a dataset and each of its days, the latest first.
func (l *Ledger) Remarks(ctx context.Context, incident elt.IncidentID, dataset elt.DatasetName, limit int) (remarks []elt.Remark, err error) {
	stands := `removed_at IS NULL`
	if !l.moment.IsZero() {
		stands = `(removed_at IS NULL OR NOT ` + l.until("removed_at") + `) AND ` + l.until("at")
	}
	text := fmt.Sprintf(`SELECT %s FROM remarks WHERE %s AND ((incident <> '' AND incident = $1) OR (dataset <> '' AND dataset = $2)) ORDER BY seq DESC LIMIT %d`,
		remarkColumns, stands, limited(limit))
	err = l.read(ctx, "list remarks", func(ctx context.Context, q queryer) error {
		remarks, err = collect(ctx, q, scanRemark, text, string(incident), string(dataset))
		return err
	})
	return remarks, err
}
