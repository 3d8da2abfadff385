package transform

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	if known := slices.Sorted(maps.Keys(r.project.options.Vars)); yamlfile.Closest(name, known) != "" {
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

// modelConfig is what a model's config() says.
type modelConfig struct {
	materialized elt.Materialization
	strategy     elt.Strategy
	key          []string
	tags         []string
	enabled      bool
	layout       elt.Layout
}

var configKeys = []string{"cluster_by", "enabled", "incremental_strategy", "materialized", "partition_by", "tags", "unique_key"}

// foreignConfig says what to do instead of some of dbt's keys.
var foreignConfig = map[string]string{
	"schema":                    "remove it: models are published in the schema that daybreak.yaml sets under models.schema",
	"database":                  "remove it: models are published in the workspace's warehouse",
	"alias":                     "rename the file: a model is published under its own name",
	"pre_hook":                  "put the SQL into a model",
	"post_hook":                 "put the SQL into a model or a test",
	"on_schema_change":          "remove it: a changed model is built again with a full refresh",
	"meta":                      "write it in schema.yml, where owners and deadline are read",
	"docs":                      "describe the model in schema.yml",
	"partition_expiration_days": "remove it: Daybreak drops no published rows; set it on the table in BigQuery",
	"require_partition_filter":  "remove it: Daybreak itself counts and compares whole tables",
}

// set applies one call of config().
func (m *modelConfig) set(c *jinja.Call, problem func(at jinja.Position, code elt.Code, what, do string)) error {
	if len(c.Args) > 0 {
		return errors.New("config takes named arguments only: {{ config(materialized='table') }}")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Kwargs)) {
		value, at := c.Kwargs[key], c.Places[key]
		var err error
		switch key {
		case "materialized":
			err = m.setMaterialized(value)
		case "incremental_strategy":
			err = m.setStrategy(value)
		case "unique_key":
			m.key, err = listOfTexts(value)
		case "partition_by":
			err = m.setPartition(value)
		case "cluster_by":
			m.layout.ClusterBy, err = listOfTexts(value)
		case "tags":
			m.tags, err = listOfTexts(value)
		case "enabled":
			var ok bool
			if m.enabled, ok = value.(bool); !ok {
				err = errors.New("enabled is true or false")
			}
		default:
			do := foreignConfig[key]
			if do == "" {
				do = yamlfile.Suggest(key, configKeys)
			}
			problem(at, CodeConfig, fmt.Sprintf("unknown config %q", key), do)
		}
		if err != nil {
			problem(at, CodeConfig, "config "+key+": "+err.Error(), "correct it")
		}
	}
	return nil
}

func (m *modelConfig) setMaterialized(v any) error {
	s, _ := v.(string)
	switch as := elt.Materialization(s); as {
	case elt.AsTable, elt.AsView, elt.AsIncremental, elt.AsEphemeral:
		m.materialized = as
		return nil
	}
	return fmt.Errorf("%q is not a materialization: use view, table, incremental or ephemeral", fmt.Sprint(v))
}

func (m *modelConfig) setStrategy(v any) error {
	s, _ := v.(string)
	switch as := elt.Strategy(s); as {
	case elt.Append, elt.DeleteInsert, elt.Merge:
		m.strategy = as
		return nil
	}
	return fmt.Errorf("%q is not a strategy: use append, delete+insert or merge", fmt.Sprint(v))
}

func listOfTexts(v any) ([]string, error) {
	if s, ok := v.(string); ok {
		v = []any{s}
	}
	list, _ := v.([]any)
	out, ok := texts(list)
	if !ok || len(out) == 0 || slices.Contains(out, "") {
		return nil, errors.New("is a text or a list of texts")
	}
	return out, nil
}

// check completes a model's config and says what does not fit together.
func (m *modelConfig) check(at jinja.Position, problem func(at jinja.Position, code elt.Code, what, do string)) {
	if why := m.misplaced(); why != "" {
		problem(at, CodeConfig, why, "correct it")
	}
	if m.materialized != elt.AsIncremental {
		if m.strategy != "" || m.key != nil {
			problem(at, CodeConfig, fmt.Sprintf("unique_key and incremental_strategy say nothing to a model materialized as %s", m.materialized), "remove them, or set materialized='incremental'")
		}
		return
	}
	switch {
	case m.strategy == "" && m.key == nil:
		m.strategy = elt.Append
	case m.strategy == "":
		m.strategy = elt.DeleteInsert
	case m.strategy == elt.Append && m.key != nil:
		problem(at, CodeConfig, "the strategy append does not look at unique_key", "use delete+insert or merge, or remove unique_key")
	case m.strategy != elt.Append && m.key == nil:
		problem(at, CodeConfig, fmt.Sprintf("the strategy %s needs a unique_key", m.strategy), "add unique_key='…', or use incremental_strategy='append'")
	}
	if i := slices.IndexFunc(m.key, func(k string) bool { return strings.ContainsAny(k, "()") }); i >= 0 {
		problem(at, CodeConfig, fmt.Sprintf("unique_key %q is an expression", m.key[i]), "name a column of the model; compute it in the SELECT")
	}
}
