package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// seat is a row of snapshot_seats.
type seat struct {
	worker          elt.WorkerID
	snapshot, fence int64
	exports         []string
	connections     int
	idle            bool
	live            bool
	refused         string
}

// table is a snapshot with its seats, in the order of their workers.
type table struct {
	epoch, connections int
	fence              int64
	taken              *elt.SharedSnapshot
	seats              []seat
}

// others returns the live seats of other workers, whichever snapshot of the source they are at: all have connections.
func (t *table) others(w elt.WorkerID) (others []seat) {
	for _, s := range t.seats {
		if s.live && s.worker != w {
			others = append(others, s)
		}
	}
	return others
}

// kept reports whether a worker other than w is at the current snapshot.
func (t *table) kept(w elt.WorkerID) bool {
	return slices.ContainsFunc(t.others(w), func(s seat) bool { return s.snapshot == t.fence })
}

// coming reports whether a worker other than w is taking the current snapshot: those who only wait for it are not.
func (t *table) coming(w elt.WorkerID) bool {
	return t.taken == nil && slices.ContainsFunc(t.others(w), func(s seat) bool { return s.fence == t.fence })
}

// serves reports whether w may wait for the current snapshot, or join it, to read the table.
func (t *table) serves(w elt.WorkerID, d elt.DatasetName) bool {
	return t.coming(w) || t.taken != nil && slices.Contains(t.taken.Covers, d) && t.kept(w)
}

// readTable returns what workers of the run share of the source; sql.ErrNoRows when nobody ever did.
func readTable(ctx context.Context, q queryer, run elt.RunID, source elt.SourceName, now time.Time) (t table, err error) {
	const snapshot = `SELECT epoch, fence, connections, taken FROM snapshots WHERE run = $1 AND source = $2`
	if err := q.QueryRowContext(ctx, snapshot, string(run), string(source)).Scan(&t.epoch, &t.fence, &t.connections, intoDocument{&t.taken}); err != nil {
		return t, err
	}
	scan := func(row scanner) (s seat, err error) {
		var idle int
		var until time.Time
		err = row.Scan(&s.worker, &s.snapshot, &s.fence, intoDocument{&s.exports}, &s.connections, &idle, intoInstant{&until}, &s.refused)
		s.idle, s.live = idle == 1, until.After(now)
		return s, err
	}
	const seats = `SELECT worker, snapshot, fence, exports, connections, idle, lease_until, refused FROM snapshot_seats
		WHERE run = $1 AND source = $2 ORDER BY worker`
	t.seats, err = collect(ctx, q, scan, seats, string(run), string(source))
	return t, err
}

// lockTable is readTable, empty when nobody ever shared anything, for those who share it one after the other.
func (l *Ledger) lockTable(ctx context.Context, t *sql.Tx, run elt.RunID, source elt.SourceName) (at table, now time.Time, err error) {
	if _, err := t.ExecContext(ctx, `UPDATE snapshots SET epoch = epoch WHERE run = $1 AND source = $2`, string(run), string(source)); err != nil {
		return at, now, err
	}
	if now, err = l.clock(ctx, t); err != nil {
		return at, now, err
	}
	if at, err = readTable(ctx, t, run, source, now); errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return at, now, err
}

// Sit gives a worker a seat at the run's newest snapshot of the source, when that comes after the one that will not do,
// has the table, and somebody keeps it, or takes it just now. Otherwise a new snapshot begins, and the worker is to take it.
// No connection is the worker's before its first heartbeat. The error's code is source_budget where others have all
// connections.
func (l *Ledger) Sit(ctx context.Context, w elt.SeatWish, ttl time.Duration) (s elt.Seat, err error) {
	err = l.update(ctx, fmt.Sprintf("sit down at the snapshot of source %s", w.Source), func(ctx context.Context, t *sql.Tx) error {
		// The counter's lock makes those who sit down do so one after the other.
		if err := t.QueryRowContext(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value`).Scan(&s.Fence); err != nil {
			return err
		}
		at, now, err := l.lockTable(ctx, t, w.Run, w.Source)
		if err != nil {
			return err
		}
		if others := len(at.others(w.Worker)); others >= elt.Seats(w.Connections) {
			return noSeat(w, others)
		}
		s.Run, s.Source, s.Worker = w.Run, w.Source, w.Worker
		if at.epoch > w.After && at.serves(w.Worker, w.Dataset) {
			s.Epoch, s.Snapshot, s.Takes = at.epoch, at.fence, false
		} else {
			s.Epoch, s.Snapshot, s.Takes = max(at.epoch, w.After), s.Fence, true
			if at.taken != nil || s.Epoch == 0 || s.Epoch == w.After { // of one that never was nothing was read
				s.Epoch++
			}
			const begin = `INSERT INTO snapshots (run, source, epoch, fence, connections) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (run, source) DO UPDATE SET epoch = excluded.epoch, fence = excluded.fence, connections = excluded.connections, taken = NULL`
			if _, err := t.ExecContext(ctx, begin, string(w.Run), string(w.Source), s.Epoch, s.Snapshot, w.Connections); err != nil {
				return err
			}
		}
		const sit = `INSERT INTO snapshot_seats (run, source, worker, snapshot, fence, lease_until) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (run, source, worker) DO UPDATE SET snapshot = excluded.snapshot, fence = excluded.fence, lease_until = excluded.lease_until,
				exports = NULL, connections = 0, idle = 0, refused = ''`
		_, err = t.ExecContext(ctx, sit, string(w.Run), string(w.Source), string(w.Worker), s.Snapshot, s.Fence, instant(now.Add(ttl)))
		return err
	})
	return s, err
}

// noSeat refuses a worker when others have every connection of the source.
func noSeat(w elt.SeatWish, others int) error {
	return &elt.Error{
		Code: "source_budget", Class: elt.Budget,
		What: fmt.Sprintf("source %s is read by as many workers as its %d connections allow, which is %d", w.Source, w.Connections, others),
		Do:   "nothing: it is tried again; raise the source's connections, two for each worker, if its server can bear that",
	}
}

// Hold is the heartbeat of a seat. The code is seat_lost when the worker sat down anew, or its run was forgotten.
func (l *Ledger) Hold(ctx context.Context, s elt.Seat, r elt.SeatReport, ttl time.Duration) (in elt.Seating, err error) {
	err = l.update(ctx, fmt.Sprintf("hold the seat at the snapshot of source %s", s.Source), func(ctx context.Context, t *sql.Tx) error {
		at, now, err := l.lockTable(ctx, t, s.Run, s.Source)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(at.seats, func(own seat) bool { return own.worker == s.Worker && own.fence == s.Fence }) {
			return seatLost(s)
		}
		if err := tellTaken(ctx, t, s, r, &at); err != nil {
			return err
		}
		in = at.seating(s, r)
		if in.Left, err = tablesLeft(ctx, t, s); err != nil {
			return err
		}
		if in.Others > 0 {
			if in.Lent, err = tablesLent(ctx, t, s, now); err != nil {
				return err
			}
		}
		exports, err := document{r.Exports}.text()
		if err != nil {
			return err
		}
		const hold = `UPDATE snapshot_seats SET exports = $5, connections = $6, idle = $7, lease_until = $8
			WHERE run = $1 AND source = $2 AND worker = $3 AND fence = $4`
		_, err = t.ExecContext(ctx, hold, string(s.Run), string(s.Source), string(s.Worker), s.Fence,
			exports, max(in.Connections, r.Connections), number(r.Idle), instant(now.Add(ttl)))
		return err
	})
	return in, err
}

// seatLost is the answer to every write under a seat that is no longer the worker's.
func seatLost(s elt.Seat) error {
	return &elt.Error{
		Code: "seat_lost", Class: elt.Conflict,
		What: fmt.Sprintf("worker %s no longer has its seat at snapshot %d of source %s (fence %d)", s.Worker, s.Epoch, s.Source, s.Fence),
		Do:   "nothing: what was read in it stands by itself, and further tables are read in another",
	}
}

// tellTaken writes what the taker of a snapshot says of it, unless somebody else was to take it meanwhile.
func tellTaken(ctx context.Context, t *sql.Tx, s elt.Seat, r elt.SeatReport, at *table) error {
	if r.Taken == nil || at.fence != s.Fence || at.taken != nil {
		return nil
	}
	taken, err := document{r.Taken}.text()
	if err != nil {
		return err
	}
	at.taken = r.Taken
	_, err = t.ExecContext(ctx, `UPDATE snapshots SET taken = $3 WHERE run = $1 AND source = $2`, string(s.Run), string(s.Source), taken)
	return err
}

// seating works out what the worker of a seat may do.
func (t *table) seating(s elt.Seat, r elt.SeatReport) (in elt.Seating) {
	used, reading, idle, place := 0, 1, 0, 0
	for _, other := range t.others(s.Worker) {
		used += other.connections
		switch {
		case other.idle:
			idle++
		default:
			reading++
			if other.worker < s.Worker {
				place++
			}
		}
		if other.snapshot == s.Snapshot {
			in.Others++
			if other.idle {
				in.Idle++
			}
			in.Exports = append(in.Exports, other.exports...)
		}
	}
	share := 1
	if !r.Idle {
		share = elt.Share(t.connections, reading, idle, place)
	}
	in.Connections = max(min(share, t.connections-used), 0)
	takes := s.Fence == t.fence
	if in.Gone = t.fence != s.Snapshot || t.taken == nil && !takes && !t.coming(s.Worker); !in.Gone {
		in.Taken = t.taken
	}
	return in
}

// tablesLeft returns the run's tables of the source whose extraction has not ended.
func tablesLeft(ctx context.Context, q queryer, s elt.Seat) ([]elt.DatasetName, error) {
	const text = `SELECT dataset FROM steps WHERE run = $1 AND kind = 'extract' AND substr(dataset, 1, length($2)) = $2
		AND state IN ('pending', 'running', 'retrying') ORDER BY position`
	scan := func(row scanner) (d elt.DatasetName, err error) { return d, row.Scan(&d) }
	return collect(ctx, q, scan, text, string(s.Run), string(s.Source)+".")
}

// Rise gives up a seat. A worker that says why it cannot have one is not given the source's tables while others keep the
// snapshot.
func (l *Ledger) Rise(ctx context.Context, s elt.Seat, refused string) error {
	return l.update(ctx, fmt.Sprintf("leave the snapshot of source %s", s.Source), func(ctx context.Context, t *sql.Tx) error {
		text := `DELETE FROM snapshot_seats WHERE run = $1 AND source = $2 AND worker = $3 AND fence = $4`
		args := []any{string(s.Run), string(s.Source), string(s.Worker), s.Fence}
		if refused != "" {
			text = `UPDATE snapshot_seats SET refused = $5, exports = NULL, connections = 0, lease_until = NULL
				WHERE run = $1 AND source = $2 AND worker = $3 AND fence = $4`
			args = append(args, refused)
		}
		_, err := t.ExecContext(ctx, text, args...)
		return err
	})
}

// cannotSit says why the worker cannot read beside the others that read the source in this run, "" when it can: in the
// snapshot that they share, if they do.
func (c *change) cannotSit(ctx context.Context, run elt.RunID, source elt.SourceName, w elt.WorkerID) (why string, err error) {
	at, err := readTable(ctx, c, run, source, c.now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "its snapshot cannot be shared", nil
	case err != nil:
		return "", err
	}
	for _, s := range at.seats {
		switch {
		case s.worker != w || s.snapshot != at.fence:
		case s.live:
			return "", nil
		case s.refused != "":
			return s.refused, nil
		}
	}
	others := at.others(w)
	// Whoever was to take the next snapshot may be gone, while others read in the one before: then this worker takes it.
	orphan := at.taken == nil && !at.coming(w)
	switch {
	case !orphan && (at.taken == nil || !at.kept(w)):
		return "its snapshot cannot be joined now", nil
	case len(others) >= elt.Seats(at.connections):
		return fmt.Sprintf("its %d connections are for no more than %d workers", at.connections, elt.Seats(at.connections)), nil
	}
	return "", nil
}
