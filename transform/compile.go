package transform

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// Scope is the run for which a dataset is transformed or tested.
type Scope struct {
	Run    elt.RunID
	Date   elt.Date
	Window elt.Window
	// Staged holds the datasets that the run has staged; every other one is read as it is published.
	Staged map[elt.DatasetName]bool
	// Published reports whether a dataset has a published version; nil means that none has.
	Published func(elt.DatasetName) bool
	// Steps are the run's steps as the ledger has them: an engine that builds several datasets at once sees what
	// remains to be done.
	Steps []elt.Step
	// FullRefresh builds incremental models whole.
	FullRefresh bool
	// Inline puts every model that is referred to into the query itself, so that it reads extracted tables and seeds alone.
	Inline bool
	// ReadAt is when the run read what is tested: freshness counts from it. Zero means the end of the window.
	ReadAt time.Time
}

func (s Scope) published(d elt.DatasetName) bool { return s.Published != nil && s.Published(d) }

// incremental reports whether the run adds to what is published of the model.
func (s Scope) incremental(m *model) bool {
	whole := s.FullRefresh
	if m.config.fullRefresh != nil {
		whole = *m.config.fullRefresh
	}
	return m.config.materialized == elt.AsIncremental && !whole && s.published(m.name)
}

// Compile returns a model's SQL as it will run in the scope.
func (e *Engine) Compile(s Scope, d elt.DatasetName) (string, error) {
	m, err := e.model(d)
	if err != nil {
		return "", err
	}
	return e.compile(s, m, false)
}

// compile renders a model over the run's staging, or over published names only.
func (e *Engine) compile(s Scope, m *model, published bool) (string, error) {
	c := &compilation{engine: e, scope: s, onlyPublished: published, sql: map[elt.DatasetName]string{}}
	sql, err := c.model(m, m.template)
	if err != nil {
		return "", err
	}
	return c.withCTEs(sql), nil
}

// compilation is the rendering of one query with the ephemeral models that it needs.
type compilation struct {
	engine        *Engine
	scope         Scope
	onlyPublished bool
	ephemeral     []elt.DatasetName // inputs first
	sql           map[elt.DatasetName]string
}

// model renders a model's template.
func (c *compilation) model(m *model, template *jinja.Template) (string, error) {
	return c.render(template, m.refs, &rendering{
		this: c.engine.warehouse.Published(c.engine.project.relation(m.name)), thisName: m.name,
		incremental: c.scope.incremental(m) && !c.onlyPublished,
	}, "model "+string(m.name))
}

// render renders a template that may refer to the declared datasets only.
func (c *compilation) render(template *jinja.Template, declared []elt.DatasetName, g *rendering, what string) (string, error) {
	if template == nil {
		return "", &elt.Error{Code: CodeTemplate, Class: elt.Config, What: what + " has problems", Do: "run daybreak check"}
	}
	var undeclared error
	g.project, g.interval = c.engine.project, interval{c.scope.Date, c.scope.Window}
	g.relation = func(call *jinja.Call, d elt.DatasetName) (string, error) {
		if !contains(declared, d) {
			undeclared = &elt.Error{
				Code: CodeRefUndeclared, Class: elt.Config,
				What: fmt.Sprintf("%s:%d: the %s refers to %s on some nights only", call.File, call.Line, what, d),
				Do:   "refer to it on every night: what a model is made from must be known before it runs",
			}
			return "", undeclared
		}
		return c.relation(d)
	}
	text, failed := template.Render(c.engine.project.library, g.globals())
	if undeclared != nil {
		return "", undeclared
	}
	if failed != nil {
		return "", &elt.Error{Code: CodeTemplate, Class: elt.Config, What: fmt.Sprintf("%s:%d:%d: %s", failed.File, failed.Line, failed.Column, failed.What), Do: failed.Do}
	}
	return strings.TrimLeft(strings.TrimRight(text, "; \t\r\n"), "\r\n"), nil
}

func contains(list []elt.DatasetName, d elt.DatasetName) bool {
	return slices.Contains(list, d)
}

// cteName is the name under which an ephemeral model's SELECT stands in another's, as in dbt.
func cteName(d elt.DatasetName) string { return `"__dbt__cte__` + string(d) + `"` }

// relation returns the SQL that stands for a dataset.
func (c *compilation) relation(d elt.DatasetName) (string, error) {
	p := c.engine.project
	if m, ok := p.models[d]; ok && (m.config.materialized == elt.AsEphemeral || c.scope.Inline) {
		if _, done := c.sql[d]; !done {
			sql, err := c.model(m, m.template)
			if err != nil {
				return "", err
			}
			c.sql[d] = sql
			c.ephemeral = append(c.ephemeral, d)
		}
		return cteName(d), nil
	}
	if c.scope.Staged[d] && !c.onlyPublished {
		return c.engine.warehouse.Staged(c.scope.Run, d), nil
	}
	return c.engine.warehouse.Published(p.relation(d)), nil
}

// withCTEs puts the ephemeral models in front of a query, into its own WITH if it has one.
func (c *compilation) withCTEs(sql string) string {
	if len(c.ephemeral) == 0 {
		return sql
	}
	var ctes []string
	for _, d := range c.ephemeral {
		ctes = append(ctes, cteName(d)+" as (\n"+c.sql[d]+"\n)")
	}
	list := strings.Join(ctes, ",\n")
	at := skipComments(sql)
	with, ok := keyword(sql[at:], "with")
	if !ok {
		return sql[:at] + "with " + list + "\n" + sql[at:]
	}
	at += with
	gap := skipComments(sql[at:])
	if recursive, ok := keyword(sql[at+gap:], "recursive"); ok {
		at += gap + recursive
	}
	return sql[:at] + " " + list + "," + sql[at:]
}

// keyword returns the length of the word at the beginning of sql, if it is that one.
func keyword(sql, word string) (int, bool) {
	if len(sql) < len(word) || !strings.EqualFold(sql[:len(word)], word) {
		return 0, false
	}
	if len(sql) > len(word) {
		if r := rune(sql[len(word)]); unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r >= 0x80 {
			return 0, false
		}
	}
	return len(word), true
}

// skipComments returns the offset of the first thing in sql that is neither space nor comment.
func skipComments(sql string) int {
	i := 0
	for i < len(sql) {
		switch rest := sql[i:]; {
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return len(sql)
			}
			i += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return len(sql)
			}
			i += end + 4
		case strings.IndexByte(" \t\r\n;", rest[0]) >= 0:
			i++
		default:
			return i
		}
	}
	return i
}

// model returns a model that exists and is a relation or part of one.
func (e *Engine) model(d elt.DatasetName) (*model, error) {
	m, ok := e.project.models[d]
	if !ok {
		return nil, &elt.Error{
			Code: CodeUnknownModel, Class: elt.Config, What: fmt.Sprintf("there is no model %q", string(d)),
			Do: yamlfile.Suggest(string(d), e.project.known(false)),
		}
	}
	return m, nil
}
