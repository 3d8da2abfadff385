package dbt

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Code returns the SQL of a model as it was written, and with its references resolved to what is published where nothing
// else is templated; both are empty for what is no model in SQL.
func (p *Project) Code(d elt.DatasetName) (source, query string) {
	n := p.datasets[d]
	if n == nil || n.Resource != modelNode || n.Language == "python" {
		return "", ""
	}
	query = referred.ReplaceAllStringFunc(n.Raw, func(call string) string {
		names := quoted.FindAllStringSubmatch(call, -1)
		if relation := p.readAs(n, strings.Contains(call, "source("), names[0][1], names[len(names)-1][1]); relation != "" {
			return relation
		}
		return call
	})
	query = strings.TrimSpace(configured.ReplaceAllString(query, ""))
	if strings.Contains(query, "{{") || strings.Contains(query, "{%") || strings.Contains(query, "{#") {
		query = ""
	}
	return n.Raw, query
}

// readAs is the published relation that a node reads under a name of its source or package, which may be the name itself;
// "" where that is not one relation.
func (p *Project) readAs(n *node, source bool, of, name string) (relation string) {
	for _, id := range n.DependsOn.Nodes {
		in := p.nodes[id]
		if in == nil || in.Name != name || (in.Resource == sourceNode) != source || source && in.SourceName != of || !source && of != name && in.Package != of {
			continue
		}
		if relation != "" || !source && !in.builds() {
			return ""
		}
		relation = in.Schema + "." + cmp.Or(in.Identifier, in.Alias)
	}
	return relation
}

// What Code resolves: a reference, its names, and the settings that are no part of the SQL.
var (
	referred   = regexp.MustCompile(`\{\{-?\s*(?:ref|source)\(\s*(?:'[^'{}]+'|"[^"{}]+")\s*(?:,\s*(?:'[^'{}]+'|"[^"{}]+")\s*)?\)\s*-?\}\}`)
	quoted     = regexp.MustCompile(`['"]([^'"]+)['"]`)
	configured = regexp.MustCompile(`\{\{-?\s*config\([^{}]*\)\s*-?\}\}`)
)
