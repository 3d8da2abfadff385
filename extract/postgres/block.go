package postgres

import (
	"encoding/binary"

	"github.com/daybreak-data/daybreak/extract/parquet"
)

const (
	// blockRows is how many rows are decoded column by column at once: few enough that they and their cells stay close to the
	// processor.
	blockRows = 128
	// blockCells is how many cells a block has about, where a table has many columns.
	blockCells = 4096
	// fewestRows is how many rows a block may have, however many columns there are.
	fewestRows = 16
	// oddest is how many blocks with odd rows, one after the other, are told apart.
	oddest = 7
)

// block is where the values of a few rows lie that came in messages of their own.
type block struct {
	most  int            // rows
	cells []parquet.Cell // the first column's, and then the next's
	sizes []int32        // that the columns' values had before: mostly the next have them, too
	ends  []int          // of the rows' messages
}

func newBlock(columns int) *block {
	most := min(max(blockCells/max(columns, 1), fewestRows), blockRows)
	return &block{most: most, cells: make([]parquet.Cell, most*columns), sizes: make([]int32, columns), ends: make([]int, 0, most)}
}

// column returns the cells of a column.
func (b *block) column(i int) []parquet.Cell { return b.cells[i*b.most:][:len(b.ends)] }

// locate finds the rows that data begins with, until they are so many, or have so many octets. It ends before what is no whole row in
// a message of its own.
func (b *block) locate(data []byte, most, octets int) (size int) {
	b.ends = b.ends[:0]
	at := 0
	for row := range min(most, b.most) {
		rest := data[at:]
		if len(rest) < messageHeader+2 || rest[0] != copyData || int(binary.BigEndian.Uint16(rest[messageHeader:])) != len(b.sizes) {
			break
		}
		length := int(binary.BigEndian.Uint32(rest[1:])) + 1
		if length > len(rest) {
			break
		}
		message := data[:at+length]
		if at = b.row(message, at+messageHeader+2, row); at != len(message) {
			break
		}
		b.ends = append(b.ends, at)
		if size += length - messageHeader; size >= octets {
			break
		}
	}
	return size
}

// row finds the values of a row, from at on, and returns where they end.
//
//go:noinline
func (b *block) row(message []byte, at, row int) int {
	sizes, cells, most := b.sizes, b.cells, b.most
	for i, size := range sizes {
		if uint(at) > uint(len(message)-4) {
			return -1
		}
		// Following what the size was, and not what it is, the processor need not wait for it.
		if came := int32(binary.BigEndian.Uint32(message[at : at+4])); came != size {
			size, sizes[i] = came, came
		}
		at += 4
		cells[row] = parquet.Cell{From: uint32(at), Size: size}
		row += most
		at += int(max(size, 0))
	}
	return at
}

// take implements taker: it decodes the rows that come in messages of their own, column by column.
func (r *rowReader) take(held []byte) (taken int, err error) {
	if r.err != nil || !r.begun || r.ended || len(r.rest) > 0 || len(r.trials) > 0 || len(r.fields) == 0 {
		return 0, r.err
	}
	for {
		rows, octets := r.batch.Room()
		size := r.block.locate(held[taken:], rows, octets)
		n := len(r.block.ends)
		if n == 0 {
			return taken, nil
		}
		data := held[taken:]
		taken += r.block.ends[n-1]
		switch {
		case r.alone > 0:
			r.alone -= n
			r.err = r.singly(data)
		case r.decode(data):
			r.odd, r.rows = 0, r.rows+int64(n)
			r.batch.EndRows(n, size)
			r.err = r.flush()
		default: // the more often, the longer blocks are not tried
			r.odd = min(r.odd+1, oddest)
			r.alone = blockRows * (1<<r.odd - 2)
			r.err = r.singly(data)
		}
		if r.err != nil {
			return taken, r.err
		}
	}
}

// decode appends the block's rows, or nothing and returns false when one of them needs a closer look.
func (r *rowReader) decode(data []byte) bool {
	for i, d := range r.decoders {
		if !d.column(r.batch.Columns[i], data, r.block.column(i)) {
			for _, c := range r.batch.Columns[:i] {
				for range r.block.ends {
					c.DropRow()
				}
			}
			return false
		}
	}
	return true
}

// column appends the values of the cells, or nothing and returns false.
func (d decoder) column(to *parquet.Vector, data []byte, cells []parquet.Cell) bool {
	if d.many != nil && d.many(to, data, cells) {
		return true
	}
	for i, c := range cells {
		if c.Size < 0 {
			to.AppendNull()
		} else if d.one(to, data[c.From:][:c.Size]) != nil {
			for range i {
				to.DropRow()
			}
			return false
		}
	}
	return true
}

// singly appends the block's rows one after the other.
func (r *rowReader) singly(data []byte) error {
	begin := 0
	for _, end := range r.block.ends {
		if _, err := r.Write(data[begin+messageHeader : end]); err != nil {
			return err
		}
		begin = end
	}
	return nil
}
