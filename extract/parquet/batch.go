package parquet

import "github.com/daybreak-data/daybreak/internal/elt"

// RowGroupRows is how many rows a batch, and so a row group, holds at most: what DuckDB likes to scan at once.
const RowGroupRows = 122_880

// batchBytes is how many octets of source data a batch holds before it is handed over, so that wide rows keep
// memory as flat as narrow ones.
const batchBytes = 32 << 20

const (
	// firstRoom is after how many rows a batch makes room for more for the first time.
	firstRoom = 128
	// widening is for how many times as many rows it does, each time: growing by and by, each vector for itself, takes many more steps.
	widening = 8
	// widestRoom is for how many octets of source data room is made at most that may never come; beyond, vectors grow by themselves.
	widestRoom = 4 << 20
)

// Batch is a number of rows as one Vector for each column.
type Batch struct {
	Columns []*Vector
	rows    int
	bytes   int
	widens  int  // after how many rows room is made for more
	chunk   int  // of the table, for the Writer
	discard bool // has the Writer discard what it has of the chunk

	pending []use         // of the row that is being filled
	uses    map[use]int64 // of the rows that were ended
	aside   *Batch        // rows that were set aside, of AsideSchema; nil until there is one
}

// NewBatch returns an empty batch for the schema.
func NewBatch(schema elt.Schema) *Batch {
	b := &Batch{Columns: make([]*Vector, len(schema)), widens: firstRoom}
	for i, c := range schema {
		b.Columns[i] = NewVector(c.Type)
	}
	return b
}

// EndRow counts a row whose cells have all been appended; size is about how many octets it took.
func (b *Batch) EndRow(size int) {
	b.EndRows(1, size)
	if len(b.pending) > 0 {
		b.settle()
	}
}

// EndRows counts rows whose cells have all been appended; size is about how many octets they took.
func (b *Batch) EndRows(rows, size int) {
	b.rows, b.bytes = b.rows+rows, b.bytes+size
	if b.rows >= b.widens {
		b.widen()
	}
}

// widen makes room for more rows that are like those so far.
func (b *Batch) widen() {
	b.widens = widening * b.rows
	if b.bytes > widestRoom/widening {
		return
	}
	for _, v := range b.Columns {
		v.widen()
	}
}

// Room returns after how many rows or octets more the batch should be handed over.
func (b *Batch) Room() (rows, octets int) {
	return RowGroupRows - b.rows - b.asideRows(), batchBytes - b.bytes
}

// Rows returns how many rows were ended.
func (b *Batch) Rows() int { return b.rows }

// Full reports whether the batch should be handed over now.
func (b *Batch) Full() bool { return b.rows+b.asideRows() >= RowGroupRows || b.bytes >= batchBytes }

// large reports whether the batch has a value, or a row, that is large by itself.
func (b *Batch) large() bool { return b.bytes >= 2*batchBytes }

// roomFor makes room for as much as another batch of the schema holds, unless there was some before.
func (b *Batch) roomFor(other *Batch) {
	for i, v := range b.Columns {
		v.roomFor(other.Columns[i])
	}
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.rows, b.bytes, b.discard, b.pending = 0, 0, false, b.pending[:0]
	clear(b.uses)
	if b.aside != nil {
		b.aside.Reset()
	}
	for _, v := range b.Columns {
		v.Reset()
	}
}
