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

// modelConfig is what a model's config() says.
type modelConfig struct {
	materialized elt.Materialization
	strategy     elt.Strategy
	key          []string
	tags         []string
	enabled      bool
	layout       elt.Layout
	fullRefresh  *bool // always or never built whole; nil leaves it to the run
	contract     bool  // its columns must be those that schema.yml declares
	onChange     elt.SchemaPolicy
}

var configKeys = []string{"cluster_by", "contract", "docs", "enabled", "full_refresh", "incremental_strategy", "materialized", "meta", "on_schema_change", "partition_by", "tags", "unique_key"}

// foreignConfig says what to do instead of some of dbt's keys.
var foreignConfig = map[string]string{
	"schema":                    "remove it: models are published in the schema that daybreak.yaml sets under models.schema",
	"database":                  "remove it: models are published in the workspace's warehouse",
	"alias":                     "rename the file: a model is published under its own name",
	"pre_hook":                  "put the SQL into a model",
	"post_hook":                 "put the SQL into a model or a test",
	"pre-hook":                  "put the SQL into a model",
	"post-hook":                 "put the SQL into a model or a test",
	"event_time":                "filter by {{ window_start }} and {{ window_end }}, the night's own interval",
	"batch_size":                "remove it: an incremental model is built for one data date at a time",
	"begin":                     "remove it: a first build is whole",
	"merge_update_columns":      "select the columns that shall stay from {{ this }}: a merge replaces the whole row",
	"merge_exclude_columns":     "select the columns that shall stay from {{ this }}: a merge replaces the whole row",
	"incremental_predicates":    "write the condition into the model, under {% if is_incremental() %}",
	"grants":                    "grant in the warehouse: published names stay what they are from night to night",
	"persist_docs":              "remove it: descriptions are shown on the status page",
	"sql_header":                "put it into the SELECT",
	"partition_expiration_days": "remove it: Daybreak drops no published rows; set it on the table in BigQuery",
	"require_partition_filter":  "remove it: Daybreak itself counts and compares whole tables",
	"group":                     "name owners under meta in schema.yml",
	"access":                    "name owners under meta in schema.yml",
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
			var tags []string
			tags, err = listOfTexts(value)
			m.tags = merge(m.tags, tags)
		case "enabled":
			var ok bool
			if m.enabled, ok = value.(bool); !ok {
				err = errors.New("enabled is true or false")
			}
		case "full_refresh":
			whole, ok := value.(bool)
			if m.fullRefresh = &whole; !ok {
				err = errors.New("full_refresh is true or false")
			}
		case "contract":
			m.contract, err = enforced(value)
		case "on_schema_change":
			err = m.setOnChange(value)
		case "docs", "meta": // for dbt's own site; owners and deadline are read from schema.yml
			if key == "meta" && namesOwners(value) {
				err = errors.New("owners and deadline are read from schema.yml only: move them there")
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

// enforced reads contract={'enforced': true}.
func enforced(v any) (bool, error) {
	d, ok := v.(jinja.Dict)
	on, has := d.Get("enforced")
	yes, isBool := on.(bool)
	if !ok || !has || !isBool {
		return false, errors.New("write {'enforced': true}")
	}
	return yes, nil
}

// namesOwners reports whether a meta value holds what only schema.yml may say.
func namesOwners(v any) bool {
	d, _ := v.(jinja.Dict)
	_, owners := d.Get("owners")
	_, deadline := d.Get("deadline")
	return owners || deadline
}

func (m *modelConfig) setMaterialized(v any) error {
	s, _ := v.(string)
	if s == "materialized_view" {
		return errors.New("materialized_view is not supported: use table, which is as fresh as its night")
	}
	switch as := elt.Materialization(s); as {
	case elt.AsTable, elt.AsView, elt.AsIncremental, elt.AsEphemeral:
		m.materialized = as
		return nil
	}
	return fmt.Errorf("%q is not a materialization: use view, table, incremental or ephemeral", fmt.Sprint(v))
}

func (m *modelConfig) setStrategy(v any) error {
	s, _ := v.(string)
	if s == "insert_overwrite" || s == "microbatch" {
		return fmt.Errorf("%s is not supported: use delete+insert with the day among the columns of unique_key, and filter by {{ window_start }} and {{ window_end }}", s)
	}
	switch as := elt.Strategy(s); as {
	case elt.Append, elt.DeleteInsert, elt.Merge:
		m.strategy = as
		return nil
	}
	return fmt.Errorf("%q is not a strategy: use append, delete+insert or merge", fmt.Sprint(v))
}

func (m *modelConfig) setOnChange(v any) error {
	s, _ := v.(string)
	if m.onChange = elt.SchemaPolicy(s); slices.Contains(elt.SchemaPolicies, m.onChange) {
		return nil
	}
	m.onChange = ""
	return fmt.Errorf("%q is none of ignore, fail, append_new_columns, sync_all_columns", fmt.Sprint(v))
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
	if m.contract && m.materialized == elt.AsEphemeral {
		problem(at, CodeConfig, "an ephemeral model has no columns of its own to hold to a contract", "materialize it, or remove the contract")
	}
	if m.materialized != elt.AsIncremental {
		if m.fullRefresh != nil {
			problem(at, CodeConfig, fmt.Sprintf("full_refresh says nothing to a model materialized as %s, which is always built whole", m.materialized), "remove it, or set materialized='incremental'")
		}
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
