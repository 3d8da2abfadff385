package transform

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// singularFile reads a query of sql/tests: it must return no rows.
func (r *reader) singularFile(file string) {
	source, ok := r.text(file)
	if !ok {
		return
	}
	t := &test{name: strings.TrimSuffix(path.Base(file), path.Ext(file)), file: root + file, source: source}
	query, errs := jinja.Parse(t.file, source)
	r.jinjaProblems(errs)
	if len(errs) == 0 {
		t.query = query
		r.singular = append(r.singular, t)
	}
}

// singularTests attaches each query to the last of the datasets that it reads.
func (r *reader) singularTests() {
	for _, t := range r.singular {
		options := r.testDefaults
		config := func(c *jinja.Call) error {
			for _, key := range slices.Sorted(maps.Keys(c.Kwargs)) {
				if err := options.set(key, c.Kwargs[key]); err != nil {
					r.once(c.Places[key], CodeConfig, "config "+key+": "+err.Error(), "correct it")
				}
			}
			return nil
		}
		found, ok := r.record(t.query, &rendering{config: config})
		if !ok {
			continue
		}
		if blank(found.text) {
			r.problem(whole(t.file), CodeEmptyFile, "the test has no SQL", "write a SELECT of the bad rows, or remove the file")
			continue
		}
		if len(found.refs) == 0 {
			r.problem(whole(t.file), CodeTest, "the test reads no model and no table", "refer to them with ref() and source()")
			continue
		}
		t.reads = slices.Sorted(maps.Keys(found.refs))
		solid := r.project.solid(t.reads)
		if len(solid) == 0 || slices.ContainsFunc(t.reads, func(d elt.DatasetName) bool { return !r.exists(d) }) {
			continue // what it refers to is a problem already
		}
		t.dataset = slices.MaxFunc(solid, func(a, b elt.DatasetName) int { return r.project.rank[a] - r.project.rank[b] })
		refuse := func(what, do string) { r.problem(whole(t.file), CodeTest, what, do) }
		if r.testOptions(t, options, refuse) && !options.disabled {
			r.addSingular(t, refuse)
		}
	}
}

func (r *reader) addSingular(t *test, refuse func(what, do string)) {
	for _, other := range r.project.tests[t.dataset] {
		if other.name == t.name {
			refuse(fmt.Sprintf("%s is already a test of %s (%s:%d)", t.name, t.dataset, other.file, other.line), "rename one of the two")
			return
		}
	}
	r.project.tests[t.dataset] = append(r.project.tests[t.dataset], t)
}

// checkTestOrder refuses a test that waits for what waits for it: a dataset is built after its inputs
// were tested, so its inputs' tests cannot read it.
func (r *reader) checkTestOrder() {
	p := r.project
	// tested holds, for each dataset, the datasets that must be tested before its own test can end.
	before := func(d elt.DatasetName) []elt.DatasetName {
		var out []elt.DatasetName
		for _, in := range append([]elt.DatasetName{d}, p.TestNeeds(d)...) {
			if m, ok := p.models[in]; ok {
				out = append(out, p.inputs(m)...)
			}
		}
		return out
	}
	const visiting, done = 1, 2
	state := map[elt.DatasetName]int{}
	var path []elt.DatasetName
	var visit func(d elt.DatasetName)
	visit = func(d elt.DatasetName) {
		if state[d] == done {
			return
		}
		if state[d] == visiting {
			r.testCycle(path[slices.Index(path, d):])
			return
		}
		state[d] = visiting
		path = append(path, d)
		for _, in := range before(d) {
			visit(in)
		}
		path = path[:len(path)-1]
		state[d] = done
	}
	for _, d := range p.order {
		visit(d)
	}
}

// testCycle reports the test that closes a cycle: one that reads what is made from its own dataset.
func (r *reader) testCycle(cycle []elt.DatasetName) {
	for _, d := range cycle {
		for _, t := range r.project.tests[d] {
			for _, in := range r.project.solid(t.reads) {
				if in == d {
					continue
				}
				what := fmt.Sprintf("the test %s of %s reads %s, which is built only after %s was tested", t.name, d, in, d)
				if slices.ContainsFunc(r.project.upstream(in), func(u elt.DatasetName) bool { return slices.Contains(cycle, u) }) {
					r.once(jinja.Position{File: t.file, Line: t.line}, CodeTestOrder, what, fmt.Sprintf("declare it on %s, or write it as a query in sql/tests", in))
				}
			}
		}
	}
}

// upstream returns everything that a dataset is made from, directly or not.
func (p *Project) upstream(d elt.DatasetName) []elt.DatasetName {
	found := map[elt.DatasetName]bool{}
	var visit func(d elt.DatasetName)
	visit = func(d elt.DatasetName) {
		m, ok := p.models[d]
		if !ok {
			return
		}
		for _, in := range m.refs {
			if !found[in] {
				found[in] = true
				visit(in)
			}
		}
	}
	visit(d)
	return slices.Sorted(maps.Keys(found))
}
