package status

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

const (
	// historyDays is how far back the board reaches: the ninety cells of a row, and a day of grace.
	historyDays = 92
	// ringEvents is how many events are kept in memory for readers of the stream that reconnect.
	ringEvents = 2048
	// restPart is how much longer than a reading of the facts the feed rests after it, so that a large
	// ledger under steady work spends a fifth of its time on us and not all of it.
	restPart = 4
)

// feed keeps one snapshot of the ledger fresh and tells everybody who waits for the next.
type feed struct {
	ledger   BoardLedger
	schedule func(time.Time) map[elt.ScheduleName]elt.Tick
	location *time.Location
	now      func() time.Time
	log      *slog.Logger
	stale    time.Duration
	observe  func([]elt.Event)
	flight   singleflight.Group

	mu      sync.Mutex
	snap    *snapshot
	latest  *eta.Estimates // for the next snapshot
	checked time.Time      // by the service's clock, when the last successful look began
	changed chan struct{}
	ring    []elt.Event
	failing bool
	wasOld  bool

	// Of the look under way, of which there is one at a time.
	lastSeq int64
	primed  bool        // the end of the event stream has been found
	news    []elt.Event // since the last snapshot
}

// view is a snapshot with its age.
type view struct {
	*snapshot
	asOf  time.Time     // the ledger's clock when the snapshot was last known to hold
	lag   time.Duration // how long ago that was
	stale bool          // nobody should rely on it
}

// current returns the latest snapshot; ok is false while there has never been one.
func (f *feed) current() (v view, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.viewLocked()
}

func (f *feed) viewLocked() (view, bool) {
	if f.snap == nil {
		return view{}, false
	}
	v := view{snapshot: f.snap, lag: max(0, f.now().Sub(f.checked))}
	v.asOf = f.snap.clockAt(f.checked).Truncate(time.Microsecond) // which is how ledgers tell time
	v.stale = v.lag > f.stale
	return v, true
}

// answer returns what the latest snapshot says to a request, if it was asked before.
func (f *feed) answer(uri string) (answer, bool) {
	f.mu.Lock()
	snap := f.snap
	f.mu.Unlock()
	if snap == nil {
		return answer{}, false
	}
	return snap.answers.of(uri)
}

// next returns the current view together with a channel that is closed when a newer one exists, so
// that nothing can slip between looking and waiting.
func (f *feed) next() (view, bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.viewLocked()
	return v, ok, f.changed
}

// check looks at the ledger once and takes a new snapshot if anything may have changed. Callers that
// come while a check is under way share it.
func (f *feed) check(ctx context.Context) error {
	_, err, _ := f.flight.Do("check", func() (any, error) { return nil, f.look(ctx) })
	f.note(err)
	return err
}

func (f *feed) look(ctx context.Context) error {
	began := f.now()
	revision, err := f.ledger.Revision(ctx)
	if err != nil {
		return fmt.Errorf("read the ledger's revision: %w", err)
	}
	f.mu.Lock()
	snap, estimates := f.snap, f.latest
	f.mu.Unlock()
	if snap != nil {
		if snap.estimates == estimates && !snap.outlived(revision, began) {
			f.mu.Lock()
			f.checked = began
			f.mu.Unlock()
			return nil
		}
		first := snap.estimates == nil && estimates != nil // they are news to everybody, and cost no reading
		if rest := min(restPart*snap.cost, f.stale/4); !first && began.Sub(snap.fetched) < rest {
			return nil // what is shown stays true of the moment that it names
		}
	}
	if err := f.readEvents(ctx); err != nil {
		return fmt.Errorf("read the ledger's events: %w", err)
	}
	r, err := f.read(ctx, snap, revision, began)
	if err != nil {
		return err
	}
	fresh := newSnapshot(r, estimates, f.schedule(began), f.location)
	fresh.cost = f.now().Sub(began)
	f.observe(f.news)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snap, f.checked = fresh, began
	f.ring = append(f.ring, f.news...)
	f.news = nil
	if extra := len(f.ring) - ringEvents; extra > 0 {
		f.ring = slices.Delete(f.ring, 0, extra)
	}
	f.wakeLocked()
	return nil
}

// show has the next look take a snapshot with the estimates.
func (f *feed) show(e *eta.Estimates) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = e
}

// readEvents adds what the ledger recorded since to the news. The first call begins shortly
// before the stream's end, so that a reader who reconnects after a restart misses nothing recent.
func (f *feed) readEvents(ctx context.Context) error {
	if !f.primed {
		last, err := f.lastEvent(ctx)
		if err != nil {
			return err
		}
		f.lastSeq, f.primed = max(0, last-ringEvents/2), true
	}
	for {
		events, err := f.ledger.Events(ctx, f.lastSeq, 500)
		if err != nil || len(events) == 0 {
			return err
		}
		f.lastSeq = events[len(events)-1].Seq
		f.news = append(f.news, events...)
	}
}

// lastEvent finds the newest event's number by doubling and halving: the ledger can only be asked
// whether anything comes after a number.
func (f *feed) lastEvent(ctx context.Context) (int64, error) {
	beyond := func(seq int64) (bool, error) {
		events, err := f.ledger.Events(ctx, seq, 1)
		return len(events) == 0, err
	}
	low, high := int64(0), int64(1)
	for {
		end, err := beyond(high)
		if err != nil {
			return 0, err
		}
		if end {
			break
		}
		low, high = high, high*2
	}
	for low < high {
		middle := low + (high-low)/2
		end, err := beyond(middle)
		if err != nil {
			return 0, err
		}
		if end {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// since returns the events after seq, and the channel that is closed when there are more. A reader
// that is too far behind for the ring reads a page from the ledger.
func (f *feed) since(ctx context.Context, seq int64) ([]elt.Event, <-chan struct{}, error) {
	f.mu.Lock()
	changed := f.changed
	inRing := len(f.ring) == 0 || f.ring[0].Seq <= seq+1
	var events []elt.Event
	if inRing {
		at, _ := slices.BinarySearchFunc(f.ring, seq+1, func(e elt.Event, want int64) int { return int(e.Seq - want) })
		events = slices.Clone(f.ring[at:])
	}
	f.mu.Unlock()
	if inRing {
		return events, changed, nil
	}
	events, err := f.ledger.Events(ctx, seq, 500)
	if err != nil {
		return nil, nil, fmt.Errorf("read events after %d: %w", seq, err)
	}
	return events, changed, nil
}

// newest returns the number of the newest event that was read.
func (f *feed) newest() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ring) == 0 {
		return 0
	}
	return f.ring[len(f.ring)-1].Seq
}

// note logs the first failure and the recovery, and wakes everybody once when the snapshot has become
// too old: a gate must not keep people waiting for news that cannot come.
func (f *feed) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && !f.failing:
		f.log.Error("the ledger cannot be read; the last snapshot keeps serving with its age", "error", err)
	case err == nil && f.failing:
		f.log.Info("the ledger can be read again")
	}
	f.failing = err != nil
	v, ok := f.viewLocked()
	old := !ok || v.stale
	if old && !f.wasOld {
		f.wakeLocked()
	}
	f.wasOld = old
}

func (f *feed) wakeLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}
