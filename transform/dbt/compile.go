package dbt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform"
)

// Compile has dbt compile a model, or one of its tests, for the scope's date, and returns its SQL over published names.
// On DuckDB dbt is given an empty database for it: is_incremental() is false, and a macro that asks the database finds
// nothing. On BigQuery it looks at what is published.
func Compile(ctx context.Context, o Options, p *Project, s transform.Scope, d elt.DatasetName, test string) (string, error) {
	n, err := p.compilable(d, test)
	if err != nil {
		return "", err
	}
	m, l, end, err := o.compile(ctx, p, s, n.selector())
	if err != nil {
		return "", err
	}
	if message := l.exception[n.ID]; message != "" {
		return "", p.failed(n, message)
	}
	if end.code != 0 || m == nil {
		return "", missing(n, end, nil)
	}
	if sql := m.compiled(n.ID); sql != "" {
		return sql, nil
	}
	return "", missing(n, end, nil)
}

// CompileAll returns the SQL of the models that dbt can compile, over published names, as they would be built.
func CompileAll(ctx context.Context, o Options, p *Project, s transform.Scope) (map[elt.DatasetName]string, error) {
	m, _, end, err := o.compile(ctx, p, s)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, &elt.Error{Code: CodeFailed, Class: elt.Config, What: "dbt compile " + end.how() + ": " + sentence(cmp.Or(end.said, end.tail)), Do: "run dbt compile in " + p.folder + " and see what it says"}
	}
	out := make(map[elt.DatasetName]string)
	for d, n := range p.datasets {
		if sql := m.compiled(n.ID); sql != "" && n.builds() {
			out[d] = sql
		}
	}
	return out, nil
}

// compile runs dbt compile and reads the manifest that it writes, nil where it writes none.
func (o Options) compile(ctx context.Context, p *Project, s transform.Scope, selectors ...string) (m *manifest, l listener, end ended, err error) {
	folder := filepath.Join(o.State, "compile")
	file := filepath.Join(folder, "target", "manifest.json")
	if err := errors.Join(removeFile(filepath.Join(folder, fileName)), removeFile(file), o.writeProfile(folder)); err != nil {
		return nil, l, end, fileError(err)
	}
	site := o.Builder.Idle(folder, true, p.sources(o.Tables))
	project, err := o.overlay(folder, site, s.Run)
	if err != nil {
		return nil, l, end, fileError(err)
	}
	var flags []string
	if len(selectors) > 0 {
		flags = append([]string{"--select"}, selectors...)
	}
	if s.FullRefresh {
		flags = append(flags, "--full-refresh")
	}
	args, err := o.args("compile", project, folder, night{s.Date, s.Window}, flags...)
	if err != nil {
		return nil, l, end, err
	}
	command := o.Command
	command.Env = with(command.Env, site.Env)
	l = listener{exception: make(map[string]string), concluded: make(map[string]bool), report: func(string, result) {}}
	if end, err = command.run(ctx, args, l.hear); err != nil {
		return nil, l, end, err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, l, end, nil
	}
	m, err = readManifest(file)
	return m, l, end, err
}

// compiled returns a node's SQL over published names; "" where dbt has not compiled it.
func (m *manifest) compiled(id string) string {
	n := m.Nodes[id]
	if n == nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(n.Compiled, `"`+databaseName+`".`, ""))
}

// sources are the extracted tables under the names by which source() calls them, as they are published.
func (p *Project) sources(tables []elt.Dataset) []Input {
	var out []Input
	for _, t := range tables {
		if n := p.datasets[t.Name]; n != nil {
			out = append(out, Input{Exchange: elt.Exchange{Dataset: t.Name, From: t.Relation}, Source: n.SourceName + "." + n.Name})
		}
	}
	return out
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
