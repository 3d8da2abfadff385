package extract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Sharing is where the workers of a run meet that read a source in one snapshot, such as a ledger that they share.
type Sharing interface {
	// Sit gives the worker a seat at the snapshot that the others keep, or at a new one, which it is to take.
	Sit(ctx context.Context, w elt.SeatWish, ttl time.Duration) (elt.Seat, error)
	// Hold keeps the seat for that long and tells how the others are doing. The code is seat_lost when it is gone.
	Hold(ctx context.Context, s elt.Seat, r elt.SeatReport, ttl time.Duration) (elt.Seating, error)
	// Rise gives the seat up; refused says why this worker cannot have one, if it cannot.
	Rise(ctx context.Context, s elt.Seat, refused string) error
}

// Shareable is a Source whose snapshots can be joined from other machines.
type Shareable interface {
	Source
	// Connections is how many all workers may have open together.
	Connections() int
	// Join opens a snapshot that others keep under these names, over the tables. The error's code is CodeConnectionLost when
	// nobody keeps it any more, and CodeElsewhere when this is not the server that has it.
	Join(ctx context.Context, tables []elt.Extraction, taken elt.SharedSnapshot, exports []string) (Snapshot, error)
}

// Joinable is a Snapshot of a Shareable.
type Joinable interface {
	Snapshot
	// Memo is what Join must know besides the position.
	Memo() (string, error)
	// Exports returns the names under which the snapshot is kept here, so that others can join it.
	Exports() []string
	// Limit has the snapshot get along with so many connections, and returns how many are open: more than that as long as
	// tables are read that had begun before.
	Limit(connections int) (open int)
}

// CodeElsewhere is the code with which Join says that the snapshot is another server's.
const CodeElsewhere elt.Code = "snapshot_elsewhere"

// codeSeatLost is the code with which Sharing says that a seat is no longer the worker's.
const codeSeatLost elt.Code = "seat_lost"

// leastToRead is how many connections a worker needs: one keeps the snapshot, the other reads.
const leastToRead = 2

// joinTries is how often joining a snapshot is tried that others say they keep, a heartbeat apart: one that is lost is not
// kept for long, and its keepers may not know yet.
const joinTries = 3

// errVacant is how a seat turns out that is at no snapshot which could be read in.
var errVacant = errors.New("nobody keeps the snapshot")

// beat is the time between two heartbeats of a seat.
func (x *Extractor) beat() time.Duration { return min(x.opts.Lease/4, time.Second) }

// sitDown opens the source's snapshot as this worker's share of it: joined where others keep one that serves the table,
// and else taken, so that others can join it.
func (n *Night) sitDown(ctx context.Context, s *shared, source Shareable, a *attempt) (*epoch, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.closing, func() { cancel(letGo(a.Extraction.Dataset)) })()
	s.mu.Lock()
	after := max(s.spent, s.refused[a.Extraction.Dataset])
	s.mu.Unlock()
	for {
		wish := elt.SeatWish{
			Run: n.run, Source: a.Extraction.Source, Worker: n.x.opts.Worker, Dataset: a.Extraction.Dataset,
			After: after, Connections: source.Connections(),
		}
		place, err := n.x.opts.Sharing.Sit(ctx, wish, n.x.opts.Lease)
		if err != nil {
			return nil, err
		}
		t := &taking{n: n, shared: s, source: source, attempt: a, place: place}
		next, err := t.open(ctx)
		switch {
		case err == nil:
			a.paused("")
			next.seat = n.hold(s, next, place, t.told)
			return next, nil
		case errors.Is(err, errVacant):
			after = max(after, t.after)
			continue
		}
		refused := ""
		if elt.CodeOf(err) == CodeElsewhere {
			refused = elt.NewFailure(err).Message
		}
		n.rise(place, refused)
		return nil, err
	}
}

// rise gives up a seat, whatever became of the context it was held under.
func (n *Night) rise(place elt.Seat, refused string) {
	ctx, cancel := context.WithTimeout(context.Background(), n.x.opts.Lease)
	defer cancel()
	if err := n.x.opts.Sharing.Rise(ctx, place, refused); err != nil { // its lease runs out by itself
		n.x.opts.Log.Warn("a seat was not given up cleanly", "source", place.Source, "run", place.Run, "error", err)
	}
}

// taking is the way from a seat to its snapshot.
type taking struct {
	n       *Night
	shared  *shared
	source  Shareable
	attempt *attempt
	place   elt.Seat
	told    elt.Seating // the latest
	after   int         // the last snapshot that is known not to serve
}

// open takes or joins the snapshot, as soon as the others leave it connections to do so.
func (t *taking) open(ctx context.Context) (*epoch, error) {
	for tried := 1; ; tried++ {
		if err := t.await(ctx); err != nil {
			return nil, err
		}
		next, err := t.enter(ctx)
		switch {
		case err == nil:
			return next, nil
		case t.place.Takes || elt.CodeOf(err) != CodeConnectionLost || ctx.Err() != nil:
			return nil, err
		case tried == joinTries:
			t.n.x.opts.Log.Warn("a snapshot that others hold cannot be joined: another is taken", "source", t.place.Source, "run", t.n.run,
				"snapshot", t.place.Epoch, "error", err)
			t.after = t.place.Epoch
			return nil, errVacant
		}
		if err := pause(ctx, t.n.x.beat()); err != nil {
			return nil, err
		}
	}
}

// await holds the seat until there are connections to take the snapshot with, or it can be joined.
func (t *taking) await(ctx context.Context) (err error) {
	for without := 0; ; {
		if t.told, err = t.n.x.opts.Sharing.Hold(ctx, t.place, elt.SeatReport{}, t.n.x.opts.Lease); err != nil {
			return err
		}
		taken := t.told.Taken
		switch {
		case t.told.Gone, !t.place.Takes && t.told.Others == 0:
			return errVacant
		case taken != nil && !slices.Contains(taken.Covers, t.attempt.Extraction.Dataset):
			t.after = t.place.Epoch
			return errVacant
		case t.told.Connections < leastToRead:
			t.attempt.paused(fmt.Sprintf("source budget (other workers use the %d connections)", t.source.Connections()))
		case t.place.Takes, taken != nil && len(t.told.Exports) > 0:
			return nil
		case taken != nil: // who kept it is about to find out that it is lost
			if without++; without == 4*joinTries {
				t.after = t.place.Epoch
				return errVacant
			}
		default:
			t.attempt.paused("another worker is taking the snapshot")
		}
		if err := pause(ctx, t.n.x.beat()/4); err != nil {
			return err
		}
	}
}

// enter takes or joins the snapshot and tells the others.
func (t *taking) enter(ctx context.Context) (*epoch, error) {
	next := &epoch{number: t.place.Epoch, users: 1}
	tables := t.tables()
	next.cover(tables)
	var err error
	if next.snapshot, err = t.reach(ctx, tables); err != nil {
		return nil, err
	}
	joinable := next.snapshot.(Joinable)
	report := elt.SeatReport{Connections: joinable.Limit(t.told.Connections), Exports: joinable.Exports()}
	memo, err := joinable.Memo()
	if err != nil {
		return nil, errors.Join(err, next.snapshot.Close())
	}
	if t.place.Takes {
		next.whole = next.number == 1 && len(tables) == len(t.shared.all)
		report.Taken = &elt.SharedSnapshot{
			Position: next.snapshot.Position(), Covers: slices.Sorted(maps.Keys(next.covers)), Whole: next.whole, Memo: memo,
		}
	} else {
		next.whole = t.told.Taken.Whole
	}
	t.told, err = t.n.x.opts.Sharing.Hold(ctx, t.place, report, t.n.x.opts.Lease)
	if err == nil && t.told.Gone {
		err = errVacant
	}
	if err != nil {
		return nil, errors.Join(err, next.snapshot.Close())
	}
	joinable.Limit(t.told.Connections)
	t.n.x.opts.Log.Info("reading a snapshot that workers share", "source", t.place.Source, "run", t.n.run, "snapshot", next.number,
		"taken", t.place.Takes, "others", t.told.Others, "connections", t.told.Connections)
	return next, nil
}

// reach opens the snapshot, or joins it, and keeps the seat meanwhile: a thousand tables take longer to lock than a seat
// lasts. It stops when the others have gone on without it.
func (t *taking) reach(ctx context.Context, tables []elt.Extraction) (snapshot Snapshot, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	told := t.told
	held := make(chan struct{})
	go func() {
		defer close(held)
		for pause(ctx, t.n.x.beat()) == nil {
			t.beat(ctx, cancel)
		}
	}()
	if t.place.Takes {
		snapshot, err = t.source.Open(ctx, tables)
	} else {
		snapshot, err = t.source.Join(ctx, tables, *told.Taken, told.Exports)
	}
	if err != nil && errors.Is(context.Cause(ctx), errVacant) {
		err = errVacant
	}
	cancel(nil)
	<-held
	return snapshot, err
}

// beat keeps the seat while its snapshot is on its way, and has the rest stop when there is no seat any more. A ledger that
// is away is no reason to.
func (t *taking) beat(ctx context.Context, stop context.CancelCauseFunc) {
	told, err := t.n.x.opts.Sharing.Hold(ctx, t.place, elt.SeatReport{Connections: leastToRead}, t.n.x.opts.Lease)
	switch {
	case elt.CodeOf(err) == codeSeatLost, err == nil && told.Gone:
		stop(errVacant)
	case err == nil:
		t.told = told
	case ctx.Err() == nil:
		t.n.x.opts.Log.Warn("a seat could not be held", "source", t.place.Source, "run", t.n.run, "error", err)
	}
}

// tables returns those that are still to be read, by the ledger, which a snapshot is taken over; of one that was taken,
// all that it covers: whoever keeps it for others keeps every table from being rewritten.
func (t *taking) tables() (tables []elt.Extraction) {
	s := t.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	tables = append(tables, t.attempt.Extraction)
	for name, e := range s.all {
		read := t.told.Left
		if t.told.Taken != nil {
			read = t.told.Taken.Covers
		}
		if name != t.attempt.Extraction.Dataset && slices.Contains(read, name) {
			tables = append(tables, e)
		}
	}
	return tables
}
