package river

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/riverqueue/river"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// worker is what River calls with each job that it has fetched for this process.
type worker struct {
	river.WorkerDefaults[job]
	queue *Queue
}

// Work does the job's step if a thread is free, and otherwise hands it back for whoever is. Jobs are fetched for each kind
// by itself, so that more may come than there are threads.
func (w *worker) Work(_ context.Context, j *river.Job[job]) error {
	q, id := w.queue, j.Args.Step
	select {
	case q.threads <- struct{}{}:
	default:
		return river.JobSnooze(handBack)
	}
	defer func() { <-q.threads }()
	if !q.take(id) { // the same step came twice: the other does it
		return nil
	}
	err := q.work(q.steps, id)
	q.leave(id, err)
	return err
}

// work does a step. One that panics is like one whose process died: its lease runs out, and a later sweep finds it.
func (q *Queue) work(ctx context.Context, id elt.StepID) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return q.options.Work(ctx, id)
}

func (q *Queue) take(id elt.StepID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[id] {
		return false
	}
	q.held[id] = true
	return true
}

func (q *Queue) leave(id elt.StepID, err error) {
	if err != nil {
		q.options.Log.Error("step not recorded, a later sweep takes it up again", "step", id, "error", err)
	}
	q.mu.Lock()
	delete(q.held, id)
	delete(q.recent, id)
	if err != nil {
		q.err = err
	}
	q.mu.Unlock()
	if err != nil {
		return // sweeping at once would meet the same ledger
	}
	for _, wake := range q.wake {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// quiet lets River's warnings and errors pass. What it says of each job, the ledger and the log of the steps say better.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}
