package transform

import (
	"regexp"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Code returns the SQL of a model as it was written, and with its references resolved to what is published where nothing
// else is templated; both are empty for what is no model.
func (p *Project) Code(d elt.DatasetName) (source, query string) {
	m, ok := p.models[d]
	if !ok {
		return "", ""
	}
	query = referred.ReplaceAllStringFunc(m.source, func(call string) string {
		names := quoted.FindAllStringSubmatch(call, -1)
		parts := make([]string, len(names)) // a source and its table, or a model
		for i, n := range names {
			parts[i] = n[1]
		}
		return p.relation(elt.DatasetName(strings.Join(parts, ".")))
	})
	query = strings.TrimSpace(configured.ReplaceAllString(query, ""))
	if strings.Contains(query, "{{") || strings.Contains(query, "{%") || strings.Contains(query, "{#") {
		query = ""
	}
	return m.source, query
}

// What Code resolves: a reference, its names, and the settings that are no part of the SQL.
var (
	referred   = regexp.MustCompile(`\{\{-?\s*(?:ref\(\s*'[^'{}]+'\s*\)|source\(\s*'[^'{}]+'\s*,\s*'[^'{}]+'\s*\))\s*-?\}\}`)
	quoted     = regexp.MustCompile(`'([^']+)'`)
	configured = regexp.MustCompile(`\{\{-?\s*config\([^{}]*\)\s*-?\}\}`)
)
