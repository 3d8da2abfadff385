package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// TestUsage: what attempts have used is kept with each, and adds up in their step, also when the lease was lost before
// the end, and once however often it is told.
func TestUsage(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		_, steps := begin(t, l)
		id := steps[0].ID
		used := func(n int64) elt.Usage {
			return elt.Usage{Jobs: int(n), BytesBilled: n * 10 << 20, SlotTime: time.Duration(n) * 1500 * time.Millisecond}
		}
		claim := func() elt.Lease { return must(l.Claim(t.Context(), id, "w", hour))(t) }

		first := claim()
		ok(t, l.Finish(t.Context(), first, elt.Outcome{State: elt.StepRetrying, NextAttemptAt: must(l.Now(t.Context()))(t), Usage: used(1)}))
		second := claim()
		must(l.ReleaseLeases(t.Context()))(t)
		third := claim()
		for range 2 {
			ok(t, l.RecordUsage(t.Context(), second, used(2)))
		}
		ok(t, l.Finish(t.Context(), third, elt.Outcome{State: elt.StepSucceeded, Usage: used(4)}))

		var got []elt.Usage
		for _, a := range must(l.Attempts(t.Context(), id))(t) {
			got = append(got, a.Usage)
		}
		if diff := cmp.Diff([]elt.Usage{used(1), used(2), used(4)}, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if s := must(l.Step(t.Context(), id))(t); s.Usage != used(7) {
			t.Errorf("the step has %+v, want %+v", s.Usage, used(7))
		}
		checkInvariants(t, l)
	})
}
