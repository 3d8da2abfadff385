package schedules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Runs is what the runner asks of the ledger about runs.
type Runs interface {
	Now(ctx context.Context) (time.Time, error)
	Runs(ctx context.Context, f elt.RunFilter) ([]elt.Run, error)
	Steps(ctx context.Context, run elt.RunID) ([]elt.Step, error)
	BlockSteps(ctx context.Context, steps []elt.StepID) error
	FinishRun(ctx context.Context, run elt.RunID, state elt.RunState) error
}

// Leases is what the runner asks of the ledger about the step that it works on.
type Leases interface {
	Claim(ctx context.Context, step elt.StepID, w elt.WorkerID, ttl time.Duration) (elt.Lease, error)
	Heartbeat(ctx context.Context, l elt.Lease, ttl time.Duration, p elt.Progress) (elt.Lease, error)
	Finish(ctx context.Context, l elt.Lease, o elt.Outcome) error
	Attempts(ctx context.Context, step elt.StepID) ([]elt.Attempt, error)
}

// States is what the runner asks of the ledger after every step.
type States interface {
	// Unfinished returns those of a run's steps that have not succeeded, with what changes of a step alone: its state,
	// how many attempts were begun, and when it is tried again or its lease ends.
	Unfinished(ctx context.Context, run elt.RunID) ([]elt.Step, error)
}

// Bills is where the runner notes what an attempt has used whose end is not its own any more.
type Bills interface {
	RecordUsage(ctx context.Context, l elt.Lease, used elt.Usage) error
}

// Ledger is what the runner needs of the ledger.
type Ledger interface {
	Runs
	Leases
	Bills
	States
	Queues
}

// Stages does the work of a step. It must be safe to call again for the same step: a second call
// replaces or finds what the first left. progress may be called at any rate.
type Stages interface {
	Do(ctx context.Context, s elt.Step, l elt.Lease, progress func(elt.Progress)) (elt.Result, error)
}

// Observer is told what happens, for progress bars and logs. Its methods return quickly.
type Observer interface {
	Started(s elt.Step)
	Progressed(s elt.Step, p elt.Progress)
	Ended(s elt.Step, o elt.Outcome, took time.Duration)
}

// Runner carries the runs of the ledger forward, a step at a time. What is due, what is blocked and when a
// run has ended follows from the ledger alone, so any process can take over where another stopped.
type Runner struct {
	Ledger   Ledger
	Stages   Stages
	Observer Observer
	Retries  func(context.Context, elt.RunID) (Retries, error)
	Worker   elt.WorkerID
	Lease    time.Duration // how long a lease lasts between two heartbeats
	Log      *slog.Logger
	// Rests returns whether a dataset is under maintenance at that moment: none of its steps begins then; nil means that
	// none ever is.
	Rests func(ctx context.Context, now time.Time) (func(elt.DatasetName) bool, error)
	// Limits bound how many steps work at the same time. The ledger keeps them where a step is claimed; here they keep steps out
	// of the queue that would only be refused, and tell people why.
	Limits elt.Limits
	// Ended is called when a run has ended, once in this process; nil calls nothing.
	Ended func(context.Context, elt.RunID)

	plans sync.Map // elt.RunID → []elt.Step: what never changes of a run that goes on
	waits sync.Map // elt.StepID → string: why it was last said to wait
	// elt.StepID → time.Time: when somebody else's claim was found in the way. Sweeps follow one another as fast as steps end,
	// and one that is refused ends at once.
	refused sync.Map
}

// errLeaseLost is the cause of a cancelled step whose lease went to somebody else.
var errLeaseLost = errors.New("the lease was lost")

// errInterrupted is how a step ends that was stopped because the process is stopping.
var errInterrupted = &elt.Error{
	Code: elt.Interrupted, Class: elt.Transient,
	What: "the process was asked to stop", Do: "nothing: the step is taken up again",
}

// yielded is how a step ends that its holder let go of for another run.
func yielded(why string) error {
	return &elt.Error{
		Code: elt.Interrupted, Class: elt.Transient,
		What: why, Do: "nothing: the step is taken up again afterwards",
	}
}

// Sweep enqueues every step that the ledger says is due, blocks what can never start, and ends the runs
// that are done. It returns how many runs are still going on. The runs of one schedule go one after the
// other, oldest date first: what a night publishes is what the next one builds on. A rollback waits for nobody. The runs
// of backfills are left to a Backfiller.
func (r *Runner) Sweep(ctx context.Context, q Queue) (going int, err error) {
	runs, err := r.Ledger.Runs(ctx, elt.RunFilter{State: elt.RunRunning})
	if err != nil {
		return 0, err
	}
	now, err := r.Ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(runs, func(a, b elt.Run) int {
		return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.ID, b.ID))
	})
	busy := make(map[elt.ScheduleName]bool)
	for _, run := range runs {
		if run.Kind == elt.BackfillRun {
			continue
		}
		urgent := run.Kind == elt.RollbackRun
		if busy[run.Schedule] && !urgent {
			going++
			continue
		}
		state, err := r.sweepRun(ctx, q, run, now)
		if err != nil {
			return 0, fmt.Errorf("carry run %s forward: %w", run.ID, err)
		}
		if !state.Terminal() {
			busy[run.Schedule] = busy[run.Schedule] || !urgent
			going++
		}
	}
	return going, nil
}

// Carry does for one run what Sweep does for all, whatever else is going on.
func (r *Runner) Carry(ctx context.Context, q Queue, run elt.Run) error {
	now, err := r.Ledger.Now(ctx)
	if err != nil {
		return err
	}
	if _, err := r.sweepRun(ctx, q, run, now); err != nil {
		return fmt.Errorf("carry run %s forward: %w", run.ID, err)
	}
	return nil
}

func (r *Runner) sweepRun(ctx context.Context, q Queue, run elt.Run, now time.Time) (elt.RunState, error) {
	steps, err := r.steps(ctx, run.ID)
	if err != nil {
		return run.State, err
	}
	advice := Advise(steps, func(s elt.Step) bool { return due(s, now) })
	if len(advice.Block) > 0 {
		failpoint.Here("run.block")
		if err := r.Ledger.BlockSteps(ctx, advice.Block); err != nil {
			return run.State, err
		}
	}
	if err := r.enqueue(ctx, q, run, advice.Ready, now); err != nil {
		return run.State, err
	}
	if advice.State.Terminal() {
		r.forget(run.ID)
		r.Log.Info("run ended", "run", run.ID, "date", run.Date, "state", advice.State)
		failpoint.Here("run.finish")
		err := r.Ledger.FinishRun(ctx, run.ID, advice.State)
		failpoint.Here("run.finished")
		if err == nil && r.Ended != nil {
			r.Ended(ctx, run.ID)
		}
		return advice.State, err
	}
	return advice.State, nil
}

// steps returns a run's steps with their states. A night of a thousand models asks a thousand times: the plan is read
// once, and then only what has not succeeded.
func (r *Runner) steps(ctx context.Context, run elt.RunID) ([]elt.Step, error) {
	plan, known := r.plans.Load(run)
	if !known {
		steps, err := r.Ledger.Steps(ctx, run)
		if err == nil && len(steps) > 0 {
			r.plans.Store(run, steps)
		}
		return steps, err
	}
	unfinished, err := r.Ledger.Unfinished(ctx, run)
	if err != nil {
		return nil, err
	}
	now := make(map[elt.StepID]elt.Step, len(unfinished))
	for _, s := range unfinished {
		now[s.ID] = s
	}
	steps := slices.Clone(plan.([]elt.Step))
	for i := range steps {
		s, left := now[steps[i].ID]
		if steps[i].State = elt.StepSucceeded; left {
			steps[i].State, steps[i].Attempt, steps[i].NextAttemptAt, steps[i].LeaseUntil = s.State, s.Attempt, s.NextAttemptAt, s.LeaseUntil
		}
	}
	return steps, nil
}

// due reports whether a step that has begun can be taken up again.
func due(s elt.Step, now time.Time) bool {
	switch s.State {
	case elt.StepRetrying:
		return !s.NextAttemptAt.After(now)
	case elt.StepRunning:
		return s.LeaseUntil.Before(now)
	}
	return false
}

// Work claims the step, does it under a lease that heartbeats extend, and records how it ended. A step that
// somebody else holds is left alone. The error is the ledger's: a step's own failure is recorded, not
// returned.
func (r *Runner) Work(ctx context.Context, s elt.Step) error {
	lease, err := r.Ledger.Claim(ctx, s.ID, r.Worker, r.Lease)
	if elt.CodeOf(err) == "step_not_claimable" {
		r.refused.Store(s.ID, time.Now())
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim %s: %w", s.ID, err)
	}
	failpoint.Here("step.claimed")
	r.Observer.Started(s)
	began := time.Now()
	var meter elt.Meter
	result, workErr := r.underLease(elt.WithMeter(ctx, &meter), s, lease)
	if errors.Is(workErr, errLeaseLost) {
		r.Log.Warn("lease lost, the step is left to its new holder", "step", s.ID, "attempt", lease.Attempt)
		return r.recordUsage(ctx, lease, meter.Used())
	}
	if workErr != nil && ctx.Err() != nil { // whatever a driver makes of a cancelled context
		workErr = errInterrupted
	}
	failpoint.Here("step.done")
	// What happened must be recorded even while the process is being asked to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Lease)
	defer cancel()
	var outcome elt.Outcome
	err = insist(ctx, func() (err error) {
		outcome, err = r.outcome(ctx, s, result, workErr)
		return err
	})
	if err != nil {
		return err
	}
	outcome.Usage = meter.Used()
	r.Observer.Ended(s, outcome, time.Since(began))
	err = insist(ctx, func() error { return r.Ledger.Finish(ctx, lease, outcome) })
	failpoint.Here("step.recorded")
	if elt.CodeOf(err) == "lease_lost" {
		return r.recordUsage(ctx, lease, outcome.Usage)
	}
	if err != nil {
		return fmt.Errorf("record the end of %s: %w", s.ID, err)
	}
	return nil
}

// recordUsage notes what an attempt has used whose end belongs to somebody else: it is billed all the same.
func (r *Runner) recordUsage(ctx context.Context, lease elt.Lease, used elt.Usage) error {
	if used.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Lease)
	defer cancel()
	if err := r.Ledger.RecordUsage(ctx, lease, used); err != nil {
		return fmt.Errorf("record the usage of %s: %w", lease.Step, err)
	}
	return nil
}

// underLease does the step while a second goroutine extends the lease and reports progress. Losing the
// lease cancels the step, and so does a run before which it is to rest.
func (r *Runner) underLease(ctx context.Context, s elt.Step, lease elt.Lease) (elt.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu       sync.Mutex
		latest   elt.Progress
		beats    sync.WaitGroup
		finished = make(chan struct{})
	)
	beats.Go(func() {
		tick := time.NewTicker(min(r.Lease/4, time.Second))
		defer tick.Stop()
		held := lease
		for {
			select {
			case <-finished:
				return
			case <-tick.C:
			}
			mu.Lock()
			p := latest
			mu.Unlock()
			next, err := r.Ledger.Heartbeat(context.WithoutCancel(ctx), held, r.Lease, p)
			switch {
			case elt.CodeOf(err) == "lease_lost":
				cancel(errLeaseLost)
				return
			case err != nil: // the ledger may come back before the lease runs out; if not, the fence decides
				r.Log.Warn("heartbeat failed", "step", s.ID, "error", err)
			case next.Yields != "":
				held = next
				cancel(yielded(next.Yields))
			default:
				held = next
			}
		}
	})
	result, err := r.do(ctx, s, lease, func(p elt.Progress) {
		mu.Lock()
		latest = p
		mu.Unlock()
		r.Observer.Progressed(s, p)
	})
	close(finished)
	beats.Wait()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeaseLost):
		return result, errLeaseLost
	case err != nil && elt.CodeOf(cause) == elt.Interrupted: // whatever a driver makes of a cancelled context
		return result, cause
	}
	return result, err
}

// do does the step. A panic is the failure of this step alone: the others of the process go on.
func (r *Runner) do(ctx context.Context, s elt.Step, lease elt.Lease, progress func(elt.Progress)) (result elt.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("step panicked", "step", s.ID, "panic", p, "stack", string(debug.Stack()))
			err = &elt.Error{
				Code: "step_panicked", Class: elt.Internal, What: fmt.Sprintf("step %s met a fault of Daybreak: %v", s.ID, p),
				Do: "report it with the log of its worker, which has the place",
			}
		}
	}()
	return r.Stages.Do(ctx, s, lease, progress)
}
