package transform

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// Selection names datasets as dbt's command line does: what Select means without what Exclude means.
//
// A selector is a name (stg_* too), tag:nightly, path:marts (a folder or a file below sql/models),
// config.materialized:table, source:shop or source:shop.users, resource_type:seed or *. A + before it means also
// everything that it is made from, 2+ only two steps back; a + after it everything that is made from it, +1 one
// step on; an @ before it what is made from it, with everything that this needs. Selectors joined by a comma mean
// what all of them mean; several selectors mean what any of them means. Ephemeral models count on the way and are
// left out. An empty Select means everything.
type Selection struct {
	Select  []string
	Exclude []string
}

// Empty reports whether the selection narrows nothing.
func (s Selection) Empty() bool { return len(s.Select) == 0 && len(s.Exclude) == 0 }

// Select returns the models and seeds that the selectors mean, inputs first; no selector means all.
func (p *Project) Select(selectors []string) ([]elt.DatasetName, error) {
	all, err := p.Pick(Selection{Select: selectors})
	return slices.DeleteFunc(all, func(d elt.DatasetName) bool { _, table := p.tables[d]; return table }), err
}

// Pick returns the datasets that a selection means, extracted tables among them, inputs first.
func (p *Project) Pick(s Selection) ([]elt.DatasetName, error) {
	if len(s.Select) == 0 {
		s.Select = []string{"*", "source:*"}
		if len(p.tables) == 0 {
			s.Select = s.Select[:1]
		}
	}
	chosen, err := p.union(s.Select)
	if err != nil {
		return nil, err
	}
	without, err := p.union(s.Exclude)
	if err != nil {
		return nil, err
	}
	var out []elt.DatasetName
	for _, d := range p.order {
		if m, ok := p.models[d]; chosen[d] && !without[d] && (!ok || m.config.materialized != elt.AsEphemeral) {
			out = append(out, d)
		}
	}
	return out, nil
}

// union returns what any of the selectors means. One text may hold several, parted by spaces.
func (p *Project) union(selectors []string) (map[elt.DatasetName]bool, error) {
	chosen := map[elt.DatasetName]bool{}
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
					continue
				}
				maps.DeleteFunc(all, func(d elt.DatasetName, _ bool) bool { return !found[d] })
			}
			maps.Copy(chosen, all)
		}
	}
	return chosen, nil
}

// selectorForm parts a selector into its graph operators and its core.
var selectorForm = regexp.MustCompile(`^(@)?(?:(\d*)(\+))?(.*?)(?:(\+)(\d*))?$`)

// everything is a number of steps that no graph has.
const everything = 1 << 30

func (p *Project) selectOne(selector string) (map[elt.DatasetName]bool, error) {
	part := selectorForm.FindStringSubmatch(selector)
	core := part[4]
	if why := p.refusedSelector(core); why != "" {
		return nil, &elt.Error{Code: CodeUnknownSelector, Class: elt.Config, What: fmt.Sprintf("the selector %q is not supported: %s", selector, why), Do: "select by " + selectorMethods}
	}
	found := map[elt.DatasetName]bool{}
	for _, d := range p.order {
		if p.matches(d, core) {
			found[d] = true
		}
	}
	if len(found) == 0 && core != "*" {
		do := yamlfile.Suggest(core, append(p.known(false), p.known(true)...))
		if strings.Contains(core, ":") || do == "" {
			do = "select by " + selectorMethods
		}
		return nil, &elt.Error{Code: CodeUnknownSelector, Class: elt.Config, What: fmt.Sprintf("the selector %q selects nothing", selector), Do: do}
	}
	switch {
	case part[1] != "":
		p.spread(found, p.fed(), everything)
		p.spread(found, p.inputsOf, everything)
	default:
		start := maps.Clone(found)
		if part[3] != "" {
			p.spread(found, p.inputsOf, steps(part[2]))
		}
		if part[5] != "" {
			p.spread(start, p.fed(), steps(part[6]))
			maps.Copy(found, start)
		}
	}
	return found, nil
}

// steps reads the number of a graph operator; none means all.
func steps(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n > everything {
		return everything
	}
	return n
}

// spread adds what can be reached from the datasets in at most that many steps.
func (p *Project) spread(found map[elt.DatasetName]bool, next func(elt.DatasetName) []elt.DatasetName, most int) {
	edge := slices.Collect(maps.Keys(found))
	for n := 0; n < most && len(edge) > 0; n++ {
		var further []elt.DatasetName
		for _, d := range edge {
			for _, other := range next(d) {
				if !found[other] {
					found[other] = true
					further = append(further, other)
				}
			}
		}
		edge = further
	}
}

// inputsOf returns what a dataset's SQL names.
func (p *Project) inputsOf(d elt.DatasetName) []elt.DatasetName {
	if m, ok := p.models[d]; ok {
		return m.refs
	}
	return nil
}

// fed returns a function that tells in whose SQL a dataset is named.
func (p *Project) fed() func(elt.DatasetName) []elt.DatasetName {
	feeds := map[elt.DatasetName][]elt.DatasetName{}
	for name, m := range p.models {
		for _, in := range m.refs {
			feeds[in] = append(feeds[in], name)
		}
	}
	return func(d elt.DatasetName) []elt.DatasetName { return feeds[d] }
}

const selectorMethods = "a name, tag:…, path:…, config.materialized:…, source:…, resource_type:… or *"

// refusedSelector says why a method of dbt's is not one here; "" for those that are.
func (p *Project) refusedSelector(core string) string {
	method, value, ok := strings.Cut(core, ":")
	if !ok {
		return ""
	}
	switch method {
	case "tag", "path", "file", "source", "config.materialized":
		return ""
	case "resource_type":
		if slices.Contains([]string{"model", "seed", "source"}, value) {
			return ""
		}
		return fmt.Sprintf("%q is not model, seed or source", value)
	case "state", "result", "source_status":
		return "Daybreak keeps no earlier state to compare files with; to build again what newer inputs left behind, use daybreak run --outdated"
	case "package", "fqn":
		return "there are no packages"
	case "test_name", "test_type":
		return "tests are selected by the dataset that they test"
	case "exposure", "metric", "semantic_model", "saved_query", "unit_test", "group", "access", "version":
		return "there is nothing of that kind here"
	}
	return fmt.Sprintf("there is no method %q", method)
}

// matches reports whether a selector without its graph operators means the dataset.
func (p *Project) matches(d elt.DatasetName, core string) bool {
	m, isModel := p.models[d]
	s, isSeed := p.seeds[d]
	method, value, ok := strings.Cut(core, ":")
	switch {
	case core == "*":
		return isModel || isSeed
	case !ok && strings.Contains(core, "/"):
		method, value = "path", core
	case !ok:
		return glob(core, string(d))
	}
	switch method {
	case "tag":
		return slices.Contains(p.tagsOf(d), value)
	case "path":
		return isModel && within(m.file, value) || isSeed && within(s.file, value)
	case "file":
		return isModel && path.Base(m.file) == value || isSeed && path.Base(s.file) == value
	case "config.materialized":
		return isModel && string(m.config.materialized) == value || isSeed && value == "seed"
	case "resource_type":
		return value == "model" && isModel || value == "seed" && isSeed || value == "source" && !isModel && !isSeed
	case "source":
		source, _ := d.Split()
		return !isModel && !isSeed && (glob(value, string(d)) || glob(value, source))
	}
	return false
}

func glob(pattern, name string) bool {
	matched, err := path.Match(pattern, name)
	return err == nil && matched
}

// tagsOf returns a dataset's tags, wherever they are written.
func (p *Project) tagsOf(d elt.DatasetName) []string {
	if m, ok := p.models[d]; ok {
		return merge(m.config.tags, m.doc.table().Tags)
	}
	if s, ok := p.seeds[d]; ok {
		return s.doc.table().Tags
	}
	return p.docs[d].Tags
}

// within reports whether a file lies in a folder below sql/models or sql/seeds, or is that file.
func within(file, folder string) bool {
	folder = path.Clean(strings.TrimPrefix(folder, "./"))
	for _, prefix := range []string{"", root, root + "models/", root + "seeds/"} {
		if at := prefix + folder; file == at || strings.HasPrefix(file, at+"/") {
			return true
		}
	}
	return false
}
