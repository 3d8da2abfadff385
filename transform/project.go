package transform

import (
	"io/fs"
	"maps"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform/jinja"
)

// Options say in what a project is read.
type Options struct {
	Vars   map[string]any              // what var() answers
	Target string                      // target.name; empty means "default"
	Schema string                      // where models and seeds are published; empty means "analytics"
	Env    func(string) (string, bool) // what env_var() answers; nil knows no variable
	Tables []elt.Dataset               // the extracted datasets that source() may name
	// Masked are the tables' columns whose values no sample of failing rows shows; Excluded those that are left behind
	// in production, so that nothing can be said of them.
	Masked, Excluded map[elt.DatasetName][]string
	// Columns are those of datasets of which they are known; of the others, no column is doubted.
	Columns map[elt.DatasetName][]string
}

// Project is everything in a workspace's sql folder, parsed, checked and in order.
type Project struct {
	options Options
	library *jinja.Library
	models  map[elt.DatasetName]*model
	seeds   map[elt.DatasetName]*seed
	tables  map[elt.DatasetName]elt.Dataset
	docs    map[elt.DatasetName]TableDoc
	tests   map[elt.DatasetName][]*test
	hidden  map[elt.DatasetName][]string // columns that no sample shows, by schema.yml
	order   []elt.DatasetName            // models, ephemeral ones too, seeds and tables; inputs first
	rank    map[elt.DatasetName]int
}

// model is one file of sql/models.
type model struct {
	name     elt.DatasetName
	file     string // relative to the workspace: "sql/models/marts/revenue.sql"
	source   string
	template *jinja.Template
	config   modelConfig
	refs     []elt.DatasetName                  // as the SQL names them, sorted: ephemeral models are among them
	at       map[elt.DatasetName]jinja.Position // where each is first named
	doc      entityDoc
}

// seed is one file of sql/seeds.
type seed struct {
	name  elt.DatasetName
	file  string // relative to the workspace
	path  string // relative to sql/
	types map[string]string
	doc   entityDoc
}

// TableDoc is what schema.yml says of an extracted table.
type TableDoc struct {
	Description string
	Owners      []string
	Tags        []string
	Deadline    string // "07:00"; empty for none
	Columns     []elt.ColumnDoc
	// Personal are the columns that are marked with meta: {pii: true}, meta: {masked: true} or the tag pii.
	Personal []string
}

// Parse reads the sql folder. With problems that are not warnings, the project must not be run.
func Parse(fsys fs.FS, o Options) (*Project, elt.Problems) {
	if o.Target == "" {
		o.Target = "default"
	}
	if o.Schema == "" {
		o.Schema = "analytics"
	}
	p := &Project{
		options: o, models: map[elt.DatasetName]*model{}, seeds: map[elt.DatasetName]*seed{},
		tables: map[elt.DatasetName]elt.Dataset{}, docs: map[elt.DatasetName]TableDoc{},
		tests: map[elt.DatasetName][]*test{}, rank: map[elt.DatasetName]int{}, hidden: map[elt.DatasetName][]string{},
	}
	for _, t := range o.Tables {
		p.tables[t.Name] = t
	}
	r := &reader{fsys: fsys, project: p, declared: map[elt.DatasetName]string{}, disabled: map[elt.DatasetName]string{},
		described: map[elt.DatasetName]*yamlfile.Node{}, blocks: map[string]string{}, headers: map[elt.DatasetName][]string{}}
	r.read()
	r.renderModels()
	p.sort()
	r.checkCycles()
	r.applySchemas()
	r.singularTests()
	r.checkTestOrder()
	yamlfile.Sort(r.problems)
	return p, slices.Compact(r.problems)
}

// Datasets returns the project's models and seeds as the catalogue keeps them, inputs first. Ephemeral
// models are not among them: they are part of the models that refer to them.
func (p *Project) Datasets() []elt.Dataset {
	var out []elt.Dataset
	for _, name := range p.order {
		if s, ok := p.seeds[name]; ok {
			out = append(out, s.doc.dataset(elt.Dataset{Name: name, Kind: elt.SeedDataset, Relation: p.relation(name), Materialized: string(elt.AsTable)}))
		}
		if m, ok := p.models[name]; ok && m.config.materialized != elt.AsEphemeral {
			d := m.doc.dataset(elt.Dataset{Name: name, Kind: elt.ModelDataset, Inputs: p.inputs(m), Relation: p.relation(name), Materialized: string(m.config.materialized)})
			d.Tags = merge(m.config.tags, d.Tags)
			out = append(out, d)
		}
	}
	return out
}

// TableDocs returns what schema.yml says of the extracted tables.
func (p *Project) TableDocs() map[elt.DatasetName]TableDoc {
	docs := maps.Clone(p.docs)
	for d, doc := range docs {
		doc.Personal = p.hidden[d]
		docs[d] = doc
	}
	return docs
}

// Tests returns the names of a dataset's tests, in the order in which they run; none means that it has no test step.
func (p *Project) Tests(d elt.DatasetName) []string {
	var names []string
	for _, t := range p.tests[d] {
		names = append(names, t.name)
	}
	return names
}

// TestNeeds returns the datasets beside d that d's tests read: they must be staged, where the run brings
// them, before d is tested.
func (p *Project) TestNeeds(d elt.DatasetName) []elt.DatasetName {
	var out []elt.DatasetName
	for _, t := range p.tests[d] {
		for _, in := range p.solid(t.reads) {
			if in != d && !slices.Contains(out, in) {
				out = append(out, in)
			}
		}
	}
	slices.Sort(out)
	return out
}

// inputs returns the datasets that a model is made from.
func (p *Project) inputs(m *model) []elt.DatasetName { return p.solid(m.refs) }

// solid replaces ephemeral models by what they are made from, and returns the names sorted.
func (p *Project) solid(names []elt.DatasetName) []elt.DatasetName {
	found := map[elt.DatasetName]bool{}
	var visit func([]elt.DatasetName)
	seen := map[elt.DatasetName]bool{}
	visit = func(names []elt.DatasetName) {
		for _, n := range names {
			if m, ok := p.models[n]; ok && m.config.materialized == elt.AsEphemeral {
				if !seen[n] {
					seen[n] = true
					visit(m.refs)
				}
				continue
			}
			found[n] = true
		}
	}
	visit(names)
	return slices.Sorted(maps.Keys(found))
}

// relation returns a dataset's published name.
func (p *Project) relation(d elt.DatasetName) string {
	if t, ok := p.tables[d]; ok {
		if t.Relation != "" {
			return t.Relation
		}
		return string(d)
	}
	return p.options.Schema + "." + string(d)
}

// sort puts every dataset after those that it is made from; what is in a cycle comes last.
func (p *Project) sort() {
	var all []elt.Dataset
	for _, t := range p.tables {
		all = append(all, elt.Dataset{Name: t.Name})
	}
	for name := range p.seeds {
		all = append(all, elt.Dataset{Name: name})
	}
	for name, m := range p.models {
		all = append(all, elt.Dataset{Name: name, Inputs: m.refs})
	}
	p.order = nil
	for i, d := range elt.InOrder(all) {
		p.order = append(p.order, d.Name)
		p.rank[d.Name] = i
	}
}

// known returns the names that ref() and source() may give, for suggestions.
func (p *Project) known(tables bool) []string {
	var out []string
	if tables {
		for name := range p.tables {
			out = append(out, string(name))
		}
		return out
	}
	for name := range p.models {
		out = append(out, string(name))
	}
	for name := range p.seeds {
		out = append(out, string(name))
	}
	return out
}

// merge returns the union of two lists, without repetitions and in order.
func merge(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
