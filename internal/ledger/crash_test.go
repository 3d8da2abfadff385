package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// A process that writes is killed again and again in the middle of whatever it does. What it was told to
// be done is there, and the ledger is whole.
func TestKilledWriters(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, dsn string) {
		ctx := t.Context()
		random := rand.New(rand.NewPCG(1, 2))
		for kill := range 15 {
			c := startChild(t, "write", dsn, fmt.Sprint("kill", kill))
			var told []string
			for range 1 + random.IntN(60) {
				line := c.line()
				if line == "" {
					t.Fatal("the writer ended by itself")
				}
				told = append(told, line)
			}
			ok(t, c.Process.Kill())
			for line := c.line(); line != ""; line = c.line() {
				told = append(told, line)
			}
			if err := c.Wait(); err == nil {
				t.Fatal("the writer ended by itself")
			}
			checkInvariants(t, l)
			for _, line := range told {
				checkTold(t, l, line)
			}
			must(l.ReleaseLeases(ctx))(t)
			checkInvariants(t, l)
		}
	})
}

func checkTold(t *testing.T, l *ledger.Ledger, line string) {
	t.Helper()
	what, id, _ := strings.Cut(line, " ")
	switch what {
	case "created":
		must(l.Run(t.Context(), elt.RunID(id)))(t)
	case "ended":
		if s := must(l.Run(t.Context(), elt.RunID(id)))(t).State; s != elt.RunSucceeded {
			t.Errorf("run %s is %s, its writer was told that it ended", id, s)
		}
	case "succeeded":
		if s := must(l.Step(t.Context(), elt.StepID(id)))(t).State; s != elt.StepSucceeded {
			t.Errorf("step %s is %s, its writer was told that it succeeded", id, s)
		}
	case "published":
		if len(must(l.Versions(t.Context(), elt.DatasetName(id), 1))(t)) == 0 {
			t.Errorf("%s has no version, its writer was told that it was recorded", id)
		}
	default:
		t.Fatalf("line %q", line)
	}
}

// childWrites goes through one night after the other and says what it was told to be done.
func childWrites(ctx context.Context, dsn, name string) error {
	l, err := ledger.Open(ctx, dsn, discard())
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		run, steps, days := night(fmt.Sprintf("%s-%d", name, i), day("2026-01-01").AddDays(i))
		run.Schedule = elt.ScheduleName(name)
		if err := l.ExpectDays(ctx, days); err != nil {
			return err
		}
		if _, _, err := l.CreateRun(ctx, run, steps, days); err != nil {
			return err
		}
		fmt.Println("created", run.ID)
		for _, s := range steps {
			if err := doStep(ctx, l, s); err != nil {
				return err
			}
			fmt.Println("succeeded", s.ID)
		}
		d := elt.DatasetName(name + ".users")
		if err := l.RecordVersions(ctx, []elt.Version{{ID: elt.NewVersionID(d, run.ID), Dataset: d, Date: run.Date, Run: run.ID}}); err != nil {
			return err
		}
		fmt.Println("published", d)
		if err := l.FinishRun(ctx, run.ID, elt.RunSucceeded); err != nil {
			return err
		}
		fmt.Println("ended", run.ID)
	}
}

func doStep(ctx context.Context, l *ledger.Ledger, s elt.Step) error {
	lease, err := l.Claim(ctx, s.ID, "writer", hour)
	if err != nil {
		return err
	}
	if lease, err = l.Heartbeat(ctx, lease, hour, elt.Progress{Rows: 1}); err != nil {
		return err
	}
	return l.Finish(ctx, lease, elt.Outcome{State: elt.StepSucceeded, Result: elt.Result{Rows: 1}})
}
