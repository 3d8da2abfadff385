package elt

// The chunks of a large table can be read by several workers in one snapshot. The worker that holds the table's step cuts it,
// and lends some of the chunks to workers that have a seat at the snapshot and nothing of their own to read. A chunk that is
// lent counts when the ledger has what it brought under the loan's fence and the lender has taken note of it; the one manifest
// is the lender's.

// LentTable is a table whose chunks are lent.
type LentTable struct {
	Lease Lease // of its step
	Seat  Seat  // of the worker that reads it
	// Reading tells the readings under one lease apart: a table that is begun again is cut anew.
	Reading int
	// Table is what whoever reads a chunk must know, as extract writes it.
	Table string
}

// LentChunk is a chunk of a table; what it says is for its source alone.
type LentChunk struct {
	Number int
	Chunk  string
}

// LendingTurn is what a lender changes.
type LendingTurn struct {
	Lend []LentChunk
	// Recall ends loans of which nothing has come: those that nobody took, or that were given up.
	Recall  []int
	Settled []int // what they brought has been taken note of
}

// Any reports whether the turn changes anything.
func (t LendingTurn) Any() bool { return len(t.Lend)+len(t.Recall)+len(t.Settled) > 0 }

// LoanState is how a chunk that is lent is doing.
type LoanState struct {
	Number int
	Worker WorkerID // who took it; empty when nobody did
	// Over says that whoever took it has given it up, or is silent for longer than its lease.
	Over        bool
	Rows, Bytes int64 // written so far
	Brought     *BroughtChunk
}

// Loan is a chunk that a worker has taken to read.
type Loan struct {
	Step   StepID
	Worker WorkerID
	Number int
	Fence  int64 // the loan's own
	Table  string
	Chunk  string
}

// BroughtChunk is what came of a chunk: the parts, and everything that is known of its rows.
type BroughtChunk struct {
	Rows        int64            `json:"rows"` // that the source sent
	Parts       []Part           `json:"parts"`
	Stats       TableStats       `json:"stats"`
	Source      RowDigest        `json:"source,omitzero"`    // that the source took
	AsSource    RowDigest        `json:"as_source,omitzero"` // the same, of the rows that came
	Fidelity    []PolicyUse      `json:"fidelity,omitempty"`
	Quarantined *QuarantinedRows `json:"quarantined,omitempty"`
}
