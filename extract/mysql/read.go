package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
		if !ok || c.charset == "" || as.Masked == extract.MaskRedact {
			continue
		}
		name := identifier(c.Name)
		row, err := w.first(ctx, t, r, "HEX(LEFT(CAST("+name+" AS BINARY), 50))",
			"NOT CAST(CONVERT("+c.item+" USING "+c.charset+") AS BINARY) <=> CAST("+name+" AS BINARY)")
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
	var items []string
	for _, as := range r.Columns {
		c, ok := t.column(as.Name)
		if !ok {
			return 0, fmt.Errorf("table %s has no column %q any more", t.info.Name, as.Name)
		}
		item, decode := c.read(as, r.Mask)
		items, reader.decoders = append(items, item), append(reader.decoders, decode)
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

// rowReader appends rows to batches.
type rowReader struct {
	request  extract.Request
	to       *parquet.Writer
	batch    *parquet.Batch
	decoders []decoder
	rows     int64
}

// all takes every row.
func (r *rowReader) all(from *result) error {
	for {
		cells, err := from.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.take(cells); err != nil {
			return err
		}
	}
}

// take appends one row, and hands the batch over when it is full.
func (r *rowReader) take(cells [][]byte) (err error) {
	size := 0
	for i, raw := range cells {
		if raw == nil {
			r.batch.Columns[i].AppendNull()
			continue
		}
		if err := r.decoders[i](r.batch.Columns[i], raw); err != nil {
			return r.refuse(i, cells, err)
		}
		size += len(raw)
	}
	r.rows++
	r.batch.EndRow(size)
	if r.batch.Full() {
		r.batch, err = r.to.Flush()
	}
	return err
}

// refuse returns the error of a value that cannot be held, naming its row.
func (r *rowReader) refuse(i int, cells [][]byte, err error) error {
	var bad *unfit
	if !errors.As(err, &bad) {
		return fmt.Errorf("table %s, column %s, row %d: %w", r.request.Extraction.Table, r.request.Columns[i].Name, r.rows+1, err)
	}
	var parts []string
	for k, c := range r.request.Columns {
		if !slices.Contains(r.request.Key, c.Name) {
			continue
		}
		text := "NULL"
		v := parquet.NewVector(c.Type)
		switch {
		case k == i:
			text = bad.value
		case cells[k] != nil && r.decoders[k](v, cells[k]) == nil:
			text = v.Texts()[0]
		}
		parts = append(parts, c.Name+" = "+text)
	}
	key := strings.Join(parts, ", ")
	if key == "" {
		key = fmt.Sprintf("row %d", r.rows+1)
	}
	return extract.Unfit(r.request, r.request.Columns[i], key, bad.value, bad.why)
}
