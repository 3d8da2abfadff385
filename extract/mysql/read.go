package mysql

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// read reads the rows of a table that are asked for, and returns how many the server says there were. The table's
// definition is locked meanwhile; going back to the savepoint keeps the snapshot and lets the lock go, except where
// MariaDB has a binary log and does not allow the user to leave it out: then it ends with the session.
func (w *session) read(ctx context.Context, t table, r extract.Request, to *parquet.Writer) (n int64, err error) {
	failed := func(err error) error {
		if to.Failed() { // the lake's error, not the source's
			return err
		}
		return fault(ctx, err, "cannot read table %s of source %s", t.info.Name, w.source.opts.Name)
	}
	if err := w.exec(ctx, "SAVEPOINT daybreak"); err != nil {
		return 0, failed(err)
	}
	defer func() {
		if w.broken {
			return
		}
		if e := w.exec(ctx, "ROLLBACK TO SAVEPOINT daybreak"); err == nil && e != nil {
			err = failed(e)
		}
	}()
	if err := w.unchanged(ctx, t); err != nil {
		return 0, failed(err)
	}
	if err := w.fits(ctx, t, r); err != nil {
		return 0, failed(err)
	}
	if n, err = w.copy(ctx, t, r, to); err != nil {
		return 0, failed(err)
	}
	return n, nil
}

// unchanged locks the table's definition and checks that it is the one of the snapshot.
func (w *session) unchanged(ctx context.Context, t table) error {
	now, err := w.describe(ctx, t.info.Name)
	switch code := elt.CodeOf(err); {
	case code == "table_missing":
		return rewritten.error(err, "table %s of source %s was dropped or renamed after the snapshot was taken", t.info.Name, w.source.opts.Name)
	case err != nil:
		return err
	case !t.same(now):
		return rewritten.error(nil, "table %s of source %s was altered, truncated or swapped after the snapshot was taken", t.info.Name, w.source.opts.Name)
	}
	return nil
}

// fits refuses rows that a condition finds: without a cursor, which is what a date of zeros says too, or with text
// that does not come to UTF-8 and back.
func (w *session) fits(ctx context.Context, t table, r extract.Request) error {
	if r.Range != nil {
		cursor := identifier(r.Range.Cursor.Name)
		row, err := w.first(ctx, t, r, "''", cursor+" IS NULL OR "+cursor+" < '0001-01-01'")
		if err != nil {
			return err
		}
		if row != nil {
			return extract.NullCursor(r, row[0])
		}
	}
	for _, as := range r.Columns {
		c, ok := t.column(as.Name)
		if !ok || c.charset == "" || as.Absent || as.Masked == extract.MaskRedact || r.Rules[as.Name].Policy != elt.Refuse {
			continue
		}
		name := identifier(c.Name)
		row, err := w.first(ctx, t, r, "HEX(LEFT(CAST("+name+" AS BINARY), 50))",
			c.lossy())
		if err != nil {
			return err
		}
		if row != nil {
			return extract.Unfit(r, as, row[0], `\x`+strings.ToLower(row[1]), "has characters that UTF-8 has no place for")
		}
	}
	return nil
}

// first returns the key, and what else is asked for, of a row that the condition holds for; nil when there is none.
func (w *session) first(ctx context.Context, t table, r extract.Request, item, condition string) ([]string, error) {
	parts := []string{"'a row without a key'"}
	for i, k := range r.Key {
		between := ", "
		if i == 0 {
			parts, between = nil, ""
		}
		parts = append(parts, literal(between+k+" = "), "COALESCE("+identifier(k)+", 'NULL')")
	}
	rows, err := w.list(ctx, "SELECT CONCAT("+strings.Join(parts, ", ")+"), "+item+" FROM "+t.name.sql()+" WHERE "+condition+" LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// copy reads the rows.
func (w *session) copy(ctx context.Context, t table, r extract.Request, to *parquet.Writer) (int64, error) {
	reader := &rowReader{request: r, to: to, batch: to.Batch()}
	items, err := reader.prepare(t)
	if err != nil {
		return 0, err
	}
	rows, err := w.query(ctx, "SELECT "+strings.Join(items, ", ")+" FROM "+t.name.sql()+rangeSQL(r.Range))
	if err != nil {
		return 0, err
	}
	if err := reader.all(rows); err != nil {
		rows.abandon()
		return 0, err
	}
	// What the server has sent by its own count.
	count, err := w.list(ctx, "SELECT FOUND_ROWS()")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(count[0][0], 10, 64)
}

// rangeSQL returns the condition for the cursor's range.
func rangeSQL(r *extract.Range) string {
	if r == nil {
		return ""
	}
	name := identifier(r.Cursor.Name)
	bound := func(x int64) string {
		if r.Cursor.Type.Kind == elt.DateKind {
			return "'" + time.Unix(x*86400, 0).UTC().Format(time.DateOnly) + "'"
		}
		return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "'"
	}
	where := " WHERE " + name + " < " + bound(r.To)
	if !r.All {
		where += " AND " + name + " >= " + bound(r.From)
	}
	return where
}
