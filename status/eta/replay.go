package eta

import (
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Rewind returns the night as it was at a moment: what had not happened by then is not in it.
func (n Night) Rewind(now time.Time) Night {
	out := n
	if out.Started.After(now) {
		out.Started = time.Time{}
	}
	out.Steps = make([]Step, len(n.Steps))
	for i, s := range n.Steps {
		then := Step{Kind: s.Kind, Dataset: s.Dataset, Needs: s.Needs, State: elt.StepPending}
		switch {
		case s.Start.IsZero() || s.Start.After(now):
			// A step that never started is blocked from the moment that something it needs failed.
			if s.State == elt.StepBlocked && n.blockedBy(i, now) {
				then.State = elt.StepBlocked
			}
		case s.End.IsZero() || s.End.After(now):
			then.State, then.Start, then.Attempt = elt.StepRunning, s.Start, 1
		default:
			then = s
		}
		out.Steps[i] = then
	}
	return out
}

// blockedBy reports whether a step could not succeed any more by then: something that it needs had failed, and for a
// publish step everything had.
func (n Night) blockedBy(i int, now time.Time) bool {
	gone := func(need int) bool {
		s := n.Steps[need]
		return s.State == elt.StepFailed && !s.End.After(now) || s.State == elt.StepBlocked && n.blockedBy(need, now)
	}
	s := n.Steps[i]
	if s.Kind == elt.PublishStep {
		return !slices.ContainsFunc(s.Needs, func(need int) bool { return !gone(need) })
	}
	return slices.ContainsFunc(s.Needs, gone)
}
