package status

import (
	"context"
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// usageOf adds up what the warehouse has done for steps.
func usageOf(steps []elt.Step) (used elt.Usage) {
	for _, st := range steps {
		used = used.Plus(st.Usage)
	}
	return used
}

// billed says in words what was billed: "1.2 GB", and beside it "3 min of slot time, 14 jobs".
func billed(u elt.Usage) (text, small string) {
	return sized(u.BytesBilled), fmt.Sprintf("%s of slot time, %s", span(u.SlotTime), counted(u.Jobs, "job"))
}

// billedFacts is a fact where something was billed, and none where the warehouse bills nothing.
func billedFacts(u elt.Usage) []fact {
	if u.IsZero() {
		return nil
	}
	text, small := billed(u)
	return []fact{{Term: "Billed", Text: text, Small: small}}
}

// costOf returns what a dataset's steps in a run were billed.
func (s *Service) costOf(ctx context.Context, run elt.RunID, d elt.DatasetName) (used elt.Usage, err error) {
	if run == "" {
		return used, nil
	}
	steps, err := s.opts.Ledger.Steps(ctx, run)
	if err != nil {
		return used, ledgerAway(err)
	}
	for _, st := range steps {
		if st.Dataset == d {
			used = used.Plus(st.Usage)
		}
	}
	return used, nil
}
