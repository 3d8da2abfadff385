package ledger_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func wish(w elt.WorkerID, d elt.DatasetName, connections int) elt.SeatWish {
	return elt.SeatWish{Run: "run-1", Source: "shop", Worker: w, Dataset: d, Connections: connections}
}

// taken is what the taker of a snapshot of both tables tells.
func taken(name string) *elt.SharedSnapshot {
	return &elt.SharedSnapshot{
		Position: elt.SourcePosition{Server: "postgres 15", Snapshot: name, TakenAt: time.Unix(1, 0).UTC()},
		Covers:   []elt.DatasetName{"shop.orders", "shop.users"}, Whole: true, Memo: "{}",
	}
}

// share takes a snapshot for w.
func share(t *testing.T, l *ledger.Ledger, w elt.WorkerID, connections int) elt.Seat {
	t.Helper()
	s := must(l.Sit(t.Context(), wish(w, "shop.users", connections), hour))(t)
	if !s.Takes {
		t.Fatalf("%s does not take the snapshot: %+v", w, s)
	}
	must(l.Hold(t.Context(), s, elt.SeatReport{Connections: 1, Exports: []string{"of " + string(w)}, Taken: taken("of " + string(w))}, hour))(t)
	return s
}

// TestOneTakesASnapshot: of many who want one at once a single worker takes it, and the others join it.
func TestOneTakesASnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		begin(t, l)
		const many = 20
		seats := make([]elt.Seat, many)
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				var err error
				if seats[i], err = l.Sit(t.Context(), wish(elt.WorkerID(rune('a'+i)), "shop.users", 2*many), hour); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		takers := 0
		for _, s := range seats {
			if s.Takes {
				takers++
			}
			if s.Epoch != 1 || s.Snapshot != seats[0].Snapshot {
				t.Errorf("%+v is at another snapshot than %+v", s, seats[0])
			}
		}
		if takers != 1 {
			t.Errorf("%d take the snapshot", takers)
		}
	})
}

// TestConnectionsAreShared: whoever comes gets its share as soon as the others have let go of it, whoever has nothing to
// read keeps one, and who goes leaves all.
func TestConnectionsAreShared(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		begin(t, l)
		a := share(t, l, "a", 7)
		hold := func(s elt.Seat, r elt.SeatReport, connections, others int) elt.Seating {
			t.Helper()
			in := must(l.Hold(t.Context(), s, r, hour))(t)
			if in.Connections != connections || in.Others != others || in.Gone {
				t.Errorf("%s with %+v may have %d connections beside %d others, expected %d and %d", s.Worker, r, in.Connections, in.Others, connections, others)
			}
			return in
		}
		exports := []string{"of a"}
		hold(a, elt.SeatReport{Connections: 7, Exports: exports}, 7, 0)
		b := must(l.Sit(t.Context(), wish("b", "shop.orders", 7), hour))(t)
		in := hold(b, elt.SeatReport{}, 0, 1)
		if diff := cmp.Diff(taken("of a"), in.Taken); diff != "" || b.Takes || !slices.Equal(in.Exports, exports) || len(in.Left) != 2 {
			t.Errorf("b joins %+v with %+v: %s", b, in, diff)
		}
		hold(a, elt.SeatReport{Connections: 6, Exports: exports}, 4, 1) // two are at work yet
		hold(b, elt.SeatReport{}, 1, 1)
		hold(a, elt.SeatReport{Connections: 4, Exports: exports}, 4, 1)
		hold(b, elt.SeatReport{Connections: 2}, 3, 1)
		hold(b, elt.SeatReport{Connections: 1, Idle: true}, 1, 1)
		hold(a, elt.SeatReport{Connections: 4, Exports: exports}, 6, 1)
		ok(t, l.Rise(t.Context(), b, ""))
		hold(a, elt.SeatReport{Connections: 6, Exports: exports}, 7, 0)
		_, err := l.Hold(t.Context(), b, elt.SeatReport{}, hour)
		wantCode(t, err, "seat_lost")
	})
}

// TestWhoMayClaimBesideAnother: another worker's tables of the source can be claimed where its snapshot is shared and there
// is a seat, and by nobody who was refused.
func TestWhoMayClaimBesideAnother(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		if strings.HasPrefix(dsn, "sqlite:") { // one process works at a time
			return
		}
		_, steps := begin(t, l)
		users, orders := steps[0].ID, steps[2].ID
		must(l.Claim(t.Context(), users, "a", hour))(t)
		refused := func(w elt.WorkerID, why string) {
			t.Helper()
			if _, err := l.Claim(t.Context(), orders, w, hour); elt.CodeOf(err) != "step_not_claimable" || !strings.Contains(err.Error(), why) {
				t.Errorf("%s claims it: %v, expected %q", w, err, why)
			}
		}
		refused("b", "worker a reads source shop in this run, and its snapshot cannot be shared")
		taking := must(l.Sit(t.Context(), wish("a", "shop.users", 4), hour))(t)
		refused("b", "its snapshot cannot be joined now")
		must(l.Hold(t.Context(), taking, elt.SeatReport{Exports: []string{"of a"}, Taken: taken("of a")}, hour))(t)
		astray := must(l.Sit(t.Context(), wish("b", "shop.orders", 4), hour))(t)
		ok(t, l.Rise(t.Context(), astray, "this is another server"))
		refused("b", "worker a reads source shop in this run, and this is another server")
		other := must(l.Sit(t.Context(), wish("c", "shop.orders", 4), hour))(t)
		refused("d", "its 4 connections are for no more than 2 workers")
		_, err := l.Sit(t.Context(), wish("d", "shop.orders", 4), hour)
		wantCode(t, err, "source_budget")
		ok(t, l.Rise(t.Context(), other, ""))
		must(l.Claim(t.Context(), orders, "d", hour))(t)
	})
}

// TestWhoWasToTakeTheSnapshotIsGone: one worker reads long in a snapshot, and another, which was to take the next one, falls
// silent. Nobody need wait until the first has ended: a third claims the table and takes the snapshot.
func TestWhoWasToTakeTheSnapshotIsGone(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		_, steps := begin(t, l)
		users, orders := steps[0].ID, steps[2].ID
		must(l.Claim(t.Context(), users, "a", hour))(t)
		reading := must(l.Sit(t.Context(), wish("a", "shop.users", 6), hour))(t)
		must(l.Hold(t.Context(), reading, elt.SeatReport{Exports: []string{"of a"}, Taken: taken("of a")}, hour))(t)
		lost := must(l.Claim(t.Context(), orders, "b", time.Microsecond))(t)
		next := wish("b", "shop.orders", 6)
		next.After = 1 // in the first one it cannot be read
		taking := must(l.Sit(t.Context(), next, time.Microsecond))(t)
		if !taking.Takes || taking.Epoch != 2 {
			t.Fatalf("b sits at %+v", taking)
		}
		if told := must(l.Hold(t.Context(), reading, elt.SeatReport{Exports: []string{"of a"}}, hour))(t); !told.Gone {
			t.Errorf("a is told %+v", told)
		}
		since := must(l.Now(t.Context()))(t)
		for !must(l.Now(t.Context()))(t).After(since) { // the clock's next instant: b is silent
		}
		lease := must(l.Claim(t.Context(), orders, "c", hour))(t)
		if lease.Fence <= lost.Fence {
			t.Errorf("the fence is %d after %d", lease.Fence, lost.Fence)
		}
		again := wish("c", "shop.orders", 6)
		if seat := must(l.Sit(t.Context(), again, hour))(t); !seat.Takes || seat.Epoch != 2 {
			t.Errorf("c sits at %+v", seat)
		}
	})
}

// TestANewSnapshotTakesThePlaceOfOneThatIsGone: after the last who kept it has fallen silent, or for a table that it cannot
// serve. Whoever wakes up finds that out.
func TestANewSnapshotTakesThePlaceOfOneThatIsGone(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		begin(t, l)
		ctx := t.Context()
		// Who takes a snapshot and dies before it has one leaves nothing behind, not even a number.
		dead := must(l.Sit(ctx, wish("dead", "shop.users", 8), -time.Second))(t)
		a := share(t, l, "a", 8)
		if a.Epoch != 1 || a.Snapshot == dead.Snapshot {
			t.Errorf("after %+v comes %+v", dead, a)
		}
		late := must(l.Hold(ctx, dead, elt.SeatReport{Exports: []string{"late"}, Taken: taken("late")}, hour))(t)
		if !late.Gone || late.Taken != nil {
			t.Errorf("who comes late is told %+v", late)
		}
		ok(t, l.Rise(ctx, dead, ""))
		must(l.Hold(ctx, a, elt.SeatReport{}, -time.Second))(t)
		// As long as nobody takes another, it revives.
		if in := must(l.Hold(ctx, a, elt.SeatReport{}, -time.Second))(t); in.Gone || in.Taken == nil {
			t.Errorf("awake again it is told %+v", in)
		}
		b := share(t, l, "b", 8)
		if b.Epoch != 2 {
			t.Errorf("b takes %+v", b)
		}
		if in := must(l.Hold(ctx, a, elt.SeatReport{Connections: 3, Exports: []string{"of a"}}, hour))(t); !in.Gone || in.Taken != nil {
			t.Errorf("awake again it is told %+v", in)
		}
		// b's share is what a has not yet let go of.
		if in := must(l.Hold(ctx, b, elt.SeatReport{}, hour))(t); in.Connections != 4 || in.Others != 0 || len(in.Exports) != 0 {
			t.Errorf("b is told %+v", in)
		}
		w := wish("a", "shop.users", 8)
		w.After = 2
		third := must(l.Sit(ctx, w, hour))(t)
		other := must(l.Sit(ctx, wish("c", "shop.refunds", 8), hour))(t)
		if !third.Takes || third.Epoch != 3 || other.Takes || other.Epoch != 3 {
			t.Errorf("for a table that the second cannot serve comes %+v, and for one of which nobody knows yet %+v", third, other)
		}
		must(l.Hold(ctx, third, elt.SeatReport{Exports: []string{"third"}, Taken: taken("third")}, hour))(t)
		if s := must(l.Sit(ctx, wish("c", "shop.refunds", 8), hour))(t); !s.Takes || s.Epoch != 4 {
			t.Errorf("for a table that the third does not cover comes %+v", s)
		}
	})
}

// TestTheTakerGivesUp: those who waited for its snapshot do not wait for one another, even when it comes back as one of them.
func TestTheTakerGivesUp(t *testing.T) {
	for name, give := range map[string]func(*testing.T, *ledger.Ledger, elt.Seat){
		"rises": func(t *testing.T, l *ledger.Ledger, s elt.Seat) { ok(t, l.Rise(t.Context(), s, "")) },
		"falls silent": func(t *testing.T, l *ledger.Ledger, s elt.Seat) {
			must(l.Hold(t.Context(), s, elt.SeatReport{}, -time.Second))(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
				begin(t, l)
				ctx := t.Context()
				sit := func(w elt.WorkerID) elt.Seat {
					t.Helper()
					return must(l.Sit(ctx, wish(w, "shop.users", 8), hour))(t)
				}
				taker, waits := sit("a"), sit("b")
				if in := must(l.Hold(ctx, waits, elt.SeatReport{}, hour))(t); !taker.Takes || waits.Takes || in.Gone {
					t.Fatalf("a has %+v and b %+v, which is told %+v", taker, waits, in)
				}
				give(t, l, taker)
				if in := must(l.Hold(ctx, waits, elt.SeatReport{}, hour))(t); !in.Gone {
					t.Errorf("b waits for nobody, and is told %+v", in)
				}
				back := sit("a")
				if !back.Takes || back.Epoch != 1 {
					t.Errorf("a comes back to %+v", back)
				}
				if again := sit("b"); again.Takes || again.Snapshot != back.Snapshot {
					t.Errorf("beside a, which takes %+v, b has %+v", back, again)
				}
			})
		})
	}
}

func TestSharesNeverExceedTheConnections(t *testing.T) {
	for connections := 1; connections <= 40; connections++ {
		for workers := 1; workers <= elt.Seats(connections); workers++ {
			for idle := range workers {
				sum := idle
				for place := range workers - idle {
					share := elt.Share(connections, workers-idle, idle, place)
					if share < min(2, connections) {
						t.Errorf("%d of %d workers with %d connections get %d", place, workers, connections, share)
					}
					sum += share
				}
				if sum != connections {
					t.Errorf("%d workers, %d of them idle, have %d connections of %d", workers, idle, sum, connections)
				}
			}
		}
	}
}
