package notify

import (
	"encoding/json"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// webhookMessage is the body that docs/notifications.md describes. Fields are only ever added to it.
type webhookMessage struct {
	ID       elt.MessageID     `json:"id"`
	Event    string            `json:"event"` // incident.opened, .updated, .acknowledged, .resolved
	At       time.Time         `json:"at"`
	Text     string            `json:"text"`
	Done     string            `json:"done,omitempty"`
	Incident webhookIncident   `json:"incident"`
	Added    []elt.DatasetName `json:"added,omitempty"`
	Affected []webhookAffected `json:"affected"`
	Attempt  *webhookAttempt   `json:"attempt,omitempty"`
}

type webhookIncident struct {
	ID             elt.IncidentID  `json:"id"`
	Revision       int64           `json:"revision"`
	Title          string          `json:"title"`
	Cause          elt.DatasetName `json:"cause"`
	Date           elt.Date        `json:"date"`
	Code           elt.Code        `json:"code,omitempty"`
	OpenedAt       time.Time       `json:"opened_at"`
	AcknowledgedBy string          `json:"acknowledged_by,omitempty"`
	AcknowledgedAt time.Time       `json:"acknowledged_at,omitzero"`
	ResolvedAt     time.Time       `json:"resolved_at,omitzero"`
	LastedSeconds  int64           `json:"lasted_s,omitempty"`
	URL            string          `json:"url,omitempty"`
}

type webhookAffected struct {
	Dataset  elt.DatasetName `json:"dataset"`
	Owners   []string        `json:"owners"`
	Deadline time.Time       `json:"deadline,omitzero"`
	Serving  *elt.Date       `json:"serving"` // the data date that readers have; null for none
}

type webhookAttempt struct {
	Step   elt.StepKind `json:"step"`
	Number int          `json:"number"`
	NextAt time.Time    `json:"next_at,omitzero"`
}

func webhookBody(m elt.Message, baseURL string) ([]byte, error) {
	w := wordsOf(m.Notice)
	in := w.Incident
	out := webhookMessage{
		ID: m.ID, Event: "incident." + string(w.Kind), At: w.At, Text: w.sentence(), Added: w.Added,
		Incident: webhookIncident{
			ID: in.ID, Revision: w.Revision, Title: in.Title, Cause: in.Cause, Date: in.Date, OpenedAt: in.OpenedAt,
			AcknowledgedBy: in.AcknowledgedBy, AcknowledgedAt: in.AcknowledgedAt, ResolvedAt: in.ResolvedAt, URL: link(baseURL, in),
		},
		Affected: make([]webhookAffected, len(w.Affected)),
	}
	if in.Failure != nil {
		out.Incident.Code = in.Failure.Code
	}
	if w.Kind == elt.NoticeResolved {
		out.Incident.LastedSeconds = int64(in.ResolvedAt.Sub(in.OpenedAt) / time.Second)
	} else {
		out.Done = w.did()
	}
	if w.Attempts > 0 {
		out.Attempt = &webhookAttempt{w.Step, w.Attempts, w.NextAttemptAt}
	}
	for i, a := range w.Affected {
		out.Affected[i] = webhookAffected{Dataset: a.Name, Owners: append([]string{}, a.Owners...), Deadline: a.Deadline}
		if !a.Serving.IsZero() {
			out.Affected[i].Serving = &w.Affected[i].Serving
		}
	}
	return json.Marshal(out)
}
