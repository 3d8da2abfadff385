package elt

import (
	"cmp"
	"slices"
	"time"
)

// DayState is a day's availability: exactly one of these, derived from the ledger's facts.
type DayState string

// The states of a day.
const (
	DayNotExpected DayState = "not_expected" // the calendar says that no data is due
	DayScheduled   DayState = "scheduled"    // expected, nothing started
	DayWaiting     DayState = "waiting"      // an input is not ready yet, or its source may still change it
	DayRunning     DayState = "running"      // a live lease holds it, or its run is between two of its steps
	DayRetrying    DayState = "retrying"     // an attempt failed, the next one has a time
	DayReady       DayState = "ready"        // a version passed its checks and is published
	DayFailed      DayState = "failed"       // attempts are exhausted
	DayBlocked     DayState = "blocked"      // an ancestor failed or is blocked: waiting cannot help
	DayUnknown     DayState = "unknown"      // nobody can vouch for it: a lease was lost
)

// DeadlineState is how a day stands against its deadline.
type DeadlineState string

// The deadline states. at_risk needs an estimate of the time of arrival.
const (
	DeadlineNone     DeadlineState = "none"     // it has no deadline
	DeadlineOnTrack  DeadlineState = "on_track" // not ready, and the deadline is ahead
	DeadlineAtRisk   DeadlineState = "at_risk"  // likely to miss it, or it is held up while the deadline is ahead
	DeadlineBreached DeadlineState = "breached" // past the deadline and not ready
	DeadlineMet      DeadlineState = "met"      // was ready by then
	DeadlineMissed   DeadlineState = "missed"   // became ready after it
)

// Day is the ledger's row of a (dataset, date) that is expected, or not expected by the calendar.
type Day struct {
	Dataset     DatasetName `json:"dataset"`
	Date        Date        `json:"date"`
	Run         RunID       `json:"run,omitempty"` // the latest run that brings it
	NotExpected string      `json:"not_expected,omitempty"`
	// NotExpectedKind goes with NotExpected; rows of older releases have none.
	NotExpectedKind NotExpectedKind `json:"not_expected_kind,omitempty"`
	DueAt           time.Time       `json:"due_at,omitzero"` // when its run is to start
	Hold            *Hold           `json:"hold,omitempty"`  // why it has not started although it is due; nil once there is a run
	Deadline        time.Time       `json:"deadline,omitzero"`
	Withdrawn       string          `json:"withdrawn,omitempty"` // the reason; a withdrawn day is impossible for gates
}

// DayFacts is everything that a day's status follows from.
type DayFacts struct {
	Day Day
	Now time.Time // by the ledger's clock
	// Steps are this dataset's own steps in Day.Run, in order, with the run's publish step last; none
	// when no run has started.
	Steps []Step
	// Version is the newest published version of this date, or nil.
	Version *Version
	// Inputs are what the dataset is made from, on the same date; none for a table.
	Inputs []InputFacts
	// Blocker is the failed step of the run for which one of Steps is blocked, or nil.
	Blocker *Cause
	// Maintenance are the windows that cover the dataset, in order of their beginnings.
	Maintenance []Maintenance
	// RebuiltAt is when a later version of the dataset was built whole, this date with it; zero when none was.
	RebuiltAt time.Time
}

// InputFacts is what a day needs to know of one input.
type InputFacts struct {
	Status   DayStatus
	Current  VersionID // the input's current version of that date; empty when there is none
	Restores VersionID // the version whose content the current one brought back; empty for most
	// CurrentAt is when the current version was published.
	CurrentAt time.Time
	// Late is an older date of an incremental input that was published after a model which reads all of its dates; nil
	// when there is none.
	Late *Version
	// Through are the reasons for which an input that is a view shows other rows than it did: what read the view before
	// that is outdated with it.
	Through []OutdatedInput
}

// OutdatedInput is why a day is outdated: what was read, and what would be read now.
type OutdatedInput struct {
	Dataset DatasetName `json:"dataset"`
	Date    Date        `json:"date"` // of the input: an earlier one than the day's where a whole table is read
	Read    VersionID   `json:"read,omitempty"`
	Current VersionID   `json:"current"`
	Since   time.Time   `json:"since,omitzero"` // when the current version was published
}

// DayStatus is what the page and the API say about a day.
type DayStatus struct {
	Dataset       DatasetName   `json:"dataset"`
	Date          Date          `json:"date"`
	State         DayState      `json:"state"`
	Deadline      DeadlineState `json:"deadline_state"`
	DeadlineAt    time.Time     `json:"deadline_at,omitzero"`
	DeadlineWas   time.Time     `json:"deadline_was,omitzero"`  // before maintenance moved it; zero where none did
	NotExpected   *NotExpected  `json:"not_expected,omitempty"` // not_expected: why
	Hold          *Hold         `json:"hold,omitempty"`         // waiting, blocked: why its run has not started
	ReadyAt       time.Time     `json:"ready_at,omitzero"`
	Run           RunID         `json:"run,omitempty"`
	Version       VersionID     `json:"version,omitempty"`
	Rows          int64         `json:"rows,omitempty"`
	Checks        Checks        `json:"checks,omitempty"`
	Level         Level         `json:"level,omitempty"`      // ready, of a table: how deep it was verified
	Deletes       int64         `json:"deletes,omitempty"`    // ready, of a table: rows that went because the source no longer has them
	BlockedBy     []DatasetName `json:"blocked_by,omitempty"` // waiting, blocked, unknown: the inputs that hold it up
	Cause         *Cause        `json:"cause,omitempty"`      // failed, blocked, retrying: the root cause; waiting: what it waits for, unless that is an input
	NextAttemptAt time.Time     `json:"next_attempt_at,omitzero"`
	Step          StepKind      `json:"step,omitempty"` // running, retrying, failed, unknown: where it is
	Restating     bool          `json:"restating,omitempty"`
	Outdated      []DatasetName `json:"outdated,omitempty"` // ready, but these inputs have a newer version than was read
	// OutdatedBy tells the same with the versions.
	OutdatedBy []OutdatedInput `json:"outdated_by,omitempty"`
	Withdrawn  string          `json:"withdrawn,omitempty"`
}

// Cause is the first failure from which a day's trouble follows.
type Cause struct {
	Dataset DatasetName `json:"dataset"`
	Step    StepKind    `json:"step"`
	Failure *Failure    `json:"failure,omitempty"`
}

// Good reports whether a gate may open on the day: it is ready and nobody has withdrawn it.
func (s DayStatus) Good() bool { return s.State == DayReady && s.Withdrawn == "" }

// Comes reports whether data that is not expected now will be expected again: a window rests on it.
func (s DayStatus) Comes() bool { return s.NotExpected != nil && s.NotExpected.Kind == ByMaintenance }

// Impossible reports whether waiting cannot help without a person: failed, blocked or withdrawn.
func (s DayStatus) Impossible() bool {
	return s.State == DayFailed || s.State == DayBlocked || s.Withdrawn != ""
}

// outdates reports whether what was made from the version would be made otherwise now: the input has another content,
// or a person has marked the one that was read as bad.
func (in InputFacts) outdates(read VersionID) bool {
	if in.Current == "" {
		return false
	}
	return in.Status.Withdrawn != "" || in.Current != read && in.Restores != read
}

// Derive concludes a day's status from its facts.
//
// A published version makes a day ready whatever happens upstream afterwards. Otherwise, in this order:
// not expected; its own terminal failure; an input that failed or is blocked; a step of its own that is blocked; an
// input that nobody can vouch for; an input that is not ready; its own state.
func Derive(f DayFacts) DayStatus {
	s := DayStatus{
		Dataset: f.Day.Dataset, Date: f.Day.Date, Run: f.Day.Run,
		DeadlineAt: Moved(f.Day.DueAt, f.Day.Deadline, f.Maintenance), Withdrawn: f.Day.Withdrawn,
	}
	if s.DeadlineAt != f.Day.Deadline {
		s.DeadlineWas = f.Day.Deadline
	}
	own := ownState(f.Steps, f.Now)
	rest := resting(f, own, s.DeadlineAt)
	switch {
	case f.Version != nil:
		s.State = DayReady
		s.Version, s.ReadyAt, s.Rows, s.Checks = f.Version.ID, f.Version.PublishedAt, f.Version.Rows, f.Version.Checks
		s.Level, s.Deletes = f.Version.Level, f.Version.Deletes
		s.Restating = f.Day.Run != f.Version.Run && (own.state == DayRunning || own.state == DayRetrying)
		s.deriveOutdated(f)
		if s.Withdrawn == "" {
			s.Withdrawn = f.Version.RolledBack
		}
	case f.Day.NotExpected != "":
		s.State = DayNotExpected
		s.NotExpected = &NotExpected{Kind: cmp.Or(f.Day.NotExpectedKind, BySchedule), Reason: f.Day.NotExpected}
	case rest != nil:
		s.State = DayNotExpected
		s.NotExpected = &NotExpected{Kind: ByMaintenance, Reason: rest.Reason, Until: rest.Until()}
	case own.state == DayFailed:
		s.State, s.Step = DayFailed, own.step
		s.Cause = &Cause{f.Day.Dataset, own.step, own.failure}
	default:
		s.deriveFromInputs(f, own)
	}
	s.Deadline = deadlineState(s, f.Now)
	return s
}

// resting returns the window for which nothing is expected of a day that is not ready: one that lasts now, and before
// whose end the day is due. What was late or had failed before it began stays so: no window hides what was wrong.
func resting(f DayFacts, own ownFacts, deadline time.Time) *Maintenance {
	for i := range f.Maintenance {
		m := &f.Maintenance[i]
		if !m.Holds(f.Now) || !f.Day.DueAt.Before(m.Until()) {
			continue
		}
		open := deadline.After(m.From)
		if deadline.IsZero() { // promised to nobody: it counts for a day
			open = !f.Day.DueAt.Before(m.From.Add(-24 * time.Hour))
		}
		if ended := own.state == DayFailed || own.state == DayBlocked; open && !(ended && own.at.Before(m.From)) {
			return m
		}
	}
	return nil
}

// deriveOutdated compares the inputs that a ready day was made from with those that it would be made from now.
func (s *DayStatus) deriveOutdated(f DayFacts) {
	for _, in := range f.Inputs {
		read, ok := f.Version.Inputs[in.Status.Dataset]
		var why OutdatedInput
		switch {
		case ok && in.outdates(read) && !(f.RebuiltAt.After(in.CurrentAt) && in.Status.Withdrawn == ""):
			why = OutdatedInput{in.Status.Dataset, f.Day.Date, read, in.Current, in.CurrentAt}
		case ok && in.Late != nil:
			why = OutdatedInput{in.Status.Dataset, in.Late.Date, "", in.Late.ID, in.Late.PublishedAt}
		default:
			for _, o := range in.Through {
				if o.Since.After(f.Version.PublishedAt) && !f.RebuiltAt.After(o.Since) {
					why = o
				}
			}
			if why.Dataset == "" {
				continue
			}
			s.Outdated, s.OutdatedBy = append(s.Outdated, why.Dataset), append(s.OutdatedBy, why)
			continue
		}
		s.Outdated, s.OutdatedBy = append(s.Outdated, in.Status.Dataset), append(s.OutdatedBy, why)
	}
}

// deriveFromInputs settles a day that is neither ready nor failed by itself.
func (s *DayStatus) deriveFromInputs(f DayFacts, own ownFacts) {
	held := func(match func(DayState) bool) (names []DatasetName, cause *Cause) {
		for _, in := range f.Inputs {
			if match(in.Status.State) {
				names = append(names, in.Status.Dataset)
				if cause == nil {
					cause = in.Status.Cause
				}
			}
		}
		return names, cause
	}
	if names, cause := held(func(d DayState) bool { return d == DayFailed || d == DayBlocked }); names != nil {
		s.State, s.BlockedBy, s.Cause = DayBlocked, names, cause
		return
	}
	if own.state == DayBlocked {
		// No input of that date is to blame: it was ready from an earlier run, and failed in this one.
		s.State, s.Cause = DayBlocked, f.Blocker
		if s.Cause == nil {
			s.Cause = &Cause{f.Day.Dataset, own.step, own.failure}
		}
		s.BlockedBy = []DatasetName{s.Cause.Dataset}
		return
	}
	hold := f.Day.Hold
	if f.Day.Run != "" {
		hold = nil
	}
	if s.Hold = hold; hold != nil && hold.GaveUp {
		s.State, s.BlockedBy = DayBlocked, hold.Waits
		s.Cause = &Cause{Dataset: f.Day.Dataset, Failure: &Failure{Code: "wait_gave_up", Class: Data, Message: hold.Reason,
			Do: "once they are there: daybreak schedules trigger, with the schedule and --date " + f.Day.Date.String()}}
		return
	}
	if names, _ := held(func(d DayState) bool { return d == DayUnknown }); names != nil {
		s.State, s.BlockedBy = DayUnknown, names
		return
	}
	// Within one run a model is built on staged inputs before anything is published: once its own
	// steps are moving, the inputs that are "not ready yet" do not hold it up.
	if own.state == DayScheduled {
		if names, _ := held(func(d DayState) bool { return d != DayReady && d != DayNotExpected }); names != nil {
			s.State, s.BlockedBy = DayWaiting, names
			return
		}
	}
	s.State, s.Step = own.state, own.step
	s.NextAttemptAt = own.next
	if own.state == DayScheduled && hold != nil {
		s.State = DayWaiting
		return
	}
	if own.state == DayRetrying {
		s.Cause = &Cause{f.Day.Dataset, own.step, own.failure}
		if own.failure != nil && own.failure.Code == WindowOpen { // nothing failed: it was too early
			s.State = DayWaiting
		}
	}
}

type ownFacts struct {
	state   DayState
	step    StepKind
	failure *Failure
	next    time.Time
	at      time.Time // failed, blocked: since when
}

// ownState concludes from a dataset's own steps alone, worst first. The publish step concerns the dataset only once
// all of its own steps have succeeded: what was held back takes no part in it.
func ownState(steps []Step, now time.Time) ownFacts {
	out := ownFacts{state: DayScheduled}
	passed := len(steps) > 0
	for _, st := range steps {
		if st.Kind == PublishStep && !passed {
			continue
		}
		state := stepState(st, now)
		if st.Kind == PublishStep && state == DayBlocked {
			state = DayUnknown // this dataset passed, so there was something to publish: the ledger contradicts itself
		}
		passed = passed && st.State == StepSucceeded
		if rank(state) > 0 && rank(state) >= rank(out.state) {
			out = ownFacts{state, st.Kind, st.Error, st.NextAttemptAt, st.FinishedAt}
		}
	}
	if passed && out.step == PublishStep {
		out.state = DayUnknown // published, it says, and yet no version is there: nobody can vouch for it
	}
	return out
}

// stepState is what a step alone says about the day.
func stepState(st Step, now time.Time) DayState {
	switch st.State {
	case StepFailed, StepCancelled:
		return DayFailed
	case StepBlocked:
		return DayBlocked
	case StepRetrying:
		return DayRetrying
	case StepRunning:
		if st.LeaseUntil.Before(now) {
			return DayUnknown
		}
		return DayRunning
	case StepSucceeded:
		return DayRunning // on its way: between two steps
	}
	return DayScheduled
}

// rank orders what steps say of a day, worst highest.
func rank(s DayState) int {
	return slices.Index([]DayState{DayScheduled, DayRunning, DayRetrying, DayUnknown, DayBlocked, DayFailed}, s)
}

func deadlineState(s DayStatus, now time.Time) DeadlineState {
	switch {
	case s.DeadlineAt.IsZero() || s.State == DayNotExpected:
		return DeadlineNone
	case s.State == DayReady && !s.ReadyAt.After(s.DeadlineAt):
		return DeadlineMet
	case s.State == DayReady:
		return DeadlineMissed
	case now.After(s.DeadlineAt):
		return DeadlineBreached
	case s.State == DayFailed || s.State == DayBlocked || s.State == DayUnknown:
		return DeadlineAtRisk
	}
	return DeadlineOnTrack
}

// Headline sums up a dataset: its latest expected day, and how far it is complete.
type Headline struct {
	Latest          DayStatus `json:"latest"`           // the latest expected day, not the last run
	LatestReady     Date      `json:"latest_ready"`     // the newest date that is ready
	CompleteThrough Date      `json:"complete_through"` // every expected date up to it is ready
}

// NewHeadline sums up days, which must be of one dataset in date order. A date that is missing between them is one
// that nobody brought: the watermark stops before it.
func NewHeadline(days []DayStatus) Headline {
	var h Headline
	broken := false
	for i, d := range days {
		if i > 0 && d.Date != days[i-1].Date.AddDays(1) {
			broken = true
		}
		if d.State == DayNotExpected {
			broken = broken || d.Comes()
			continue
		}
		h.Latest = d
		if d.Good() {
			h.LatestReady = d.Date
			if !broken {
				h.CompleteThrough = d.Date
			}
		} else {
			broken = true
		}
	}
	return h
}
