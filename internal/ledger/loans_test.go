package ledger_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// lender has a read a table in a snapshot that b has joined, and returns what a lends of and b's seat.
func lender(t *testing.T, l *ledger.Ledger) (elt.LentTable, elt.Seat) {
	t.Helper()
	_, steps := begin(t, l)
	lease := must(l.Claim(t.Context(), steps[0].ID, "a", hour))(t)
	a := share(t, l, "a", 8)
	return elt.LentTable{Lease: lease, Seat: a, Reading: 1, Table: "users"}, join(t, l, "b")
}

// join gives a worker that has nothing to read a seat.
func join(t *testing.T, l *ledger.Ledger, w elt.WorkerID) elt.Seat {
	t.Helper()
	s := must(l.Sit(t.Context(), wish(w, "shop.orders", 8), hour))(t)
	must(l.Hold(t.Context(), s, elt.SeatReport{Connections: 1, Idle: true}, hour))(t)
	return s
}

// chunksOf are chunks of those numbers.
func chunksOf(numbers ...int) (chunks []elt.LentChunk) {
	for _, n := range numbers {
		chunks = append(chunks, elt.LentChunk{Number: n, Chunk: "pages"})
	}
	return chunks
}

// broughtRows is what comes of a chunk of so many rows.
func broughtRows(rows int64) *elt.BroughtChunk {
	return &elt.BroughtChunk{Rows: rows, Parts: []elt.Part{{Key: "k", Rows: rows, Bytes: 10}}, Stats: elt.TableStats{Rows: rows}}
}

// TestChunksAreLent, taken each by one, kept, given up, taken back and brought; what was brought counts until it is settled.
func TestChunksAreLent(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		lent, b := lender(t, l)
		ctx := t.Context()
		lend := func(turn elt.LendingTurn, want ...elt.LoanState) {
			t.Helper()
			if diff := cmp.Diff(want, must(l.Lend(ctx, lent, turn))(t)); diff != "" {
				t.Errorf("%+v: (-want +got)\n%s", turn, diff)
			}
		}
		lend(elt.LendingTurn{})
		if in := must(l.Hold(ctx, lent.Seat, elt.SeatReport{Connections: 7}, hour))(t); in.Idle != 1 || in.Lent != nil {
			t.Errorf("the lender is told %+v", in)
		}
		three := elt.LendingTurn{Lend: chunksOf(5, 6, 7)}
		lend(three, elt.LoanState{Number: 5}, elt.LoanState{Number: 6}, elt.LoanState{Number: 7})
		lend(three, elt.LoanState{Number: 5}, elt.LoanState{Number: 6}, elt.LoanState{Number: 7}) // the answer was lost
		if in := must(l.Hold(ctx, b, elt.SeatReport{Connections: 1, Idle: true}, hour))(t); !slices.Equal(in.Lent, []elt.StepID{lent.Lease.Step}) {
			t.Errorf("b is told %+v", in)
		}
		if in := must(l.Hold(ctx, lent.Seat, elt.SeatReport{Connections: 7}, hour))(t); in.Lent != nil {
			t.Errorf("the lender is told of its own: %+v", in)
		}
		if loan := must(l.Borrow(ctx, lent.Seat, nil, hour))(t); loan != nil {
			t.Errorf("the lender borrows %+v", loan)
		}
		if loan := must(l.Borrow(ctx, b, []elt.StepID{lent.Lease.Step}, hour))(t); loan != nil {
			t.Errorf("b borrows %+v of a table that it cannot read", loan)
		}
		five := must(l.Borrow(ctx, b, nil, hour))(t)
		six := must(l.Borrow(ctx, b, nil, -time.Second))(t)
		if five.Number != 5 || six.Number != 6 || five.Fence >= six.Fence || five.Table != "users" || five.Chunk != "pages" || five.Worker != "b" {
			t.Errorf("b borrows %+v and %+v", five, six)
		}
		ok(t, l.KeepLoan(ctx, *five, 3, 30, hour))
		lend(elt.LendingTurn{Recall: []int{5}}, elt.LoanState{Number: 5, Worker: "b", Rows: 3, Bytes: 30}, elt.LoanState{Number: 6, Worker: "b", Over: true}, elt.LoanState{Number: 7})
		ok(t, l.KeepLoan(ctx, *six, 0, 0, -time.Second)) // nobody has noticed
		lend(elt.LendingTurn{Recall: []int{6, 7}}, elt.LoanState{Number: 5, Worker: "b", Rows: 3, Bytes: 30})
		wantCode(t, l.KeepLoan(ctx, *six, 0, 0, hour), "loan_lost")
		wantCode(t, l.BringChunk(ctx, *six, broughtRows(9)), "loan_lost")
		// Lent again it is another loan.
		lend(elt.LendingTurn{Lend: chunksOf(6)}, elt.LoanState{Number: 5, Worker: "b", Rows: 3, Bytes: 30}, elt.LoanState{Number: 6})
		again := must(l.Borrow(ctx, b, nil, hour))(t)
		wantCode(t, l.BringChunk(ctx, *six, broughtRows(9)), "loan_lost")
		ok(t, l.KeepLoan(ctx, *again, 0, 0, 0))
		wantCode(t, l.BringChunk(ctx, *again, broughtRows(9)), "loan_lost") // it was given up
		ok(t, l.BringChunk(ctx, *five, broughtRows(4)))
		ok(t, l.BringChunk(ctx, *five, broughtRows(4)))
		wantCode(t, l.KeepLoan(ctx, *five, 0, 0, 0), "loan_lost")
		lend(elt.LendingTurn{Recall: []int{5, 6}}, elt.LoanState{Number: 5, Worker: "b", Rows: 4, Bytes: 10, Brought: broughtRows(4)})
		lend(elt.LendingTurn{Settled: []int{5}})
		ok(t, l.EndLending(ctx, lent.Lease))
		ok(t, l.EndLending(ctx, lent.Lease))
	})
}

// TestWhatIsLentUnderALeaseThatIsLost: nobody takes it, and nothing that is brought counts; a lease that ran out and revives
// revives its loans.
func TestWhatIsLentUnderALeaseThatIsLost(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		lent, b := lender(t, l)
		ctx := t.Context()
		must(l.Lend(ctx, lent, elt.LendingTurn{Lend: chunksOf(1, 2)}))(t)
		loan := must(l.Borrow(ctx, b, nil, hour))(t)
		must(l.Heartbeat(ctx, lent.Lease, -time.Second, elt.Progress{}))(t)
		nothing := func() {
			t.Helper()
			if other := must(l.Borrow(ctx, b, nil, hour))(t); other != nil {
				t.Errorf("b borrows %+v", other)
			}
			wantCode(t, l.KeepLoan(ctx, *loan, 0, 0, hour), "loan_lost")
			wantCode(t, l.BringChunk(ctx, *loan, broughtRows(1)), "loan_lost")
		}
		nothing()
		must(l.Heartbeat(ctx, lent.Lease, hour, elt.Progress{}))(t)
		ok(t, l.KeepLoan(ctx, *loan, 0, 0, hour))
		must(l.Heartbeat(ctx, lent.Lease, -time.Second, elt.Progress{}))(t)
		next := must(l.Claim(ctx, lent.Lease.Step, "b", hour))(t)
		nothing()
		for _, turn := range []elt.LendingTurn{{}, {Lend: chunksOf(3)}} {
			_, err := l.Lend(ctx, lent, turn)
			wantCode(t, err, "lease_lost")
		}
		// The successor cuts the table anew, and its numbers have nothing to do with the others.
		anew := elt.LentTable{Lease: next, Seat: b, Reading: 1, Table: "users"}
		if loans := must(l.Lend(ctx, anew, elt.LendingTurn{Lend: chunksOf(1)}))(t); len(loans) != 1 || loans[0].Worker != "" {
			t.Errorf("the successor lends %+v", loans)
		}
		nothing()
		ok(t, l.EndLending(ctx, lent.Lease))
		if loans := must(l.Lend(ctx, anew, elt.LendingTurn{}))(t); len(loans) != 1 {
			t.Errorf("after the end of what its predecessor lent it lends %+v", loans)
		}
	})
}

// TestATableThatIsReadAgainIsLentAnew: under the same lease, too.
func TestATableThatIsReadAgainIsLentAnew(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		lent, b := lender(t, l)
		ctx := t.Context()
		must(l.Lend(ctx, lent, elt.LendingTurn{Lend: chunksOf(1, 2)}))(t)
		first := must(l.Borrow(ctx, b, nil, hour))(t)
		second := must(l.Borrow(ctx, b, nil, hour))(t)
		ok(t, l.BringChunk(ctx, *first, broughtRows(1)))
		lent.Reading = 2
		if loans := must(l.Lend(ctx, lent, elt.LendingTurn{}))(t); loans != nil {
			t.Errorf("of another reading there are %+v", loans)
		}
		if loans := must(l.Lend(ctx, lent, elt.LendingTurn{Lend: chunksOf(2)}))(t); len(loans) != 1 || loans[0].Number != 2 || loans[0].Worker != "" {
			t.Errorf("it lends %+v", loans)
		}
		wantCode(t, l.BringChunk(ctx, *second, broughtRows(1)), "loan_lost")
	})
}

// TestWhoMayBorrow: who has a seat at the very snapshot.
func TestWhoMayBorrow(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		lent, b := lender(t, l)
		ctx := t.Context()
		must(l.Lend(ctx, lent, elt.LendingTurn{Lend: chunksOf(1, 2)}))(t)
		ok(t, l.Rise(ctx, b, ""))
		_, err := l.Borrow(ctx, b, nil, hour)
		wantCode(t, err, "seat_lost")
		later := wish("b", "shop.orders", 8)
		later.After = 1
		other := must(l.Sit(ctx, later, hour))(t)
		if loan := must(l.Borrow(ctx, other, nil, hour))(t); loan != nil {
			t.Errorf("who reads another snapshot borrows %+v", loan)
		}
	})
}

// TestAChunkIsTakenByOne of many who want one at once, while the lender calls some back.
func TestAChunkIsTakenByOne(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		lent, b := lender(t, l)
		var numbers []int
		for i := range 30 {
			numbers = append(numbers, i)
		}
		must(l.Lend(t.Context(), lent, elt.LendingTurn{Lend: chunksOf(numbers...)}))(t)
		var mu sync.Mutex
		taken := make(map[int]int)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				loan, err := l.Borrow(t.Context(), b, nil, hour)
				if err != nil || loan == nil {
					t.Errorf("borrowed %+v: %v", loan, err)
					return
				}
				if err := l.BringChunk(t.Context(), *loan, broughtRows(1)); err != nil && elt.CodeOf(err) != "loan_lost" {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				taken[loan.Number]++
			})
		}
		all.Go(func() {
			if _, err := l.Lend(t.Context(), lent, elt.LendingTurn{Recall: numbers[20:]}); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		loans := must(l.Lend(t.Context(), lent, elt.LendingTurn{}))(t)
		if len(taken) != 20 || len(loans) != 20 {
			t.Errorf("20 workers took %v, and %d are lent", taken, len(loans))
		}
		for _, s := range loans {
			if taken[s.Number] != 1 || s.Brought == nil {
				t.Errorf("chunk %d was taken %d times: %+v", s.Number, taken[s.Number], s)
			}
		}
	})
}
