package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A backfill brings a date step by step, and a night may come between two of them. What the run has extracted or loaded by
// then can be older than what is published: a row could go back to what it was. So before anything of it is loaded, verified
// or published, whoever does that looks, and has such tables brought again, with what was made from them. That holds on all
// machines, because a step is begun after every night that has ended, and none begins while one goes on.

// freshen has those of a backfill run's tables brought again of which something newer was published since. stale is false
// when there are none.
func (s *stages) freshen(ctx context.Context, run elt.RunID) (stale bool, err error) {
	if err := s.refresh(ctx); err != nil {
		return false, err
	}
	steps, err := s.ledger.Steps(ctx, run)
	if err != nil {
		return false, err
	}
	old := make(map[elt.StepID]bool)
	var first []elt.Step
	var others []elt.StepID
	for _, st := range steps { // in plan order: what needs a step comes after it
		switch {
		case slices.ContainsFunc(st.Needs, func(id elt.StepID) bool { return old[id] }):
			old[st.ID] = true
			others = append(others, st.ID)
		case st.State == elt.StepSucceeded && brings(st):
			err := s.notOlder(ctx, st.Dataset, run, st.Result.Manifest)
			if err != nil && elt.CodeOf(err) != codeSuperseded {
				return false, err
			}
			if err == nil {
				continue
			}
			switch published, err := s.hasPublished(ctx, run, st.Dataset); {
			case err != nil:
				return false, err
			case !published:
				old[st.ID] = true
				first = append(first, st)
			}
		}
	}
	if len(first) == 0 {
		return false, nil
	}
	why := fmt.Sprintf("something newer of %s was published since it was extracted: it is brought again", first[0].Dataset)
	reopened, err := s.ledger.ReopenSteps(ctx, first, others, why)
	if reopened {
		s.log.Info("something newer was published since: the run's tables are brought again", "run", run, "tables", len(first), "steps", len(first)+len(others))
	}
	return true, err
}

// hasPublished reports whether a backfill's run has published the dataset before it was tried again. What came after that is as it
// should be, and the run cannot publish it twice.
func (s *stages) hasPublished(ctx context.Context, run elt.RunID, d elt.DatasetName) (bool, error) {
	day, err := s.ledger.BackfillDayOf(ctx, run, d)
	if elt.CodeOf(err) == "backfill_day_unknown" {
		return false, nil
	}
	return day.State == elt.BackfillDaySucceeded, err
}

// brings reports whether a table comes into its run by the step: it is extracted, or loaded from what the lake has.
func brings(s elt.Step) bool {
	extracts := func(id elt.StepID) bool { return id == elt.NewStepID(s.Run, elt.ExtractStep, s.Dataset) }
	return s.Kind == elt.ExtractStep || s.Kind == elt.LoadStep && !slices.ContainsFunc(s.Needs, extracts)
}

// superseded returns how a step ends that met what is older than what is published: in a backfill its table is brought again.
func (s *stages) superseded(ctx context.Context, run elt.Run, err error) error {
	if elt.CodeOf(err) != codeSuperseded || run.Kind != elt.BackfillRun {
		return err
	}
	stale, failed := s.freshen(ctx, run.ID)
	if failed != nil || !stale {
		return errors.Join(failed, err)
	}
	return broughtAgain(run.ID)
}

// overtaken leaves out of what a backfill's run publishes the datasets of which a newer day has been published since it
// began, where that day cannot stand beside an older one.
func (s *stages) overtaken(ctx context.Context, run elt.Run, passed map[elt.DatasetName]outcome) error {
	left := make(map[elt.DatasetName]string)
	for name := range passed {
		if newer, held := s.supersededBy(s.catalog.byName[name], run.Date, false); held {
			left[name] = publishedMeanwhile(newer)
			delete(passed, name)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return s.ledger.LeaveBackfillDays(ctx, run.ID, left)
}

// publishedMeanwhile says why a backfill leaves a day out that it had planned to bring.
func publishedMeanwhile(newer elt.Date) string {
	return fmt.Sprintf("%s was published meanwhile: an older day is never published over a newer one", newer)
}

// broughtAgain is how a step of a backfill ends whose tables are brought again. Its lease is gone already.
func broughtAgain(run elt.RunID) error {
	return &elt.Error{
		Code: elt.Interrupted, Class: elt.Transient, What: fmt.Sprintf("something newer was published while run %s went on: its tables are brought again", run),
		Do: "nothing: the step is taken up again",
	}
}
