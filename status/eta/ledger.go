package eta

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Ledger is where recorded runs are read.
type Ledger interface {
	Runs(ctx context.Context, f elt.RunFilter) ([]elt.Run, error)
	Steps(ctx context.Context, run elt.RunID) ([]elt.Step, error)
	Attempts(ctx context.Context, step elt.StepID) ([]elt.Attempt, error)
}

const (
	// personsPause is the pause between two attempts above which a person had the step run again: what comes before
	// says nothing of how long a step lasts.
	personsPause = time.Hour
	// unplanned is the delay above which a run did not begin because it was due.
	unplanned = 6 * time.Hour
)

// readNight reads a run as a night. due is when its schedule was to start it; zero when unknown. A run under way is
// as the ledger has it at now.
func readNight(ctx context.Context, l Ledger, run elt.Run, due, now time.Time) (Night, error) {
	steps, err := l.Steps(ctx, run.ID)
	if err != nil {
		return Night{}, fmt.Errorf("read the steps of run %s: %w", run.ID, err)
	}
	n := Night{Date: run.Date, Trigger: run.Kind}
	if d := run.CreatedAt.Sub(due); !due.IsZero() && run.Kind == elt.ScheduledRun && d >= 0 && d <= unplanned {
		n.Due = due
	}
	index := make(map[elt.StepID]int, len(steps))
	for _, s := range steps {
		step := Step{
			Kind: s.Kind, Dataset: s.Dataset, State: s.State, Attempt: s.Attempt, NextAttemptAt: s.NextAttemptAt,
			Lost: s.State == elt.StepRunning && s.LeaseUntil.Before(now),
		}
		for _, need := range s.Needs {
			if i, ok := index[need]; ok { // the ledger keeps steps after what they need
				step.Needs = append(step.Needs, i)
			}
		}
		if s.State != elt.StepPending { // one that a person had run again still has the times of before
			step.Start, step.End = s.StartedAt, s.FinishedAt
		}
		if s.Kind == elt.ExtractStep && s.State == elt.StepSucceeded {
			step.Rows = s.Result.Rows
		}
		if s.Attempt > 1 && !step.Start.IsZero() {
			if err := step.sinceAttempts(ctx, l, s.ID); err != nil {
				return Night{}, err
			}
		}
		// A run that was made waits for the one before it, or for a worker: the night starts with its first step.
		if !step.Start.IsZero() && (n.Started.IsZero() || step.Start.Before(n.Started)) {
			n.Started = step.Start
		}
		index[s.ID] = len(n.Steps)
		n.Steps = append(n.Steps, step)
	}
	return n, nil
}

// sinceAttempts moves the start of a step behind what a person had run again, and finds when its latest attempt
// began.
func (s *Step) sinceAttempts(ctx context.Context, l Ledger, id elt.StepID) error {
	attempts, err := l.Attempts(ctx, id)
	if err != nil {
		return fmt.Errorf("read the attempts of %s: %w", id, err)
	}
	for i, a := range attempts {
		if i > 0 {
			before := attempts[i-1]
			if before.Error == nil || a.StartedAt.Sub(before.FinishedAt) > personsPause {
				s.Start = a.StartedAt
			}
		}
		s.AttemptStart = a.StartedAt
	}
	return nil
}

// ahead returns a recorded night as one of another date that has not begun.
func (n Night) ahead(date elt.Date, due time.Time) Night {
	out := Night{Date: date, Trigger: elt.ScheduledRun, Due: due, Steps: make([]Step, len(n.Steps))}
	for i, s := range n.Steps {
		out.Steps[i] = Step{Kind: s.Kind, Dataset: s.Dataset, Needs: s.Needs, State: elt.StepPending}
	}
	return out
}
