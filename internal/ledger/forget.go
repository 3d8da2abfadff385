package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// SavedManifests returns what extractions have written to the lake and the ledger knows of, in the order of their keys.
func (l *Ledger) SavedManifests(ctx context.Context) (saved []elt.SavedManifest, err error) {
	scan := func(row scanner) (m elt.SavedManifest, err error) {
		return m, row.Scan(&m.Key, &m.Dataset, &m.Run, intoInstant{&m.SavedAt})
	}
	err = l.read(ctx, "list the manifests", func(ctx context.Context, q queryer) error {
		saved, err = collect(ctx, q, scan, `SELECT m.key, m.dataset, s.run, m.saved_at FROM manifests m JOIN steps s ON s.id = m.step ORDER BY m.key`)
		return err
	})
	return saved, err
}

// What Forget does in one transaction at a time, so that nobody waits for it for long.
const forgetAtOnce = 100

// Forget drops what the ledger knows of data dates before the given one: days, ticks, runs that have ended with their
// steps, events, and versions but those that are needed. A run whose manifest a version was made from stays. The
// audit trail is kept for ever. With dry nothing is dropped, only counted.
func (l *Ledger) Forget(ctx context.Context, before elt.Date, needed map[elt.VersionID]bool, dry bool) (f elt.Forgotten, err error) {
	versions, runs, err := l.forgettable(ctx, before, needed)
	if err != nil {
		return f, err
	}
	f = elt.Forgotten{Versions: len(versions), Runs: len(runs)}
	at := instant(before.Start(time.UTC))
	counts := []struct {
		into        *int
		table, when string
		value       any
	}{
		{&f.Days, "days", "date < $1", before.String()},
		{&f.Events, "events", "at < $1", at},
		{nil, "ticks", "date < $1", before.String()},
		{nil, "allowances", "date < $1", before.String()},
		{nil, "backfill_days", "backfill IN (SELECT id FROM backfills WHERE ended_at < $1)", at},
		{nil, "backfills", "ended_at < $1", at},
	}
	err = l.read(ctx, "count what is old", func(ctx context.Context, q queryer) error {
		for _, c := range counts {
			if c.into == nil {
				continue
			}
			if err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+c.table+` WHERE `+c.when, c.value).Scan(c.into); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || dry {
		return f, err
	}
	if err := l.forgetPast(ctx, before); err != nil {
		return f, err
	}
	for _, c := range counts {
		if err := l.drop(ctx, `DELETE FROM `+c.table+` WHERE `+c.when, c.value); err != nil {
			return f, err
		}
	}
	for some := range slices.Chunk(versions, forgetAtOnce) {
		if err := l.drop(ctx, `DELETE FROM versions WHERE id = $1`, some...); err != nil {
			return f, err
		}
	}
	for some := range slices.Chunk(runs, forgetAtOnce) {
		if err := l.dropRuns(ctx, some); err != nil {
			return f, err
		}
	}
	return f, nil
}

// forgettable returns the versions and the runs that can go.
func (l *Ledger) forgettable(ctx context.Context, before elt.Date, needed map[elt.VersionID]bool) (versions, runs []any, err error) {
	text := func(row scanner) (s string, err error) { return s, row.Scan(&s) }
	err = l.read(ctx, "look for what is old", func(ctx context.Context, q queryer) error {
		old, err := collect(ctx, q, text, `SELECT id FROM versions WHERE date < $1 AND is_current = 0 ORDER BY id`, before.String())
		if err != nil {
			return err
		}
		versions, runs = nil, nil
		for _, id := range old {
			if !needed[elt.VersionID(id)] {
				versions = append(versions, id)
			}
		}
		const ended = `SELECT id FROM runs WHERE date < $1 AND state <> 'running'
			AND NOT EXISTS (SELECT 1 FROM backfills b WHERE b.id = runs.backfill AND b.ended_at IS NULL) AND NOT EXISTS (
			SELECT 1 FROM steps JOIN manifests ON manifests.step = steps.id JOIN versions ON versions.manifest = manifests.key WHERE steps.run = runs.id)
			ORDER BY id`
		left, err := collect(ctx, q, text, ended, before.String())
		for _, id := range left {
			runs = append(runs, id)
		}
		return err
	})
	return versions, runs, err
}

// drop runs a DELETE for each value.
func (l *Ledger) drop(ctx context.Context, statement string, values ...any) error {
	return l.change(ctx, "drop what is old", func(ctx context.Context, c *change) error {
		var dropped int64
		for _, v := range values {
			n, err := c.exec(ctx, statement, v)
			if err != nil {
				return err
			}
			dropped += n
		}
		return c.forgot(dropped > 0)
	})
}

// dropRuns drops runs with everything that is theirs.
func (l *Ledger) dropRuns(ctx context.Context, runs []any) error {
	return l.change(ctx, fmt.Sprintf("drop %d old runs", len(runs)), func(ctx context.Context, c *change) error {
		for _, run := range runs {
			for _, statement := range []string{
				`DELETE FROM attempts WHERE step IN (SELECT id FROM steps WHERE run = $1)`,
				`DELETE FROM manifests WHERE step IN (SELECT id FROM steps WHERE run = $1)`,
				`DELETE FROM lent_chunks WHERE step IN (SELECT id FROM steps WHERE run = $1)`,
				`DELETE FROM lent_tables WHERE step IN (SELECT id FROM steps WHERE run = $1)`,
				`DELETE FROM steps WHERE run = $1`,
				`DELETE FROM snapshot_seats WHERE run = $1`,
				`DELETE FROM snapshots WHERE run = $1`,
				`UPDATE days SET run = NULL WHERE run = $1`,
				`DELETE FROM runs WHERE id = $1`,
			} {
				if _, err := c.exec(ctx, statement, run); err != nil {
					return err
				}
			}
		}
		return c.forgot(true)
	})
}

// forgot records that old rows are gone: whoever holds what they said reads everything again.
func (c *change) forgot(any bool) (err error) {
	if any {
		_, err = c.record(elt.Event{Kind: "ledger.forgot"}, nil)
	}
	return err
}
