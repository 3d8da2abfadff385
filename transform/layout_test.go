package transform_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daybreak-data/daybreak/transform"
)

// TestLayoutInSchema: schema.yml may say the same.
func TestLayoutInSchema(t *testing.T) {
	p, problems := transform.Parse(fstest.MapFS{
		"models/m.sql": {Data: []byte("{{ config(materialized='table') }}\nselect 1 as a")},
		"models/schema.yml": {Data: []byte("version: 2\nmodels:\n  - name: m\n    config:\n      partition_by: {field: at, data_type: timestamp, granularity: month}\n" +
			"      cluster_by: [a]\n")},
	}, transform.Options{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got := p.Layout("m").String(); got != "partitioned by month of at, clustered by a" {
		t.Errorf("the model is %s", got)
	}
}

// TestLayout: partition_by in dbt's shape, and what is wrong with it in one sentence.
func TestLayout(t *testing.T) {
	for config, want := range map[string]string{
		"materialized='table', partition_by='day'": "partitioned by day of day",
		"materialized='table', partition_by={'field': 'at', 'data_type': 'timestamp', 'granularity': 'hour'}, cluster_by='a'": "partitioned by hour of at, clustered by a",
		"materialized='incremental', unique_key='a', cluster_by=['a', 'b']":                                                   "clustered by a, b",
		"materialized='table', partition_by={'field': 'day', 'granularity': 'hour'}":                                          "! a date has no hours",
		"materialized='table', partition_by={'field': 'n', 'data_type': 'int64', 'range': {'start': 0}}":                      "! \"range\" is not supported; sort by the column instead",
		"materialized='table', partition_by={'field': 'n', 'range': {'start': 0}}":                                            "! \"range\" is not supported; sort by the column instead",
		"materialized='table', partition_by={'field': 'n', 'granularity': 'week'}":                                            "! a partition cannot be one week long",
		"materialized='table', partition_by={'fields': 'n'}":                                                                  "! \"fields\" is not supported; did you mean \"field\"?",
		"materialized='table', partition_by={'granularity': 'day'}":                                                           "! names no field",
		"materialized='table', partition_by=['a']":                                                                            "! is a mapping",
		"materialized='view', cluster_by=['a']":                                                                               "! say nothing to a model materialized as view",
		"materialized='table', cluster_by=['a', 'a']":                                                                         "! empty or twice",
		"materialized='table', require_partition_filter=true":                                                                 "! unknown config \"require_partition_filter\"",
	} {
		p, problems := transform.Parse(fstest.MapFS{"models/m.sql": {Data: []byte("{{ config(" + config + ") }}\nselect 1 as a")}}, transform.Options{})
		got := p.Layout("m").String()
		if err := problems.Err(); err != nil {
			got = "! " + err.Error()
		}
		if wrong, refused := strings.CutPrefix(want, "! "); refused && !strings.Contains(got, wrong) || !refused && got != want {
			t.Errorf("%s\nis  %s\nnot %s", config, got, want)
		}
	}
}
