package elt

// A run's tables of a source are read in one snapshot, also where several workers read them. Whoever takes the snapshot
// says in the ledger how it can be joined; each worker that reads in it has a seat there, which it holds by heartbeats.

// SharedSnapshot is a snapshot as its taker describes it to those who join it.
type SharedSnapshot struct {
	Position SourcePosition `json:"position"`
	Covers   []DatasetName  `json:"covers"` // the tables that can be read in it
	Whole    bool           `json:"whole"`  // every table of the run and source is read in it
	// Memo is what the source's own code must know to join, besides.
	Memo string `json:"memo,omitempty"`
}

// SeatWish is what a worker asks for that has a table to read.
type SeatWish struct {
	Run     RunID
	Source  SourceName
	Worker  WorkerID
	Dataset DatasetName
	// After is the last snapshot that cannot serve the table: only a later one will do.
	After int
	// Connections is how many all workers may have open to the source together.
	Connections int
}

// Seat is a worker's place at a snapshot. A worker that sits down anew, or is away for longer than its lease while
// another takes a new snapshot, has lost its seat.
type Seat struct {
	Run      RunID
	Source   SourceName
	Worker   WorkerID
	Epoch    int   // which of the run's snapshots of the source it is, from 1
	Snapshot int64 // the snapshot's fence
	Fence    int64 // the seat's own
	// Takes says that nobody has the snapshot yet: whoever has this seat takes it.
	Takes bool
}

// SeatReport is what a worker tells with each heartbeat of its seat.
type SeatReport struct {
	Connections int      // that it has open
	Exports     []string // names under which the snapshot can be joined through it
	Idle        bool     // it has nothing to read
	// Taken is told once, by whoever took the snapshot.
	Taken *SharedSnapshot
}

// Seating is what a worker learns with each heartbeat.
type Seating struct {
	// Connections is how many the worker may have open. It closes what is beyond as soon as that is read to its end.
	Connections int
	// Taken describes the snapshot; nil while it is being taken.
	Taken *SharedSnapshot
	// Exports are names under which others keep the snapshot.
	Exports []string
	Others  int // workers that have a seat at the same snapshot
	Idle    int // those of them that have nothing to read
	// Gone says that a newer snapshot has taken the place of this one, or that whoever was to take it has gone: nothing more
	// begins in it.
	Gone bool
	// Left are the run's tables of the source that nobody has brought yet.
	Left []DatasetName
	// Lent are the steps of tables that others read in this snapshot, and of which they lend chunks.
	Lent []StepID
}

// Share returns how many of a source's connections a worker may have: as many as each other that reads, and one where it
// has nothing to read, to keep the snapshot. The first workers get what cannot be shared evenly; place counts those that
// read and come before it.
func Share(connections, reading, idle, place int) int {
	left := connections - idle
	share := left / reading
	if place < left%reading {
		share++
	}
	return share
}

// Seats returns how many workers may read a source at the same time: each has one connection that keeps the snapshot,
// and one that reads.
func Seats(connections int) int { return max(connections/2, 1) }
