package ledger

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// workersKept is how long a worker that said no farewell is listed after its last sign of life.
const workersKept = 24 * time.Hour

// BeatWorker writes down that a process is alive. It raises no revision: nothing that is derived from the ledger depends
// on it.
func (l *Ledger) BeatWorker(ctx context.Context, w elt.Worker) error {
	return l.update(ctx, "note that a worker is alive", func(ctx context.Context, t *sql.Tx) error {
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		kinds, err := document{w.Kinds}.text()
		if err != nil {
			return err
		}
		const text = `INSERT INTO workers (id, host, process, command, version, kinds, threads, started_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
			ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`
		if _, err := t.ExecContext(ctx, text, string(w.ID), w.Host, w.Process, w.Command, w.Version, kinds, w.Threads, instant(now)); err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM workers WHERE seen_at < $1`, instant(now.Add(-workersKept)))
		return err
	})
}

// hasLeft is the condition of the row of a worker that has said farewell: it works at nothing. The row stays for a day, because
// who is not on the list may be at work all the same, as daybreak run is.
const hasLeft = `threads = 0`

// LeaveWorker takes a process off the list that ends as it was asked to. It works at nothing any more and holds no source's
// snapshot, so that nobody need wait to see whether it goes on with what it has begun.
func (l *Ledger) LeaveWorker(ctx context.Context, id elt.WorkerID) error {
	return l.update(ctx, "take a worker off the list", func(ctx context.Context, t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `UPDATE workers SET threads = 0 WHERE id = $1`, string(id))
		return err
	})
}

// Lead makes the worker the leader of what has that name for ttl from now, or renews that it is, unless another one leads.
func (l *Ledger) Lead(ctx context.Context, name string, w elt.WorkerID, ttl time.Duration) (leads bool, err error) {
	err = l.update(ctx, "find out who leads", func(ctx context.Context, t *sql.Tx) error {
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		const text = `INSERT INTO leaders (name, worker, lease_until) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, lease_until = excluded.lease_until
			WHERE leaders.worker = excluded.worker OR leaders.lease_until <= $4`
		r, err := t.ExecContext(ctx, text, name, string(w), instant(now.Add(ttl)), instant(now))
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		leads = n > 0
		return err
	})
	return leads && err == nil, err
}

// Resign ends the worker's leadership, so that another may lead at once.
func (l *Ledger) Resign(ctx context.Context, name string, w elt.WorkerID) error {
	return l.update(ctx, "leave the lead to another", func(ctx context.Context, t *sql.Tx) error {
		_, err := t.ExecContext(ctx, `DELETE FROM leaders WHERE name = $1 AND worker = $2`, name, string(w))
		return err
	})
}

// Workers returns the processes that work on the ledger or did lately, those that are alive first, with the steps that
// each of them holds.
func (l *Ledger) Workers(ctx context.Context) (workers []elt.Worker, err error) {
	if !l.moment.IsZero() {
		return nil, nil // the past was worked at by processes that nobody wrote down
	}
	err = l.snapshot(ctx, "list the workers", func(ctx context.Context, q queryer) error {
		now, err := l.clock(ctx, q)
		if err != nil {
			return err
		}
		scan := func(row scanner) (w elt.Worker, err error) {
			err = row.Scan(&w.ID, &w.Host, &w.Process, &w.Command, &w.Version, intoDocument{&w.Kinds}, &w.Threads, intoInstant{&w.StartedAt}, intoInstant{&w.SeenAt}, &w.Leads)
			w.Alive = now.Sub(w.SeenAt) < elt.WorkerSilence
			return w, err
		}
		const text = `SELECT id, host, process, command, version, kinds, threads, started_at, seen_at,
			EXISTS (SELECT 1 FROM leaders WHERE leaders.worker = workers.id AND leaders.lease_until > $1) FROM workers WHERE NOT (` + hasLeft + `) ORDER BY started_at, id`
		if workers, err = collect(ctx, q, scan, text, instant(now)); err != nil {
			return err
		}
		const held = `SELECT id, worker FROM steps WHERE state = 'running' AND lease_until > $1 ORDER BY run, position`
		steps, err := collect(ctx, q, func(row scanner) (s heldStep, err error) { return s, row.Scan(&s.ID, &s.worker) }, held, instant(now))
		if err != nil {
			return err
		}
		for i := range workers {
			workers[i].Steps = []elt.StepID{}
			for _, s := range steps {
				if s.worker == workers[i].ID {
					workers[i].Steps = append(workers[i].Steps, s.ID)
				}
			}
		}
		return nil
	})
	slices.SortStableFunc(workers, func(a, b elt.Worker) int {
		switch {
		case a.Alive == b.Alive:
			return 0
		case a.Alive:
			return -1
		}
		return 1
	})
	return workers, err
}

// VersionsSince returns the versions that were recorded at that moment or after it, and the moment from which to ask the
// next time. A zero time asks for all.
func (l *Ledger) VersionsSince(ctx context.Context, since time.Time) (versions []elt.Version, next time.Time, err error) {
	err = l.snapshot(ctx, "read what was published since", func(ctx context.Context, q queryer) error {
		next = since
		scan := func(row scanner) (v elt.Version, err error) {
			var at time.Time
			err = row.Scan(&v.ID, &v.Dataset, intoDate{&v.Date}, &v.Run, &v.Fence, &v.Manifest, &v.Rows, &v.Checks, intoInputs{&v.Inputs}, intoInstant{&v.PublishedAt}, &v.Restores, &v.RolledBack, &v.Level, &v.Deletes, intoInstant{&at})
			if at.After(next) {
				next = at
			}
			return v, err
		}
		text, args := `SELECT `+versionColumns+`, since FROM versions`, []any(nil)
		if !since.IsZero() {
			text, args = text+` WHERE since >= $1`, []any{instant(since)}
		}
		versions, err = collect(ctx, q, scan, text+` ORDER BY published_at, fence, id`, args...)
		return err
	})
	return versions, next, err
}
