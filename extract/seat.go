package extract

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// seat is this worker's at a snapshot, while it is held.
type seat struct {
	place  elt.Seat
	leave  context.CancelFunc
	waking chan struct{}
	helper *helper // nil where no chunks are lent

	mu   sync.Mutex
	told elt.Seating // the latest
}

// learned is what the others told last.
func (s *seat) learned() elt.Seating {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// wake has the others learn at once that there is something to read.
func (s *seat) wake() {
	select {
	case s.waking <- struct{}{}:
	default:
	}
}

// hold keeps the seat by heartbeats until the snapshot is let go.
func (n *Night) hold(s *shared, in *epoch, place elt.Seat, told elt.Seating) *seat {
	ctx, leave := context.WithCancel(context.Background())
	kept := &seat{place: place, leave: leave, waking: make(chan struct{}, 1), told: told}
	if snapshot, ok := in.snapshot.(Helpful); ok && n.x.opts.Loans != nil {
		kept.helper = &helper{x: n.x, seat: kept, snapshot: snapshot, free: func() bool { return s.unused(in) }}
	}
	n.seats.Go(func() {
		defer n.rise(place, "")
		defer kept.helper.end()
		tick := time.NewTicker(n.x.beat())
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			case <-kept.waking:
			}
			var lost bool
			if told, lost = n.tell(ctx, s, in, kept, told); lost {
				s.learn(n, in, elt.Seating{Gone: true})
				return
			}
			s.learn(n, in, told)
			kept.helper.begin(ctx, told)
		}
	})
	return kept
}

// tell is one heartbeat. While the ledger is away the worker goes on with what it may: what it reads is its own.
func (n *Night) tell(ctx context.Context, s *shared, in *epoch, kept *seat, told elt.Seating) (_ elt.Seating, lost bool) {
	snapshot, place := in.snapshot.(Joinable), kept.place
	idle := told.Others > 0 && s.unused(in) && !kept.helper.works()
	next, err := n.x.opts.Sharing.Hold(ctx, place, elt.SeatReport{
		Connections: snapshot.Limit(told.Connections), Exports: snapshot.Exports(), Idle: idle,
	}, n.x.opts.Lease)
	switch {
	case elt.CodeOf(err) == codeSeatLost:
		return told, true
	case err != nil:
		if ctx.Err() == nil {
			n.x.opts.Log.Warn("a seat could not be held", "source", place.Source, "run", place.Run, "error", err)
		}
		return told, false
	}
	if next.Connections != told.Connections {
		n.x.opts.Log.Debug("another share of the source", "source", place.Source, "run", place.Run, "connections", next.Connections, "others", next.Others)
		snapshot.Limit(next.Connections)
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	kept.told = next
	return next, false
}

// unused reports whether nothing is read in the snapshot.
func (s *shared) unused(in *epoch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return in.users == 0
}

// learn forgets the tables that others have brought, and gives the snapshot up when there is nothing left to read in it, or
// a newer one has taken its place.
func (s *shared) learn(n *Night, in *epoch, told elt.Seating) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.retired = in.retired || told.Gone; !told.Gone {
		for name := range s.remaining {
			if !slices.Contains(told.Left, name) {
				delete(s.remaining, name)
			}
		}
	}
	if s.current != in || !told.Gone && len(told.Left) > 0 {
		return
	}
	if err := s.retire(); err != nil {
		n.x.opts.Log.Warn("a snapshot was not let go cleanly", "run", n.run, "error", err)
	}
}
