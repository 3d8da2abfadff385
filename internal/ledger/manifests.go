package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// SaveManifest keeps what an extraction wrote to the lake, under the lease of its step: code lease_lost.
// Saving the same again changes nothing.
func (l *Ledger) SaveManifest(ctx context.Context, lease elt.Lease, m *elt.Manifest) error {
	op := fmt.Sprintf("save manifest %s", m.ObjectKey())
	return l.change(ctx, op, func(ctx context.Context, c *change) error {
		body, err := m.Encode()
		if err != nil {
			return err
		}
		n, err := c.exec(ctx, `UPDATE steps SET fence = fence`+held, string(lease.Step), lease.Attempt, lease.Fence)
		if err != nil || n == 0 {
			return orLost(err, lease, op)
		}
		const text = `INSERT INTO manifests (key, step, attempt, dataset, date, rows, bytes, parts, saved_at, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (key) DO NOTHING`
		n, err = c.exec(ctx, text, m.ObjectKey(), string(lease.Step), lease.Attempt, string(m.Dataset), m.Date.String(),
			m.Rows(), m.Bytes(), len(m.Parts), instant(c.now), string(body))
		if err != nil || n == 0 {
			return err
		}
		detail := map[string]int64{"rows": m.Rows(), "bytes": m.Bytes(), "parts": int64(len(m.Parts))}
		if q := m.SetAside(); q > 0 {
			detail["quarantined"] = q
		}
		if _, err = c.record(elt.Event{Kind: "manifest.saved", Dataset: m.Dataset, Date: m.Date, Run: m.Run, Step: lease.Step}, detail); err != nil || len(m.Changes) == 0 {
			return err
		}
		_, err = c.record(elt.Event{Kind: schemaChanged, Dataset: m.Dataset, Date: m.Date, Run: m.Run, Step: lease.Step}, changesDetail{m.Changes})
		return err
	})
}

// Manifest returns the manifest with that key in the lake; code manifest_unknown.
func (l *Ledger) Manifest(ctx context.Context, key string) (m *elt.Manifest, err error) {
	err = l.read(ctx, "read manifest "+key, func(ctx context.Context, q queryer) error {
		var body []byte
		err := q.QueryRowContext(ctx, `SELECT body FROM manifests WHERE key = $1`, key).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return unknown("manifest", key)
		}
		if err != nil {
			return err
		}
		m, err = elt.DecodeManifest(body)
		return err
	})
	return m, err
}

// schemaChanged is the kind of the events that tell how a dataset's columns changed.
const schemaChanged = "schema.changed"

type changesDetail struct {
	Changes []elt.SchemaChange `json:"changes"`
}

// SchemaChanges returns how a dataset's columns have changed, the latest first, at most limit times.
func (l *Ledger) SchemaChanges(ctx context.Context, d elt.DatasetName, limit int) (changes []elt.DatasetChanges, err error) {
	text := fmt.Sprintf(`SELECT seq, date, run, detail FROM events WHERE kind = 'schema.changed' AND dataset = $1 AND %s ORDER BY seq DESC LIMIT %d`, l.until("at"), limited(limit))
	scan := func(row scanner) (c elt.DatasetChanges, err error) {
		var detail changesDetail
		err = row.Scan(&c.Seq, intoDate{&c.Date}, &c.Run, intoDocument{&detail})
		c.Changes = detail.Changes
		return c, err
	}
	err = l.read(ctx, "read how the columns of "+string(d)+" changed", func(ctx context.Context, q queryer) error {
		changes, err = collect(ctx, q, scan, text, string(d))
		return err
	})
	return changes, err
}
