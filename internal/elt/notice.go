package elt

import "time"

type (
	// DestinationName names a place to which notices are sent: "slack", "webhook-1". It is what the ledger and the
	// logs know of it; its address is a secret.
	DestinationName string
	// MessageID identifies a message: "<incident>/<kind>/<revision>/<destination>". A message that is sent again, as
	// after a crash, has the same.
	MessageID string
)

// NoticeKind says which news of an incident a notice brings.
type NoticeKind string

// The kinds of notice.
const (
	NoticeOpened       NoticeKind = "opened"
	NoticeUpdated      NoticeKind = "updated"      // more datasets are affected, or it failed in another way
	NoticeAcknowledged NoticeKind = "acknowledged" // a person looks after it
	NoticeResolved     NoticeKind = "resolved"
)

// Notice is news of an incident, with all that a message tells, as it was when the incident changed. Its failure has a
// code and a class but no sentence, which may quote values of the data.
type Notice struct {
	Kind     NoticeKind        `json:"kind"`
	Revision int64             `json:"revision"` // rises with every change of the incident
	At       time.Time         `json:"at"`
	Incident Incident          `json:"incident"`
	Zone     string            `json:"zone,omitempty"`  // of the cause: data dates and deadlines are in it
	Added    []DatasetName     `json:"added,omitempty"` // updated: affected now, and not before
	Affected []AffectedDataset `json:"affected"`        // in the incident's order
	// Step, Attempts and NextAttemptAt are of the cause's step that failed, is retried or runs; zero when there is none.
	Step          StepKind  `json:"step,omitempty"`
	Attempts      int       `json:"attempts,omitempty"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
}

// AffectedDataset is what a notice tells of a dataset that its incident affects.
type AffectedDataset struct {
	Name     DatasetName `json:"name"`
	Owners   []string    `json:"owners,omitempty"`
	Deadline time.Time   `json:"deadline,omitzero"` // of the incident's date
	Serving  Date        `json:"serving,omitzero"`  // the data date that readers have; zero when nothing is published
}

// MessageState is how far the delivery of a message is.
type MessageState string

// The states of a message.
const (
	MessagePending   MessageState = "pending"   // to be sent, at once or at its next attempt
	MessageSending   MessageState = "sending"   // a sender holds it, or held it when it died
	MessageDelivered MessageState = "delivered" // the destination took it
	MessageFailed    MessageState = "failed"    // it will never be sent again
)

// Message is a notice for one destination, in the ledger's outbox.
type Message struct {
	ID            MessageID       `json:"id"`
	Destination   DestinationName `json:"destination"`
	Notice        Notice          `json:"notice"`
	State         MessageState    `json:"state"`
	Attempt       int             `json:"attempt"` // the number of the latest, from 1; 0 before the first
	CreatedAt     time.Time       `json:"created_at"`
	ClaimedAt     time.Time       `json:"claimed_at,omitzero"` // of the latest attempt
	NextAttemptAt time.Time       `json:"next_attempt_at,omitzero"`
	EndedAt       time.Time       `json:"ended_at,omitzero"`
	Error         *Failure        `json:"error,omitempty"` // of the latest attempt that failed
	// Lineage is what an OpenLineage destination is told instead of a notice; such messages are in no outbox.
	Lineage *Lineage `json:"-"`
}

// Delivery is how an attempt to deliver a message ended.
type Delivery struct {
	State MessageState  // delivered, failed, or pending for another attempt
	Wait  time.Duration // pending only: until the next attempt
	Error *Failure      // failed and pending
}
