package dbt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform"
)

// Compile has dbt compile a model, or one of its tests, for the scope's date, and returns its SQL over published names.
// dbt is given an empty database for it: is_incremental() is false, and a macro that asks the database finds nothing.
func Compile(ctx context.Context, o Options, p *Project, s transform.Scope, d elt.DatasetName, test string) (string, error) {
	n, err := p.compilable(d, test)
	if err != nil {
		return "", err
	}
	site := filepath.Join(o.State, "compile")
	if err := errors.Join(removeFile(filepath.Join(site, fileName)), o.writeProfile(site)); err != nil {
		return "", fileError(err)
	}
	args, err := o.args("compile", site, night{s.Date, s.Window}, "--select", n.selector())
	if err != nil {
		return "", err
	}
	command := o.Command
	command.Env = append(command.Env, "DAYBREAK_DBT_FILE="+filepath.Join(site, fileName), "DAYBREAK_DBT_SCHEMA="+o.Schema)
	l := listener{exception: make(map[string]string), concluded: make(map[string]bool), report: func(string, result) {}}
	end, err := command.run(ctx, args, l.hear)
	if err != nil {
		return "", err
	}
	if message := l.exception[n.ID]; message != "" {
		return "", p.failed(n, message)
	}
	if end.code != 0 {
		return "", missing(n, end, nil)
	}
	m, err := readManifest(filepath.Join(site, "target", "manifest.json"))
	if err != nil {
		return "", err
	}
	compiled := m.Nodes[n.ID]
	if compiled == nil || strings.TrimSpace(compiled.Compiled) == "" {
		return "", missing(n, end, nil)
	}
	return strings.TrimSpace(strings.ReplaceAll(compiled.Compiled, `"`+databaseName+`".`, "")), nil
}

// compilable returns the model, or its test of that name.
func (p *Project) compilable(d elt.DatasetName, test string) (*node, error) {
	n := p.datasets[d]
	if n == nil || n.Resource == sourceNode && test == "" {
		return nil, p.unknown(d)
	}
	if test == "" {
		return n, nil
	}
	for _, t := range p.tests[d] {
		if t.title == test {
			return t, nil
		}
	}
	return nil, &elt.Error{
		Code: transform.CodeTest, Class: elt.Config, What: fmt.Sprintf("%s has no test %q", d, test), Do: "its tests are " + strings.Join(p.Tests(d), ", "),
	}
}

// unknown is the error of a name that is nothing which the project builds.
func (p *Project) unknown(d elt.DatasetName) error {
	return &elt.Error{
		Code: transform.CodeUnknownModel, Class: elt.Config, What: fmt.Sprintf("the dbt project %s has no model, seed or snapshot %q", p.folder, string(d)),
		Do: yamlfile.Suggest(string(d), p.names()),
	}
}
