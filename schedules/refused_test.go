package schedules

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// taken is a ledger of one run, whose one step another worker holds.
type taken struct {
	Ledger
	step   elt.Step
	claims int
}

func (l *taken) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (l *taken) Steps(context.Context, elt.RunID) ([]elt.Step, error) { return []elt.Step{l.step}, nil }

func (l *taken) Unfinished(context.Context, elt.RunID) ([]elt.Step, error) {
	return []elt.Step{l.step}, nil
}

func (l *taken) Working(context.Context) ([]elt.AtWork, error) { return nil, nil }

func (l *taken) Claim(context.Context, elt.StepID, elt.WorkerID, time.Duration) (elt.Lease, error) {
	l.claims++
	return elt.Lease{}, &elt.Error{Code: "step_not_claimable", Class: elt.Conflict, What: "another worker reads the source"}
}

// atOnce is a queue that does a step before Enqueue returns.
type atOnce struct{ r *Runner }

func (q atOnce) Enqueue(ctx context.Context, steps ...elt.Step) error {
	for _, s := range steps {
		if err := q.r.Work(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Who is refused does not ask again at every sweep, of which there may be thousands a second.
func TestARefusedStepIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &taken{step: elt.Step{ID: "run-1/extract/shop.users", Run: "run-1", Kind: elt.ExtractStep, Dataset: "shop.users", State: elt.StepPending}}
		r := &Runner{Ledger: l, Worker: "w", Lease: time.Minute}
		for want := range 3 {
			for range 100 {
				if err := r.Onward(t.Context(), atOnce{r}, elt.Run{ID: "run-1"}); err != nil {
					t.Fatal(err)
				}
			}
			if l.claims != want+1 {
				t.Fatalf("after %s it was claimed %d times, want %d", time.Duration(want)*refusalRest, l.claims, want+1)
			}
			time.Sleep(refusalRest)
		}
	})
}
