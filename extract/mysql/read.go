package mysql

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// locked does something while the table's definition is locked and known to be that of the snapshot; going back to
// the savepoint keeps the snapshot and lets the lock go, except where MariaDB has a binary log and does not allow the
// user to leave it out: then it ends with the session. A savepoint that is gone went with its transaction.
func (w *session) locked(ctx context.Context, t table, do func() error) (err error) {
	if err := w.exec(ctx, "SAVEPOINT daybreak"); err != nil {
		return err
	}
	defer func() {
		if w.broken {
			return
		}
		if e := w.exec(ctx, "ROLLBACK TO SAVEPOINT daybreak"); e != nil && !isServer(e, errInterrupted) {
			w.broken = true
			err = cmp.Or(err, e)
		}
	}()
	if err := w.unchanged(ctx, t); err != nil {
		return err
	}
	return do()
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

// nullCursors refuses rows without a cursor, or counts them.
func (w *session) nullCursors(ctx context.Context, t table, r extract.Request) error {
	if r.Range == nil || r.Range.Nulls == elt.NullsInclude {
		return nil
	}
	without := t.name.sql() + " WHERE " + withoutCursor(r.Range)
	if r.Range.Nulls == elt.NullsSkip {
		rows, err := w.list(ctx, "SELECT COUNT(*) FROM "+without)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(rows[0][0], 10, 64)
		r.Facts.Skipped(n)
		return err
	}
	row, err := w.first(ctx, t, r, "''", without)
	if err == nil && row != nil {
		err = extract.NullCursor(r, row[0])
	}
	return err
}

// withoutCursor is the condition of rows that no window brings: a date of zeros means none.
func withoutCursor(r *extract.Range) string {
	name := identifier(r.Cursor.Name)
	if r.Cursor.Type.Kind == elt.Int64 {
		return name + " IS NULL"
	}
	return "(" + name + " IS NULL OR " + name + " < '0001-01-01')"
}

// fits refuses text of the chunk that does not come to UTF-8 and back.
func (w *session) fits(ctx context.Context, c chunk, r extract.Request) error {
	for _, as := range r.Columns {
		of, ok := c.table.column(as.Name)
		if !ok || of.charset == "" || as.Absent || as.Masked == extract.MaskRedact || r.Rules[as.Name].Policy != elt.Refuse {
			continue
		}
		row, err := w.first(ctx, *c.table, r, "HEX(LEFT(CAST("+identifier(of.Name)+" AS BINARY), 50))", c.sql(of.lossy()))
		if err != nil {
			return err
		}
		if row != nil {
			return extract.Unfit(r, as, row[0], `\x`+strings.ToLower(row[1]), "has characters that UTF-8 has no place for")
		}
	}
	return nil
}

// first returns the key, and what else is asked for, of the first row of from; nil when there is none.
func (w *session) first(ctx context.Context, t table, r extract.Request, item, from string) ([]string, error) {
	items := []string{item}
	for _, name := range r.Key {
		text := "CONVERT(" + identifier(name) + " USING utf8mb4)"
		if c, _ := t.column(name); c.Type.Kind == elt.Bytes {
			text = `CONCAT('\\\\x', LOWER(HEX(` + identifier(name) + ")))"
		}
		items = append(items, "COALESCE("+text+", 'NULL')")
	}
	rows, err := w.list(ctx, "SELECT "+strings.Join(items, ", ")+" FROM "+from+" LIMIT 1")
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	parts := make([]string, len(r.Key))
	for i, name := range r.Key {
		parts[i] = name + " = " + rows[0][i+1]
	}
	return []string{cmp.Or(strings.Join(parts, ", "), "a row without a key"), rows[0][0]}, nil
}

// readChunk reads the rows of a chunk, and returns how many the server says there were.
func (w *session) readChunk(ctx context.Context, c chunk, reader *rowReader) (int64, error) {
	if err := w.fits(ctx, c, reader.request); err != nil {
		return 0, err
	}
	before := reader.rows
	rows, err := w.query(ctx, "SELECT "+reader.items+" FROM "+c.sql())
	if err != nil {
		return 0, err
	}
	if err := reader.all(rows); err != nil {
		rows.abandon()
		return 0, err
	}
	if err := w.intact(ctx); err != nil {
		return 0, err
	}
	// What the server has sent by its own count.
	count, err := w.list(ctx, "SELECT FOUND_ROWS()")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(count[0][0], 10, 64)
	if err == nil && n != reader.rows-before {
		err = fmt.Errorf("the server counted %d rows of a chunk, %d came", n, reader.rows-before)
	}
	if err != nil {
		return n, err
	}
	return n, w.digest(ctx, c, reader.request)
}

// What a server warns of when it has cut a value short, or made it NULL, because a limit of its own was too small.
const (
	warnGroupConcat = "1260"
	warnPacket      = "1301"
)

// intact checks, where rows come from the wire, that the result was read in the snapshot's transaction, which a server
// may end by itself, and that no limit of the server has cut a value short.
func (w *session) intact(ctx context.Context) error {
	if w.wire == nil {
		return nil
	}
	if !w.wire.ended.inTransaction {
		w.broken = true
		return lost.error(nil, "source %s has ended the transaction of the snapshot", w.source.opts.Name)
	}
	if w.wire.ended.warnings == 0 {
		return nil
	}
	warnings, err := w.list(ctx, "SHOW WARNINGS")
	if err != nil {
		return err
	}
	for _, row := range warnings {
		if row[1] == warnGroupConcat || row[1] == warnPacket {
			return valueError.error(nil, "source %s could not send a value whole: %s", w.source.opts.Name, row[2])
		}
	}
	return nil
}

// rangeSQL returns the condition for the cursor's range.
func rangeSQL(r *extract.Range) string {
	name := identifier(r.Cursor.Name)
	bound := func(x int64) string {
		switch r.Cursor.Type.Kind {
		case elt.Int64:
			return strconv.FormatInt(x, 10)
		case elt.DateKind:
			return "'" + time.Unix(x*86400, 0).UTC().Format(time.DateOnly) + "'"
		}
		return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "'"
	}
	where := name + " IS NOT NULL"
	if !r.Open {
		where = name + " < " + bound(r.To)
		if r.All && r.Nulls == elt.NullsSkip {
			where += " AND NOT " + withoutCursor(r)
		}
	}
	if !r.All {
		where += " AND " + name + " >= " + bound(r.From)
	}
	if r.Nulls == elt.NullsInclude {
		where = "((" + where + ") OR " + withoutCursor(r) + ")"
	}
	return where
}
