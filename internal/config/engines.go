package config

import (
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// otherEngines are names that people look for in each part of the file and that this release does not know.
func otherEngines(part string) (names []string, have string) {
	switch part {
	case "warehouse":
		return []string{"snowflake", "redshift", "clickhouse", "databricks", "postgres"}, "duckdb and bigquery"
	case "sources":
		return []string{"mariadb", "aurora", "sqlserver", "oracle", "mongodb"}, "postgres (its URL), mysql (its URL; MariaDB and Aurora, too) and sqlite (its file)"
	case "lake":
		return []string{"gcs", "azure"}, "a folder and s3 (which Google's and most other stores speak, too)"
	case "models":
		return []string{"sqlmesh", "dataform"}, "dir, a folder of SQL models written as for dbt, and dbt, a dbt project"
	}
	return nil, ""
}

// otherEngine returns the key of n that names an engine which this release does not know.
func otherEngine(part string, n *yamlfile.Node) (name string, found bool) {
	if n == nil {
		return "", false
	}
	names, _ := otherEngines(part)
	for _, key := range n.Keys() {
		if slices.Contains(names, key) {
			return key, true
		}
	}
	return "", false
}

// nameEngines turns "unknown key" into a sentence about the engine where the key names one.
func nameEngines(f *yamlfile.File, problems elt.Problems) elt.Problems {
	say := func(part string, n *yamlfile.Node) {
		name, found := otherEngine(part, n)
		if !found {
			return
		}
		line, column := n.KeyAt(name)
		for i, p := range problems {
			if p.Code == yamlfile.CodeUnknownKey && p.Line == line && p.Column == column {
				_, have := otherEngines(part)
				problems[i].Code = CodeEngineUnknown
				problems[i].What = fmt.Sprintf("this release has no driver for %s", name)
				problems[i].Do = fmt.Sprintf("what it has for %s is %s", part, have)
			}
		}
	}
	root := f.Root()
	for _, part := range []string{"warehouse", "lake", "models"} {
		say(part, root.Get(part))
	}
	if sources := root.Get("sources"); sources != nil {
		for _, name := range sources.Keys() {
			say("sources", sources.Get(name))
		}
	}
	return problems
}
