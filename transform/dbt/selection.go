package dbt

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// microbatch is the strategy of models that are built in batches of time.
const microbatch = "microbatch"

// selection is what one dbt process does: what remains of a run and can be done now.
type selection struct {
	build []*node // inputs first
	tests []*node
}

func (s selection) has(id string) bool {
	return slices.ContainsFunc(s.all(), func(n *node) bool { return n.ID == id })
}

// all returns both.
func (s selection) all() []*node { return slices.Concat(s.build, s.tests) }

// batched returns the models that dbt builds in batches.
func (s selection) batched() map[string]bool {
	out := make(map[string]bool)
	for _, n := range s.build {
		if n.Config.Strategy == microbatch {
			out[n.ID] = true
		}
	}
	return out
}

// datasets returns what is built.
func (s selection) datasets() []elt.DatasetName {
	out := make([]elt.DatasetName, len(s.build))
	for i, n := range s.build {
		out[i] = n.dataset
	}
	return out
}

// remaining returns what of the run is not done and can be done now. done holds what dbt has reported as good
// already, by node, whether or not the ledger knows.
func (p *Project) remaining(s transform.Scope, done map[string]result) selection {
	l := newLedgerView(s)
	var out selection
	chosen := make(map[elt.DatasetName]bool)
	// available reports whether a dataset can be read: built by this process, by the run before, or published.
	available := func(d elt.DatasetName) bool {
		n := p.datasets[d]
		return chosen[d] || done[n.ID].succeeded() || l.built(d)
	}
	for _, d := range p.order {
		n := p.datasets[d]
		if !l.open(elt.TransformStep, d) || done[n.ID].succeeded() {
			continue
		}
		if !slices.ContainsFunc(p.inputs(n), func(in elt.DatasetName) bool { return !available(in) || l.stopped(elt.TestStep, in) }) {
			chosen[d] = true
			out.build = append(out.build, n)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(p.tests)) {
		if !l.open(elt.TestStep, d) {
			continue
		}
		for _, t := range p.tests[d] {
			_, had := done[t.ID]
			if !had && !slices.ContainsFunc(p.inputs(t), func(in elt.DatasetName) bool { return !available(in) }) {
				out.tests = append(out.tests, t)
			}
		}
	}
	return out
}

// ledgerView answers how far the run's steps are.
type ledgerView struct {
	run   elt.RunID
	state map[elt.StepID]elt.StepState
}

func newLedgerView(s transform.Scope) ledgerView {
	v := ledgerView{s.Run, make(map[elt.StepID]elt.StepState, len(s.Steps))}
	for _, st := range s.Steps {
		v.state[st.ID] = st.State
	}
	return v
}

func (v ledgerView) of(kind elt.StepKind, d elt.DatasetName) elt.StepState {
	return v.state[elt.NewStepID(v.run, kind, d)]
}

// open reports whether the step is part of the run and has not ended.
func (v ledgerView) open(kind elt.StepKind, d elt.DatasetName) bool {
	state := v.of(kind, d)
	return state != "" && !state.Terminal()
}

// stopped reports whether the step has ended, and not well.
func (v ledgerView) stopped(kind elt.StepKind, d elt.DatasetName) bool {
	state := v.of(kind, d)
	return state.Terminal() && state != elt.StepSucceeded
}

// built reports whether the run has made the dataset; one that is no part of it is read as it is published.
func (v ledgerView) built(d elt.DatasetName) bool {
	for _, kind := range []elt.StepKind{elt.TransformStep, elt.VerifyStep} {
		if state := v.of(kind, d); state != "" {
			return state == elt.StepSucceeded
		}
	}
	return true
}

// selectors are the arguments that select this and nothing else.
func (p *Project) selectors(s selection) []string {
	var out []string
	add := func(n *node) {
		one := n.selector()
		if p.folders[one] { // dbt takes a name for a folder as well
			one += ",file:" + path.Base(n.File)
		}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	for _, n := range s.build {
		for _, id := range n.DependsOn.Nodes {
			if f := p.nodes[id]; f != nil && f.Resource == functionNode {
				add(f)
			}
		}
		for _, unit := range p.units[n.dataset] {
			add(unit)
		}
		add(n)
	}
	for _, t := range s.tests {
		add(t)
	}
	return out
}

// inputs returns what the selected nodes read and the same dbt process does not build, and the published rows of
// those that add to them.
func (e *Engine) inputs(s transform.Scope, sel selection, good map[string]result) ([]Input, error) {
	var out []Input
	seen := make(map[string]bool)
	for _, n := range sel.build {
		seen[n.ID] = true
		if n.keepsRows() && s.Published != nil && s.Published(n.dataset) {
			out = append(out, Input{Exchange: elt.Exchange{Dataset: n.dataset, From: e.warehouse.Published(n.relation()), Schema: n.Schema, Name: n.Alias, Kept: true}})
		}
	}
	for _, n := range sel.all() {
		for _, in := range e.project.parents(n) {
			if seen[in.ID] || in.dataset == "" {
				continue
			}
			seen[in.ID] = true
			x, err := e.lent(s, n, in, good[in.ID].succeeded())
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
	}
	return out, nil
}

// lent is an input as dbt will find it: at the place that its node names, with the rows that this night reads.
func (e *Engine) lent(s transform.Scope, reader, in *node, built bool) (Input, error) {
	x := Input{Exchange: elt.Exchange{Dataset: in.dataset, Schema: in.Schema, Name: in.Alias}}
	relation := in.relation()
	if in.Resource == sourceNode {
		x.Name, x.Source, relation = in.Identifier, in.SourceName+"."+in.Name, e.tables[in.dataset]
	}
	switch {
	case s.Staged[in.dataset] || built && newLedgerView(s).open(elt.TransformStep, in.dataset):
		x.From = e.warehouse.Staged(s.Run, in.dataset)
	case s.Published != nil && s.Published(in.dataset):
		x.From = e.warehouse.Published(relation)
	default:
		return x, &elt.Error{
			Code: CodeInputMissing, Class: elt.Config,
			What: fmt.Sprintf("the %s reads %s, which this run does not bring and no run has published", reader.label(), in.dataset),
			Do:   "run the schedule that brings it first, or select it in this one",
		}
	}
	return x, nil
}

// folderNames returns the selectors of nodes whose names are those of folders, too.
func folderNames(nodes map[string]*node) map[string]bool {
	names := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		names[n.selector()] = true
	}
	out := make(map[string]bool)
	for _, n := range nodes {
		for i := 1; i < len(n.FQN); i++ {
			if folder := "fqn:" + strings.Join(n.FQN[:i], "."); names[folder] {
				out[folder] = true
			}
		}
	}
	return out
}

// flags are the arguments of dbt build: what it selects, and which batches of models that are built in batches.
func (e *Engine) flags(s transform.Scope, sel selection) []string {
	out := append([]string{"--indirect-selection", "empty", "--select"}, e.project.selectors(sel)...)
	if s.FullRefresh {
		out = append(out, "--full-refresh")
	}
	from, batches := s.Window.From, false
	for _, n := range sel.build {
		if n.Config.Strategy != microbatch {
			continue
		}
		batches = true
		if s.FullRefresh || s.Published == nil || !s.Published(n.dataset) { // its whole history, once
			if begin, err := time.Parse(time.DateOnly, n.Config.Begin[:min(len(n.Config.Begin), len(time.DateOnly))]); err == nil && begin.Before(from) {
				from = begin
			}
		}
	}
	if batches {
		const form = "2006-01-02 15:04:05"
		out = append(out, "--event-time-start", from.UTC().Format(form), "--event-time-end", s.Window.To.UTC().Format(form))
	}
	return out
}
