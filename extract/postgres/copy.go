package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// copy reads one piece of a table in a session.
func (d *reading) copy(ctx context.Context, in *session, p piece, to *parquet.Writer) (int64, error) {
	name, t := d.snapshot.source.opts.Name, d.table
	rows := &rowReader{request: d.request, to: to, batch: to.Batch(), from: p.first, fields: make([]field, len(d.request.Columns))}
	var list []string
	for _, c := range d.request.Columns {
		from, ok := t.column(c.Name)
		if !ok {
			return 0, fmt.Errorf("table %s has no column %q any more", t.info.Name, c.Name)
		}
		item, decode := from.read(c, d.request.Mask)
		list, rows.decoders = append(list, item), append(rows.decoders, decode)
	}
	statement := "COPY (SELECT " + strings.Join(list, ", ") + " FROM " + p.sql(d.request.Range) + ") TO STDOUT (FORMAT binary)"
	end := inBulk(in.Conn)
	tag, err := in.PgConn().CopyTo(ctx, rows, statement)
	end()
	switch {
	case rows.err != nil:
		return 0, rows.err
	case err != nil:
		return 0, fault(ctx, err, "cannot read table %s of source %s", t.info.Name, name)
	case !rows.ended || len(rows.rest) > 0:
		return 0, &elt.Error{Code: lost.code, Class: lost.class, Do: lost.do, What: fmt.Sprintf("table %s of source %s: the rows broke off before their end", t.info.Name, name)}
	case tag.RowsAffected() != rows.rows:
		return 0, &elt.Error{
			Code: "rows_lost", Class: elt.Internal,
			What: fmt.Sprintf("table %s of source %s: %d rows came of %d, %s", t.info.Name, name, rows.rows, tag.RowsAffected(), p),
			Do:   "report it with the step's log; nothing was published",
		}
	}
	return rows.rows, nil
}

// read returns the column's item of the select list and the decoder of what it gives, masks applied.
func (c column) read(as elt.Column, mask *extract.Masker) (string, decoder) {
	name := pgx.Identifier{c.Name}.Sanitize()
	switch as.Masked {
	case extract.MaskRedact: // the values stay where they are
		return "CASE WHEN " + name + " IS NOT NULL THEN '" + extract.Redacted + "'::text END", decodeText
	case extract.MaskHash:
		hasher := mask.Hasher()
		cast := c.cast
		if cast == "" || c.Type.Kind == elt.List {
			cast = "::text"
		}
		return name + cast, func(to *parquet.Vector, raw []byte) error {
			to.AppendOctets(hasher.Hex(raw))
			return nil
		}
	}
	return name + c.cast, c.decode
}

// rangeSQL returns the condition for the cursor's range.
func rangeSQL(r *extract.Range) string {
	name := pgx.Identifier{r.Cursor.Name}.Sanitize()
	literal := func(x int64) string {
		switch r.Cursor.Type.Kind {
		case elt.DateKind:
			return "'" + time.Unix(x*86400, 0).UTC().Format(time.DateOnly) + "'::date"
		case elt.Timestamp:
			return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "+00'::timestamptz"
		}
		return "'" + time.UnixMicro(x).UTC().Format("2006-01-02 15:04:05.000000") + "'::timestamp"
	}
	where := name + " < " + literal(r.To)
	if !r.All {
		where += " AND " + name + " >= " + literal(r.From)
	}
	return where
}

// noNullCursor refuses a table in which a row has no cursor: no window would ever bring it.
func noNullCursor(ctx context.Context, in *session, t table, r extract.Request) error {
	if r.Range == nil || !r.Range.Cursor.Nullable {
		return nil
	}
	list := "'without a key'"
	if len(r.Key) > 0 {
		parts := make([]string, len(r.Key))
		for i, k := range r.Key {
			parts[i] = "'" + strings.ReplaceAll(k, "'", "''") + " = ' || coalesce(" + pgx.Identifier{k}.Sanitize() + "::text, 'NULL')"
		}
		list = strings.Join(parts, " || ', ' || ")
	}
	var key string
	err := in.QueryRow(ctx, "SELECT "+list+" FROM "+t.name.sql()+" WHERE "+pgx.Identifier{r.Range.Cursor.Name}.Sanitize()+" IS NULL LIMIT 1").Scan(&key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fault(ctx, err, "cannot read table %s of source %s", t.info.Name, r.Extraction.Source)
	}
	return extract.NullCursor(r, key)
}

// copyHeader begins a binary COPY.
const copyHeader = "PGCOPY\n\xff\r\n\x00"

// field is where a value lies in a row; a negative end is NULL.
type field struct{ from, end int }

// rowReader decodes a binary COPY while it comes, and hands full batches over.
type rowReader struct {
	request  extract.Request
	to       *parquet.Writer
	batch    *parquet.Batch
	decoders []decoder
	fields   []field
	from     int64 // the page at which reading began

	begun, ended bool
	rest         []byte // a row's beginning whose end has not come yet
	rows         int64
	err          error // why reading was ended
}

// Write implements io.Writer for what the server sends.
func (r *rowReader) Write(p []byte) (int, error) {
	data := p
	if len(r.rest) > 0 {
		r.rest = append(r.rest, p...)
		data = r.rest
	}
	for len(data) > 0 {
		n, err := r.next(data)
		if err != nil {
			r.err = err
			return 0, err
		}
		if n == 0 {
			break
		}
		data = data[n:]
	}
	r.rest = append(r.rest[:0], data...)
	return len(p), nil
}

// next decodes the header, a row or the end, and returns its length; 0 means that more must come first.
func (r *rowReader) next(data []byte) (int, error) {
	if !r.begun {
		return r.header(data)
	}
	if len(data) < 2 {
		return 0, nil
	}
	count := int(int16(binary.BigEndian.Uint16(data)))
	if count == -1 {
		r.ended = true
		return 2, nil
	}
	if count != len(r.fields) || r.ended {
		return 0, fmt.Errorf("table %s: a row of %d values came for %d columns", r.request.Extraction.Table, count, len(r.fields))
	}
	at := 2
	for i := range r.fields {
		if len(data) < at+4 {
			return 0, nil
		}
		size := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		r.fields[i] = field{at, -1}
		if size >= 0 {
			at += size
			r.fields[i].end = at
		}
	}
	if len(data) < at {
		return 0, nil
	}
	return at, r.row(data[:at])
}

func (r *rowReader) header(data []byte) (int, error) {
	const fixed = len(copyHeader) + 8
	if len(data) < fixed {
		return 0, nil
	}
	size := fixed + int(binary.BigEndian.Uint32(data[fixed-4:]))
	if string(data[:len(copyHeader)]) != copyHeader {
		return 0, errors.New("what the server sent is no binary COPY")
	}
	if len(data) < size {
		return 0, nil
	}
	r.begun = true
	return size, nil
}

// row appends one row, and hands the batch over when it is full.
func (r *rowReader) row(data []byte) (err error) {
	for i, f := range r.fields {
		if f.end < 0 {
			r.batch.Columns[i].AppendNull()
			continue
		}
		if err := r.decoders[i](r.batch.Columns[i], data[f.from:f.end]); err != nil {
			return r.refuse(i, data, err)
		}
	}
	r.rows++
	r.batch.EndRow(len(data))
	if r.batch.Full() {
		r.batch, err = r.to.Flush()
	}
	return err
}

// refuse returns the error of a value that cannot be held, naming its row.
func (r *rowReader) refuse(i int, data []byte, err error) error {
	var bad *unfit
	if !errors.As(err, &bad) {
		return fmt.Errorf("table %s, column %s, row %d: %w", r.request.Extraction.Table, r.request.Columns[i].Name, r.rows+1, err)
	}
	key := fmt.Sprintf("row %d", r.rows+1)
	if r.from > 0 {
		key += fmt.Sprintf(" from page %d on", r.from)
	}
	var parts []string
	for k, c := range r.request.Columns {
		for _, name := range r.request.Key {
			if name != c.Name {
				continue
			}
			text := "NULL"
			if f := r.fields[k]; f.end >= 0 && k != i {
				v := parquet.NewVector(c.Type)
				if r.decoders[k](v, data[f.from:f.end]) == nil {
					text = v.Texts()[0]
				}
			} else if k == i {
				text = bad.value
			}
			parts = append(parts, name+" = "+text)
		}
	}
	if len(parts) > 0 {
		key = strings.Join(parts, ", ")
	}
	return extract.Unfit(r.request, r.request.Columns[i], key, bad.value, bad.why)
}
