package extract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Helpful is a Joinable in which chunks can be read that another worker has cut.
type Helpful interface {
	Joinable
	// Room takes a connection to read with, which leave gives back. It waits for one, or else leave is nil when somebody uses
	// or wants all of them.
	Room(ctx context.Context, wait bool) (leave func(), err error)
	// Wanted reports whether somebody waits for a connection who comes before those who help.
	Wanted() bool
	// ReadChunk reads a chunk of a table in a connection that Room has given.
	ReadChunk(ctx context.Context, r Request, chunk string, to *parquet.Writer) (int64, error)
}

// helper reads chunks that other workers lend, while this one has a seat at their snapshot and nothing of its own to read.
type helper struct {
	x        *Extractor
	seat     *seat
	snapshot Helpful
	free     func() bool // nothing of this worker's own is read

	lanes sync.WaitGroup

	mu      sync.Mutex
	working int          // lanes
	except  []elt.StepID // tables that this worker cannot help with
}

// works reports whether it reads, or waits for a connection to do so.
func (h *helper) works() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.working > 0
}

// end returns when nothing is read any more. Its context has ended.
func (h *helper) end() {
	if h != nil {
		h.lanes.Wait()
	}
}

// begin helps if others have lent something.
func (h *helper) begin(ctx context.Context, told elt.Seating) {
	if h == nil || told.Gone || h.works() || !h.free() || !slices.ContainsFunc(told.Lent, h.can) {
		return
	}
	h.lane(ctx, func(ctx context.Context) (func(), error) { return h.snapshot.Room(ctx, true) })
	h.seat.wake() // so that the others make room
}

// can reports whether it has not failed with the table.
func (h *helper) can(step elt.StepID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !slices.Contains(h.except, step)
}

// lane begins to read chunks one after the other, with a connection of its own, until there are no more or somebody wants it.
func (h *helper) lane(ctx context.Context, room func(context.Context) (func(), error)) {
	h.mu.Lock()
	h.working++
	h.mu.Unlock()
	h.lanes.Go(func() {
		defer func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.working--
		}()
		leave, err := room(ctx)
		if err != nil {
			return // the snapshot, or the seat, is gone
		}
		defer leave()
		for ctx.Err() == nil && h.free() {
			more, err := h.next(ctx)
			if err != nil && ctx.Err() == nil {
				h.x.opts.Log.Warn("another worker's table cannot be helped with now", "source", h.seat.place.Source, "run", h.seat.place.Run, "error", err)
			}
			if !more || h.snapshot.Wanted() {
				return
			}
		}
	})
}

// next borrows a chunk and reads it, and has another connection do the same.
func (h *helper) next(ctx context.Context) (more bool, err error) {
	h.mu.Lock()
	except := slices.Clone(h.except)
	h.mu.Unlock()
	failpoint.Here("extract.chunk_take")
	loan, err := h.x.opts.Loans.Borrow(ctx, h.seat.place, except, h.x.opts.Lease)
	if loan == nil || err != nil {
		return false, err
	}
	failpoint.Here("extract.chunk_taken")
	if leave, err := h.snapshot.Room(ctx, false); err == nil && leave != nil {
		h.lane(ctx, func(context.Context) (func(), error) { return leave, nil })
	}
	err = h.read(ctx, loan)
	switch {
	case err == nil:
		return true, nil
	case elt.CodeOf(err) == CodeLoanLost: // whoever lent it has what it wants, or is gone
		h.x.opts.Log.Info("a chunk is no longer wanted", "step", loan.Step, "chunk", loan.Number)
		return true, nil
	}
	h.mu.Lock()
	h.except = append(h.except, loan.Step)
	h.mu.Unlock()
	h.giveUp(loan)
	return false, err
}

// giveUp lets whoever lent the chunk know at once that it has to be read by somebody else.
func (h *helper) giveUp(loan *elt.Loan) {
	ctx, cancel := context.WithTimeout(context.Background(), h.x.opts.Lease)
	defer cancel()
	if err := h.x.opts.Loans.KeepLoan(ctx, *loan, 0, 0, 0); err != nil && elt.CodeOf(err) != CodeLoanLost { // its lease runs out by itself
		h.x.opts.Log.Warn("a chunk was not given up cleanly", "step", loan.Step, "chunk", loan.Number, "error", err)
	}
}

// borrowed is a chunk while it is read.
type borrowed struct {
	x       *Extractor
	loan    *elt.Loan
	table   lentTable
	request Request

	mu sync.Mutex
	so written // so far
}

// read reads the chunk into parts of its own, and hands over what is known of them.
func (h *helper) read(ctx context.Context, loan *elt.Loan) error {
	b := &borrowed{x: h.x, loan: loan}
	if err := b.understand(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer cancel(nil)
	keeping.Go(func() { b.keep(ctx, cancel) })
	to := b.writer(ctx)
	rows, err := h.snapshot.ReadChunk(ctx, b.request, loan.Chunk, to)
	if err != nil {
		to.Abort(err)
	} else {
		var c *elt.BroughtChunk
		if c, err = b.brought(to, rows); err == nil {
			failpoint.Here("extract.chunk_bring")
			err = b.bring(ctx, c)
		}
	}
	if cause := context.Cause(ctx); err != nil && elt.CodeOf(cause) == CodeLoanLost { // whatever a driver makes of it
		return cause
	}
	return err
}

// understand works out the request.
func (b *borrowed) understand() error {
	if err := json.Unmarshal([]byte(b.loan.Table), &b.table); err != nil {
		return fmt.Errorf("read what chunk is lent: %w", err)
	}
	t := b.table
	switch {
	case t.Format != lentFormat:
		return fmt.Errorf("%s is lent by a worker of another version (%d, this one reads %d)", t.Dataset, t.Format, lentFormat)
	case t.MaskKey != "" && (b.x.mask == nil || t.MaskKey != b.x.mask.ID()):
		return fmt.Errorf("%s is hashed with the key %s, which this worker does not have: give every worker the same masking key", t.Dataset, t.MaskKey)
	}
	b.request = Request{
		// What the worker's own configuration says of the table does not count here, so that nothing of its values is shown.
		Extraction: elt.Extraction{Dataset: t.Dataset, Source: t.Source, Table: t.Table, Mode: elt.Full, ColumnRules: elt.ColumnRules{Allow: []string{}}},
		Columns:    t.Columns, Rules: t.Rules, Key: t.Key, Mask: b.x.mask, Facts: &Facts{Digest: t.Digest, Unlike: t.Unlike},
		Paused: func(string) {},
	}
	return nil
}

// writer writes parts whose keys hold the loan's fence: whoever reads the chunk again writes others.
func (b *borrowed) writer(ctx context.Context) *parquet.Writer {
	t := b.table
	part := func(kind string) func(int) (parquet.Sink, error) {
		return func(i int) (parquet.Sink, error) {
			return newPart(ctx, b.x.opts.Lake, fmt.Sprintf("%s%s-lent-%d-%05d.parquet", t.Prefix, kind, b.loan.Fence, i)), nil
		}
	}
	return parquet.NewWriter(t.Columns, parquet.Options{
		PartBytes: t.PartBytes, Digests: t.Digest, Unlike: t.Unlike, Create: part("part"), CreateAside: part("quarantine"),
		Progress: func(rows, bytes int64) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.so = written{rows, bytes}
		},
	})
}

// brought is everything that is known of the rows.
func (b *borrowed) brought(to *parquet.Writer, rows int64) (*elt.BroughtChunk, error) {
	c := &elt.BroughtChunk{Rows: rows}
	var err error
	if c.Parts, c.Stats, err = to.Close(); err != nil {
		return nil, err
	}
	c.Parts = slices.DeleteFunc(c.Parts, func(p elt.Part) bool { return p.Rows == 0 })
	if c.Fidelity, c.Quarantined = to.Fidelity(); b.table.Digest {
		c.AsSource = to.AsSource()
		if c.Source, _, err = b.request.Facts.read(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// keep keeps the loan, and ends the reading when it is lost. While the ledger is away the reading goes on.
func (b *borrowed) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(min(b.x.opts.Lease/4, 5*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		so := b.so
		b.mu.Unlock()
		err := b.x.opts.Loans.KeepLoan(ctx, *b.loan, so.rows, so.bytes, b.x.opts.Lease)
		switch {
		case elt.CodeOf(err) == CodeLoanLost:
			cancel(err)
			return
		case err != nil && ctx.Err() == nil:
			b.x.opts.Log.Warn("a chunk could not be kept", "step", b.loan.Step, "chunk", b.loan.Number, "error", err)
		}
	}
}

// bring hands the chunk over, as soon as the ledger answers.
func (b *borrowed) bring(ctx context.Context, c *elt.BroughtChunk) error {
	for {
		err := b.x.opts.Loans.BringChunk(ctx, *b.loan, c)
		if err == nil {
			failpoint.Here("extract.chunk_brought")
			b.x.opts.Log.Info("read a chunk for another worker", "step", b.loan.Step, "chunk", b.loan.Number, "rows", c.Rows)
			return nil
		}
		if elt.CodeOf(err) == CodeLoanLost || ctx.Err() != nil {
			return err
		}
		b.x.opts.Log.Warn("a chunk cannot be handed over now", "step", b.loan.Step, "chunk", b.loan.Number, "error", err)
		if e := pause(ctx, b.x.beat()); e != nil {
			return errors.Join(err, e)
		}
	}
}
