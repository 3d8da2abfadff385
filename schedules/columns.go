package schedules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// SourceDefaults are what a source says for every dataset that is brought from it.
type SourceDefaults struct {
	elt.ColumnRules
	elt.DriftRules
}

type columnsYAML struct {
	Allow   []string          `yaml:"allow"`
	Exclude []string          `yaml:"exclude"`
	Hash    []string          `yaml:"hash"`
	Redact  []string          `yaml:"redact"`
	Keep    []string          `yaml:"keep"`
	PII     []string          `yaml:"pii"`
	Types   map[string]string `yaml:"types"`
}

// columns reads the rules for columns, and checks them against each other and against key and cursor.
func (r *reading) columns(t *Table, c columnsYAML) {
	key := string(t.Dataset)
	t.ColumnRules = elt.ColumnRules{Exclude: c.Exclude, Hash: c.Hash, Redact: c.Redact, Keep: c.Keep, PII: c.PII, Types: r.types(t, c.Types)}
	if r.given("tables", key, "columns", "allow") {
		t.Allow = append([]string{}, c.Allow...)
	}
	rules := map[string]string{}
	for _, rule := range []struct {
		name    string
		columns []string
	}{{"exclude", t.Exclude}, {"hash", t.Hash}, {"redact", t.Redact}, {"keep", t.Keep}} {
		for i, c := range rule.columns {
			r.columnRule(*t, rules, rule.name, c, "tables", key, "columns", rule.name, i)
			rules[c] = rule.name
		}
	}
	if len(t.Hash) > 0 && !r.MaskKey {
		r.problem(codeMaskKeyMissing, fmt.Sprintf("columns of %s are to be hashed, and daybreak.yaml gives no key for it", key),
			"add masking: {key: ${env:DAYBREAK_MASK_KEY}} to daybreak.yaml", "tables", key, "columns", "hash")
	}
	for i, c := range t.Key {
		if c == "" || slices.Contains(t.Key[:i], c) {
			r.problem(codeColumnRules, fmt.Sprintf("the key column %q is empty or named twice", c), "name each column of the primary key once", "tables", key, "key", i)
		}
	}
}

// columnRule checks one column of one rule; rules are the columns that others have named.
func (r *reading) columnRule(t Table, rules map[string]string, rule, c string, at ...any) {
	before, twice := rules[c]
	switch {
	case c == "":
		r.problem(codeColumnRules, "a column's name is empty", "write it or remove its line", at...)
	case twice:
		r.problem(codeColumnRules, fmt.Sprintf("the column %q is already named under %s", c, before), "keep one of the two", at...)
	case rule != "exclude" && t.Allow != nil && !slices.Contains(t.Allow, c):
		r.problem(codeColumnRules, fmt.Sprintf("the column %q is under %s, and not on the list of allowed columns: it would never leave the source", c, rule), "add it under allow, or remove it here", at...)
	case rule == "keep":
	case c == t.Deletes.Column:
		r.problem(codeColumnRules, fmt.Sprintf("the soft-delete column %q cannot be under %s: deleted rows are told by its value", c, rule), "remove it from the list", at...)
	case c == t.Cursor:
		r.problem(codeColumnRules, fmt.Sprintf("the cursor column %q cannot be under %s: the window is read by its value", c, rule), "remove it from the list", at...)
	case rule != "hash" && slices.Contains(t.Key, c):
		r.problem(codeColumnRules, fmt.Sprintf("the key column %q cannot be under %s: rows are told apart by its value", c, rule), "remove it from the list; hash keeps rows apart", at...)
	}
}

// types reads what is declared for the types of columns.
func (r *reading) types(t *Table, written map[string]string) map[string]elt.TypeRule {
	var out map[string]elt.TypeRule
	for _, column := range slices.Sorted(maps.Keys(written)) {
		at := []any{"tables", string(t.Dataset), "columns", "types", column}
		text := written[column]
		if n := r.file.Root().Get("tables").Get(string(t.Dataset)).Get("columns").Get("types").Get(column); n.Kind == yamlfile.Null {
			text = string(elt.AsNull) // YAML's own null says the same
		}
		rule, err := elt.ParseTypeRule(text)
		switch {
		case err != nil:
			r.problem(codeTypeRule, err.Error(), `write string, null, clamp or quarantine; or "decimal(18,2)", or "decimal(18,2) or null"`, at...)
			continue
		case slices.Contains(t.Hash, column) || slices.Contains(t.Redact, column) || slices.Contains(t.Exclude, column):
			r.problem(codeTypeRule, fmt.Sprintf("the column %q does not leave the source as it is, and needs no type", column), "remove it here", at...)
			continue
		}
		if out == nil {
			out = make(map[string]elt.TypeRule)
		}
		out[column] = rule
	}
	return out
}

// drift checks what is to happen when columns change, and takes what is left open from the source.
func (r *reading) drift(t *Table) {
	key := string(t.Dataset)
	for _, rule := range t.Drift.Each() {
		switch choices := elt.DriftChoices[rule.Key]; {
		case rule.Choice == "":
		case !slices.Contains(choices, rule.Choice):
			r.problem(codeDriftRule, fmt.Sprintf("%s cannot be %q", rule.Key, rule.Choice), "write "+strings.Join(choices, " or "), "tables", key, rule.Key)
		case rule.Choice == elt.DriftReplace && t.Mode == elt.Incremental:
			r.problem(codeDriftRule, fmt.Sprintf("%s: replace is for tables that are read whole: older rows of %s keep their type", rule.Key, key),
				"write string, or fail", "tables", key, rule.Key)
		}
	}
	t.Drift = t.Drift.Or(r.Defaults[t.Source].DriftRules)
	if t.Mode == elt.Incremental && t.Drift.TypeChange == elt.DriftReplace { // the source's default, meant for its full tables
		t.Drift.TypeChange = elt.DriftFail
	}
}
