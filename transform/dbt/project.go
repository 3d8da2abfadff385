package dbt

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
	"github.com/daybreak-data/daybreak/transform"
)

// Project is a dbt project as its manifest tells it, with Daybreak's names.
type Project struct {
	folder    string           // as people write it: "analytics"
	nodes     map[string]*node // by dbt's unique ID
	datasets  map[elt.DatasetName]*node
	order     []elt.DatasetName // inputs first; what the project builds, and nothing else
	tests     map[elt.DatasetName][]*node
	units     map[elt.DatasetName][]*node // unit tests, which run before their model is built
	docs      map[elt.DatasetName]transform.TableDoc
	freshness map[elt.DatasetName]*transform.Freshness // of extracted tables
	entries   []elt.Dataset
	folders   map[string]bool              // selectors that mean a node and a folder
	schemas   []string                     // of what the project builds, as they are published
	masked    map[elt.DatasetName][]string // columns that extraction masks or leaves as they are by consent
	version   string                       // dbt's
	adapter   string
}

// The kinds of node that matter here, by dbt's names.
const (
	modelNode    = "model"
	seedNode     = "seed"
	snapshotNode = "snapshot"
	testNode     = "test"
	sourceNode   = "source"
	functionNode = "function"
)

// newProject gives the manifest's nodes Daybreak's names and finds what cannot be brought.
func newProject(m *manifest, o Options) (*Project, elt.Problems) {
	p := &Project{
		folder: o.Folder, nodes: make(map[string]*node), datasets: make(map[elt.DatasetName]*node),
		tests: make(map[elt.DatasetName][]*node), units: make(map[elt.DatasetName][]*node),
		freshness: make(map[elt.DatasetName]*transform.Freshness),
		masked:    o.Masked, docs: make(map[elt.DatasetName]transform.TableDoc), version: m.Metadata.Version, adapter: m.Metadata.AdapterType,
	}
	for _, part := range []map[string]*node{m.Nodes, m.Sources, m.UnitTests, m.Functions} {
		maps.Copy(p.nodes, part)
	}
	p.folders = folderNames(p.nodes)
	r := &reader{Project: p, manifest: m, options: o, tables: o.Tables, relations: make(map[string]string), read: make(map[string]bool), on: make(map[string][]*node)}
	for _, t := range o.Tables {
		r.relations[strings.ToLower(t.Relation)] = "an extracted table"
	}
	for _, id := range p.ids() {
		n := p.nodes[id]
		p.level(n, 0)
		r.apart(n)
		for _, in := range n.DependsOn.Nodes {
			r.read[in] = true
		}
		if n.Resource == testNode {
			r.on[n.Attached] = append(r.on[n.Attached], n)
		}
	}
	for _, id := range p.ids() {
		switch n := p.nodes[id]; {
		case n.builds():
			r.named(n)
		case n.Resource == sourceNode:
			r.source(n)
		}
	}
	for _, id := range p.ids() {
		switch n := p.nodes[id]; n.Resource {
		case testNode:
			r.test(n)
		case "unit_test":
			r.unitTest(n)
		}
	}
	r.ownMacros()
	p.sort()
	for _, d := range p.order {
		n := p.datasets[d]
		p.entries = append(p.entries, r.entry(n))
		if !slices.Contains(p.schemas, n.Schema) {
			p.schemas = append(p.schemas, n.Schema)
		}
	}
	yamlfile.Sort(r.problems)
	return p, r.problems
}

// builds reports whether a step of the night makes a relation of the node.
func (n *node) builds() bool {
	switch n.Resource {
	case modelNode:
		return n.Config.Materialized != "ephemeral"
	case seedNode, snapshotNode:
		return true
	}
	return false
}

// keepsRows reports whether building the node adds to the rows that it had.
func (n *node) keepsRows() bool {
	return n.Resource == snapshotNode || n.Resource == modelNode && n.Config.Materialized == string(elt.AsIncremental)
}

// label is how messages call a node: "model orders".
func (n *node) label() string { return strings.ReplaceAll(n.Resource, "_", " ") + " " + n.Name }

// relation is the published name.
func (n *node) relation() string { return n.Schema + "." + n.Alias }

// selector names the node, and nothing else, on dbt's command line.
func (n *node) selector() string { return "fqn:" + strings.Join(n.FQN, ".") }

func (p *Project) ids() []string { return slices.Sorted(maps.Keys(p.nodes)) }

// level fills the node's level. dbt has refused cycles; a manifest with one must not hang us.
func (p *Project) level(n *node, depth int) int {
	if n.level > 0 || depth > len(p.nodes) {
		return n.level
	}
	highest := 0
	for _, id := range n.DependsOn.Nodes {
		if in := p.nodes[id]; in != nil {
			highest = max(highest, p.level(in, depth+1))
		}
	}
	n.level = highest + 1
	return n.level
}

// parents returns the nodes with a relation that a node reads: ephemeral models are seen through, as dbt pastes
// them into what refers to them.
func (p *Project) parents(n *node) []*node {
	var out []*node
	seen := make(map[string]bool)
	var visit func(ids []string)
	visit = func(ids []string) {
		for _, id := range ids {
			in := p.nodes[id]
			if in == nil || seen[id] {
				continue
			}
			seen[id] = true
			if in.builds() || in.Resource == sourceNode {
				out = append(out, in)
			} else {
				visit(in.DependsOn.Nodes)
			}
		}
	}
	visit(n.DependsOn.Nodes)
	return out
}

// inputs returns the datasets among the parents, sorted.
func (p *Project) inputs(n *node) []elt.DatasetName {
	var out []elt.DatasetName
	for _, in := range p.parents(n) {
		if in.dataset != "" && !slices.Contains(out, in.dataset) {
			out = append(out, in.dataset)
		}
	}
	slices.Sort(out)
	return out
}

func (p *Project) sort() {
	var all []elt.Dataset
	for name, n := range p.datasets {
		if n.builds() {
			all = append(all, elt.Dataset{Name: name, Inputs: p.inputs(n)})
		}
	}
	for _, d := range elt.InOrder(all) {
		p.order = append(p.order, d.Name)
	}
}

// reader finds what a manifest means to Daybreak, and what is wrong with it.
type reader struct {
	*Project
	manifest  *manifest
	options   Options
	tables    []elt.Dataset
	relations map[string]string  // what is published under each name, in lower case
	read      map[string]bool    // the nodes that others read
	on        map[string][]*node // the tests that are declared on a node
	problems  elt.Problems
}

func (r *reader) problem(n *node, code elt.Code, what, do string) {
	r.problems = append(r.problems, elt.Problem{File: path.Join(r.folder, n.File), Line: r.line(n), Code: code, What: what, Do: do})
}

// named gives what the project builds its dataset.
func (r *reader) named(n *node) {
	name := n.Name
	if n.Version != nil {
		name = fmt.Sprintf("%s_v%v", n.Name, n.Version)
	}
	d, err := elt.ParseDatasetName(strings.ToLower(name))
	if err != nil || strings.Contains(name, ".") {
		r.problem(n, transform.CodeModelName, fmt.Sprintf("the %s cannot be a dataset: %q is not a name of letters, digits and _", n.label(), name), "rename it")
		return
	}
	if other := r.datasets[d]; other != nil {
		r.problem(n, transform.CodeDuplicateModel, fmt.Sprintf("the %s and the %s of %s would be the same dataset %s", n.label(), other.label(), other.File, d), "rename one of the two")
		return
	}
	relation := strings.ToLower(n.relation())
	if other := r.relations[relation]; other != "" {
		r.problem(n, transform.CodeRelationTaken, fmt.Sprintf("the %s would be published as %s, which is %s", n.label(), n.relation(), other), "give it another alias or schema")
		return
	}
	r.relations[relation] = "the " + n.label()
	if m := r.deadline(n); m != "" && !timeOfDay.MatchString(m) {
		r.problem(n, transform.CodeSchema, fmt.Sprintf("the deadline %q of the %s is not a time of day", m, n.label()), `write it under meta as "07:00"`)
	}
	n.dataset = d
	r.datasets[d] = n
}

var timeOfDay = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

// source finds the extracted dataset that a dbt source means.
func (r *reader) source(n *node) {
	wanted := cmp.Or(n.Meta.Dataset, n.Config.Meta.Dataset)
	if r.adapter == "bigquery" {
		wanted = cmp.Or(wanted, n.Meta.Schema, n.Config.Meta.Schema)
	}
	wanted = cmp.Or(wanted, n.SourceName+"."+n.Name)
	names := make([]string, 0, len(r.tables))
	for _, t := range r.tables {
		if string(t.Name) == strings.ToLower(wanted) {
			if r.adapter == "duckdb" && n.Database != databaseName {
				r.problem(n, CodeElsewhere, fmt.Sprintf("the source %s names the database %q, and Daybreak puts its tables into the one that dbt builds in", wanted, n.Database), "remove database: from it")
				return
			}
			n.dataset = t.Name
			r.datasets[t.Name] = n
			r.docs[t.Name] = transform.TableDoc{
				Description: strings.TrimSpace(n.Description), Owners: r.owners(n), Tags: n.Tags, Columns: r.columns(n), Deadline: r.deadline(n),
				Personal: n.personal(),
			}
			r.fresh(n)
			return
		}
		names = append(names, string(t.Name))
	}
	if r.adapter == "bigquery" && (n.Meta.External || n.Config.Meta.External) {
		return // dbt reads it as it is
	}
	external := n.Meta.ExternalLocation != nil || n.Config.Meta.ExternalLocation != nil || n.Meta.Plugin != nil || n.Config.Meta.Plugin != nil
	if external || !r.read[n.ID] {
		return
	}
	r.problem(n, transform.CodeUnknownSource, fmt.Sprintf("no schedule extracts the table %q, which is a source of the project", wanted),
		cmp.Or(yamlfile.Suggest(wanted, names), "extract it")+"; a source of another name says which dataset it is under meta: {dataset: …}"+r.elsewhere())
}

// elsewhere is what else a source may be.
func (r *reader) elsewhere() string {
	if r.adapter == "bigquery" {
		return ", and one that others bring into BigQuery under meta: {external: true}"
	}
	return ""
}

// test gives a test to the dataset after whose building it runs: the one that it is declared on, unless it also reads
// something that is built later.
func (r *reader) test(n *node) {
	var on *node
	for _, in := range r.parents(n) {
		if in.dataset != "" && (on == nil || in.level > on.level || in.level == on.level && in.ID == n.Attached) {
			on = in
		}
	}
	if on == nil {
		r.problems = append(r.problems, elt.Problem{
			File: path.Join(r.folder, n.File), Code: transform.CodeTest, Warning: true,
			What: fmt.Sprintf("the %s reads no dataset, and is not run", n.label()), Do: "have it read the model that it is about",
		})
		return
	}
	n.title = r.title(n)
	r.tests[on.dataset] = append(r.tests[on.dataset], n)
}

func (r *reader) unitTest(n *node) {
	for _, id := range n.DependsOn.Nodes {
		if m := r.nodes[id]; m != nil && m.builds() && m.dataset != "" {
			r.units[m.dataset] = append(r.units[m.dataset], n)
			return
		}
	}
}

func (r *reader) owners(n *node) []string {
	owners := slices.Concat(n.Meta.Owners, n.Config.Meta.Owners)
	if len(owners) == 0 && n.Group != "" {
		owners = append(owners, r.manifest.Groups["group."+n.Package+"."+n.Group].Owner.Email...)
	}
	slices.Sort(owners)
	return slices.Compact(owners)
}

func (r *reader) deadline(n *node) string { return cmp.Or(n.Meta.Deadline, n.Config.Meta.Deadline) }

func (r *reader) columns(n *node) []elt.ColumnDoc {
	var docs []elt.ColumnDoc
	for _, c := range n.Columns {
		docs = append(docs, elt.ColumnDoc{Name: c.Name, Type: c.DataType, Description: strings.TrimSpace(c.Description), Tests: r.testsOf(n, c.Name)})
	}
	return docs
}

// testsOf returns the kinds of the tests that are declared on a column.
func (r *reader) testsOf(n *node, column string) []string {
	var kinds []string
	for _, t := range r.on[n.ID] {
		if t.TestMeta != nil && strings.EqualFold(t.ColumnName, column) {
			kinds = append(kinds, t.TestMeta.Name)
		}
	}
	return kinds
}
