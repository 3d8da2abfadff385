package transform

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// genericTests returns the names of the {% test %} blocks of sql/tests/generic and sql/macros.
func (r *reader) genericTests() []string {
	var out []string
	for _, name := range r.project.library.Names() {
		if test, ok := strings.CutPrefix(name, jinja.TestPrefix); ok {
			out = append(out, test)
		}
	}
	return out
}

// callForm matches an argument that is an expression though it has no braces, as dbt reads it.
var callForm = regexp.MustCompile(`^\s*(env_var|ref|var|source)\s*\(.+\)\s*$`)

// genericTest prepares the call of a {% test %} block: {{ test_positive(model=model, column_name=column_name) }}.
func (r *reader) genericTest(t *test, a *testArgs, refuse func(what, do string)) bool {
	macro := jinja.TestPrefix + t.kind
	takes := r.project.library.Parameters(macro)
	if !slices.Contains(takes, "model") {
		refuse(fmt.Sprintf("the test %s has no parameter named model", t.kind), "begin it with {% test "+t.kind+"(model, column_name) %}")
		return false
	}
	t.arguments = map[string]any{}
	call := []string{"model=model"}
	if slices.Contains(takes, "column_name") {
		call = append(call, "column_name=column_name")
	}
	var titles []string
	for _, name := range slices.Sorted(maps.Keys(a.arguments)) {
		if !slices.Contains(takes, name) {
			refuse(fmt.Sprintf("the test %s has no parameter %q", t.kind, name), "its parameters are "+strings.Join(takes, ", "))
			return false
		}
		value := a.arguments[name].Any()
		text, isText := value.(string)
		switch {
		case isText && callForm.MatchString(text):
			call = append(call, name+"="+strings.TrimSpace(text))
		case isText && strings.HasPrefix(strings.TrimSpace(text), "{{") && strings.Count(text, "{{") == 1 && strings.HasSuffix(strings.TrimSpace(text), "}}"):
			inner := strings.TrimSpace(text)
			call = append(call, name+"="+strings.TrimSpace(inner[2:len(inner)-2]))
		case isText && (strings.Contains(text, "{{") || strings.Contains(text, "{%")):
			refuse(fmt.Sprintf("the argument %s mixes text and Jinja", name), "give it as text alone, or as one {{ … }}")
			return false
		default:
			t.arguments["argument_"+name] = jinja.FromGo(value)
			call = append(call, name+"=argument_"+name)
		}
		titles = append(titles, shortValue(value))
	}
	if t.column != "" {
		titles = append([]string{t.column}, titles...)
	}
	t.name = t.kind
	if len(titles) > 0 {
		t.name += "(" + strings.Join(titles, ", ") + ")"
	}
	t.source = "{{ " + macro + "(" + strings.Join(call, ", ") + ") }}"
	query, errs := jinja.Parse(t.file, strings.Repeat("\n", t.line-1)+t.source) // so that what it says wrong is said of the declaration's line
	for _, e := range errs {
		refuse(e.What, e.Do)
	}
	if len(errs) > 0 {
		return false
	}
	t.query = query
	return r.tryGeneric(t, a, refuse)
}

// shortValue is an argument as a test's name tells it.
func shortValue(v any) string {
	text := []rune(strings.Join(strings.Fields(fmt.Sprint(v)), " "))
	if len(text) > 30 {
		text = append(text[:29], '…')
	}
	return string(text)
}

// tryGeneric renders the test once, for what it reads and for the options that it sets by itself. Those in
// schema.yml come before its own.
func (r *reader) tryGeneric(t *test, a *testArgs, refuse func(what, do string)) bool {
	own := r.testDefaults
	g := &rendering{arguments: t.genericArguments(`"`+string(t.dataset)+`"`, r.project.options.Schema), config: func(c *jinja.Call) error {
		for _, key := range slices.Sorted(maps.Keys(c.Kwargs)) {
			if err := own.set(key, c.Kwargs[key]); err != nil {
				r.once(c.Places[key], CodeConfig, err.Error(), "correct it")
			}
		}
		return nil
	}}
	found, ok := r.record(t.query, g)
	if !ok {
		return false
	}
	if blank(found.text) {
		refuse(fmt.Sprintf("the test %s has no SQL", t.kind), "write a SELECT of the bad rows into it")
		return false
	}
	reads := map[elt.DatasetName]bool{}
	for d := range found.refs {
		reads[d] = true
	}
	t.readAlso(reads)
	a.options = a.options.over(own, r.testDefaults)
	return true
}

// over returns the options with those of another where these say nothing beyond the defaults.
func (o testOptions) over(other, defaults testOptions) testOptions {
	pick := func(mine *string, theirs, otherwise string) {
		if *mine == otherwise {
			*mine = theirs
		}
	}
	pick(&o.where, other.where, defaults.where)
	pick(&o.severity, other.severity, defaults.severity)
	pick(&o.warnIf, other.warnIf, defaults.warnIf)
	pick(&o.errorIf, other.errorIf, defaults.errorIf)
	if o.limit == defaults.limit {
		o.limit = other.limit
	}
	if o.store == defaults.store {
		o.store = other.store
	}
	o.disabled = o.disabled || other.disabled
	return o
}

// genericArguments are the names that the call of a generic test uses.
func (t *test) genericArguments(model, schema string) map[string]any {
	names := maps.Clone(t.arguments)
	names["model"] = &jinja.Object{Name: "model", Text: model, Attributes: map[string]any{"schema": schema, "name": string(t.dataset), "identifier": string(t.dataset)}}
	names["column_name"] = t.column
	return names
}

// hasColumn reports whether a dataset may have a column. What is known before anything is built: a seed's columns,
// those of a model under a contract, which columns of a table stay behind, and what the options tell.
func (r *reader) hasColumn(d elt.DatasetName, column string) bool {
	if r.excluded(d, column) {
		return false
	}
	columns, known := r.columns(d)
	return !known || slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, column) })
}

// excluded reports whether a column of a table stays behind in production.
func (r *reader) excluded(d elt.DatasetName, column string) bool {
	return slices.ContainsFunc(r.project.options.Excluded[d], func(c string) bool { return strings.EqualFold(c, column) })
}

func (r *reader) columnHint(d elt.DatasetName, column string) string {
	columns, _ := r.columns(d)
	if r.excluded(d, column) {
		return "its schedule excludes it: remove it there, or here"
	}
	if near := yamlfile.Suggest(column, columns); near != "" {
		return near
	}
	return "its columns are " + strings.Join(columns, ", ")
}

// unquoted returns a column's name as schema.yml wrote it.
func unquoted(column string) string {
	if inner, ok := strings.CutPrefix(column, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, `"`), `""`, `"`)
	}
	return column
}
