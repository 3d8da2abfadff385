package ledger

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const versionColumns = `id, dataset, date, run, fence, manifest, rows, checks, inputs, published_at`

func scanVersion(row scanner) (v elt.Version, err error) {
	err = row.Scan(&v.ID, &v.Dataset, intoDate{&v.Date}, &v.Run, &v.Fence, &v.Manifest, &v.Rows, &v.Checks, intoInputs{&v.Inputs}, intoInstant{&v.PublishedAt})
	return v, err
}

// intoInputs scans a version's inputs, {"dataset":"version",…}, by cutting the text at its quotes. Facts
// reads them by the ten thousand, and encoding/json took a sixth of its time.
type intoInputs struct {
	inputs *map[elt.DatasetName]elt.VersionID
}

func (i intoInputs) Scan(src any) error {
	text, err := asText(src)
	if err != nil || text == "" {
		*i.inputs = nil
		return err
	}
	words := strings.Split(text, `"`)
	if strings.Contains(text, `\`) || len(words)%4 != 1 {
		return intoDocument{i.inputs}.Scan(text)
	}
	*i.inputs = make(map[elt.DatasetName]elt.VersionID, len(words)/4)
	for w := words[1:]; len(w) >= 4; w = w[4:] {
		(*i.inputs)[elt.DatasetName(w[0])] = elt.VersionID(w[2])
	}
	return nil
}

// RecordVersions keeps versions that the warehouse published. One that is known already is left as it
// is, so that a whole warehouse may be reconciled at any time, in any order. No fence is given afterwards that
// is as low as one of theirs: a new ledger over an old warehouse must be able to publish.
func (l *Ledger) RecordVersions(ctx context.Context, versions []elt.Version) error {
	return l.change(ctx, fmt.Sprintf("record %d versions", len(versions)), func(ctx context.Context, c *change) error {
		for _, v := range versions {
			inputs, err := document{v.Inputs}.text()
			if err != nil {
				return err
			}
			published := v.PublishedAt
			if published.IsZero() {
				published = c.now
			}
			const text = `INSERT INTO versions (` + versionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`
			n, err := c.exec(ctx, text, string(v.ID), string(v.Dataset), v.Date.String(), string(v.Run), v.Fence, v.Manifest,
				v.Rows, string(cmp.Or(v.Checks, elt.ChecksNone)), inputs, instant(published))
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if err := c.rankVersions(ctx, v); err != nil {
				return err
			}
			if _, err := c.exec(ctx, `UPDATE counters SET value = $1 WHERE name = 'fence' AND value < $1`, v.Fence); err != nil {
				return err
			}
			detail := map[string]any{"version": v.ID, "rows": v.Rows}
			if _, err := c.record(elt.Event{Kind: "version.published", Dataset: v.Dataset, Date: v.Date, Run: v.Run}, detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// rankVersions decides anew, after v came, which version is its date's newest and which is its dataset's
// current one.
func (c *change) rankVersions(ctx context.Context, v elt.Version) error {
	const newest = `UPDATE versions SET is_newest = CASE WHEN id = (SELECT id FROM versions WHERE dataset = $1 AND date = $2
			ORDER BY published_at DESC, fence DESC, id DESC LIMIT 1) THEN 1 ELSE 0 END
		WHERE dataset = $1 AND date = $2`
	if _, err := c.exec(ctx, newest, string(v.Dataset), v.Date.String()); err != nil {
		return err
	}
	const current = `UPDATE versions SET is_current = CASE WHEN id = (SELECT id FROM versions WHERE dataset = $1
			ORDER BY date DESC, published_at DESC, fence DESC, id DESC LIMIT 1) THEN 1 ELSE 0 END
		WHERE id = $2 OR (dataset = $1 AND is_current = 1)`
	_, err := c.exec(ctx, current, string(v.Dataset), string(v.ID))
	return err
}

// Versions returns a dataset's versions, the last published first.
func (l *Ledger) Versions(ctx context.Context, d elt.DatasetName, limit int) (versions []elt.Version, err error) {
	text := fmt.Sprintf(`SELECT %s FROM versions WHERE dataset = $1 ORDER BY published_at DESC, fence DESC, id DESC LIMIT %d`, versionColumns, limited(limit))
	err = l.read(ctx, fmt.Sprintf("list the versions of %s", d), func(ctx context.Context, q queryer) error {
		versions, err = collect(ctx, q, scanVersion, text, string(d))
		return err
	})
	return versions, err
}

// Current returns the version of each dataset that people read: of its newest date, the last published.
func (l *Ledger) Current(ctx context.Context) (current map[elt.DatasetName]elt.Version, err error) {
	err = l.read(ctx, "read the current versions", func(ctx context.Context, q queryer) error {
		versions, err := collect(ctx, q, scanVersion, `SELECT `+versionColumns+` FROM versions WHERE is_current = 1`)
		current = make(map[elt.DatasetName]elt.Version, len(versions))
		for _, v := range versions {
			current[v.Dataset] = v
		}
		return err
	})
	return current, err
}
