package ledger

import (
	"context"
	"fmt"
	"math"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Audit keeps an act of a person or a token. At is the ledger's.
func (l *Ledger) Audit(ctx context.Context, e elt.AuditEntry) error {
	return l.change(ctx, "write the audit trail", func(ctx context.Context, c *change) error { return c.audit(ctx, e) })
}

func (c *change) audit(ctx context.Context, e elt.AuditEntry) error {
	c.touched = true
	const text = `INSERT INTO audit (id, at, actor, action, target, reason)
		SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5 FROM audit`
	_, err := c.exec(ctx, text, instant(c.now), e.Actor, e.Action, e.Target, e.Reason)
	return err
}

// AuditTrail returns at most limit acts, the latest first, of those before the cursor; 0 begins at the
// latest. next is the cursor of the following page, 0 when there is none.
func (l *Ledger) AuditTrail(ctx context.Context, before int64, limit int) (entries []elt.AuditEntry, next int64, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	text := fmt.Sprintf(`SELECT id, at, actor, action, target, reason FROM audit WHERE id < $1 AND %s ORDER BY id DESC LIMIT %d`, l.until("at"), limited(limit))
	scan := func(row scanner) (e elt.AuditEntry, err error) {
		err = row.Scan(&next, intoInstant{&e.At}, &e.Actor, &e.Action, &e.Target, &e.Reason)
		return e, err
	}
	err = l.read(ctx, "read the audit trail", func(ctx context.Context, q queryer) error {
		entries, err = collect(ctx, q, scan, text, before)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if next == 1 {
		next = 0 // the first act was among them
	}
	return entries, next, nil
}
