package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// copyHeader begins a binary COPY.
const copyHeader = "PGCOPY\n\xff\r\n\x00"

// field is where a value lies in a row; a negative end is NULL.
type field struct{ from, end int }

// rowReader decodes a binary COPY while it comes, and hands full batches over.
type rowReader struct {
	request  extract.Request
	to       *parquet.Writer
	batch    *parquet.Batch
	decoders []decoder // of the columns, which come first
	fields   []field
	texts    map[int]int // where a column's text comes besides; 0 where it does not
	trials   []trial
	from     int64 // the page at which reading began

	block *block // of rows that are decoded together
	odd   int    // blocks, one after the other, with a row that needed a closer look
	alone int    // how many rows are decoded by themselves after that

	begun, ended bool
	rest         []byte // a row's beginning whose end has not come yet
	rows         int64
	err          error // why reading was ended
}

// Write implements io.Writer for what the server sends.
func (r *rowReader) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
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
	return r.row(data)
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

// row appends the row that data begins with, hands the batch over when it is full, and returns the row's length. Of a row
// whose end has not come yet nothing is kept, and its length is 0.
func (r *rowReader) row(data []byte) (int, error) {
	r.rows++
	at, columns := 2, r.batch.Columns[:len(r.decoders)]
	for i, decode := range r.decoders {
		if len(data) < at+4 {
			r.takeBack(i)
			return 0, nil
		}
		size := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		if size < 0 {
			columns[i].AppendNull()
			continue
		}
		end := at + size
		if len(data) < end {
			r.takeBack(i)
			return 0, nil
		}
		if err := decode.one(columns[i], data[at:end]); err != nil {
			whole := r.locate(data)
			if whole == 0 {
				r.takeBack(i)
				return 0, nil
			}
			if left, err := r.unfit(i, data[:whole], err); left || err != nil {
				return whole, errors.Join(err, r.flush())
			}
		}
		at = end
	}
	if len(r.fields) > len(r.decoders) {
		if at = r.locate(data); at == 0 {
			r.takeBack(len(r.decoders))
			return 0, nil
		}
		if err := r.try(data); err != nil {
			return at, err
		}
	}
	r.batch.EndRow(at)
	return at, r.flush()
}

// takeBack takes the first columns of the row away again, whose end has not come yet.
func (r *rowReader) takeBack(columns int) {
	for _, c := range r.batch.Columns[:columns] {
		c.DropRow()
	}
	r.rows--
}

// locate finds where the values of the row that data begins with are, and returns its length; 0 means that more must come
// first.
func (r *rowReader) locate(data []byte) int {
	at := 2
	for i := range r.fields {
		if len(data) < at+4 {
			return 0
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
		return 0
	}
	return at
}

// flush hands the batch over when it is full.
func (r *rowReader) flush() (err error) {
	if r.batch.Full() {
		r.batch, err = r.to.Flush()
	}
	return err
}

// unfit settles what becomes of a row with a value that its column cannot hold.
func (r *rowReader) unfit(i int, data []byte, err error) (left bool, _ error) {
	misfit, ok := errors.AsType[*extract.Misfit](err)
	if !ok {
		return false, fmt.Errorf("table %s, column %s, row %d: %w", r.request.Extraction.Table, r.request.Columns[i].Name, r.rows, err)
	}
	return r.request.Settle(r.batch, i, misfit, &rowInHand{r, data})
}

// rowInHand is the row that is being read, for who must tell of it.
type rowInHand struct {
	*rowReader
	data []byte
}

// Key names the row by its key, or by its place.
func (r *rowInHand) Key() string {
	var parts []string
	for i, c := range r.request.Columns {
		for _, name := range r.request.Key {
			if name == c.Name {
				text, ok := r.Text(i)
				if !ok {
					text = "NULL"
				}
				parts = append(parts, name+" = "+text)
			}
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, ", ")
	}
	place := fmt.Sprintf("row %d", r.rows)
	if r.from > 0 {
		place += fmt.Sprintf(" from page %d on", r.from)
	}
	return place
}

// Text returns a value's text: the server's where it was asked for.
func (r *rowInHand) Text(i int) (string, bool) {
	f := r.fields[i]
	if f.end < 0 {
		return "", false
	}
	if place := r.texts[i]; place > 0 {
		if text := r.data[r.fields[place].from:r.fields[place].end]; utf8.Valid(text) {
			return string(text), true
		}
	}
	raw, kind := r.data[f.from:f.end], r.request.Columns[i].Type.Kind
	v := parquet.NewVector(r.request.Columns[i].Type)
	err := r.decoders[i].one(v, raw)
	if err == nil {
		return v.Texts()[0], true
	}
	if misfit, ok := errors.AsType[*extract.Misfit](err); ok && kind != elt.String && kind != elt.JSON {
		return misfit.Value, true
	}
	return fmt.Sprintf(`\x%x`, raw), true
}
