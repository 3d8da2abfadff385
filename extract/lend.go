package extract

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Loans is where a worker that reads a large table lends chunks of it to others, such as a ledger that they share. Whoever
// lends decides what counts: the chunks that it finds brought, under its own lease.
type Loans interface {
	// Lend lends chunks and ends loans, and returns how all of them are doing; what is not among them is not lent.
	Lend(ctx context.Context, t elt.LentTable, turn elt.LendingTurn) ([]elt.LoanState, error)
	// EndLending ends every loan under the lease.
	EndLending(ctx context.Context, l elt.Lease) error
	// Borrow takes a chunk of a table that another worker reads in the snapshot of the seat, nil when there is none.
	Borrow(ctx context.Context, s elt.Seat, except []elt.StepID, ttl time.Duration) (*elt.Loan, error)
	// KeepLoan keeps a loan for that long, or gives it up. The code is CodeLoanLost when nobody waits for the chunk any more.
	KeepLoan(ctx context.Context, l elt.Loan, rows, bytes int64, ttl time.Duration) error
	// BringChunk hands over what came of a chunk, once or several times. The code is CodeLoanLost likewise.
	BringChunk(ctx context.Context, l elt.Loan, c *elt.BroughtChunk) error
}

// CodeLoanLost is the code with which Loans say that a chunk is not this worker's to read any more.
const CodeLoanLost elt.Code = "loan_lost"

// lentFormat is the version of how chunks are read: workers of another one do not help.
const lentFormat = 1

// lentTable is what whoever reads a chunk must know: everything that decides about what becomes of a row.
type lentTable struct {
	Format    int                     `json:"format"`
	Dataset   elt.DatasetName         `json:"dataset"`
	Source    elt.SourceName          `json:"source"`
	Table     string                  `json:"table"`
	Prefix    string                  `json:"prefix"` // of the parts' keys in the lake
	PartBytes int64                   `json:"part_bytes"`
	Columns   elt.Schema              `json:"columns"`
	Rules     map[string]elt.TypeRule `json:"rules,omitempty"`
	Key       []string                `json:"key,omitempty"`
	MaskKey   string                  `json:"mask_key,omitempty"`
	Digest    bool                    `json:"digest,omitempty"`
	Unlike    []string                `json:"unlike,omitempty"`
}

// lending is a table of which chunks are lent while it is read. All of it but its cut is for one goroutine.
type lending struct {
	x     *Extractor
	a     *attempt
	seat  *seat
	facts *Facts
	to    *parquet.Writer
	table elt.LentTable
	cut   Cut // set before anything is lent

	begun   bool
	lent    map[int]bool
	loans   []elt.LoanState // as the ledger last told
	settled []int           // that the ledger can forget
	workers map[elt.WorkerID]int

	cancel context.CancelFunc
	done   chan struct{} // closed when nobody lends any more
}

// lends has chunks of the table be lent as soon as it has been cut, where it can be.
func (x *Extractor) lends(ctx context.Context, a *attempt, in *epoch, m *elt.Manifest, r *Request, to *parquet.Writer) *lending {
	if in.seat == nil || x.opts.Loans == nil || a.Lease.Step == "" {
		return nil
	}
	text, err := json.Marshal(lentTable{
		Format: lentFormat, Dataset: m.Dataset, Source: a.Extraction.Source, Table: a.Extraction.Table, Prefix: m.Prefix(), PartBytes: x.opts.PartBytes,
		Columns: r.Columns, Rules: r.Rules, Key: r.Key, MaskKey: m.MaskKey, Digest: r.Facts.Digest, Unlike: r.Facts.Unlike,
	})
	if err != nil { // the table is read by this worker alone
		x.opts.Log.Warn("a table cannot be described to other workers", "dataset", m.Dataset, "error", err)
		return nil
	}
	a.readings++
	l := &lending{
		x: x, a: a, seat: in.seat, facts: r.Facts, to: to, lent: make(map[int]bool), workers: make(map[elt.WorkerID]int), done: make(chan struct{}),
		table: elt.LentTable{Lease: a.Lease, Seat: in.seat.place, Reading: a.readings, Table: string(text)},
	}
	ctx, l.cancel = context.WithCancel(ctx)
	r.Lend = func(cut Cut) {
		l.cut = cut
		go l.run(ctx)
	}
	return l
}

// end returns when nothing more is lent or counted, and lets everybody know who reads a chunk still.
func (l *lending) end() {
	if l == nil {
		return
	}
	l.cancel()
	if l.cut == nil {
		return
	}
	<-l.done
	if !l.begun {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.x.opts.Lease)
	defer cancel()
	failpoint.Here("extract.lending_end")
	if err := l.x.opts.Loans.EndLending(ctx, l.a.Lease); err != nil { // they find out when the step has ended
		l.x.opts.Log.Warn("the loans of a table were not ended cleanly", "dataset", l.a.Extraction.Dataset, "run", l.a.Run, "error", err)
	}
	failpoint.Here("extract.lending_ended")
}

// run lends while the table is read.
func (l *lending) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.x.beat() / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if len(l.workers) > 0 {
				l.x.opts.Log.Info("other workers have read chunks of a table", "dataset", l.a.Extraction.Dataset, "run", l.a.Run, "chunks", l.workers)
			}
			return
		case <-tick.C:
			if err := l.turn(ctx); err != nil && ctx.Err() == nil { // what is lent stays so until the ledger tells
				l.x.opts.Log.Warn("chunks of a table cannot be lent now", "dataset", l.a.Extraction.Dataset, "run", l.a.Run, "error", err)
			}
		}
	}
}

// turn takes note of what has been brought or has come back, and lends more.
func (l *lending) turn(ctx context.Context) error {
	turn := elt.LendingTurn{Recall: l.recall(), Settled: l.settled}
	if n := l.more(); n > 0 {
		chunks, err := l.cut.Lend(n)
		if err != nil {
			return err
		}
		for _, c := range chunks {
			l.lent[c.Number] = true
		}
		turn.Lend = chunks
	}
	if len(l.lent) == 0 && !turn.Any() {
		return nil
	}
	l.begun = true
	failpoint.Here("extract.lend")
	loans, err := l.x.opts.Loans.Lend(ctx, l.table, turn)
	if err != nil {
		return err
	}
	failpoint.Here("extract.lent")
	l.loans, l.settled = loans, nil
	l.tell()
	for _, s := range loans {
		if s.Brought != nil {
			l.settle(s)
		}
	}
	for number := range l.lent {
		if !slices.ContainsFunc(loans, func(s elt.LoanState) bool { return s.Number == number }) {
			delete(l.lent, number)
			l.cut.Return(number)
		}
	}
	return nil
}

// tell has the step's progress show what others are about to bring.
func (l *lending) tell() {
	var others written
	var helpers []string
	for _, s := range l.loans {
		if s.Brought != nil || s.Over || s.Worker == "" {
			continue
		}
		others.rows, others.bytes = others.rows+s.Rows, others.bytes+s.Bytes
		if name := string(s.Worker); !slices.Contains(helpers, name) {
			helpers = append(helpers, name)
		}
	}
	slices.Sort(helpers)
	l.a.count(func() { l.a.others, l.a.helpers = others, helpers })
}

// settle counts a chunk, once. One whose facts make no sense is read again.
func (l *lending) settle(s elt.LoanState) {
	l.settled = append(l.settled, s.Number)
	if !l.lent[s.Number] {
		return
	}
	delete(l.lent, s.Number)
	failpoint.Here("extract.chunk_adopt")
	if err := l.to.Adopt(s.Number, s.Brought); err != nil {
		l.x.opts.Log.Error("a chunk that another worker has read is read again", "dataset", l.a.Extraction.Dataset, "run", l.a.Run, "worker", s.Worker, "error", err)
		l.cut.Return(s.Number)
		return
	}
	if l.facts.Digest {
		l.facts.Rows(s.Brought.Source)
	}
	l.workers[s.Worker]++
	l.cut.Brought(s.Brought.Rows)
	failpoint.Here("extract.chunk_adopted")
}

// recall returns the loans that come to nothing, and, where nothing else is left to begin here, those that nobody has taken.
func (l *lending) recall() (numbers []int) {
	room := 0
	if l.cut.Left() == 0 {
		room = max(l.seat.learned().Connections-1, 1)
	}
	for _, s := range slices.Backward(l.loans) {
		switch {
		case s.Brought != nil:
		case s.Over:
			numbers = append(numbers, s.Number)
		case s.Worker == "" && room > 0:
			numbers = append(numbers, s.Number)
			room--
		}
	}
	return numbers
}

// more returns how many more chunks to lend: as many as could be begun by those who have nothing to read, or help already,
// before the next turn, but not more than their share of what is left.
func (l *lending) more() int {
	told := l.seat.learned()
	spare, helpers := 0, make(map[elt.WorkerID]bool)
	busy := 0
	for _, s := range l.loans {
		switch {
		case s.Brought != nil || s.Over:
		case s.Worker == "":
			spare++
		default:
			busy++
			helpers[s.Worker] = true
		}
	}
	others := told.Idle + len(helpers)
	if others == 0 || told.Gone {
		return 0
	}
	lanes := max(told.Connections-1, 1)
	share := l.cut.Left() * others / (others + 1)
	return min(lanes*told.Idle+max(busy, lanes*len(helpers))-spare, share)
}
