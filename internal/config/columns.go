package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The codes of problems in a source's rules for columns.
const (
	CodeColumnRules elt.Code = "column_rules"
	CodeDriftRule   elt.Code = "drift_rule"
)

// Columns are a source's rules for columns.
type Columns struct {
	Allow   []string `yaml:"allow"`
	Exclude []string `yaml:"exclude"`
	Hash    []string `yaml:"hash"`
	Redact  []string `yaml:"redact"`
	Keep    []string `yaml:"keep"`
	PII     []string `yaml:"pii"`
}

// Rules returns the rules in the vocabulary; what is not given is not allowed nor forbidden.
func (c Columns) Rules() elt.ColumnRules {
	return elt.ColumnRules{Allow: c.Allow, Exclude: c.Exclude, Hash: c.Hash, Redact: c.Redact, Keep: c.Keep, PII: c.PII}
}

// Drift returns what the source says about columns that change.
func (s Source) Drift() elt.DriftRules {
	return elt.DriftRules{NewColumn: s.NewColumn, TypeChange: s.TypeChange, DroppedColumn: s.DroppedColumn, Widened: s.OnWidenedType}
}

// columns checks a source's rules for the columns of its tables.
func (c *checker) columns(name elt.SourceName, s Source) {
	at := func(more ...any) []any { return append([]any{"sources", string(name)}, more...) }
	for _, rule := range []struct {
		key      string
		patterns []string
	}{
		{"allow", s.Columns.Allow}, {"exclude", s.Columns.Exclude}, {"hash", s.Columns.Hash},
		{"redact", s.Columns.Redact}, {"keep", s.Columns.Keep}, {"pii", s.Columns.PII},
	} {
		for i, p := range rule.patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" || strings.Count(p, ".") > 1 {
				c.problem(CodeColumnRules, fmt.Sprintf("%q names no columns", p),
					`write a column (email), a pattern ("*email*") or a table's column (users.email)`, at("columns", rule.key, i)...)
			}
		}
	}
	if len(s.Columns.Hash) > 0 && c.config.Masking.Key == "" && !c.has("masking", "key") {
		c.problem("mask_key_missing", fmt.Sprintf("columns of %s are to be hashed, and there is no key for it", name),
			"add masking: {key: ${env:DAYBREAK_MASK_KEY}}", at("columns", "hash")...)
	}
	for _, rule := range s.Drift().Each() {
		if choices := elt.DriftChoices[rule.Key]; rule.Choice != "" && !slices.Contains(choices, rule.Choice) {
			c.problem(CodeDriftRule, fmt.Sprintf("%s cannot be %q", rule.Key, rule.Choice), "write "+strings.Join(choices, " or "), at(rule.Key)...)
		}
	}
}
