package dbt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// overlayMacros is the folder of an overlay's own macros.
const overlayMacros = "_daybreak_macros"

// overlay makes, in the folder, a project that is the team's with two things added: a macro by which source() means the
// night's tables, and a comment that tells each job on the bill whose it was. Everything else are links to the team's
// files, which nobody writes to.
func (o Options) overlay(folder string, s Site, run elt.RunID) (project string, err error) {
	if s.Sources == nil {
		return o.Command.Project, nil
	}
	project = filepath.Join(folder, "project")
	if err := errors.Join(os.RemoveAll(project), os.MkdirAll(filepath.Join(project, overlayMacros), 0o755)); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(o.Command.Project)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if slices.Contains([]string{projectFile, "profiles.yml", "target", "logs"}, e.Name()) || strings.HasPrefix(e.Name(), ".git") {
			continue
		}
		if err := os.Symlink(filepath.Join(o.Command.Project, e.Name()), filepath.Join(project, e.Name())); err != nil {
			return "", err
		}
	}
	b, err := os.ReadFile(filepath.Join(o.Command.Project, projectFile))
	if err != nil {
		return "", err
	}
	text, err := overlaid(b, run)
	if err != nil {
		return "", err
	}
	return project, errors.Join(
		writeFile(filepath.Join(project, projectFile), text),
		writeFile(filepath.Join(project, overlayMacros, "source.sql"), []byte(sourceMacro(s.Sources))),
	)
}

const projectFile = "dbt_project.yml"

// overlaid is a dbt_project.yml with the overlay's macros, and with labels for jobs unless the team has a comment of its
// own.
func overlaid(text []byte, run elt.RunID) ([]byte, error) {
	var keys yaml.MapSlice
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("read %s: %w", projectFile, err)
	}
	at := func(key string) int {
		return slices.IndexFunc(keys, func(i yaml.MapItem) bool { return i.Key == key })
	}
	macros := []any{"macros"}
	if i := at("macro-paths"); i >= 0 {
		switch given := keys[i].Value.(type) {
		case []any:
			macros = given
		case string:
			macros = []any{given}
		}
		keys = slices.Delete(keys, i, i+1)
	}
	keys = append(keys, yaml.MapItem{Key: "macro-paths", Value: append(slices.Clone(macros), overlayMacros)})
	if at("query-comment") < 0 {
		keys = append(keys, yaml.MapItem{Key: "query-comment", Value: map[string]any{"comment": jobComment(run), "job-label": true}})
	}
	return yaml.Marshal(keys)
}

// jobComment is JSON, of which dbt makes the labels of a job, under the names that Daybreak's own jobs have.
func jobComment(run elt.RunID) string {
	return `{"app": "dbt", "daybreak_run": "` + string(run) + `", "daybreak_step": "{{ 'test' if node and node.resource_type == 'test' else 'transform' }}",` +
		` "daybreak_dataset": "{{ node.name if node else '' }}"}`
}

// sourceMacro is a macro by which source() means other tables than the project says.
func sourceMacro(sources map[string]TableName) string {
	var b strings.Builder
	b.WriteString("{% macro source() %}\n  {%- set places = {\n")
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t := sources[name]
		fmt.Fprintf(&b, "    %s: [%s, %s, %s],\n", jsonText(name), jsonText(t.Database), jsonText(t.Schema), jsonText(t.Name))
	}
	b.WriteString(`  } -%}
  {%- set relation = builtins.source(*varargs, **kwargs) -%}
  {%- set place = places.get((varargs | list + kwargs.values() | list) | join('.')) -%}
  {%- if place -%}
    {%- set relation = relation.replace_path(database=place[0], schema=place[1], identifier=place[2]).quote(database=true, schema=true, identifier=true) -%}
  {%- endif -%}
  {%- do return(relation) -%}
{% endmacro %}
`)
	return b.String()
}

// jsonText is a text as Jinja reads it.
func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // no text fails
		return `""`
	}
	return string(b)
}
