package transform

import (
	"fmt"
	"maps"
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

	// What describes, and builds nothing, may stand there.
	Exposures any `yaml:"exposures"`
	Macros    any `yaml:"macros"`
	Groups    any `yaml:"groups"`
	Analyses  any `yaml:"analyses"`

	UnitTests      any `yaml:"unit_tests"`
	Snapshots      any `yaml:"snapshots"`
	Metrics        any `yaml:"metrics"`
	SemanticModels any `yaml:"semantic_models"`
}

// sourceDoc describes a source and its tables. Where the tables lie is the schedules' to say.
type sourceDoc struct {
	Name          string         `yaml:"name"`
	Description   string         `yaml:"description"`
	Meta          metaDoc        `yaml:"meta"`
	Tags          textList       `yaml:"tags"`
	Config        configDoc      `yaml:"config"`
	LoadedAtField string         `yaml:"loaded_at_field"`
	Freshness     *freshnessDoc  `yaml:"freshness"`
	Tables        []entityDoc    `yaml:"tables"`
	Schema        string         `yaml:"schema"`
	Database      string         `yaml:"database"`
	Loader        string         `yaml:"loader"`
	Quoting       map[string]any `yaml:"quoting"`
}

// entityDoc describes a model, a seed or a table.
type entityDoc struct {
	Name          string        `yaml:"name"`
	Description   string        `yaml:"description"`
	Columns       []columnDoc   `yaml:"columns"`
	Tests         []testDecl    `yaml:"tests"`
	DataTests     []testDecl    `yaml:"data_tests"`
	Meta          metaDoc       `yaml:"meta"`
	Tags          textList      `yaml:"tags"`
	Config        configDoc     `yaml:"config"`
	LoadedAtField string        `yaml:"loaded_at_field"`
	Freshness     *freshnessDoc `yaml:"freshness"`
	Docs          any           `yaml:"docs"`
	Loader        string        `yaml:"loader"`
}

type columnDoc struct {
	Name        string     `yaml:"name"`
	Description string     `yaml:"description"`
	DataType    string     `yaml:"data_type"`
	Quote       bool       `yaml:"quote"`
	Tests       []testDecl `yaml:"tests"`
	DataTests   []testDecl `yaml:"data_tests"`
	Meta        columnMeta `yaml:"meta"`
	Tags        textList   `yaml:"tags"`
	Config      struct {
		Meta columnMeta `yaml:"meta"`
		Tags textList   `yaml:"tags"`
	} `yaml:"config"`
}

// columnMeta is a column's meta block: whether it holds what only the masked rows may show is read, everything else is
// the team's own.
type columnMeta struct{ hidden bool }

// UnmarshalNode reads pii and masked.
func (m *columnMeta) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind != yamlfile.Mapping {
		return elt.Problems{n.Problem(yamlfile.CodeWrongType, "meta is a mapping of keys and values", "write meta: {pii: true}")}
	}
	var problems elt.Problems
	for _, key := range []string{"pii", "masked"} {
		if v := n.Get(key); v != nil {
			var yes bool
			problems = append(problems, v.Decode(&yes)...)
			m.hidden = m.hidden || yes
		}
	}
	return problems
}

// hidden reports whether the column is marked as personal: by its meta block or by the tag pii.
func (c columnDoc) hidden() bool {
	return c.Meta.hidden || c.Config.Meta.hidden || slices.Contains(slices.Concat(c.Tags, c.Config.Tags), "pii")
}

// configDoc is a config block. What it says of a model goes through the same door as the model's own config().
type configDoc struct {
	Tags          textList
	Meta          metaDoc
	ColumnTypes   map[string]string
	LoadedAtField string
	Freshness     *freshnessDoc
	enabled       *bool
	other         []string // keys that are not for every kind
	node          *yamlfile.Node
}

// UnmarshalNode reads what is common, and notes the rest.
func (c *configDoc) UnmarshalNode(n *yamlfile.Node) elt.Problems {
	if n.Kind != yamlfile.Mapping {
		return elt.Problems{n.Problem(yamlfile.CodeWrongType, "config is a mapping of keys and values", "write config: {tags: [nightly]}")}
	}
	c.node = n
	into := map[string]any{"tags": &c.Tags, "meta": &c.Meta, "column_types": &c.ColumnTypes, "loaded_at_field": &c.LoadedAtField, "freshness": &c.Freshness, "enabled": &c.enabled}
	var problems elt.Problems
	for _, key := range n.Keys() {
		if target, ok := into[key]; ok {
			problems = append(problems, n.Get(key).Decode(target)...)
		} else {
			c.other = append(c.other, key)
		}
	}
	return problems
}

// seedKeys are the config keys of seeds that change nothing: a header's names are always taken as they are written.
var seedKeys = []string{"quote_columns", "docs", "full_refresh"}

// only refuses the config keys that the kind does not have.
func (c configDoc) only(kind string, known []string) elt.Problems {
	var problems elt.Problems
	for _, key := range c.other {
		if slices.Contains(known, key) {
			continue
		}
		do := foreignConfig[key]
		if do == "" {
			do = "remove it: a " + kind + " has no such config"
		}
		p := c.node.Problem(CodeConfig, fmt.Sprintf("unknown config %q", key), do)
		p.Line, p.Column = c.node.KeyAt(key)
		problems = append(problems, p)
	}
	return problems
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
		r.describe(s)
		r.unsupported(s)
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
				r.problems = append(r.problems, e.Config.only("table", nil)...)
				r.declaredTests(s, d, e, path[:len(path)-1])
				r.declaredFreshness(s, d, source, e, path[:len(path)-1])
			}
		}
	}
}

// unsupported refuses what a schema file asks for and nobody would do.
func (r *reader) unsupported(s *schemaFile) {
	for _, k := range []struct {
		key   string
		value any
		do    string
	}{
		{"unit_tests", s.UnitTests, "write a query that returns the bad rows in sql/tests, or use the dbt engine"},
		{"snapshots", s.Snapshots, "keep history with an incremental model: append the rows of each night with {{ data_date }}, or use the dbt engine"},
		{"metrics", s.Metrics, "write a model that computes them"},
		{"semantic_models", s.SemanticModels, "write a model that computes what they describe"},
	} {
		if k.value != nil {
			r.problems = append(r.problems, s.file.Problem(CodeUnsupported, k.key+" are not supported", k.do, k.key))
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
	if m.config.contract {
		r.checkContract(s, e, i)
	}
	if len(e.Config.ColumnTypes) > 0 {
		r.problems = append(r.problems, s.file.Problem(CodeSchema, "column_types is for seeds", "cast in the model's SELECT", "models", i, "config", "column_types"))
	}
	if m.config.materialized == elt.AsEphemeral && len(e.allTests()) > 0 {
		r.problems = append(r.problems, s.file.Problem(CodeTest, fmt.Sprintf("the ephemeral model %s has tests, and is never a relation", name), "materialize it as a view, or test a model that uses it", path...))
		return
	}
	r.declaredTests(s, name, e, path[:2])
}

// checkContract wants a type for each column of a model under a contract.
func (r *reader) checkContract(s *schemaFile, e entityDoc, i int) {
	if len(e.Columns) == 0 {
		r.problems = append(r.problems, s.file.Problem(CodeConfig, fmt.Sprintf("%s has a contract and declares no columns", e.Name), "list them under columns:, each with its data_type", "models", i, "name"))
	}
	for j, c := range e.Columns {
		if c.DataType == "" {
			r.problems = append(r.problems, s.file.Problem(CodeConfig, fmt.Sprintf("%s has a contract, and its column %s has no type", e.Name, c.Name), "add data_type: as the warehouse writes it", "models", i, "columns", j, "name"))
		}
	}
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
	r.problems = append(r.problems, e.Config.only("seed", seedKeys)...)
	for _, column := range slices.Sorted(maps.Keys(seed.types)) {
		if !r.hasColumn(name, column) {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, fmt.Sprintf("column_types names the column %s, which %s does not have", column, name), r.columnHint(name, column), "seeds", i, "config", "column_types", column))
		}
	}
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
		if !r.hasColumn(d, c.Name) {
			r.problems = append(r.problems, s.file.Problem(CodeSchema, fmt.Sprintf("%s has no column %s", d, c.Name), r.columnHint(d, c.Name), slices.Concat(path, []any{"columns", i, "name"})...))
			continue
		}
		if c.hidden() {
			r.project.hidden[d] = append(r.project.hidden[d], c.Name)
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
