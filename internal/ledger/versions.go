package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const versionColumns = `id, dataset, date, run, fence, manifest, rows, checks, inputs, published_at, restores, rolled_back, level, deletes`

func scanVersion(row scanner) (v elt.Version, err error) {
	err = row.Scan(&v.ID, &v.Dataset, intoDate{&v.Date}, &v.Run, &v.Fence, &v.Manifest, &v.Rows, &v.Checks, intoInputs{&v.Inputs}, intoInstant{&v.PublishedAt}, &v.Restores, &v.RolledBack, &v.Level, &v.Deletes)
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
			const text = `INSERT INTO versions (id, dataset, date, run, fence, manifest, rows, checks, inputs, published_at, restores, level, deletes, since)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (id) DO NOTHING`
			n, err := c.exec(ctx, text, string(v.ID), string(v.Dataset), v.Date.String(), string(v.Run), v.Fence, v.Manifest,
				v.Rows, string(cmp.Or(v.Checks, elt.ChecksNone)), inputs, instant(published), string(v.Restores), string(v.Level), v.Deletes, instant(c.now))
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
			if v.Restores != "" {
				detail["restores"] = v.Restores
			}
			if _, err := c.record(elt.Event{Kind: "version.published", Dataset: v.Dataset, Date: v.Date, Run: v.Run}, detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// rankVersions decides anew, after v came, what was rolled back, which version is its date's newest, and which is its
// dataset's current one. A version that was rolled back comes after all that were not.
func (c *change) rankVersions(ctx context.Context, v elt.Version) error {
	dates, err := c.rollBack(ctx, v)
	if err != nil {
		return err
	}
	const is = `CASE WHEN id = (SELECT id FROM versions WHERE dataset = $1 AND date = $2
			ORDER BY CASE WHEN rolled_back = '' THEN 0 ELSE 1 END, published_at DESC, fence DESC, id DESC LIMIT 1) THEN 1 ELSE 0 END`
	const other = `dataset = $1 AND date = $2 AND is_newest <> ` + is
	const newest = `UPDATE versions SET is_newest = 1 - is_newest WHERE ` + other
	for _, date := range dates {
		if err := c.keep(ctx, "versions", other, string(v.Dataset), date.String()); err != nil {
			return err
		}
		if _, err := c.exec(ctx, newest, string(v.Dataset), date.String()); err != nil {
			return err
		}
		if date == v.Date {
			continue
		}
		if _, err := c.record(elt.Event{Kind: "version.ranked", Dataset: v.Dataset, Date: date}, nil); err != nil {
			return err
		}
	}
	const best = `SELECT id FROM versions WHERE dataset = $1
		ORDER BY CASE WHEN rolled_back = '' THEN 0 ELSE 1 END, date DESC, published_at DESC, fence DESC, id DESC LIMIT 1`
	const current = `UPDATE versions SET is_current = CASE WHEN id = (` + best + `) THEN 1 ELSE 0 END
		WHERE dataset = $1 AND (id = $2 OR is_current = 1 OR id = (` + best + `))`
	_, err = c.exec(ctx, current, string(v.Dataset), string(v.ID))
	return err
}

// rollBack marks what was published between a version and the one that restores it, and returns the dates whose
// newest version may be another one now that v has come.
func (c *change) rollBack(ctx context.Context, v elt.Version) ([]elt.Date, error) {
	dates := []elt.Date{v.Date}
	var restored int
	const any = `SELECT COUNT(*) FROM versions WHERE dataset = $1 AND restores <> ''`
	if err := c.QueryRowContext(ctx, any, string(v.Dataset)).Scan(&restored); err != nil || restored == 0 {
		return dates, err
	}
	const why = `COALESCE((SELECT 'rolled back to the data of ' || before.date || COALESCE(', ' || (SELECT reason FROM runs WHERE runs.id = again.run), '')
		FROM versions again JOIN versions before ON before.id = again.restores
		WHERE again.dataset = versions.dataset AND before.published_at < versions.published_at AND versions.published_at < again.published_at
		ORDER BY again.published_at LIMIT 1), '')`
	const other = `dataset = $1 AND rolled_back <> ` + why
	if err := c.keep(ctx, "versions", other, string(v.Dataset)); err != nil {
		return dates, err
	}
	const text = `UPDATE versions SET rolled_back = ` + why + ` WHERE ` + other + ` RETURNING date`
	scan := func(row scanner) (d elt.Date, err error) { return d, row.Scan(intoDate{&d}) }
	changed, err := collect(ctx, c, scan, text, string(v.Dataset))
	for _, d := range changed {
		if !slices.Contains(dates, d) {
			dates = append(dates, d)
		}
	}
	return dates, err
}

// Versions returns a dataset's versions, the last published first.
func (l *Ledger) Versions(ctx context.Context, d elt.DatasetName, limit int) (versions []elt.Version, err error) {
	text := fmt.Sprintf(`SELECT %s FROM %s WHERE dataset = $1 ORDER BY published_at DESC, fence DESC, id DESC LIMIT %d`, versionColumns, l.table("versions"), limited(limit))
	err = l.read(ctx, fmt.Sprintf("list the versions of %s", d), func(ctx context.Context, q queryer) error {
		versions, err = collect(ctx, q, scanVersion, text, string(d))
		return err
	})
	return versions, err
}

// Version returns one version; code version_unknown.
func (l *Ledger) Version(ctx context.Context, id elt.VersionID) (v elt.Version, err error) {
	err = l.read(ctx, fmt.Sprintf("read version %s", id), func(ctx context.Context, q queryer) error {
		v, err = scanVersion(q.QueryRowContext(ctx, `SELECT `+versionColumns+` FROM `+l.table("versions")+` WHERE id = $1`, string(id)))
		if errors.Is(err, sql.ErrNoRows) {
			return unknown("version", string(id))
		}
		return err
	})
	return v, err
}

// Current returns the version of each dataset that people read: of its newest date that was not rolled back, the last
// published.
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
