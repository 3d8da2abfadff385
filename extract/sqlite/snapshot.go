package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// snapshot is a read transaction. One table is read at a time.
type snapshot struct {
	source   *Source
	db       *sql.DB
	conn     *sql.Conn
	position elt.SourcePosition
	turn     chan struct{} // held by whoever uses conn
}

// Open begins the read transaction.
func (s *Source) Open(ctx context.Context, tables []elt.Extraction) (extract.Snapshot, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{source: s, db: db, turn: make(chan struct{}, 1)}
	if err := snap.begin(ctx); err != nil {
		return nil, errors.Join(fault(ctx, err, "cannot take a snapshot of source %s", s.opts.Name), snap.Close())
	}
	s.opts.Log.Debug("snapshot taken", "source", s.opts.Name, "tables", len(tables), "server", snap.position.Server)
	return snap, nil
}

func (s *snapshot) begin(ctx context.Context) (err error) {
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	taken := s.source.opts.Now().UTC()
	if _, err := s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	// The transaction sees the file as it is at its first read.
	var version string
	if err := s.conn.QueryRowContext(ctx, "SELECT sqlite_version() FROM (SELECT count(*) FROM sqlite_schema)").Scan(&version); err != nil {
		return err
	}
	s.position = elt.SourcePosition{Server: "sqlite " + version + " " + filepath.Base(s.source.opts.Path), TakenAt: taken}
	return nil
}

// Position says which moment of which file this is.
func (s *snapshot) Position() elt.SourcePosition { return s.position }

// Describe tells what a table is in this snapshot.
func (s *snapshot) Describe(ctx context.Context, table string) (info extract.TableInfo, err error) {
	err = s.use(ctx, func() error {
		info, err = s.source.describe(ctx, s.conn, table)
		return err
	})
	return info, err
}

// use runs do when nobody else uses the connection.
func (s *snapshot) use(ctx context.Context, do func() error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return do()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the transaction.
func (s *snapshot) Close() error {
	if s.conn == nil {
		return s.db.Close()
	}
	return errors.Join(s.conn.Close(), s.db.Close())
}

// Read reads a table, and compares how many rows came with how many the file counts.
func (s *snapshot) Read(ctx context.Context, r extract.Request, to *parquet.Writer) (n int64, err error) {
	err = s.use(ctx, func() error {
		n, err = s.read(ctx, r, to)
		return err
	})
	return n, err
}

func (s *snapshot) read(ctx context.Context, r extract.Request, to *parquet.Writer) (int64, error) {
	info, err := s.source.describe(ctx, s.conn, r.Extraction.Table)
	if err != nil {
		return 0, err
	}
	rows := &rowReader{request: r, to: to, batch: to.Batch()}
	if r.Facts.Digest {
		rows.digest, rows.alone = parquet.NewSourceDigest(r.Columns, r.Facts.Unlike), parquet.NewBatch(r.Columns)
	}
	items, err := rows.prepare(info)
	if err != nil {
		return 0, err
	}
	name := quote(strings.TrimPrefix(r.Extraction.Table, "main."))
	from := " FROM " + name + rangeSQL(r.Range)
	var expected int64
	if err := s.conn.QueryRowContext(ctx, "SELECT count(*)"+from).Scan(&expected); err != nil {
		return 0, fault(ctx, err, "cannot read table %s of source %s", r.Extraction.Table, s.source.opts.Name)
	}
	err = s.conn.Raw(func(raw any) error {
		// The driver's own rows: database/sql would convert and copy every value once more.
		found, err := raw.(driver.QueryerContext).QueryContext(ctx, "SELECT "+strings.Join(items, ", ")+from, nil)
		if err != nil {
			return err
		}
		err = rows.read(ctx, found)
		return errors.Join(err, found.Close())
	})
	switch {
	case err != nil && to.Failed(): // the lake's error, not the source's
		return 0, err
	case err != nil:
		return 0, fault(ctx, err, "cannot read table %s of source %s", r.Extraction.Table, s.source.opts.Name)
	}
	if rows.seen != expected {
		return 0, &elt.Error{
			Code: "rows_lost", Class: elt.Internal,
			What: fmt.Sprintf("table %s of source %s: %d rows came of %d", r.Extraction.Table, s.source.opts.Name, rows.seen, expected),
			Do:   "report it with the step's log; nothing was published",
		}
	}
	if rows.digest != nil {
		r.Facts.Rows(rows.digest.Sum())
	}
	r.Facts.Skipped(rows.skipped)
	return rows.taken, nil
}

// rangeSQL narrows the rows down by whole days. The exact range is the reader's: text of different forms can
// be compared by its date alone, and whatever is no such text must come, to be refused by name.
func rangeSQL(r *extract.Range) string {
	if r == nil {
		return ""
	}
	name := quote(r.Cursor.Name)
	if r.Cursor.Type.Kind == elt.Int64 {
		if r.All {
			return ""
		}
		return fmt.Sprintf(" WHERE %s >= %d OR %[1]s IS NULL OR typeof(%[1]s) <> 'integer'", name, r.From)
	}
	day := func(x int64, shift int) string {
		t := time.UnixMicro(x)
		if r.Cursor.Type.Kind == elt.DateKind {
			t = time.Unix(x*86400, 0)
		}
		return "'" + t.UTC().AddDate(0, 0, shift).Format(time.DateOnly) + "'"
	}
	where := name + " < " + day(r.To, 2)
	if !r.All {
		where += " AND " + name + " >= " + day(r.From, -1)
	}
	return " WHERE (" + where + ") OR " + name + " IS NULL OR typeof(" + name + ") <> 'text'" +
		" OR " + name + " NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
}

// cell is how the values of one item of the select list are taken.
type cell struct {
	column elt.Column
	accept acceptor
}

// rowReader appends rows to batches.
type rowReader struct {
	request extract.Request
	to      *parquet.Writer
	batch   *parquet.Batch
	cells   []cell
	cursor  int // the cursor's place behind the columns; -1 without a range
	seen    int64
	taken   int64
	skipped int64 // without a cursor
	// digest is taken of each row by itself, as the driver gave it and before it gets among others; nil unless wanted.
	digest *parquet.Digest
	alone  *parquet.Batch
}

// prepare returns the select list. The + before a name changes no value; it keeps the driver from turning
// text into times by the column's declared type.
func (r *rowReader) prepare(info extract.TableInfo) ([]string, error) {
	var items []string
	for _, c := range r.request.Columns {
		if c.Absent { // every value is NULL
			items, r.cells = append(items, "NULL"), append(r.cells, cell{c, acceptText})
			continue
		}
		original, ok := info.Columns.Column(c.Name)
		if !ok {
			return nil, fmt.Errorf("table %s has no column %q any more", r.request.Extraction.Table, c.Name)
		}
		item, accept := "+"+quote(c.Name), acceptorOf(c.Type)
		switch {
		case c.Masked == extract.MaskRedact:
			item, accept = "CASE WHEN "+quote(c.Name)+" IS NOT NULL THEN '"+extract.Redacted+"' END", acceptText
		case c.Masked == extract.MaskHash:
			accept = acceptHash(original.Type, r.request.Mask)
		case c.Type.Kind == elt.String && original.Type.Kind != elt.String:
			accept = acceptAsText(original.Type)
			if r.request.Rules[c.Name].Policy != elt.AsText { // the type has changed: any text will do
				accept = acceptPlain
			}
		}
		items, r.cells = append(items, item), append(r.cells, cell{c, accept})
	}
	r.cursor = -1
	if r.request.Range != nil {
		r.cursor = len(items)
		items = append(items, "+"+quote(r.request.Range.Cursor.Name))
	}
	return items, nil
}

// acceptPlain takes every value as its text.
func acceptPlain(to *parquet.Vector, value driver.Value) *extract.Misfit {
	to.AppendString(plainText(value))
	return nil
}

// acceptHash appends the hash of a value's canonical text as its type has it, or of its plain text when it has none.
func acceptHash(t elt.Type, mask *extract.Masker) acceptor {
	hasher, accept, scratch := mask.Hasher(), acceptorOf(t), parquet.NewVector(t)
	return func(to *parquet.Vector, value driver.Value) *extract.Misfit {
		scratch.Reset()
		text := plainText(value)
		if accept(scratch, value) == nil {
			text = scratch.Texts()[0]
		}
		to.AppendOctets(hasher.Hex([]byte(text)))
		return nil
	}
}

// read takes every row.
func (r *rowReader) read(ctx context.Context, from driver.Rows) error {
	row := make([]driver.Value, len(from.Columns()))
	for {
		if err := from.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r.seen++
		if r.seen%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if in, err := r.inRange(row); err != nil {
			return err
		} else if !in {
			continue
		}
		if err := r.take(row); err != nil {
			return err
		}
		if !r.batch.Full() {
			continue
		}
		var err error
		if r.batch, err = r.to.Flush(); err != nil {
			return err
		}
	}
}

func (r *rowReader) take(row []driver.Value) error {
	size := 0
	for i, c := range r.cells {
		to := r.batch.Columns[i]
		switch v := row[i].(type) {
		case nil:
			to.AppendNull()
			continue
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
		size += 8
		if bad := c.accept(to, row[i]); bad != nil {
			if left, err := r.request.Settle(r.batch, i, bad, &rowInHand{r, row}); left || err != nil {
				r.taken++
				return err
			}
		}
	}
	r.taken++
	r.batch.EndRow(size)
	if r.digest != nil {
		return r.takeAlone(row)
	}
	return nil
}

// takeAlone takes the digest of a row.
func (r *rowReader) takeAlone(row []driver.Value) error {
	r.alone.Reset()
	for i, c := range r.cells {
		if row[i] == nil || r.request.Facts.Leaves(c.column.Name) {
			r.alone.Columns[i].AppendNull()
		} else if bad := c.accept(r.alone.Columns[i], row[i]); bad != nil {
			return extract.Unfit(r.request, c.column, (&rowInHand{r, row}).Key(), bad.Value, bad.Why)
		}
	}
	r.alone.EndRow(0)
	r.digest.Add(r.alone)
	return nil
}

// inRange reports whether the row's cursor lies in the range that is asked for.
func (r *rowReader) inRange(row []driver.Value) (bool, error) {
	if r.cursor < 0 {
		return true, nil
	}
	asked, value := r.request.Range, row[r.cursor]
	if value == nil {
		switch asked.Nulls {
		case elt.NullsInclude:
			return true, nil
		case elt.NullsSkip:
			r.skipped++
			return false, nil
		}
		return false, extract.NullCursor(r.request, (&rowInHand{r, row}).Key())
	}
	at, bad := cursorOf(value, asked.Cursor.Type.Kind)
	if bad != nil {
		return false, extract.Unfit(r.request, asked.Cursor, (&rowInHand{r, row}).Key(), bad.Value, bad.Why)
	}
	return asked.Has(at), nil
}

// cursorOf returns a cursor's value in its own unit.
func cursorOf(value driver.Value, kind elt.Kind) (int64, *extract.Misfit) {
	switch kind {
	case elt.Int64:
		if n, ok := value.(int64); ok {
			return n, nil
		}
		return 0, refuse(value, "is no integer")
	case elt.DateKind:
		text, _ := value.(string)
		if days, rest, ok := cutDate(text); ok && rest == "" {
			return days, nil
		}
		return 0, refuse(value, "is no date such as 2026-01-05")
	}
	return stamp(value, kind == elt.Timestamp)
}

// rowInHand is the row that is being read, for who must tell of it.
type rowInHand struct {
	*rowReader
	row []driver.Value
}

// Key names the row by its key, or by its place.
func (r *rowInHand) Key() string {
	var parts []string
	for i, c := range r.cells {
		if slices.Contains(r.request.Key, c.column.Name) {
			text, ok := r.Text(i)
			if !ok {
				text = "NULL"
			}
			parts = append(parts, c.column.Name+" = "+text)
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("row %d", r.seen)
	}
	return strings.Join(parts, ", ")
}

// Text returns a value's text as its column has it, or as it is where the column cannot hold it.
func (r *rowInHand) Text(i int) (string, bool) {
	if r.row[i] == nil {
		return "", false
	}
	v := parquet.NewVector(r.cells[i].column.Type)
	if bad := r.cells[i].accept(v, r.row[i]); bad != nil {
		return plainText(r.row[i]), true
	}
	return v.Texts()[0], true
}
