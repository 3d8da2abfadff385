package elt

import "time"

// LineageKind is what OpenLineage calls the state that a run came into.
type LineageKind string

// The kinds, each run's first and its last.
const (
	LineageStart    LineageKind = "START"
	LineageComplete LineageKind = "COMPLETE"
	LineageFail     LineageKind = "FAIL"
	LineageAbort    LineageKind = "ABORT"
)

// LineageKept is how old an event may become before nobody is told of it any more: a weekend, and days to repair what
// was found on Monday. Waiting events cost nothing.
const LineageKept = 7 * 24 * time.Hour

// Lineage is all that is known of the beginning or the end of a run, or of an attempt at one of its steps.
type Lineage struct {
	Kind    LineageKind
	Seq     int64 // of the event that it tells
	Part    int   // its place among those that the event tells: a step that is taken over ends and begins at once
	At      time.Time
	Run     Run
	Round   int       // 1, or n once the run was taken up again n-1 times after it had ended
	Step    *Step     // nil for the run's own
	Attempt int       // at the step
	Failure *Failure  // FAIL and ABORT
	Dataset *Dataset  // of the step; nil for the run's own and its publish step
	Inputs  []Dataset // what the dataset is made from
	// Manifest is what an extraction brought; nil before it has ended, and for what is no table.
	Manifest *Manifest
	Zone     string // of the run's data date
}

// LineageState is how far the events have been told to a destination.
type LineageState struct {
	Destination   DestinationName `json:"destination"`
	Seq           int64           `json:"seq"`    // every event up to it is dealt with
	Behind        int64           `json:"behind"` // events of runs and steps that are still to be told
	Delivered     int64           `json:"delivered"`
	GivenUp       int64           `json:"given_up"`
	DeliveredAt   time.Time       `json:"delivered_at,omitzero"` // the latest
	Attempt       int             `json:"attempt,omitempty"`     // at the next one, when it was tried already
	NextAttemptAt time.Time       `json:"next_attempt_at,omitzero"`
	Error         *Failure        `json:"error,omitempty"` // of the latest attempt, if it failed
}
