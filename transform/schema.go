package transform

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// schemaFile is one schema.yml, in dbt's version 2.
type schemaFile struct {
	file *yamlfile.File

	Version int         `yaml:"version"`
	Models  []entityDoc `yaml:"models"`
	Seeds   []entityDoc `yaml:"seeds"`
	Sources []sourceDoc `yaml:"sources"`
}

// sourceDoc describes a source and its tables.
type sourceDoc struct {
	Name        string      `yaml:"name"`
	Description string      `yaml:"description"`
	Meta        metaDoc     `yaml:"meta"`
	Tags        textList    `yaml:"tags"`
	Tables      []entityDoc `yaml:"tables"`
}

// entityDoc describes a model, a seed or a table.
type entityDoc struct {
	Name        string      `yaml:"name"`
	Description string      `yaml:"description"`
	Columns     []columnDoc `yaml:"columns"`
	Tests       []testDecl  `yaml:"tests"`
	DataTests   []testDecl  `yaml:"data_tests"`
	Meta        metaDoc     `yaml:"meta"`
	Tags        textList    `yaml:"tags"`
	Config      configDoc   `yaml:"config"`
}

type columnDoc struct {
	Name        string     `yaml:"name"`
	Description string     `yaml:"description"`
	DataType    string     `yaml:"data_type"`
	Quote       bool       `yaml:"quote"`
	Tests       []testDecl `yaml:"tests"`
	DataTests   []testDecl `yaml:"data_tests"`
	Meta        metaDoc    `yaml:"meta"`
	Tags        textList   `yaml:"tags"`
}

// configDoc is a config block; column_types is for seeds.
type configDoc struct {
	Tags        textList          `yaml:"tags"`
	Meta        metaDoc           `yaml:"meta"`
	ColumnTypes map[string]string `yaml:"column_types"`
}

// metaDoc is a meta block: owners and a deadline are read, everything else is the team's own.
type metaDoc struct {
	Owners   []string
	Deadline string
	deadline *yamlfile.Node
}

// UnmarshalNode reads owners and deadline.
func (m *metaDoc) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind != yamlfile.Mapping {
		return elt.Problems{n.Problem(yamlfile.CodeWrongType, "meta is a mapping of keys and values", "write meta: {owners: [team@example.com]}")}
	}
	var problems elt.Problems
	if o := n.Get("owners"); o != nil {
		var list textList
		problems = append(problems, o.Decode(&list)...)
		m.Owners = list
	}
	if d := n.Get("deadline"); d != nil {
		problems = append(problems, d.Decode(&m.Deadline)...)
		m.deadline = d
		if _, err := time.Parse("15:04", m.Deadline); m.Deadline != "" && (err != nil || len(m.Deadline) != 5) {
			problems = append(problems, d.Problem(CodeSchema, fmt.Sprintf("the deadline %q is not a time of day", m.Deadline), `write it as "07:00"`))
			m.Deadline = ""
		}
	}
	return problems
}

// textList is a text or a list of texts.
type textList []string

// UnmarshalNode reads either.
func (l *textList) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind == yamlfile.Scalar {
		var s string
		problems := n.Decode(&s)
		*l = textList{s}
		return problems
	}
	return n.Decode((*[]string)(l))
}

// dataset adds what the documentation says to a dataset.
func (e entityDoc) dataset(d elt.Dataset) elt.Dataset {
	t := e.table()
	d.Description, d.Owners, d.Tags, d.DeadlineTime, d.Columns = t.Description, t.Owners, t.Tags, t.Deadline, t.Columns
	return d
}

// table returns the documentation by itself.
func (e entityDoc) table() TableDoc {
	t := TableDoc{
		Description: strings.TrimSpace(e.Description), Owners: slices.Concat(e.Meta.Owners, e.Config.Meta.Owners),
		Tags: merge(e.Tags, e.Config.Tags), Deadline: e.Meta.Deadline,
	}
	if t.Deadline == "" {
		t.Deadline = e.Config.Meta.Deadline
	}
	for _, c := range e.Columns {
		doc := elt.ColumnDoc{Name: c.Name, Type: c.DataType, Description: strings.TrimSpace(c.Description)}
		for _, d := range slices.Concat(c.Tests, c.DataTests) {
			doc.Tests = append(doc.Tests, d.kind)
		}
		t.Columns = append(t.Columns, doc)
	}
	return t
}

// applySchemas joins every schema.yml to what it describes.
func (r *reader) applySchemas() {
	described := map[elt.DatasetName]string{}
	// once reports whether the dataset is described here for the first time.
	once := func(s *schemaFile, d elt.DatasetName, path ...any) bool {
		line, _ := s.file.At(path...)
		if other, twice := described[d]; twice {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, fmt.Sprintf("%s is already described in %s", d, other), "keep one of the two", path...))
			return false
		}
		described[d] = fmt.Sprintf("%s:%d", s.file.Name(), line)
		return true
	}
	for _, s := range r.schemas {
		if s.Version != 2 && (s.Version != 0 || s.file.Root().Kind != yamlfile.Null) {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, "a schema file begins with version: 2", "write version: 2 on its first line", "version"))
		}
		for i, e := range s.Models {
			r.describeModel(s, e, i, once)
		}
		for i, e := range s.Seeds {
			r.describeSeed(s, e, i, once)
		}
		for i, source := range s.Sources {
			for j, e := range source.Tables {
				d := elt.DatasetName(source.Name + "." + e.Name)
				path := []any{"sources", i, "tables", j, "name"}
				if _, ok := r.project.tables[d]; !ok {
					r.problems = append(r.problems, s.file.Problem(CodeUnknownSource, fmt.Sprintf("no schedule extracts the table %q", string(d)), yamlfile.Suggest(string(d), r.project.known(true)), path...))
					continue
				}
				if !once(s, d, path...) {
					continue
				}
				doc := e.table()
				if len(doc.Owners) == 0 {
					doc.Owners = source.Meta.Owners
				}
				if doc.Deadline == "" {
					doc.Deadline = source.Meta.Deadline
				}
				doc.Tags = merge(doc.Tags, source.Tags)
				r.project.docs[d] = doc
				r.declaredTests(s, d, e, path[:len(path)-1])
			}
		}
	}
}

func (r *reader) describeModel(s *schemaFile, e entityDoc, i int, once func(*schemaFile, elt.DatasetName, ...any) bool) {
	name, path := elt.DatasetName(e.Name), []any{"models", i, "name"}
	m, ok := r.project.models[name]
	if _, off := r.disabled[name]; off {
		return
	}
	if !ok {
		do := yamlfile.Suggest(e.Name, r.project.known(false))
		if _, seed := r.project.seeds[name]; seed {
			do = "describe it under seeds:, it is a seed"
		} else if do == "" {
			do = "add " + root + "models/" + e.Name + ".sql, or remove it here"
		}
		r.problems = append(r.problems, s.file.Problem(CodeUnknownModel, fmt.Sprintf("there is no model %q to describe", e.Name), do, path...))
		return
	}
	if !once(s, name, path...) {
		return
	}
	m.doc = e
	if len(e.Config.ColumnTypes) > 0 {
		r.problems = append(r.problems, s.file.Problem(CodeSchema, "column_types is for seeds", "cast in the model's SELECT", "models", i, "config", "column_types"))
	}
	if m.config.materialized == elt.AsEphemeral && len(e.allTests()) > 0 {
		r.problems = append(r.problems, s.file.Problem(CodeTest, fmt.Sprintf("the ephemeral model %s has tests, and is never a relation", name), "materialize it as a view, or test a model that uses it", path...))
		return
	}
	r.declaredTests(s, name, e, path[:2])
}

func (r *reader) describeSeed(s *schemaFile, e entityDoc, i int, once func(*schemaFile, elt.DatasetName, ...any) bool) {
	name, path := elt.DatasetName(e.Name), []any{"seeds", i, "name"}
	seed, ok := r.project.seeds[name]
	if !ok {
		r.problems = append(r.problems, s.file.Problem(CodeUnknownModel, fmt.Sprintf("there is no seed %q to describe", e.Name), "add "+root+"seeds/"+e.Name+".csv, or remove it here", path...))
		return
	}
	if !once(s, name, path...) {
		return
	}
	seed.doc, seed.types = e, e.Config.ColumnTypes
	r.declaredTests(s, name, e, path[:2])
}

// allTests returns the declarations of an entity, its own and its columns'.
func (e entityDoc) allTests() []testDecl {
	out := slices.Concat(e.Tests, e.DataTests)
	for _, c := range e.Columns {
		out = append(out, slices.Concat(c.Tests, c.DataTests)...)
	}
	return out
}

// declaredTests reads the tests of an entity and its columns.
func (r *reader) declaredTests(s *schemaFile, d elt.DatasetName, e entityDoc, path []any) {
	columns := map[string]bool{}
	for i, c := range e.Columns {
		if c.Name == "" {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, "a column has no name", "write name:", slices.Concat(path, []any{"columns", i})...))
			continue
		}
		if key := strings.ToLower(c.Name); columns[key] {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, fmt.Sprintf("the column %s of %s is described twice", c.Name, d), "keep one of the two", slices.Concat(path, []any{"columns", i, "name"})...))
		} else {
			columns[key] = true
		}
		name := c.Name
		if c.Quote {
			name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		for _, decl := range slices.Concat(c.Tests, c.DataTests) {
			r.addTest(d, decl, name)
		}
	}
	for _, decl := range slices.Concat(e.Tests, e.DataTests) {
		r.addTest(d, decl, "")
	}
}
