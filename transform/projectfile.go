package transform

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// projectFileName is the file with which a folder that was a dbt project begins. It may stay: what it says of models,
// seeds, tests and variables is obeyed, and what cannot be is refused.
const projectFileName = "dbt_project.yml"

// projectFile is what dbt_project.yml says.
type projectFile struct {
	name          string
	models, seeds *yamlfile.Node
}

// quietKeys are those that say nothing about what is built.
var quietKeys = []string{"version", "config-version", "profile", "require-dbt-version", "target-path", "log-path", "packages-install-path",
	"clean-targets", "docs-paths", "analysis-paths", "asset-paths", "snapshot-paths", "flags", "query-comment", "restrict-access", "quoting", "snapshots", "analyses"}

// folderKeys are the folders of a project, under the names by which they must lie.
var folderKeys = map[string]string{"model-paths": "models", "source-paths": "models", "seed-paths": "seeds", "data-paths": "seeds", "macro-paths": "macros", "test-paths": "tests"}

func (r *reader) readProjectFile() {
	data, err := fs.ReadFile(r.fsys, projectFileName)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.problem(whole(root+projectFileName), CodeUnreadable, fmt.Sprintf("cannot be read: %v", err), "make it readable")
		return
	}
	f, problems := yamlfile.Parse(root+projectFileName, data)
	r.problems = append(r.problems, problems...)
	if len(problems) > 0 {
		return
	}
	r.file = &projectFile{}
	n := f.Root()
	if name := n.Get("name"); name != nil {
		r.problems = append(r.problems, name.Decode(&r.file.name)...)
	}
	for _, key := range n.Keys() {
		value := n.Get(key)
		switch {
		case key == "name", slices.Contains(quietKeys, key):
		case folderKeys[key] != "":
			r.folders(key, value)
		case key == "vars":
			r.projectVars(value)
		case key == "models":
			r.file.models = value
		case key == "seeds":
			r.file.seeds = value
		case key == "tests" || key == "data_tests":
			r.projectTests(value)
		default:
			line, column := n.KeyAt(key)
			p := elt.Problem{File: root + projectFileName, Line: line, Column: column, Code: CodeProjectFile, What: fmt.Sprintf("%q is not supported", key), Do: "remove it, or use the dbt engine"}
			if key == "on-run-start" || key == "on-run-end" {
				p.Do = "put the SQL into a model, or use the dbt engine"
			}
			r.problems = append(r.problems, p)
		}
	}
}

// folders checks that the project's files lie where they are looked for.
func (r *reader) folders(key string, value *yamlfile.Node) {
	var paths textList
	problems := value.Decode(&paths)
	r.problems = append(r.problems, problems...)
	if want := folderKeys[key]; len(problems) == 0 && (len(paths) != 1 || path.Clean(paths[0]) != want) {
		r.problems = append(r.problems, value.Problem(CodeProjectFile, fmt.Sprintf("%s is not [%q], where Daybreak looks", key, want), "move the files to "+root+want))
	}
}

// projectVars takes the variables of dbt_project.yml; those of daybreak.yaml and of the command line come first.
func (r *reader) projectVars(n *yamlfile.Node) {
	vars := map[string]any{}
	for _, key := range n.Keys() {
		if own := n.Get(key); key == r.file.name && own.Kind == yamlfile.Mapping {
			for _, inner := range own.Keys() {
				vars[inner] = own.Get(inner).Any()
			}
		} else if _, set := vars[key]; !set {
			vars[key] = own.Any()
		}
	}
	maps.Copy(vars, r.project.options.Vars)
	r.project.options.Vars = vars
}

// projectTests takes the options that every test begins with.
func (r *reader) projectTests(n *yamlfile.Node) {
	for _, key := range n.Keys() {
		value := n.Get(key)
		if key == r.file.name && value.Kind == yamlfile.Mapping {
			r.projectTests(value)
			continue
		}
		if err := r.testDefaults.set(strings.TrimPrefix(key, "+"), value.Any()); err != nil {
			r.problems = append(r.problems, value.Problem(CodeProjectFile, err.Error(), "correct it"))
		}
	}
}

// declaredConfig is a model's config before its own config() speaks: dbt_project.yml's, from the outer folder to the
// inner one, then its schema.yml's.
func (r *reader) declaredConfig(m *model) modelConfig {
	c := modelConfig{materialized: elt.AsView, enabled: true}
	if r.file != nil {
		r.folderConfig(&c, r.file.models, append([]string{r.file.name}, strings.Split(strings.TrimSuffix(strings.TrimPrefix(m.file, root+"models/"), ".sql"), "/")...))
	}
	if n := r.described[m.name]; n != nil && n.Kind == yamlfile.Mapping {
		call := &jinja.Call{Position: jinja.Position{File: r.fileOf(n), Line: n.Line, Column: n.Column}, Kwargs: map[string]any{}, Places: map[string]jinja.Position{}}
		for _, key := range n.Keys() {
			if !slices.Contains([]string{"meta", "tags", "column_types"}, key) { // they are the documentation's, or a seed's
				r.addKey(call, n, key, key)
			}
		}
		r.setConfig(&c, call)
	}
	return c
}

// folderConfig applies the keys of a folder of dbt_project.yml's tree, and follows the path into the next one.
func (r *reader) folderConfig(c *modelConfig, n *yamlfile.Node, way []string) {
	if n == nil || n.Kind != yamlfile.Mapping {
		return
	}
	call := &jinja.Call{Position: jinja.Position{File: r.fileOf(n), Line: n.Line, Column: n.Column}, Kwargs: map[string]any{}, Places: map[string]jinja.Position{}}
	for _, key := range n.Keys() {
		plain, plus := strings.CutPrefix(key, "+")
		if plus || n.Get(key).Kind != yamlfile.Mapping {
			r.addKey(call, n, key, plain)
		}
	}
	r.setConfig(c, call)
	if len(way) > 0 {
		if next := n.Get(way[0]); next != nil {
			r.folderConfig(c, next, way[1:])
		}
	}
}

// addKey puts one key of a mapping into a call of config().
func (r *reader) addKey(call *jinja.Call, n *yamlfile.Node, key, as string) {
	line, column := n.KeyAt(key)
	call.Kwargs[as] = jinja.FromGo(n.Get(key).Any())
	call.Places[as] = jinja.Position{File: r.fileOf(n), Line: line, Column: column}
}

func (r *reader) setConfig(c *modelConfig, call *jinja.Call) {
	if err := c.set(call, r.once); err != nil {
		r.once(call.Position, CodeConfig, err.Error(), "correct it")
	}
}
