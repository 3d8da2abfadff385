package dbt

import (
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

// Datasets returns what the project builds as the catalogue keeps it, inputs first.
func (p *Project) Datasets() []elt.Dataset { return slices.Clone(p.entries) }

// entry is the node as the catalogue keeps it.
func (r *reader) entry(n *node) elt.Dataset {
	kind := elt.ModelDataset
	if n.Resource == seedNode {
		kind = elt.SeedDataset
	}
	return elt.Dataset{
		Name: n.dataset, Kind: kind, Description: strings.TrimSpace(n.Description), Owners: r.owners(n), Tags: n.Tags, Inputs: r.inputs(n),
		Columns: r.columns(n), Relation: n.relation(), Materialized: n.materialized(), DeadlineTime: r.deadline(n),
	}
}

// materialized is what is published of the node: a view of dbt's is published as a table, and is out of date like one
// when something newer comes of what it reads.
func (n *node) materialized() string {
	switch {
	case n.Resource == snapshotNode:
		return snapshotNode
	case n.keepsRows():
		return string(elt.AsIncremental)
	}
	return string(elt.AsTable)
}

// TableDocs returns what the project says of the extracted tables that are its sources.
func (p *Project) TableDocs() map[elt.DatasetName]transform.TableDoc { return maps.Clone(p.docs) }

// Layout returns how the published table of a dataset is arranged: on BigQuery as the model's config says.
func (p *Project) Layout(d elt.DatasetName) elt.Layout {
	if n := p.datasets[d]; n != nil {
		return n.Config.layout()
	}
	return elt.Layout{}
}

// Tests returns the names of a dataset's tests; none means that it has no test step.
func (p *Project) Tests(d elt.DatasetName) []string {
	var names []string
	for _, t := range p.tests[d] {
		names = append(names, t.title)
	}
	if f := p.freshness[d]; f != nil {
		names = append(names, f.Name())
	}
	return names
}

// TestNeeds returns the datasets beside d that d's tests read: they must be built, where the run brings them, before
// d is tested.
func (p *Project) TestNeeds(d elt.DatasetName) []elt.DatasetName {
	var out []elt.DatasetName
	for _, t := range p.tests[d] {
		for _, in := range p.inputs(t) {
			if in != d && !slices.Contains(out, in) {
				out = append(out, in)
			}
		}
	}
	slices.Sort(out)
	return out
}

// title is a test's name: as the native engine calls those that both know, dbt's own name for every other, and where
// two of a kind are on one column.
func (r *reader) title(t *node) string {
	if t.TestMeta == nil || t.TestMeta.Namespace != "" || t.ColumnName == "" {
		return t.Name
	}
	for _, other := range r.on[t.Attached] {
		if other != t && other.TestMeta != nil && other.TestMeta.Name == t.TestMeta.Name && other.ColumnName == t.ColumnName {
			return t.Name
		}
	}
	switch t.TestMeta.Name {
	case "unique", "not_null", "accepted_values":
		return t.TestMeta.Name + "(" + t.ColumnName + ")"
	case "relationships":
		to, _ := t.TestMeta.Kwargs["to"].(string)
		field, _ := t.TestMeta.Kwargs["field"].(string)
		if m := refTo.FindStringSubmatch(to); m != nil && field != "" {
			return fmt.Sprintf("relationships(%s → %s.%s)", t.ColumnName, m[1], field)
		}
	}
	return t.Name
}

var refTo = regexp.MustCompile(`^\{?\{?\s*(?:ref|source)\(\s*['"](?:[^'"]+['"]\s*,\s*['"])?([^'"]+)['"]\s*\)`)

// Select returns what the selectors mean of what the project builds, inputs first; no selector means all.
func (p *Project) Select(selectors []string) ([]elt.DatasetName, error) {
	if len(selectors) == 0 {
		return slices.Clone(p.order), nil
	}
	chosen, err := p.union(selectors)
	return slices.DeleteFunc(slices.Clone(p.order), func(d elt.DatasetName) bool { return !chosen[d] }), err
}

// Pick returns the datasets that a selection means, extracted tables that are sources among them, inputs first. A
// selector is a dataset's name, tag:…, path:…, source:… or *, with a + before it for what it is made from and after it
// for what is made from it; selectors joined by a comma mean what all of them mean.
func (p *Project) Pick(s transform.Selection) ([]elt.DatasetName, error) {
	var all []elt.DatasetName
	for _, d := range slices.Sorted(maps.Keys(p.datasets)) {
		if !p.datasets[d].builds() {
			all = append(all, d)
		}
	}
	all = append(all, p.order...)
	without, err := p.union(s.Exclude)
	if err != nil {
		return nil, err
	}
	chosen, err := p.union(s.Select)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(d elt.DatasetName) bool { return len(s.Select) > 0 && !chosen[d] || without[d] }), nil
}

// union returns what any of the selectors means. One text may hold several, parted by spaces.
func (p *Project) union(selectors []string) (map[elt.DatasetName]bool, error) {
	chosen := make(map[elt.DatasetName]bool)
	for _, s := range selectors {
		for word := range strings.FieldsSeq(s) {
			var all map[elt.DatasetName]bool
			for part := range strings.SplitSeq(word, ",") {
				found, err := p.selectOne(part)
				if err != nil {
					return nil, err
				}
				if all == nil {
					all = found
				}
				maps.DeleteFunc(all, func(d elt.DatasetName, _ bool) bool { return !found[d] })
			}
			maps.Copy(chosen, all)
		}
	}
	return chosen, nil
}

func (p *Project) selectOne(selector string) (map[elt.DatasetName]bool, error) {
	core, up := strings.CutPrefix(selector, "+")
	core, down := strings.CutSuffix(core, "+")
	found := make(map[elt.DatasetName]bool)
	for d, n := range p.datasets {
		if n.matches(core) || string(d) == core {
			found[d] = true
		}
	}
	if len(found) == 0 && core != "*" {
		return nil, &elt.Error{
			Code: transform.CodeUnknownSelector, Class: elt.Config, What: fmt.Sprintf("the selector %q selects nothing of the dbt project", selector),
			Do: yamlfile.Suggest(core, p.names()) + "; select by a name, tag:…, path:…, source:… or *, each with + before or after it",
		}
	}
	start := maps.Clone(found)
	if up {
		for _, d := range slices.Backward(p.order) {
			if found[d] {
				for _, in := range p.inputs(p.datasets[d]) {
					found[in] = true
				}
			}
		}
	}
	if down {
		for _, d := range p.order {
			if slices.ContainsFunc(p.inputs(p.datasets[d]), func(in elt.DatasetName) bool { return start[in] }) {
				start[d] = true
			}
		}
		maps.Copy(found, start)
	}
	return found, nil
}

// matches reports whether a selector without its plus signs, and that is no dataset's name, means the node.
func (n *node) matches(core string) bool {
	method, value, ok := strings.Cut(core, ":")
	switch {
	case core == "*":
		return n.builds()
	case !ok:
		return core == n.Name && n.builds()
	case method == "source":
		return n.Resource == sourceNode && (value == "*" || value == n.SourceName || value == n.SourceName+"."+n.Name)
	case method == "tag":
		return slices.Contains(n.Tags, value)
	case method == "path":
		at := path.Clean(value)
		return n.File == at || strings.HasPrefix(n.File, at+"/") || strings.Contains("/"+n.File, "/"+at+"/")
	}
	return false
}

func (p *Project) names() []string {
	names := make([]string, len(p.order))
	for i, d := range p.order {
		names[i] = string(d)
	}
	return names
}
