package transform_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

func cmpText(d elt.Dataset) string {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(data) + "\n"
}

// folder is a sql folder in memory.
func folder(t testing.TB, files map[string]string) fs.FS {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// thousand is a project of a thousand models in layers, each with a config, a macro, a test and two refs.
func thousand(t testing.TB) fs.FS {
	files := map[string]string{"macros/m.sql": "{% macro cents(c) %}round({{ c }} / 100.0, 2){% endmacro %}"}
	var schema strings.Builder
	schema.WriteString("version: 2\nmodels:\n")
	for i := range 1000 {
		from := "{{ source('shop', 'users') }}"
		if i >= 10 {
			from = fmt.Sprintf("{{ ref('m%d') }} join {{ ref('m%d') }} using (id)", i-10, i-1-i%10)
		}
		files[fmt.Sprintf("models/layer%d/m%d.sql", i/10, i)] = "{{ config(materialized='table', tags=['t']) }}\nselect\n" +
			"{% for c in ['a', 'b', 'c'] %}  {{ cents(c) }} as {{ c }}{{ ',' if not loop.last }}\n{% endfor %}from " + from + "\nwhere d = '{{ data_date }}'\n"
		fmt.Fprintf(&schema, "  - name: m%d\n    columns:\n      - name: id\n        tests: [unique, not_null]\n", i)
		if i%50 == 49 {
			files[fmt.Sprintf("models/layer%d/schema.yml", i/10)] = schema.String()
			schema.Reset()
			schema.WriteString("version: 2\nmodels:\n")
		}
	}
	return folder(t, files)
}

func TestAThousandModels(t *testing.T) {
	p, problems := transform.Parse(thousand(t), options())
	if len(problems) > 0 || len(p.Datasets()) != 1000 {
		t.Fatalf("%d datasets, %v", len(p.Datasets()), problems)
	}
	position := map[elt.DatasetName]int{}
	for i, d := range p.Datasets() {
		position[d.Name] = i
		for _, in := range d.Inputs {
			if at, known := position[in]; d.Name != in && in != "shop.users" && (!known || at > i) {
				t.Fatalf("%s comes before its input %s", d.Name, in)
			}
		}
	}
}

func BenchmarkParseAThousandModels(b *testing.B) {
	fsys := thousand(b)
	for b.Loop() {
		if _, problems := transform.Parse(fsys, options()); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func FuzzProject(f *testing.F) {
	f.Add("select * from {{ ref('b') }}", "version: 2\nmodels:\n  - name: a\n    tests: [unique: {column_name: x}]\n", "select * from {{ ref('a') }}")
	f.Add("{{ config(materialized='incremental', unique_key=['x']) }}select 1", "version: 2\nsources: [{name: shop, tables: [{name: users}]}]", "{{ config(severity='warn') }}select 1")
	f.Add("{% if is_incremental() %}{{ this }}{% endif %}{{ source('shop', 'users') }}{{ var('x', 1) }}", "models: [{name: b, meta: {owners: [x], deadline: 1}}]", "")
	f.Add("{% test positive(model, column_name, least=0) %}select {{ least }} from {{ model }}{% endtest %}", "models: [{name: b, config: {contract: {enforced: true}, materialized: incremental}, columns: [{name: x, data_type: int, tests: [{positive: {least: ref('a')}}]}]}]", "{{ config(limit=3, store_failures=true) }}select 1")
	f.Add("select 1", "sources: [{name: shop, loaded_at_field: x, tables: [{name: users, freshness: {warn_after: {count: 1, period: day}}}]}]", "")
	f.Fuzz(func(t *testing.T, model, schema, test string) {
		p, problems := transform.Parse(folder(t, map[string]string{"models/a.sql": model, "models/b.sql": "select 1 as x", "models/schema.yml": schema, "tests/t.sql": test, "macros/m.sql": test, "tests/generic/g.sql": model, "dbt_project.yml": schema, "models/d.md": test}), options())
		for _, problem := range problems {
			if problem.File == "" || problem.What == "" || problem.Code == "" {
				t.Errorf("a problem lacks something: %+v", problem)
			}
		}
		if problems.Err() == nil {
			e := transform.New(transform.EngineOptions{Project: p, Warehouse: names{}})
			for _, d := range p.Datasets() {
				if _, err := e.Compile(scope("x"), d.Name); err != nil && elt.NewFailure(err).Code == "internal_error" {
					t.Errorf("compile %s: %v", d.Name, err)
				}
			}
		}
	})
}

// names is a warehouse that only gives names.
type names struct{ transform.Warehouse }

func (names) Staged(_ elt.RunID, d elt.DatasetName) string { return string(d) }
func (names) Published(relation string) string             { return relation }
