package schedules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Retries says how often a step is tried, and how long it waits in between. The delay doubles from First
// to Max, each with up to half of it taken away at random.
type Retries struct {
	Attempts int
	First    time.Duration
	Max      time.Duration
	// Wait is how long a step may wait for a source that asks for time, such as for a transaction to end: that is no
	// failure and costs no attempt.
	Wait time.Duration
}

// outcome decides what an attempt's end means: success, another attempt later, or failure.
func (r *Runner) outcome(ctx context.Context, s elt.Step, result elt.Result, workErr error) (elt.Outcome, error) {
	if workErr == nil {
		return elt.Outcome{State: elt.StepSucceeded, Result: result}, nil
	}
	failure := elt.NewFailure(workErr)
	now, err := r.Ledger.Now(ctx)
	if err != nil {
		return elt.Outcome{}, fmt.Errorf("read the ledger's clock: %w", err)
	}
	if failure.Code == elt.Interrupted {
		return elt.Outcome{State: elt.StepRetrying, Error: failure, NextAttemptAt: now}, nil
	}
	policy, err := r.Retries(ctx, s.Run)
	if err != nil {
		return elt.Outcome{}, err
	}
	failed, waits, err := r.earlier(ctx, s.ID, policy)
	if err != nil {
		return elt.Outcome{}, err
	}
	if failure.Class == elt.Budget { // the source asked for time, and nothing failed
		if !waits.IsZero() && now.Sub(waits) >= policy.Wait {
			return elt.Outcome{State: elt.StepFailed, Result: result, Error: failure}, nil
		}
		return elt.Outcome{State: elt.StepRetrying, Error: failure, NextAttemptAt: now.Add(policy.delay(failed))}, nil
	}
	if !retriable(failure.Class) || failed+1 >= policy.Attempts {
		return elt.Outcome{State: elt.StepFailed, Result: result, Error: failure}, nil
	}
	return elt.Outcome{
		State: elt.StepRetrying, Error: failure,
		NextAttemptAt: now.Add(policy.delay(failed)),
	}, nil
}

// earlier counts the attempts that failed by themselves, and says since when attempts end because the source asks for
// time, if the last one did. An interruption is no failure. After an attempt that ended the step only a person has it
// tried again: from there everything counts anew.
func (r *Runner) earlier(ctx context.Context, step elt.StepID, policy Retries) (failed int, waits time.Time, err error) {
	attempts, err := r.Ledger.Attempts(ctx, step)
	if err != nil {
		return 0, waits, fmt.Errorf("read the attempts of %s: %w", step, err)
	}
	var last time.Time
	for _, a := range attempts {
		switch {
		case a.Error == nil || a.Error.Code == elt.Interrupted:
			continue
		case a.Error.Class != elt.Budget:
			failed++
			waits = time.Time{}
		case waits.IsZero() || a.StartedAt.Sub(last) > max(2*policy.Max, time.Minute): // or a person has tried it again
			waits = a.StartedAt
		}
		if last = a.FinishedAt; a.Outcome == string(elt.StepFailed) {
			failed, waits = 0, time.Time{}
		}
	}
	return failed, waits, nil
}

// retriable reports whether time alone may mend an error of the class. A quota is none of these: what lifts it is a
// person, or another day, and whoever is on call should know at once.
func retriable(c elt.Class) bool {
	return c == elt.Transient || c == elt.Budget || c == elt.Conflict
}

// delay returns how long to wait after the given number of earlier failures.
func (p Retries) delay(failed int) time.Duration {
	d := p.First << min(failed, 20)
	if d > p.Max || d <= 0 {
		d = p.Max
	}
	return d - time.Duration(rand.Int64N(int64(d/2)+1))
}
