package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// isRead is the condition that the worker which lends a table reads it still, by the ledger's clock.
const isRead = `EXISTS (SELECT 1 FROM lent_tables AS t JOIN steps AS s ON s.id = t.step
	WHERE t.step = lent_chunks.step AND s.fence = t.fence AND s.state = 'running' AND s.lease_until > $1)`

// tablesLent returns the steps of tables of which other workers lend chunks that nobody has taken, in the snapshot of the seat.
func tablesLent(ctx context.Context, q queryer, s elt.Seat, now time.Time) ([]elt.StepID, error) {
	const text = `SELECT DISTINCT t.step FROM lent_tables AS t JOIN lent_chunks ON lent_chunks.step = t.step JOIN steps AS own ON own.id = t.step
		WHERE t.run = $2 AND t.source = $3 AND t.snapshot = $4 AND own.worker <> $5 AND lent_chunks.fence = 0 AND ` + isRead + ` ORDER BY 1`
	scan := func(row scanner) (id elt.StepID, err error) { return id, row.Scan(&id) }
	return collect(ctx, q, scan, text, instant(now), string(s.Run), string(s.Source), s.Snapshot, string(s.Worker))
}

// Lend has others read chunks of a table, under the lease of its step, and returns how all of its loans are doing: a chunk that
// is not among them is not lent, whatever became of an answer that was lost. The error's code is lease_lost.
func (l *Ledger) Lend(ctx context.Context, lent elt.LentTable, turn elt.LendingTurn) (loans []elt.LoanState, err error) {
	op := fmt.Sprintf("lend chunks of step %s", lent.Lease.Step)
	if !turn.Any() {
		err = l.read(ctx, op, func(ctx context.Context, q queryer) error {
			if err := isHeld(ctx, q, lent.Lease, op); err != nil {
				return err
			}
			now, err := l.clock(ctx, q)
			if err == nil {
				loans, err = loansOf(ctx, q, lent, now)
			}
			return err
		})
		return loans, err
	}
	err = l.update(ctx, op, func(ctx context.Context, t *sql.Tx) error {
		if err := beginLending(ctx, t, lent, op); err != nil {
			return err
		}
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		step := string(lent.Lease.Step)
		for _, c := range turn.Lend {
			const lend = `INSERT INTO lent_chunks (step, number, chunk) VALUES ($1, $2, $3) ON CONFLICT (step, number) DO NOTHING`
			if _, err := t.ExecContext(ctx, lend, step, c.Number, c.Chunk); err != nil {
				return err
			}
		}
		for _, number := range turn.Recall {
			const recall = `DELETE FROM lent_chunks WHERE step = $1 AND number = $2 AND brought IS NULL AND (fence = 0 OR lease_until IS NULL OR lease_until <= $3)`
			if _, err := t.ExecContext(ctx, recall, step, number, instant(now)); err != nil {
				return err
			}
		}
		for _, number := range turn.Settled {
			if _, err := t.ExecContext(ctx, `DELETE FROM lent_chunks WHERE step = $1 AND number = $2 AND brought IS NOT NULL`, step, number); err != nil {
				return err
			}
		}
		loans, err = loansOf(ctx, t, lent, now)
		return err
	})
	return loans, err
}

// beginLending locks the table's row, and clears what an older reading of it left. The lock comes before the look at the
// lease: whoever has lost that finds it out, however late.
func beginLending(ctx context.Context, t *sql.Tx, lent elt.LentTable, op string) error {
	step := string(lent.Lease.Step)
	row := []any{step, string(lent.Seat.Run), string(lent.Seat.Source), lent.Seat.Snapshot, lent.Lease.Fence, lent.Reading, lent.Table}
	const lock = `INSERT INTO lent_tables (step, run, source, snapshot, fence, reading, described) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (step) DO UPDATE SET step = excluded.step RETURNING fence, reading`
	var fence, reading int64
	if err := t.QueryRowContext(ctx, lock, row...).Scan(&fence, &reading); err != nil {
		return err
	}
	if err := isHeld(ctx, t, lent.Lease, op); err != nil {
		return err
	}
	if fence == lent.Lease.Fence && reading == int64(lent.Reading) {
		return nil
	}
	if _, err := t.ExecContext(ctx, `DELETE FROM lent_chunks WHERE step = $1`, step); err != nil {
		return err
	}
	const replace = `UPDATE lent_tables SET run = $2, source = $3, snapshot = $4, fence = $5, reading = $6, described = $7 WHERE step = $1`
	_, err := t.ExecContext(ctx, replace, row...)
	return err
}

// isHeld refuses who has lost the lease.
func isHeld(ctx context.Context, q queryer, lease elt.Lease, op string) error {
	var one int
	err := q.QueryRowContext(ctx, `SELECT 1 FROM steps`+held, string(lease.Step), lease.Attempt, lease.Fence).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return leaseLost(lease, op)
	}
	return err
}

func loansOf(ctx context.Context, q queryer, lent elt.LentTable, now time.Time) ([]elt.LoanState, error) {
	const text = `SELECT c.number, c.worker, c.fence, c.lease_until, c.rows, c.bytes, c.brought FROM lent_chunks AS c JOIN lent_tables AS t ON t.step = c.step
		WHERE t.step = $1 AND t.fence = $2 AND t.reading = $3 ORDER BY c.number`
	scan := func(row scanner) (s elt.LoanState, err error) {
		var fence int64
		var until time.Time
		err = row.Scan(&s.Number, &s.Worker, &fence, intoInstant{&until}, &s.Rows, &s.Bytes, intoDocument{&s.Brought})
		s.Over = fence != 0 && s.Brought == nil && !until.After(now)
		return s, err
	}
	return collect(ctx, q, scan, text, string(lent.Lease.Step), lent.Lease.Fence, lent.Reading)
}

// EndLending ends every loan of a table that is read under the lease. Whatever comes of one later finds it gone.
func (l *Ledger) EndLending(ctx context.Context, lease elt.Lease) error {
	return l.update(ctx, fmt.Sprintf("end the loans of step %s", lease.Step), func(ctx context.Context, t *sql.Tx) error {
		r, err := t.ExecContext(ctx, `UPDATE lent_tables SET step = step WHERE step = $1 AND fence = $2`, string(lease.Step), lease.Fence)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, errUnchanged)
		}
		return dropLoans(ctx, t, lease.Step)
	})
}

// dropLoans ends every loan of a step. It takes its locks in the order in which Lend does, after any counter's.
func dropLoans(ctx context.Context, t *sql.Tx, step elt.StepID) error {
	for _, text := range []string{
		`UPDATE lent_tables SET step = step WHERE step = $1`,
		`DELETE FROM lent_chunks WHERE step = $1`,
		`DELETE FROM lent_tables WHERE step = $1`,
	} {
		if _, err := t.ExecContext(ctx, text, string(step)); err != nil {
			return err
		}
	}
	return nil
}

// Borrow takes a chunk that another worker lends in the snapshot of the seat, of none of those steps; nil when there is none.
// The error's code is seat_lost when the worker no longer has its seat.
func (l *Ledger) Borrow(ctx context.Context, s elt.Seat, except []elt.StepID, ttl time.Duration) (loan *elt.Loan, err error) {
	err = l.update(ctx, fmt.Sprintf("borrow a chunk of a table of source %s", s.Source), func(ctx context.Context, t *sql.Tx) error {
		var one int
		const seated = `SELECT 1 FROM snapshot_seats WHERE run = $1 AND source = $2 AND worker = $3 AND fence = $4`
		switch err := t.QueryRowContext(ctx, seated, string(s.Run), string(s.Source), string(s.Worker), s.Fence).Scan(&one); {
		case errors.Is(err, sql.ErrNoRows):
			return seatLost(s)
		case err != nil:
			return err
		}
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		steps, err := tablesLent(ctx, t, s, now)
		if err != nil {
			return err
		}
		for _, step := range steps {
			if slices.Contains(except, step) {
				continue
			}
			if loan, err = takeLoan(ctx, t, step, s.Worker, now, ttl); loan != nil || err != nil {
				return err
			}
		}
		return errUnchanged
	})
	return loan, err
}

// takeLoan takes the first chunk of the table that nobody has taken, nil when there is none any more.
func takeLoan(ctx context.Context, t *sql.Tx, step elt.StepID, w elt.WorkerID, now time.Time, ttl time.Duration) (*elt.Loan, error) {
	loan := &elt.Loan{Step: step, Worker: w}
	if err := t.QueryRowContext(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value`).Scan(&loan.Fence); err != nil {
		return nil, err
	}
	// The counter's lock makes those who take chunks do so one after the other.
	const take = `UPDATE lent_chunks SET worker = $3, fence = $4, lease_until = $5
		WHERE step = $2 AND fence = 0 AND number = (SELECT MIN(number) FROM lent_chunks AS c WHERE c.step = $2 AND c.fence = 0) AND ` + isRead + `
		RETURNING number, chunk, (SELECT described FROM lent_tables AS t WHERE t.step = lent_chunks.step)`
	err := t.QueryRowContext(ctx, take, instant(now), string(step), string(w), loan.Fence, instant(now.Add(ttl))).Scan(&loan.Number, &loan.Chunk, &loan.Table)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return loan, err
}

// loanIsHeld is the condition of every write under a loan: nobody has ended it, and whoever lends the table reads it still.
const loanIsHeld = ` WHERE step = $2 AND number = $3 AND fence = $4 AND lease_until IS NOT NULL AND brought IS NULL AND ` + isRead

// KeepLoan keeps a loan for ttl from now, and tells how far it has come; with no ttl it gives the chunk up. The code is loan_lost
// when it is the worker's no longer, or nobody wants what it brings.
func (l *Ledger) KeepLoan(ctx context.Context, loan elt.Loan, rows, bytes int64, ttl time.Duration) error {
	return l.update(ctx, fmt.Sprintf("keep chunk %d of step %s", loan.Number, loan.Step), func(ctx context.Context, t *sql.Tx) error {
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		var until any
		if ttl > 0 {
			until = instant(now.Add(ttl))
		}
		const keep = `UPDATE lent_chunks SET lease_until = $5, rows = $6, bytes = $7` + loanIsHeld
		r, err := t.ExecContext(ctx, keep, instant(now), string(loan.Step), loan.Number, loan.Fence, until, rows, bytes)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, loanLost(loan))
		}
		return nil
	})
}

// BringChunk hands over what came of a chunk. Handing it over again changes nothing. The code is loan_lost when the chunk is the
// worker's no longer: then it does not count.
func (l *Ledger) BringChunk(ctx context.Context, loan elt.Loan, c *elt.BroughtChunk) error {
	return l.update(ctx, fmt.Sprintf("bring chunk %d of step %s", loan.Number, loan.Step), func(ctx context.Context, t *sql.Tx) error {
		now, err := l.clock(ctx, t)
		if err != nil {
			return err
		}
		text, err := document{c}.text()
		if err != nil {
			return err
		}
		var bytes int64
		for _, p := range c.Parts {
			bytes += p.Bytes
		}
		const bring = `UPDATE lent_chunks SET brought = $5, rows = $6, bytes = $7` + loanIsHeld
		r, err := t.ExecContext(ctx, bring, instant(now), string(loan.Step), loan.Number, loan.Fence, text, c.Stats.Rows, bytes)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		var one int
		const there = `SELECT 1 FROM lent_chunks WHERE step = $1 AND number = $2 AND fence = $3 AND brought IS NOT NULL`
		err = t.QueryRowContext(ctx, there, string(loan.Step), loan.Number, loan.Fence).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return loanLost(loan)
		}
		return err
	})
}

// loanLost is the answer to every write under a loan that is the worker's no longer.
func loanLost(loan elt.Loan) error {
	return &elt.Error{
		Code: "loan_lost", Class: elt.Conflict,
		What: fmt.Sprintf("worker %s no longer has chunk %d of step %s (fence %d)", loan.Worker, loan.Number, loan.Step, loan.Fence),
		Do:   "nothing: the chunk is read by another worker, or its table is; what this one wrote of it does not count",
	}
}
