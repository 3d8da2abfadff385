package extract

import (
	"context"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Source is a production database, reached read-only. Its methods may be called at the same time.
type Source interface {
	// Open takes a snapshot over the tables. A table that cannot be read does not hinder the others: the
	// snapshot's methods return its error.
	Open(ctx context.Context, tables []elt.Extraction) (Snapshot, error)
	// Describe tells from the catalog what a table is, reading no rows.
	Describe(ctx context.Context, table string) (TableInfo, error)
	// Tables describes every table and view that the source's user may see, for discovery.
	Tables(ctx context.Context) ([]TableInfo, error)
	Close() error
}

// Examiner is a source that can tell what may spoil a night though everything can be read now: each problem is a warning.
type Examiner interface {
	Examine(ctx context.Context) (elt.Problems, error)
}

// Snapshot is one consistent reading of a source. Its methods may be called at the same time.
type Snapshot interface {
	// Position says which moment of which server this is.
	Position() elt.SourcePosition
	// Describe tells what a table is in this snapshot.
	Describe(ctx context.Context, table string) (TableInfo, error)
	// Read writes the rows that are asked for and returns how many the source says there are.
	Read(ctx context.Context, r Request, to *parquet.Writer) (int64, error)
	// Close lets go of the snapshot; production should not hold it longer than needed.
	Close() error
}

// CodeConnectionLost is the code with which a Snapshot says that it is gone for good.
const CodeConnectionLost elt.Code = "source_connection_lost"

// CodeTableRewritten is the code with which a Snapshot says that a table is not any more what it was when the snapshot was
// taken: another one serves it, this one the others.
const CodeTableRewritten elt.Code = "table_rewritten"

// TableInfo is what a source's catalog says about a table, and what could be made of it.
type TableInfo struct {
	Name    string     // as Extraction.Table names it
	Columns elt.Schema // every column, in the source's order
	Key     []string   // the primary key, or none
	Rows    int64      // an estimate; -1 when nobody knows
	Bytes   int64      // on the source's disk; 0 when nobody knows

	Indexed []string // columns that an index begins with; nil when nobody knows
	// Proposals, filled in by Propose.
	Mode     elt.Mode
	Cursor   string   // a column that says when a row last changed
	Personal []string // columns whose names look like personal data
	Refused  error    // why the table cannot be extracted at all; the rest says nothing then
}

// Cut is a table that a snapshot reads in chunks, some of which can be lent to other workers that have joined the snapshot.
// Its methods may be called at the same time.
type Cut interface {
	// Left is how many chunks nobody has begun.
	Left() int
	// Lend takes out as many of them, or fewer. Read waits until each of them is returned or brought.
	Lend(most int) ([]elt.LentChunk, error)
	// Return has one be read here after all.
	Return(number int)
	// Brought says that somebody else has read one, of which the source says that it has so many rows.
	Brought(rows int64)
}

// Request asks a snapshot for rows.
type Request struct {
	Extraction elt.Extraction
	Columns    elt.Schema              // what to read, in order; Masked says how
	Rules      map[string]elt.TypeRule // of the columns that have one
	Key        []string                // columns that name a row in messages; may be empty
	Range      *Range                  // nil for every row
	Mask       *Masker                 // set when a column is hashed
	// Paused is told why reading waits on purpose, and "" when it goes on.
	Paused func(why string)
	Facts  *Facts // what else is wanted of the rows; never nil
	// Lend, unless nil, is told once when a table has been cut of which others can read some chunks.
	Lend func(Cut)
}

// Range limits the rows to those whose cursor is at least From and below To. Both are in the cursor's own
// unit: the number for an integer, days since 1970-01-01 for a date, else microseconds since then, as its wall clock
// reads when it has no zone.
type Range struct {
	Cursor   elt.Column
	From, To int64
	All      bool // no lower bound: From says nothing
	Open     bool // no upper bound: To and Window say nothing
	Window   elt.Window
	Nulls    elt.NullCursors // never empty
}

// Has reports whether a cursor's value lies in the range.
func (r *Range) Has(cursor int64) bool {
	return (r.Open || cursor < r.To) && (r.All || cursor >= r.From)
}
