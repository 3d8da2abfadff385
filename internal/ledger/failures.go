package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// failingRowsKept is for how long operators can look at the rows that failed a test.
const failingRowsKept = 14 * 24 * time.Hour

// SaveFailingRows keeps some of the rows that failed a test, in place of those that an earlier attempt found, and
// forgets all that are too old. Nobody is told: the rows are no event.
func (l *Ledger) SaveFailingRows(ctx context.Context, f elt.FailingRows) error {
	return l.change(ctx, "keep the failing rows of "+f.Test, func(ctx context.Context, c *change) error {
		c.touched = true
		sample, err := document{f.Sample}.text()
		if err != nil {
			return err
		}
		if _, err := c.exec(ctx, `DELETE FROM failing_rows WHERE saved_at < $1`, instant(c.now.Add(-failingRowsKept))); err != nil {
			return err
		}
		const text = `INSERT INTO failing_rows (run, dataset, test, date, relation, sample, saved_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (run, dataset, test) DO UPDATE SET relation = excluded.relation, sample = excluded.sample, saved_at = excluded.saved_at`
		_, err = c.exec(ctx, text, string(f.Run), string(f.Dataset), f.Test, f.Date.String(), f.Table, sample, instant(c.now))
		return err
	})
}

// FailingRows returns the rows that failed a dataset's tests in a run, by test; those that are too old are not told
// even before they are deleted.
func (l *Ledger) FailingRows(ctx context.Context, run elt.RunID, d elt.DatasetName) (found []elt.FailingRows, err error) {
	text := `SELECT run, dataset, test, date, relation, sample, saved_at FROM failing_rows
		WHERE run = $1 AND dataset = $2 AND saved_at >= $3 AND ` + l.until("saved_at") + ` ORDER BY test`
	scan := func(row scanner) (f elt.FailingRows, err error) {
		err = row.Scan(&f.Run, &f.Dataset, &f.Test, intoDate{&f.Date}, &f.Table, intoDocument{&f.Sample}, intoInstant{&f.SavedAt})
		return f, err
	}
	err = l.read(ctx, fmt.Sprintf("read the failing rows of %s in run %s", d, run), func(ctx context.Context, q queryer) error {
		now, err := l.clock(ctx, q)
		if err != nil {
			return err
		}
		found, err = collect(ctx, q, scan, text, string(run), string(d), instant(now.Add(-failingRowsKept)))
		return err
	})
	return found, err
}
