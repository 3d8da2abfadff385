package elt

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BackfillMode says which days of a range a backfill brings.
type BackfillMode string

// The modes of a backfill.
const (
	MissingDays  BackfillMode = "missing"  // that are not ready
	FailedDays   BackfillMode = "failed"   // that failed, or were held up
	OutdatedDays BackfillMode = "outdated" // whose inputs have newer versions than were read
	AllDays      BackfillMode = "all"      // every one, ready or not
)

// BackfillModes returns every mode, the gentlest first.
func BackfillModes() []BackfillMode {
	return []BackfillMode{MissingDays, FailedDays, OutdatedDays, AllDays}
}

// BackfillRequest is what a person asks to be brought.
type BackfillRequest struct {
	Select     []string     `json:"select"` // datasets, by name or selector
	From       Date         `json:"from"`
	To         Date         `json:"to"` // inclusive
	Mode       BackfillMode `json:"mode"`
	Downstream bool         `json:"downstream"` // with everything that is made from them
}

// String says what was asked for: "missing days of shop.orders, 2026-01-01 to 2026-01-31, with what is made from it".
func (r BackfillRequest) String() string {
	text := fmt.Sprintf("%s days of %s, %s", r.Mode, strings.Join(r.Select, " "), r.From)
	if r.To != r.From {
		text += " to " + r.To.String()
	}
	if r.Downstream {
		text += ", with what is made from it"
	}
	return text
}

// Check refuses a request that asks for nothing that could be planned.
func (r BackfillRequest) Check() error {
	wrong := func(what, do string) error {
		return &Error{Code: "bad_backfill", Class: Config, What: what, Do: do}
	}
	switch {
	case len(strings.Fields(strings.Join(r.Select, " "))) == 0:
		return wrong("the backfill names no dataset", "name datasets or selectors, such as shop.orders or tag:finance")
	case r.From.IsZero() || r.To.IsZero():
		return wrong("the backfill lacks the first or the last of its dates", "give both, as 2026-01-05")
	case r.To.Before(r.From):
		return wrong(fmt.Sprintf("the backfill's last date, %s, is before its first, %s", r.To, r.From), "turn the two round")
	case r.To.DaysSince(r.From) >= MostBackfillDates:
		return wrong(fmt.Sprintf("the backfill covers %d dates, of at most %d", r.To.DaysSince(r.From)+1, MostBackfillDates), "make several of it, one after the other")
	case !slices.Contains(BackfillModes(), r.Mode):
		return wrong(fmt.Sprintf("%q is no mode of a backfill", r.Mode), "choose missing, failed, outdated or all")
	}
	return nil
}

// MostBackfillDates bounds one backfill: ten years.
const MostBackfillDates = 3660

// BackfillAction is what a backfill does with one day.
type BackfillAction string

// The actions of a backfill.
const (
	ExtractDay BackfillAction = "extract" // its rows are read from the source again
	ReloadDay  BackfillAction = "reload"  // it is loaded from what the lake has of it
	BuildDay   BackfillAction = "build"   // the model is built again
	SkipDay    BackfillAction = "skip"    // nothing is to be done
	RefuseDay  BackfillAction = "refuse"  // it cannot be brought any more
)

// BackfillActions returns every action, those that do something first.
func BackfillActions() []BackfillAction {
	return []BackfillAction{ExtractDay, ReloadDay, BuildDay, SkipDay, RefuseDay}
}

// Acts reports whether the action brings the day.
func (a BackfillAction) Acts() bool { return a == ExtractDay || a == ReloadDay || a == BuildDay }

// BackfillDayState is how far a backfill is with one day.
type BackfillDayState string

// The states of a backfill's day.
const (
	BackfillDayPending   BackfillDayState = "pending"   // its turn has not come
	BackfillDayRunning   BackfillDayState = "running"   // its run has begun
	BackfillDaySucceeded BackfillDayState = "succeeded" // its run has published it
	BackfillDayFailed    BackfillDayState = "failed"    // its run has ended without publishing it
	BackfillDaySkipped   BackfillDayState = "skipped"   // nothing was to be done
	BackfillDayRefused   BackfillDayState = "refused"   // it cannot be brought any more
	BackfillDayCancelled BackfillDayState = "cancelled" // its backfill was cancelled first
)

// BackfillDayStates returns every state of a backfill's day.
func BackfillDayStates() []BackfillDayState {
	return []BackfillDayState{
		BackfillDayPending, BackfillDayRunning, BackfillDaySucceeded, BackfillDayFailed, BackfillDaySkipped, BackfillDayRefused, BackfillDayCancelled,
	}
}

// BackfillDay is what a backfill plans for one day of a dataset, and how far it is with it.
type BackfillDay struct {
	Dataset DatasetName    `json:"dataset"`
	Date    Date           `json:"date"`
	Action  BackfillAction `json:"action"`
	Reason  string         `json:"reason"` // why that action
	// Phase orders what dates cannot: an incremental model that reads what is built whole, once, comes after that.
	Phase    int              `json:"phase,omitempty"`
	Manifest string           `json:"manifest,omitempty"` // reload: its key in the lake
	Seen     VersionID        `json:"seen,omitempty"`     // the version that the plan was made over
	State    BackfillDayState `json:"state,omitempty"`    // empty in a plan
	Run      RunID            `json:"run,omitempty"`
	Says     string           `json:"says,omitempty"` // why it ended as it did, where the plan could not know
	// Workers are those who are at work at it at this moment.
	Workers []WorkerID `json:"workers,omitempty"`
}

// Effort is what something takes, by what it took before.
type Effort struct {
	Rows        int64         `json:"rows"`
	Bytes       int64         `json:"bytes"` // in the lake
	Duration    time.Duration `json:"duration_ns"`
	BytesBilled int64         `json:"bytes_billed,omitempty"`
}

// Plus adds efforts one after the other.
func (e Effort) Plus(o Effort) Effort {
	return Effort{e.Rows + o.Rows, e.Bytes + o.Bytes, e.Duration + o.Duration, e.BytesBilled + o.BytesBilled}
}

// Estimate is what a backfill will probably take.
type Estimate struct {
	Effort
	// Unknown are the datasets that have no history: they are not part of the numbers.
	Unknown []DatasetName `json:"unknown,omitempty"`
}

// BackfillPlan is what a backfill would do.
type BackfillPlan struct {
	Request  BackfillRequest `json:"request"`
	Days     []BackfillDay   `json:"days"` // phase by phase and date by date; within one, each after what it is made from
	Estimate Estimate        `json:"estimate"`
}

// Counts returns how many days of the plan have each action.
func (p BackfillPlan) Counts() map[BackfillAction]int {
	out := make(map[BackfillAction]int)
	for _, d := range p.Days {
		out[d.Action]++
	}
	return out
}

// Acts returns how many days the plan brings, and on how many dates.
func (p BackfillPlan) Acts() (days, dates int) {
	seen := make(map[Date]bool)
	for _, d := range p.Days {
		if d.Action.Acts() {
			days++
			seen[d.Date] = true
		}
	}
	return days, len(seen)
}

// BackfillSpan is a row of days of a dataset that a plan treats alike.
type BackfillSpan struct {
	Dataset DatasetName    `json:"dataset"`
	From    Date           `json:"from"`
	To      Date           `json:"to"`
	Days    int            `json:"days"`
	Action  BackfillAction `json:"action"`
	Reason  string         `json:"reason"` // of the first of them
}

// Spans returns the plan dataset by dataset, days of one action and reason in a row as one.
func (p BackfillPlan) Spans() []BackfillSpan {
	var order []DatasetName
	spans := make(map[DatasetName][]BackfillSpan)
	for _, d := range p.Days {
		own, known := spans[d.Dataset]
		if !known {
			order = append(order, d.Dataset)
		}
		if n := len(own); n > 0 && own[n-1].Action == d.Action && own[n-1].Reason == d.Reason && own[n-1].To.AddDays(1) == d.Date {
			own[n-1].To, own[n-1].Days = d.Date, own[n-1].Days+1
			continue
		}
		spans[d.Dataset] = append(own, BackfillSpan{d.Dataset, d.Date, d.Date, 1, d.Action, d.Reason})
	}
	var out []BackfillSpan
	for _, name := range order {
		out = append(out, spans[name]...)
	}
	return out
}

// BackfillState is where a backfill is.
type BackfillState string

// The states of a backfill.
const (
	BackfillRunning   BackfillState = "running"   // days are left, and are brought between nights
	BackfillPaused    BackfillState = "paused"    // nothing more begins until somebody resumes it
	BackfillSucceeded BackfillState = "succeeded" // every day that it could bring is brought
	BackfillFailed    BackfillState = "failed"    // it has ended, and some of its days failed
	BackfillCancelled BackfillState = "cancelled" // nothing more of it ever starts
)

// Terminal reports whether the backfill has ended.
func (s BackfillState) Terminal() bool {
	return s == BackfillSucceeded || s == BackfillFailed || s == BackfillCancelled
}

// Backfill is a range of days of some datasets that was planned and then committed.
type Backfill struct {
	ID        BackfillID      `json:"id"`
	Number    int             `json:"number"` // rises by one
	State     BackfillState   `json:"state"`
	Request   BackfillRequest `json:"request"`
	Estimate  Estimate        `json:"estimate"`
	Actor     string          `json:"actor"` // who started it
	Reason    string          `json:"reason,omitempty"`
	Says      string          `json:"says,omitempty"` // why it is paused or cancelled, and by whom
	CreatedAt time.Time       `json:"created_at"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
	// Progress is how many of its days are in each state.
	Progress map[BackfillDayState]int `json:"progress,omitempty"`
}

// mostPhases bounds the phases of a backfill.
const mostPhases = 64

// Sequence returns the sequence of the backfill's runs of a phase: there is one run for each of its phases and dates.
func (b Backfill) Sequence(phase int) int { return b.Number*mostPhases + min(phase, mostPhases-1) }

// Left returns how many days the backfill has still to bring.
func (b Backfill) Left() int { return b.Progress[BackfillDayPending] + b.Progress[BackfillDayRunning] }

// Total returns how many days it was to bring.
func (b Backfill) Total() int {
	return b.Left() + b.Progress[BackfillDaySucceeded] + b.Progress[BackfillDayFailed] + b.Progress[BackfillDayCancelled]
}

// BackfillAct is what a person does with a backfill that was started.
type BackfillAct string

// The acts.
const (
	PauseBackfill  BackfillAct = "pause"  // nothing more of it begins
	ResumeBackfill BackfillAct = "resume" // it goes on
	CancelBackfill BackfillAct = "cancel" // nothing more of it ever starts
	RetryBackfill  BackfillAct = "retry"  // its failed days are tried again, from their failed steps
)
