package dbt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A model's SQL is told as it was written, and over published names where nothing but names and settings is templated.
func TestCode(t *testing.T) {
	for name, c := range map[string]struct {
		dataset elt.DatasetName
		node    string
		written string
		query   string
	}{
		"a source":            {"a", "model.p.a", `{{ config(materialized='table') }} select * from {{ source('shop', 'users') }}`, `select * from shop.users`},
		"with double quotes":  {"a", "model.p.a", `select * from {{source("shop","users")}} u`, `select * from shop.users u`},
		"a model of a schema": {"c", "model.p.c", `select * from {{ ref('a') }} join {{ ref('p', 'a') }} using (id)`, `select * from analytics.a join analytics.a using (id)`},
		"one that is no more than a part of others": {"c", "model.p.c", `select * from {{ ref('e') }}`, ""},
		"of another package":                        {"c", "model.p.c", `select * from {{ ref('q', 'a') }}`, ""},
		"a variable":                                {"a", "model.p.a", `select {{ var('x') }} from {{ source('shop', 'users') }}`, ""},
		"a loop":                                    {"a", "model.p.a", `{% for c in ['x'] %} select 1 {% endfor %}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			with := strings.Replace(shop, fmt.Sprintf("%q: {", c.node), fmt.Sprintf(`%q: {"language": "sql", "raw_code": %q, `, c.node, c.written), 1)
			p, problems := parsed(t, with)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if written, query := p.Code(c.dataset); written != c.written || query != c.query {
				t.Errorf("it is written %q and runs as %q, want %q and %q", written, query, c.written, c.query)
			}
		})
	}
	p, _ := parsed(t, strings.Replace(shop, `"model.p.a": {`, `"model.p.a": {"language": "python", "raw_code": "def model(dbt, session): pass", `, 1))
	if written, query := p.Code("a"); written != "" || query != "" {
		t.Errorf("a model in Python is told as %q, %q", written, query)
	}
}
