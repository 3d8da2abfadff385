package elt

import (
	"encoding/json"
	"time"
)

// Event is one thing that happened, in the order in which the ledger recorded it. Seq rises by one with
// each event and never repeats.
type Event struct {
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`
	Kind    string          `json:"kind"` // "run.created", "step.running", "step.succeeded", "version.published", …
	Dataset DatasetName     `json:"dataset,omitempty"`
	Date    Date            `json:"date,omitzero"`
	Run     RunID           `json:"run,omitempty"`
	Step    StepID          `json:"step,omitempty"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

// AuditEntry is an act of a person or a token.
type AuditEntry struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Target string    `json:"target"`
	Reason string    `json:"reason,omitempty"`
}

// Incident is a P1: something that touches a deadline. There is one for each root cause, naming every day
// that it affects, and only the data resolves it.
type Incident struct {
	ID             IncidentID    `json:"id"`
	Cause          DatasetName   `json:"cause"` // the dataset in which the root cause lies
	Date           Date          `json:"date"`
	Title          string        `json:"title"`
	Failure        *Failure      `json:"failure,omitempty"`
	Affected       []DatasetName `json:"affected"` // with the cause itself, in name order
	OpenedAt       time.Time     `json:"opened_at"`
	AcknowledgedBy string        `json:"acknowledged_by,omitempty"`
	AcknowledgedAt time.Time     `json:"acknowledged_at,omitzero"` // by the latest who did; zero also where it was before this was kept
	ResolvedAt     time.Time     `json:"resolved_at,omitzero"`
}
