package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// words tells a notice in sentences.
type words struct {
	elt.Notice
	zone *time.Location
}

func wordsOf(n elt.Notice) words {
	zone, err := time.LoadLocation(n.Zone)
	if err != nil { // a zone that this machine does not know
		zone = time.UTC
	}
	return words{n, zone}
}

// sentence is the whole notice in one: what is late or failed, what that holds up, and by when it is due.
func (w words) sentence() string {
	in := w.Incident
	switch w.Kind {
	case elt.NoticeUpdated:
		if len(w.Added) > 0 {
			be := "is"
			if len(w.Added) > 1 {
				be = "are"
			}
			return fmt.Sprintf("Update on %s: %s %s affected, too. %s", in.ID, list(w.Added), be, w.trouble())
		}
		return fmt.Sprintf("Update on %s: %s", in.ID, w.trouble())
	case elt.NoticeAcknowledged:
		return fmt.Sprintf("%s looks after %s: %s.", in.AcknowledgedBy, in.ID, w.subject())
	case elt.NoticeResolved:
		names, be := in.Affected, "are"
		if len(names) == 1 {
			be = "is"
		}
		return fmt.Sprintf("%s is resolved after %s: %s %s no longer late (data of %s).",
			in.ID, lasted(in.ResolvedAt.Sub(in.OpenedAt)), list(names), be, date(in.Date))
	}
	return w.trouble()
}

// subject is the incident's title with its data date.
func (w words) subject() string {
	return fmt.Sprintf("%s (data of %s)", w.Incident.Title, date(w.Incident.Date))
}

func (w words) trouble() string {
	s := w.subject()
	others := w.others()
	if len(others) > 0 {
		s += ", which holds up " + list(others)
	}
	due := w.due()
	if due.IsZero() {
		return s + "."
	}
	what := "it"
	if len(others) > 0 {
		what = "the first of them"
	}
	be := "is"
	if !due.After(w.At) {
		be = "was"
	}
	return fmt.Sprintf("%s; %s %s due %s.", s, what, be, w.moment(due))
}

// others are the affected datasets but the cause.
func (w words) others() []elt.DatasetName {
	return slices.DeleteFunc(slices.Clone(w.Incident.Affected), func(d elt.DatasetName) bool { return d == w.Incident.Cause })
}

// due is the earliest deadline of what is affected.
func (w words) due() (first time.Time) {
	for _, a := range w.Affected {
		if !a.Deadline.IsZero() && (first.IsZero() || a.Deadline.Before(first)) {
			first = a.Deadline
		}
	}
	return first
}

// did says what Daybreak has done already.
func (w words) did() string {
	var did []string
	if w.Attempts > 0 {
		did = append(did, fmt.Sprintf("tried %s to %s it", times(w.Attempts), w.Step))
	}
	if !w.NextAttemptAt.IsZero() {
		did = append(did, "tries again at "+w.NextAttemptAt.In(w.zone).Format("15:04"))
	}
	if n := len(w.others()); n > 0 && w.Incident.Failure != nil {
		did = append(did, fmt.Sprintf("held back what is made from it (%d)", n))
	}
	kept := "published nothing of it"
	if slices.ContainsFunc(w.Affected, func(a elt.AffectedDataset) bool { return !a.Serving.IsZero() }) {
		kept = "kept what was published before"
	}
	return "Daybreak " + join(append(did, kept)) + "."
}

// moment is a time as people in the dataset's zone say it.
func (w words) moment(t time.Time) string { return t.In(w.zone).Format("Mon 2 Jan 15:04 MST") }

func date(d elt.Date) string { return d.Start(time.UTC).Format("Mon 2 Jan") }

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// lasted rounds a duration to what matters of it.
func lasted(d time.Duration) string {
	switch minutes := int(d / time.Minute); {
	case minutes < 1:
		return "less than a minute"
	case minutes < 60:
		return fmt.Sprintf("%d min", minutes)
	case minutes < 48*60:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	default:
		return fmt.Sprintf("%d days", minutes/(24*60))
	}
}

// list names a few datasets and counts the others.
func list(names []elt.DatasetName) string {
	const most = 3
	parts := make([]string, 0, most+1)
	for _, n := range names[:min(len(names), most)] {
		parts = append(parts, string(n))
	}
	if more := len(names) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return join(parts)
}

// join says a list: "a", "a and b", "a, b and c".
func join(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// link is the page of the day on which the cause lies; "" without a status page.
func link(baseURL string, in elt.Incident) string {
	if baseURL == "" {
		return ""
	}
	return fmt.Sprintf("%s/datasets/%s/%s", strings.TrimRight(baseURL, "/"), in.Cause, in.Date)
}
