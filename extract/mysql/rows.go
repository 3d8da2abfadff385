package mysql

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// rowReader appends rows to batches.
type rowReader struct {
	request  extract.Request
	to       *parquet.Writer
	batch    *parquet.Batch
	items    string    // the select list
	decoders []decoder // of the columns, which come first
	lossy    []int     // where it comes that a column's text has no place in UTF-8; 0 where it always has
	rows     int64
}

// newRowReader works out what is selected, and how it is read.
func newRowReader(t table, request extract.Request, to *parquet.Writer) (*rowReader, error) {
	r := &rowReader{request: request, to: to, lossy: make([]int, len(request.Columns))}
	var items, further []string
	for i, as := range request.Columns {
		c, ok := t.column(as.Name)
		if !ok && !as.Absent {
			return nil, fmt.Errorf("table %s has no column %q any more", t.info.Name, as.Name)
		}
		policy := request.Rules[as.Name].Policy
		item, decode := c.read(as, policy, request.Mask)
		if c.charset != "" && as.Masked == "" && !as.Absent && policy != elt.Refuse {
			r.lossy[i] = len(request.Columns) + len(further)
			further = append(further, "IF("+c.lossy()+", CONCAT('\\\\x', LOWER(HEX(CAST("+identifier(c.Name)+" AS BINARY)))), NULL)")
			item = "IF(" + c.lossy() + ", NULL, " + item + ")"
		}
		items, r.decoders = append(items, item), append(r.decoders, decode)
	}
	r.items = strings.Join(append(items, further...), ", ")
	return r, nil
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
	r.rows++
	size := 0
	for i, decode := range r.decoders {
		raw := cells[i]
		if raw == nil {
			if place := r.lossy[i]; place == 0 || cells[place] == nil {
				r.batch.Columns[i].AppendNull()
				continue
			}
			err = extract.Refuse("a text", "has characters that UTF-8 has no place for")
		} else {
			err = decode(r.batch.Columns[i], raw)
		}
		if err != nil {
			if left, err := r.unfit(i, cells, err); left || err != nil {
				return errors.Join(err, r.flush())
			}
		}
		size += len(raw)
	}
	r.batch.EndRow(size)
	return r.flush()
}

// flush hands the batch over when it is full.
func (r *rowReader) flush() (err error) {
	if r.batch.Full() {
		r.batch, err = r.to.Flush()
	}
	return err
}

// unfit settles what becomes of a row with a value that its column cannot hold.
func (r *rowReader) unfit(i int, cells [][]byte, err error) (left bool, _ error) {
	misfit, ok := errors.AsType[*extract.Misfit](err)
	if !ok {
		return false, fmt.Errorf("table %s, column %s, row %d: %w", r.request.Extraction.Table, r.request.Columns[i].Name, r.rows, err)
	}
	return r.request.Settle(r.batch, i, misfit, &rowInHand{r, cells})
}

// rowInHand is the row that is being read, for who must tell of it.
type rowInHand struct {
	*rowReader
	cells [][]byte
}

// Key names the row by its key, or by its place.
func (r *rowInHand) Key() string {
	var parts []string
	for i, c := range r.request.Columns {
		if !slices.Contains(r.request.Key, c.Name) {
			continue
		}
		text, ok := r.Text(i)
		if !ok {
			text = "NULL"
		}
		parts = append(parts, c.Name+" = "+text)
	}
	if len(parts) == 0 {
		return fmt.Sprintf("row %d", r.rows)
	}
	return strings.Join(parts, ", ")
}

// Text returns a value's text as its column has it, or as it came where the column cannot hold it.
func (r *rowInHand) Text(i int) (string, bool) {
	raw := r.cells[i]
	if raw == nil {
		if place := r.lossy[i]; place > 0 && r.cells[place] != nil {
			return string(r.cells[place]), true
		}
		return "", false
	}
	v := parquet.NewVector(r.request.Columns[i].Type)
	if err := r.decoders[i](v, raw); err != nil {
		return plainText(raw), true
	}
	return v.Texts()[0], true
}
