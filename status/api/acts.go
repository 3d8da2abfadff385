package api

import (
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Done answers whatever changes something.
type Done struct {
	Meta
	Done    string           `json:"done"`             // what was done, in a sentence
	Changed bool             `json:"changed"`          // false when it was so already
	Remark  *elt.Remark      `json:"remark,omitempty"` // that was made
	Window  *elt.Maintenance `json:"window,omitempty"` // that was made
	Token   string           `json:"token,omitempty"`  // the text of a token that was made: shown this once
	// Plan is that of a backfill, Backfill one that was started or steered.
	Plan     *BackfillPlan `json:"plan,omitempty"`
	Backfill *elt.Backfill `json:"backfill,omitempty"`
}

// Audit is a page of the audit trail, the latest act first.
type Audit struct {
	Meta
	Entries []elt.AuditEntry `json:"entries"`
	Next    string           `json:"next,omitempty"` // cursor of the following page
}

// Tokens are all that there ever were, without their texts.
type Tokens struct {
	Meta
	Tokens []elt.Token `json:"tokens"`
}

// Remarks are what people say of an incident or a dataset, the latest first.
type Remarks struct {
	Meta
	Remarks []elt.Remark `json:"remarks"`
}

// Messages are what was told of an incident, the latest first.
type Messages struct {
	Meta
	Messages []elt.Message `json:"messages"`
}

// OpenLineage is how far the endpoint is that listens to runs and steps; there is none without one.
type OpenLineage struct {
	Meta
	Destinations []elt.LineageState `json:"destinations"`
}

// Waiter is who waits for a day of a dataset now.
type Waiter struct {
	Name  string    `json:"name"`
	Date  elt.Date  `json:"date"`
	Since time.Time `json:"since"`
}

// Waiters are those of a dataset at this service, whoever came first at the head.
type Waiters struct {
	Meta
	Waiters []Waiter `json:"waiters"`
}

// Rollback is what going back to an earlier version would do. Whoever has looked at it confirms it with PlanToken.
type Rollback struct {
	Meta
	elt.Rollback
	Needed    bool   `json:"needed"` // false when people read the target already
	PlanToken string `json:"plan_token"`
}
