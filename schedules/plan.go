package schedules

import (
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Tests tells whether a dataset has tests of its own, and which other datasets those read.
type Tests func(elt.DatasetName) (reads []elt.DatasetName, has bool)

// Plan returns the steps of a run that brings the datasets, each after what it needs.
//
// A table is extracted, loaded and verified; a model or seed is built; each is then tested if it has tests. A
// model needs the last step of every input that is part of the run; inputs of other schedules are read as
// they are published. A test needs what it reads to be built, not tested. One publish step ends the run: it
// waits for the last step of every dataset and publishes what passed.
//
// A reload extracts nothing: its tables are loaded from what is in the lake already. A rollback is its publish step alone.
func Plan(run elt.Run, datasets []elt.Dataset, tests Tests) []elt.Step {
	return PlanFrom(run, datasets, tests, func(elt.DatasetName) bool { return run.Kind == elt.ReloadRun })
}

// PlanFrom is Plan for a run of which inLake says which tables are loaded from the lake instead of being extracted.
func PlanFrom(run elt.Run, datasets []elt.Dataset, tests Tests, inLake func(elt.DatasetName) bool) []elt.Step {
	if run.Kind == elt.RollbackRun {
		datasets = nil
	}
	p := plan{run: run, inLake: inLake, at: make(map[elt.StepID]int), built: make(map[elt.DatasetName]elt.StepID), last: make(map[elt.DatasetName]elt.StepID)}
	datasets = elt.InOrder(datasets)
	for _, d := range datasets {
		p.build(d)
		if _, has := tests(d.Name); has {
			p.add(elt.TestStep, d.Name, p.built[d.Name])
		}
	}
	var ends []elt.StepID
	for _, d := range datasets {
		reads, _ := tests(d.Name)
		for _, other := range reads {
			if id, ok := p.built[other]; ok {
				test := &p.steps[p.at[elt.NewStepID(run.ID, elt.TestStep, d.Name)]]
				test.Needs = append(test.Needs, id)
			}
		}
		ends = append(ends, p.last[d.Name])
	}
	p.add(elt.PublishStep, "", ends...)
	return p.ordered()
}

// plan is a run's steps while they are being put together.
type plan struct {
	run         elt.Run
	inLake      func(elt.DatasetName) bool
	steps       []elt.Step
	at          map[elt.StepID]int             // where in steps each is
	built, last map[elt.DatasetName]elt.StepID // the step that makes a dataset, and its last one
}

func (p *plan) add(kind elt.StepKind, dataset elt.DatasetName, needs ...elt.StepID) {
	id := elt.NewStepID(p.run.ID, kind, dataset)
	p.at[id] = len(p.steps)
	p.steps = append(p.steps, elt.Step{
		ID: id, Run: p.run.ID, Kind: kind, Dataset: dataset, Date: p.run.Date,
		Needs: needs, State: elt.StepPending,
	})
	p.last[dataset] = id
}

// build adds the steps that make a dataset.
func (p *plan) build(d elt.Dataset) {
	if d.Kind == elt.TableDataset {
		var extracted []elt.StepID
		if !p.inLake(d.Name) {
			p.add(elt.ExtractStep, d.Name)
			extracted = append(extracted, p.last[d.Name])
		}
		p.add(elt.LoadStep, d.Name, extracted...)
		p.add(elt.VerifyStep, d.Name, p.last[d.Name])
	} else {
		var needs []elt.StepID
		for _, in := range d.Inputs {
			if id, ok := p.last[in]; ok {
				needs = append(needs, id)
			}
		}
		p.add(elt.TransformStep, d.Name, needs...)
	}
	p.built[d.Name] = p.last[d.Name]
}

// ordered returns the steps with each after its needs, otherwise as they were added.
func (p *plan) ordered() []elt.Step {
	out := make([]elt.Step, 0, len(p.steps))
	placed := make([]bool, len(p.steps))
	var place func(i int)
	place = func(i int) {
		if placed[i] {
			return
		}
		placed[i] = true
		for _, need := range p.steps[i].Needs {
			place(p.at[need])
		}
		out = append(out, p.steps[i])
	}
	for i := range p.steps {
		place(i)
	}
	return out
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
	case s.Kind == elt.PublishStep && succeeded == 0 && len(s.Needs) > 0:
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
