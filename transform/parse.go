package transform

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// exampleNight is the interval that templates see while they are parsed: a night like any other.
var exampleNight = interval{elt.Date{Year: 2001, Month: time.February, Day: 3}, elt.Date{Year: 2001, Month: time.February, Day: 3}.Window(time.UTC)}

// rendered is what one rendering for parsing found.
type rendered struct {
	text string
	refs map[elt.DatasetName]jinja.Position
}

// record renders a template and records what it refers to; what is wrong becomes a problem, once.
func (r *reader) record(t *jinja.Template, g *rendering) (rendered, bool) {
	out := rendered{refs: map[elt.DatasetName]jinja.Position{}}
	g.project, g.interval = r.project, exampleNight
	g.problem = r.once
	g.relation = func(c *jinja.Call, d elt.DatasetName) (string, error) {
		if _, known := out.refs[d]; !known {
			out.refs[d] = c.Position
		}
		return `"` + string(d) + `"`, nil
	}
	text, failed := t.Render(r.project.library, g.globals())
	if failed != nil {
		r.failed(failed, g)
		return out, false
	}
	out.text = text
	return out, true
}

// failed reports a rendering that did not come to its end.
func (r *reader) failed(e *jinja.Error, g *rendering) {
	do := e.Do
	if name, ok := strings.CutSuffix(e.What, " is not defined"); ok {
		known := append(slices.Collect(maps.Keys(g.globals())), r.project.library.Names()...)
		if near := elt.Closest(strings.Trim(name, `"`), known); near != "" {
			do = fmt.Sprintf("did you mean %q?", near)
		}
	}
	r.once(e.Position, CodeTemplate, e.What, do)
}

// once reports a problem that two renderings of one template may both find.
func (r *reader) once(at jinja.Position, code elt.Code, what, do string) {
	p := elt.Problem{File: at.File, Line: at.Line, Column: at.Column, Code: code, What: what, Do: do}
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

// renderModels finds every model's config and what it is made from.
func (r *reader) renderModels() {
	for _, name := range slices.Sorted(maps.Keys(r.project.models)) {
		m := r.project.models[name]
		m.config = r.declaredConfig(m)
		m.at = map[elt.DatasetName]jinja.Position{}
		if m.template == nil {
			continue
		}
		at := jinja.Position{File: m.file, Line: 1, Column: 1}
		config := func(c *jinja.Call) error {
			at = c.Position
			return m.config.set(c, r.once)
		}
		found, ok := r.record(m.template, &rendering{this: `"` + string(name) + `"`, thisName: name, config: config})
		m.addRefs(found)
		if m.config.enabled {
			if ok && blank(found.text) {
				r.problem(at, CodeEmptyFile, "the model has no SQL", "write a SELECT, or remove the file")
			}
			m.config.check(at, r.once)
		} else {
			r.disabled[name] = m.file
		}
		if m.config.strategy == elt.Append && m.config.key == nil && m.config.materialized == elt.AsIncremental && m.config.enabled {
			r.problems = append(r.problems, elt.Problem{File: at.File, Line: at.Line, Column: at.Column, Code: CodeAppend, Warning: true,
				What: "the strategy append adds a night's rows again when the night is run again", Do: "set a unique_key where the model has one"})
		}
		if m.config.materialized == elt.AsIncremental {
			again := r.declaredConfig(m)
			ignore := func(c *jinja.Call) error { return again.set(c, r.once) }
			found, _ := r.record(m.template, &rendering{this: `"` + string(name) + `"`, thisName: name, incremental: true, config: ignore})
			m.addRefs(found)
		}
	}
	r.dropDisabled()
}

// addRefs merges what one rendering found.
func (m *model) addRefs(found rendered) {
	for d, at := range found.refs {
		if old, known := m.at[d]; !known || at.Line < old.Line {
			m.at[d] = at
		}
	}
	m.refs = slices.Sorted(maps.Keys(m.at))
}

// dropDisabled takes disabled models out, and refuses what refers to them.
func (r *reader) dropDisabled() {
	for name := range r.disabled {
		delete(r.project.models, name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.project.models)) {
		m := r.project.models[name]
		for _, d := range m.refs {
			if file, off := r.disabled[d]; off {
				r.problem(m.at[d], CodeDisabledRef, fmt.Sprintf("the model %s is disabled in %s", d, file), "enable it, or refer to another")
			}
		}
		m.refs = slices.DeleteFunc(m.refs, func(d elt.DatasetName) bool { return r.disabled[d] != "" })
	}
}

// blank reports whether SQL holds nothing but comments and semicolons.
func blank(sql string) bool { return strings.Trim(sql[skipComments(sql):], "; \t\r\n") == "" }

// checkCycles names every cycle once, from its first model by name.
func (r *reader) checkCycles() {
	const visiting, done = 1, 2
	state := map[elt.DatasetName]int{}
	var path []elt.DatasetName
	var visit func(d elt.DatasetName)
	visit = func(d elt.DatasetName) {
		m, ok := r.project.models[d]
		if !ok || state[d] == done {
			return
		}
		if state[d] == visiting {
			cycle := slices.Clone(path[slices.Index(path, d):])
			r.cycle(append(cycle, d))
			return
		}
		state[d] = visiting
		path = append(path, d)
		for _, in := range m.refs {
			visit(in)
		}
		path = path[:len(path)-1]
		state[d] = done
	}
	for _, name := range slices.Sorted(maps.Keys(r.project.models)) {
		visit(name)
	}
}

func (r *reader) cycle(names []elt.DatasetName) {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = string(n)
	}
	at := r.project.models[names[0]].at[names[1]]
	what, do := "models refer to each other in a cycle: "+strings.Join(parts, " → "), "remove one of the references"
	if len(names) == 2 {
		what, do = fmt.Sprintf("the model %s refers to itself", names[0]), "use {{ this }} inside {% if is_incremental() %} for the published rows"
	}
	r.problem(at, CodeCycle, what, do)
}
