package elt

import (
	"fmt"
	"slices"
)

// Troubles returns an incident for each root cause that touches a deadline on the board: a day that has a
// deadline and is failed, blocked, unknown or past it. Affected names every such day of the same date that
// follows from the cause, with the cause itself; the result is in order of date and cause.
func Troubles(b *Board) []Incident {
	found := make(map[DayKey]*Incident) // by root cause
	for key, s := range b.Days {
		if s.Deadline != DeadlineAtRisk && s.Deadline != DeadlineBreached {
			continue
		}
		at := key
		var failure *Failure
		if s.Cause != nil {
			at.Dataset, failure = s.Cause.Dataset, s.Cause.Failure
		} else if len(s.BlockedBy) > 0 {
			at.Dataset = firstHeldUp(b, s)
		}
		in := found[at]
		if in == nil {
			in = &Incident{Cause: at.Dataset, Date: at.Date, Failure: failure, Affected: []DatasetName{at.Dataset}}
			found[at] = in
		}
		if in.Title == "" || s.Deadline == DeadlineBreached { // what has happened is told before what may
			in.Title = title(b.Days[at], at.Dataset, s.Deadline)
		}
		if !slices.Contains(in.Affected, key.Dataset) {
			in.Affected = append(in.Affected, key.Dataset)
		}
	}
	out := make([]Incident, 0, len(found))
	for _, in := range found {
		slices.Sort(in.Affected)
		out = append(out, *in)
	}
	slices.SortFunc(out, func(a, b Incident) int {
		if c := a.Date.Compare(b.Date); c != 0 {
			return c
		}
		return slices.Compare([]DatasetName{a.Cause}, []DatasetName{b.Cause})
	})
	return out
}

// firstHeldUp follows what holds a day up, to the dataset that waits for nobody.
func firstHeldUp(b *Board, s DayStatus) DatasetName {
	for range len(b.Datasets) {
		if len(s.BlockedBy) == 0 {
			break
		}
		next, ok := b.Days[DayKey{s.BlockedBy[0], s.Date}]
		if !ok {
			return s.BlockedBy[0]
		}
		s = next
	}
	return s.Dataset
}

// title says what is wrong with the cause; deadline is the state of that which it touches.
func title(s DayStatus, cause DatasetName, deadline DeadlineState) string {
	if deadline == DeadlineAtRisk {
		switch s.State {
		case DayScheduled, DayWaiting, DayRunning, DayRetrying:
			return fmt.Sprintf("%s will probably be late", cause)
		}
	}
	switch s.State {
	case DayFailed:
		return fmt.Sprintf("%s failed to %s", cause, s.Step)
	case DayRetrying:
		return fmt.Sprintf("%s is late: its %s is being retried", cause, s.Step)
	case DayUnknown:
		return fmt.Sprintf("nobody can vouch for %s: its worker went silent", cause)
	case DayScheduled:
		return fmt.Sprintf("%s is late: its run has not started", cause)
	}
	return fmt.Sprintf("%s is late", cause)
}

// Healed reports whether every day that the incident affects is ready on the board, or is not expected any more.
// A day that the board does not hold is not known to be ready.
func (in Incident) Healed(b *Board) bool {
	for _, d := range in.Affected {
		if s, ok := b.Days[DayKey{d, in.Date}]; !ok || !s.Good() && s.State != DayNotExpected {
			return false
		}
	}
	return true
}
