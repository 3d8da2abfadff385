package elt

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaintenanceID identifies a maintenance window.
type MaintenanceID string

// Maintenance is a time in which a person has said that data will not come, for a reason: nobody is called, no step of
// what it covers begins, and deadlines move by what it takes from them.
type Maintenance struct {
	ID         MaintenanceID `json:"id"`
	From       time.Time     `json:"from"`
	To         time.Time     `json:"to"`
	Zone       string        `json:"zone"` // in which it was written
	Everything bool          `json:"everything,omitempty"`
	Datasets   []DatasetName `json:"datasets,omitempty"`
	Sources    []SourceName  `json:"sources,omitempty"`
	Reason     string        `json:"reason"`
	By         string        `json:"by"`
	CreatedAt  time.Time     `json:"created_at,omitzero"`
	EndedAt    time.Time     `json:"ended_at,omitzero"` // before To, because a person said so
	EndedBy    string        `json:"ended_by,omitempty"`
}

// LongestMaintenance is how long a window may last: what is away for longer is not maintained but retired.
const LongestMaintenance = 31 * 24 * time.Hour

// Check returns what is wrong with a window that a person asks for, or nil.
func (m Maintenance) Check() error {
	var what, do string
	switch {
	case strings.TrimSpace(m.Reason) == "":
		what, do = "the window has no reason", "say why: it stands on every page that the window touches"
	case m.From.IsZero() || m.To.IsZero():
		what, do = "the window has no beginning or no end", "give both, such as 2026-12-01 22:00"
	case !m.From.Before(m.To):
		what, do = fmt.Sprintf("the window ends at %s, which is not after its beginning at %s", m.To.Format(time.RFC3339), m.From.Format(time.RFC3339)), "give a later end"
	case m.To.Sub(m.From) > LongestMaintenance:
		what, do = fmt.Sprintf("the window lasts %d days, and 31 is the most", int(m.To.Sub(m.From).Hours()/24)), "give an earlier end"
	case !m.Everything && len(m.Datasets)+len(m.Sources) == 0:
		what, do = "the window covers nothing", "name datasets or sources, or everything"
	case m.Everything && len(m.Datasets)+len(m.Sources) > 0:
		what, do = "the window covers everything, and yet names some of it", "leave out the names, or everything"
	default:
		return nil
	}
	return &Error{Code: "bad_maintenance", Class: Config, What: what, Do: do}
}

// Until is when the window is over: its end, or when a person ended it before.
func (m Maintenance) Until() time.Time {
	if !m.EndedAt.IsZero() && m.EndedAt.Before(m.To) {
		return m.EndedAt
	}
	return m.To
}

// Holds reports whether the window lasts at that moment.
func (m Maintenance) Holds(now time.Time) bool { return !now.Before(m.From) && now.Before(m.Until()) }

// Names reports whether the window covers the dataset by itself, whatever the dataset is made from.
func (m Maintenance) Names(d Dataset) bool {
	source, _ := d.Name.Split()
	return m.Everything || slices.Contains(m.Datasets, d.Name) ||
		d.Kind == TableDataset && slices.Contains(m.Sources, SourceName(source))
}

// Covers says in words what the window covers.
func (m Maintenance) Covers() string {
	if m.Everything {
		return "everything"
	}
	var words []string
	for _, s := range m.Sources {
		words = append(words, "source "+string(s))
	}
	for _, d := range m.Datasets {
		words = append(words, string(d))
	}
	return strings.Join(words, ", ")
}

// Maintained returns for each dataset the windows that cover it or anything that it is made from.
func Maintained(datasets []Dataset, windows []Maintenance) map[DatasetName][]Maintenance {
	out := make(map[DatasetName][]Maintenance)
	if len(windows) == 0 {
		return out
	}
	for _, d := range InOrder(datasets) {
		var covering []Maintenance
		for _, m := range windows {
			inherits := func(in DatasetName) bool {
				return slices.ContainsFunc(out[in], func(o Maintenance) bool { return o.ID == m.ID })
			}
			if m.Names(d) || slices.ContainsFunc(d.Inputs, inherits) {
				covering = append(covering, m)
			}
		}
		if covering != nil {
			slices.SortFunc(covering, func(a, b Maintenance) int { return a.From.Compare(b.From) })
			out[d.Name] = covering
		}
	}
	return out
}

// Moved returns the deadline of a day that is due from the given moment, later by as much as the windows take of the time
// in between. The windows are in order of their beginnings; what two of them share is taken once.
func Moved(due, deadline time.Time, windows []Maintenance) time.Time {
	if deadline.IsZero() || len(windows) == 0 {
		return deadline
	}
	if due.IsZero() { // of a day that was written down before days had it
		due = deadline.Add(-24 * time.Hour)
	}
	moved, from := deadline, due
	for _, m := range windows {
		if m.From.After(from) {
			from = m.From
		}
		if !from.Before(moved) {
			break
		}
		if until := m.Until(); until.After(from) {
			moved = moved.Add(until.Sub(from))
			from = until
		}
	}
	return moved
}

// NotExpectedKind says why no data is due.
type NotExpectedKind string

// The reasons for which no data is due.
const (
	BySchedule    NotExpectedKind = "schedule"    // the schedule does not run for that date
	ByCalendar    NotExpectedKind = "calendar"    // a holiday of the schedule's calendar
	BySkip        NotExpectedKind = "skipped"     // its tick was skipped, for the reason that is given
	ByMaintenance NotExpectedKind = "maintenance" // a window lasts; it is expected again when that is over
)

// NotExpected is why no data is due for a day.
type NotExpected struct {
	Kind   NotExpectedKind `json:"kind"`
	Reason string          `json:"reason"`
	Until  time.Time       `json:"until,omitzero"` // maintenance: when it is over
}

// HoldKind says what a tick waits for.
type HoldKind string

// What a tick can wait for.
const (
	HoldPaused      HoldKind = "paused"      // a person has paused the schedule
	HoldMaintenance HoldKind = "maintenance" // a window covers all that the schedule brings
	HoldDependency  HoldKind = "dependency"  // a dataset of another schedule is not there yet
	HoldOverlap     HoldKind = "overlap"     // an earlier date is still being brought
)

// Hold is why a tick that is due has not started its run.
type Hold struct {
	Kind   HoldKind      `json:"kind"`
	Reason string        `json:"reason"`
	Waits  []DatasetName `json:"waits_for,omitempty"` // dependency: the datasets that are not ready
	Until  time.Time     `json:"until,omitzero"`      // when it ends by itself; zero where a person or the data ends it
	// GaveUp says that nothing is waited for any more: the time for it is over, and nothing will come by itself.
	GaveUp bool `json:"gave_up,omitempty"`
}

// Equal reports whether two holds, either of which may be nil, say the same.
func (h *Hold) Equal(o *Hold) bool {
	if h == nil || o == nil {
		return h == o
	}
	return h.Kind == o.Kind && h.Reason == o.Reason && h.Until.Equal(o.Until) && h.GaveUp == o.GaveUp && slices.Equal(h.Waits, o.Waits)
}

// Pause is a schedule that a person has told to rest.
type Pause struct {
	Schedule ScheduleName `json:"schedule"`
	By       string       `json:"by"`
	At       time.Time    `json:"at"`
	Until    time.Time    `json:"until,omitzero"` // zero: until a person resumes it
	Reason   string       `json:"reason"`
}

// Holds reports whether the schedule rests at that moment.
func (p Pause) Holds(now time.Time) bool { return p.Until.IsZero() || now.Before(p.Until) }
