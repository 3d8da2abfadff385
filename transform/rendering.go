package transform

import (
	"fmt"
	"maps"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// interval is a run's night as SQL sees it.
type interval struct {
	date   elt.Date
	window elt.Window
}

// instant is how the ends of the window are written: an instant to DuckDB and to BigQuery alike.
const instant = "2006-01-02 15:04:05.999999-07:00"

// rendering gives a template its functions and variables.
type rendering struct {
	project     *Project
	interval    interval
	this        string // what {{ this }} is; empty where there is none
	thisName    elt.DatasetName
	incremental bool
	arguments   map[string]any // further names, such as those of a generic test's call
	// relation returns the SQL that stands for a dataset.
	relation func(c *jinja.Call, d elt.DatasetName) (string, error)
	// config receives each call of config(); nil ignores it.
	config func(c *jinja.Call) error
	// problem receives what is wrong while rendering goes on; nil makes it the rendering's error.
	problem func(at jinja.Position, code elt.Code, what, do string)
}

// globals returns the functions and variables by name.
func (r *rendering) globals() map[string]any {
	names := map[string]any{
		"ref": jinja.Func(r.ref), "source": jinja.Func(r.source), "config": jinja.Func(r.configure),
		"var": jinja.Func(r.variable), "env_var": jinja.Func(r.environment),
		"is_incremental": jinja.Func(func(*jinja.Call) (any, error) { return r.incremental, nil }),
		"data_date":      r.interval.date.String(),
		"window_start":   r.interval.window.From.UTC().Format(instant),
		"window_end":     r.interval.window.To.UTC().Format(instant),
	}
	maps.Copy(names, r.arguments)
	if r.project != nil {
		names["target"] = &jinja.Object{Name: "target", Attributes: map[string]any{"name": r.project.options.Target, "schema": r.project.options.Schema}}
	}
	if r.this != "" {
		names["this"] = &jinja.Object{Name: "this", Text: r.this, Attributes: map[string]any{
			"schema": r.project.options.Schema, "name": string(r.thisName), "identifier": string(r.thisName)}}
	}
	return names
}

// refuse reports a problem, and lets the rendering go on where problems are collected.
func (r *rendering) refuse(at jinja.Position, code elt.Code, what, do string) (any, error) {
	if r.problem == nil {
		return nil, &jinja.Error{Position: at, What: what, Do: do}
	}
	r.problem(at, code, what, do)
	return "unknown", nil
}

func texts(args []any) ([]string, bool) {
	out := make([]string, len(args))
	for i, a := range args {
		s, ok := a.(string)
		if !ok {
			return nil, false
		}
		out[i] = s
	}
	return out, true
}

func (r *rendering) ref(c *jinja.Call) (any, error) {
	names, ok := texts(c.Args)
	switch {
	case !ok || len(names) == 0 || len(names) > 2 || len(c.Kwargs) > 0:
		return r.refuse(c.Position, CodeUnknownRef, "ref takes a model's name", "write {{ ref('model') }}")
	case len(names) == 2:
		return r.refuse(c.Position, CodeUnknownRef, fmt.Sprintf("ref('%s', '%s') names a package, and there are none", names[0], names[1]), fmt.Sprintf("write {{ ref('%s') }}", names[1]))
	}
	return r.dataset(c, elt.DatasetName(names[0]), false)
}

func (r *rendering) source(c *jinja.Call) (any, error) {
	names, ok := texts(c.Args)
	if !ok || len(names) != 2 || len(c.Kwargs) > 0 {
		return r.refuse(c.Position, CodeUnknownSource, "source takes a source's and a table's name", "write {{ source('shop', 'users') }}")
	}
	return r.dataset(c, elt.DatasetName(names[0]+"."+names[1]), true)
}

// dataset returns the SQL of a dataset that exists.
func (r *rendering) dataset(c *jinja.Call, d elt.DatasetName, table bool) (any, error) {
	p := r.project
	code, what := CodeUnknownRef, fmt.Sprintf("there is no model or seed named %q", string(d))
	_, exists := p.models[d]
	if _, ok := p.seeds[d]; ok {
		exists = true
	}
	if table {
		code, what = CodeUnknownSource, fmt.Sprintf("no schedule extracts the table %q", string(d))
		_, exists = p.tables[d]
	}
	if exists {
		sql, err := r.relation(c, d)
		if err != nil {
			return nil, err
		}
		return sql, nil
	}
	do := yamlfile.Suggest(string(d), p.known(table))
	if _, extracted := p.tables[d]; extracted && !table {
		source, name := d.Split()
		do = fmt.Sprintf("it is an extracted table: write {{ source('%s', '%s') }}", source, name)
	} else if do == "" {
		do = "there is none at all: correct the name, or add what is missing"
	}
	return r.refuse(c.Position, code, what, do)
}

func (r *rendering) configure(c *jinja.Call) (any, error) {
	if r.config == nil {
		return "", nil
	}
	return "", r.config(c)
}

// withDefault reads the arguments of var and env_var.
func withDefault(c *jinja.Call) (name string, otherwise any, has bool, err error) {
	if len(c.Args) > 0 {
		name, _ = c.Args[0].(string)
	}
	if otherwise, has = c.Kwargs["default"]; !has && len(c.Args) == 2 {
		otherwise, has = c.Args[1], true
	}
	if name == "" || len(c.Args) > 2 || len(c.Kwargs) > 1 || (len(c.Kwargs) == 1 && (!has || len(c.Args) == 2)) {
		return "", nil, false, &jinja.Error{Position: c.Position, What: c.Name + " takes a name and a default", Do: fmt.Sprintf("write {{ %s('name', 'default') }}", c.Name)}
	}
	return name, otherwise, has, nil
}

func (r *rendering) variable(c *jinja.Call) (any, error) {
	name, otherwise, has, err := withDefault(c)
	if err != nil {
		return nil, err
	}
	if v, ok := r.project.options.Vars[name]; ok {
		return jinja.FromGo(v), nil
	}
	if has {
		return otherwise, nil
	}
	do := "set it under models.vars in daybreak.yaml, or give a default: {{ var('" + name + "', '…') }}"
	if known := slices.Sorted(maps.Keys(r.project.options.Vars)); elt.Closest(name, known) != "" {
		do = yamlfile.Suggest(name, known)
	}
	return r.refuse(c.Position, CodeUnknownVar, fmt.Sprintf("the variable %q is not set", name), do)
}

func (r *rendering) environment(c *jinja.Call) (any, error) {
	name, otherwise, has, err := withDefault(c)
	if err != nil {
		return nil, err
	}
	if env := r.project.options.Env; env != nil {
		if v, ok := env(name); ok {
			return v, nil
		}
	}
	if has {
		return otherwise, nil
	}
	return r.refuse(c.Position, CodeUnknownVar, fmt.Sprintf("the environment variable %s is not set", name), "set it, or give a default: {{ env_var('"+name+"', '…') }}")
}
