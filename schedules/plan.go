package schedules

import (
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Plan returns the steps of a run that brings the datasets, in the order in which they can be done.
//
// A table is extracted, loaded and verified; a model or seed is built; each is tested where tested says
// that it has tests. A model needs the last step of every input that is part of the run; inputs of
// other schedules are read as they are published. One publish step ends the run: it waits for the last
// step of every dataset and publishes what passed.
func Plan(run elt.Run, datasets []elt.Dataset, tested func(elt.DatasetName) bool) []elt.Step {
	var steps []elt.Step
	last := make(map[elt.DatasetName]elt.StepID, len(datasets))
	add := func(kind elt.StepKind, dataset elt.DatasetName, needs ...elt.StepID) {
		id := elt.NewStepID(run.ID, kind, dataset)
		steps = append(steps, elt.Step{
			ID: id, Run: run.ID, Kind: kind, Dataset: dataset, Date: run.Date,
			Needs: needs, State: elt.StepPending,
		})
		last[dataset] = id
	}
	ordered := elt.InOrder(datasets)
	for _, d := range ordered {
		if d.Kind == elt.TableDataset {
			add(elt.ExtractStep, d.Name)
			add(elt.LoadStep, d.Name, last[d.Name])
			add(elt.VerifyStep, d.Name, last[d.Name])
		} else {
			var needs []elt.StepID
			for _, in := range d.Inputs {
				if id, ok := last[in]; ok {
					needs = append(needs, id)
				}
			}
			add(elt.TransformStep, d.Name, needs...)
		}
		if tested(d.Name) {
			add(elt.TestStep, d.Name, last[d.Name])
		}
	}
	var ends []elt.StepID
	for _, d := range ordered {
		ends = append(ends, last[d.Name])
	}
	add(elt.PublishStep, "", ends...)
	return steps
}

// Advice is what follows for a run from the states of its steps.
type Advice struct {
	Ready []elt.Step   // can be claimed now
	Block []elt.StepID // can never start: something that they need did not succeed
	State elt.RunState // the run's state once Block is recorded
}

// Advise concludes from a run's steps what can be done next. due says whether a retrying step's time has come, or a
// running step's lease has run out, by the ledger's clock.
func Advise(steps []elt.Step, due func(elt.Step) bool) Advice {
	state := make(map[elt.StepID]elt.StepState, len(steps))
	for _, s := range steps {
		state[s.ID] = s.State
	}
	var a Advice
	for _, s := range steps { // in plan order, so that blocking reaches every descendant in one pass
		switch {
		case s.State == elt.StepPending:
			switch readiness(s, state) {
			case canStart:
				a.Ready = append(a.Ready, s)
			case canNever:
				a.Block = append(a.Block, s.ID)
				state[s.ID] = elt.StepBlocked
			}
		case !s.State.Terminal() && due(s):
			a.Ready = append(a.Ready, s)
		}
	}
	a.State = runState(steps, state)
	return a
}

type start int

const (
	mustWait start = iota
	canStart
	canNever
)

// readiness says whether a pending step can start, given the states of the run's steps. The publish
// step differs: it waits until all its needs are terminal, and one that succeeded is enough.
func readiness(s elt.Step, state map[elt.StepID]elt.StepState) start {
	succeeded, stopped := 0, 0
	for _, need := range s.Needs {
		switch st := state[need]; {
		case st == elt.StepSucceeded:
			succeeded++
		case st.Terminal():
			stopped++
		}
	}
	switch {
	case s.Kind == elt.PublishStep && succeeded+stopped < len(s.Needs):
		return mustWait
	case s.Kind == elt.PublishStep && succeeded == 0:
		return canNever
	case s.Kind == elt.PublishStep || succeeded == len(s.Needs):
		return canStart
	case stopped > 0:
		return canNever
	}
	return mustWait
}

func runState(steps []elt.Step, state map[elt.StepID]elt.StepState) elt.RunState {
	published, unwell := false, false
	for _, s := range steps {
		st := state[s.ID]
		if !st.Terminal() {
			return elt.RunRunning
		}
		if s.Kind == elt.PublishStep {
			published = st == elt.StepSucceeded
		}
		if st != elt.StepSucceeded {
			unwell = true
		}
	}
	switch {
	case published && !unwell:
		return elt.RunSucceeded
	case published:
		return elt.RunPartial
	}
	return elt.RunFailed
}
