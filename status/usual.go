package status

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

const (
	// usualNights is how many earlier nights of a schedule say what is usual, and fewestNights below how many nothing is.
	usualNights, fewestNights = 10, 3
	// mostUsuals bounds the memory of what is usual.
	mostUsuals = 200
)

// stretch is a time within a night, counted from its first step.
type stretch struct{ From, To time.Duration }

// usual is when each dataset of a schedule was worked on in its last nights: from the median of its beginnings to the time
// by which nine in ten were done. A night's own publish step has the empty name.
type usual struct {
	Nights int
	Of     map[elt.DatasetName]stretch
}

// usuals remembers what was usual before a run: earlier nights do not change.
type usuals struct {
	mu sync.Mutex
	m  map[elt.RunID]usual
}

// usualBefore reads the nights before a run. Without enough of them nothing is usual.
func (s *Service) usualBefore(ctx context.Context, run elt.Run) (usual, error) {
	s.usuals.mu.Lock()
	u, known := s.usuals.m[run.ID]
	s.usuals.mu.Unlock()
	if known || run.Kind != elt.ScheduledRun && run.Kind != elt.ManualRun {
		return u, nil
	}
	runs, err := s.opts.Ledger.Runs(ctx, elt.RunFilter{Schedule: run.Schedule, Before: run.ID, Limit: 3 * usualNights})
	if err != nil {
		return usual{}, ledgerAway(err)
	}
	begun, ended := make(map[elt.DatasetName][]time.Duration), make(map[elt.DatasetName][]time.Duration)
	for _, r := range runs {
		if r.Kind != elt.ScheduledRun && r.Kind != elt.ManualRun || !r.Options.IsZero() || r.State != elt.RunSucceeded && r.State != elt.RunPartial || u.Nights == usualNights {
			continue
		}
		steps, err := s.opts.Ledger.Steps(ctx, r.ID)
		if err != nil {
			return usual{}, ledgerAway(err)
		}
		u.Nights++
		for name, at := range stretches(steps) {
			begun[name], ended[name] = append(begun[name], at.From), append(ended[name], at.To)
		}
	}
	u.Of = make(map[elt.DatasetName]stretch)
	for name := range begun {
		if n := len(begun[name]); n >= fewestNights {
			slices.Sort(begun[name])
			slices.Sort(ended[name])
			u.Of[name] = stretch{begun[name][n/2], ended[name][(9*n+9)/10-1]}
		}
	}
	s.usuals.mu.Lock()
	defer s.usuals.mu.Unlock()
	if s.usuals.m == nil || len(s.usuals.m) >= mostUsuals {
		s.usuals.m = make(map[elt.RunID]usual)
	}
	s.usuals.m[run.ID] = u
	return u, nil
}

// stretches are when each dataset of a night was worked on, where all of its steps went well.
func stretches(steps []elt.Step) map[elt.DatasetName]stretch {
	var first time.Time
	for _, st := range steps {
		if !st.StartedAt.IsZero() && (first.IsZero() || st.StartedAt.Before(first)) {
			first = st.StartedAt
		}
	}
	out, bad := make(map[elt.DatasetName]stretch), make(map[elt.DatasetName]bool)
	for _, st := range steps {
		if st.State != elt.StepSucceeded || st.FinishedAt.IsZero() {
			bad[st.Dataset] = true
			continue
		}
		at, seen := out[st.Dataset]
		if begun := st.StartedAt.Sub(first); !seen || begun < at.From {
			at.From = begun
		}
		at.To = max(at.To, st.FinishedAt.Sub(first))
		out[st.Dataset] = at
	}
	for name := range bad {
		delete(out, name)
	}
	return out
}

// criticalPath is what a run's end hangs on, or hung on. While it is under way that is the estimate's; afterwards the chain
// of steps of which each could only begin when the one before it was done.
func (v view) criticalPath(run elt.Run, steps []api.Step) map[api.PathStep]bool {
	path := make(map[api.PathStep]bool)
	if !run.State.Terminal() {
		var latest time.Time
		for _, st := range steps {
			d, known := v.day(st.Dataset, st.Date)
			if e, ok := v.estimateOf(d); known && ok && e.Known() && d.Run == run.ID && e.LikelyBy.After(latest) {
				latest = e.LikelyBy
				clear(path)
				for _, l := range e.Path {
					path[api.PathStep{Step: l.Kind, Dataset: l.Dataset}] = true
				}
			}
		}
		return path
	}
	byID := make(map[elt.StepID]api.Step, len(steps))
	var at api.Step
	for _, st := range steps {
		byID[st.ID] = st
		if st.FinishedAt.After(at.FinishedAt) {
			at = st
		}
	}
	for range steps {
		if at.ID == "" || at.StartedAt.IsZero() {
			break
		}
		path[api.PathStep{Step: at.Kind, Dataset: at.Dataset}] = true
		var before api.Step
		for _, need := range at.Needs {
			if st := byID[need]; st.FinishedAt.After(before.FinishedAt) {
				before = st
			}
		}
		at = before
	}
	return path
}
