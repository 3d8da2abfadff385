package transform

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// Select returns the models and seeds that the selectors mean, inputs first; no selector means all.
//
// A selector is a dataset's name, tag:nightly, path:marts (a folder or a file below sql/models) or *, each
// with a + before it for everything that it is made from, and a + after it for everything that is made from it.
// Selectors joined by a comma mean what all of them mean. Ephemeral models count on the way and are left out.
func (p *Project) Select(selectors []string) ([]elt.DatasetName, error) {
	if len(selectors) == 0 {
		selectors = []string{"*"}
	}
	chosen := map[elt.DatasetName]bool{}
	for _, s := range selectors {
		var all map[elt.DatasetName]bool
		for part := range strings.SplitSeq(s, ",") {
			found, err := p.selectOne(strings.TrimSpace(part))
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
	var out []elt.DatasetName
	for _, d := range p.order {
		m, isModel := p.models[d]
		_, isSeed := p.seeds[d]
		if chosen[d] && (isSeed || isModel && m.config.materialized != elt.AsEphemeral) {
			out = append(out, d)
		}
	}
	return out, nil
}

func (p *Project) selectOne(selector string) (map[elt.DatasetName]bool, error) {
	core, up := strings.CutPrefix(selector, "+")
	core, down := strings.CutSuffix(core, "+")
	found := map[elt.DatasetName]bool{}
	for _, d := range p.order {
		if p.matches(d, core) {
			found[d] = true
		}
	}
	if len(found) == 0 && core != "*" {
		do := yamlfile.Suggest(core, append(p.known(false), p.known(true)...))
		if strings.Contains(core, ":") {
			do = "select by a name, tag:…, path:… or *"
		}
		return nil, &elt.Error{Code: CodeUnknownSelector, Class: elt.Config, What: fmt.Sprintf("the selector %q selects nothing", selector), Do: do}
	}
	start := slices.Collect(maps.Keys(found))
	if up {
		for _, d := range start {
			for _, u := range p.upstream(d) {
				found[u] = true
			}
		}
	}
	if down {
		reached := map[elt.DatasetName]bool{}
		for _, d := range start {
			reached[d] = true
		}
		for _, d := range p.order { // inputs come first, so one pass reaches everything
			if m, ok := p.models[d]; ok && slices.ContainsFunc(m.refs, func(in elt.DatasetName) bool { return reached[in] }) {
				reached[d], found[d] = true, true
			}
		}
	}
	return found, nil
}

// matches reports whether a selector without its plus signs means the dataset.
func (p *Project) matches(d elt.DatasetName, core string) bool {
	m, isModel := p.models[d]
	s, isSeed := p.seeds[d]
	method, value, ok := strings.Cut(core, ":")
	switch {
	case core == "*":
		return isModel || isSeed
	case !ok:
		return core == string(d)
	case method == "tag" && isModel:
		return slices.Contains(merge(m.config.tags, m.doc.table().Tags), value)
	case method == "tag" && isSeed:
		return slices.Contains(s.doc.table().Tags, value)
	case method == "tag":
		return slices.Contains(p.docs[d].Tags, value)
	case method == "path" && isModel:
		return within(m.file, value)
	case method == "path" && isSeed:
		return within(s.file, value)
	}
	return false
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
