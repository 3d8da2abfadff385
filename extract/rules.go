package extract

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// decision is what the rules say about a column.
type decision struct {
	out     bool   // it does not leave the source
	mask    string // MaskHash, MaskRedact or nothing
	decided bool   // a rule names it: not by an allow-list alone, which says nothing about what is personal
}

// decide applies the dataset's own rules, and the source's where those leave it open.
func decide(e elt.Extraction, column string) decision {
	own := func(names []string) bool { return slices.Contains(names, column) }
	d, found := rule(e.ColumnRules, own)
	if !found {
		d, _ = rule(e.Defaults, func(patterns []string) bool { return matches(patterns, e, column) })
	}
	switch {
	case e.Allow != nil:
		d.out = d.out || !own(e.Allow)
	case e.Defaults.Allow != nil:
		d.out = d.out || !matches(e.Defaults.Allow, e, column)
	}
	return d
}

func rule(r elt.ColumnRules, in func([]string) bool) (d decision, found bool) {
	switch {
	case in(r.Exclude):
		return decision{out: true, decided: true}, true
	case in(r.Redact):
		return decision{mask: MaskRedact, decided: true}, true
	case in(r.Hash):
		return decision{mask: MaskHash, decided: true}, true
	case in(r.Keep):
		return decision{decided: true}, true
	}
	return d, false
}

// matches reports whether one of a source's patterns is meant for the dataset's column: "email", "*email*",
// "users.email".
func matches(patterns []string, e elt.Extraction, column string) bool {
	_, table := e.Dataset.Split()
	return slices.ContainsFunc(patterns, func(p string) bool {
		name := column
		if strings.Contains(p, ".") {
			name = table + "." + column
		}
		ok, err := path.Match(strings.ToLower(p), strings.ToLower(name))
		return ok && err == nil // a pattern that is none was refused when it was read
	})
}

// isNamed reports whether the dataset's own rules name the column: then it is no surprise when it appears.
func isNamed(e elt.Extraction, column string) bool {
	_, typed := e.Types[column]
	return typed || column == e.Cursor || slices.Contains(slices.Concat(e.Allow, e.Hash, e.Redact, e.Keep, e.Key), column)
}

// personal says why a column is taken for personal data, or nothing.
func personal(e elt.Extraction, info TableInfo, column string) string {
	if slices.Contains(e.PII, column) || matches(e.Defaults.PII, e, column) {
		return "is marked as personal data"
	}
	if looksPersonal(info.Name, column) {
		return "has a name that looks like personal data"
	}
	return ""
}

// types applies the types that are declared, and returns the rules of the columns that have one.
func (c *checker) types(e elt.Extraction, columns elt.Schema) map[string]elt.TypeRule {
	rules := make(map[string]elt.TypeRule)
	for i := range columns {
		column := &columns[i]
		r, ok := e.Types[column.Name]
		if !ok {
			continue
		}
		if why, do := unfitRule(e, *column, r); why != "" {
			c.wrong("type_rule", fmt.Sprintf("types: {%s: %s}: %s", column.Name, r, why), do)
			continue
		}
		rules[column.Name] = r
		switch {
		case r.Policy == elt.AsText:
			column.Type = elt.Type{Kind: elt.String}
		case r.As != nil:
			column.Type = *r.As
		}
		if r.Policy == elt.AsNull {
			column.Nullable = true
		}
	}
	return rules
}

// unfitRule says why a type rule cannot be that of the column, and what to do.
func unfitRule(e elt.Extraction, c elt.Column, r elt.TypeRule) (why, do string) {
	inKey := slices.Contains(e.Key, c.Name)
	switch {
	case c.Masked != "":
		return "the column is masked (" + c.Masked + "), and every value can be masked", "remove the rule"
	case r.As != nil && !isNumeric(c):
		return fmt.Sprintf("the column is %s in the source, and no number", c.SourceType), "remove the type, or write string"
	case (inKey || c.Name == e.Cursor) && (r.Policy == elt.AsNull || r.Policy == elt.Clamp):
		return "rows are told apart, or windows read, by this column's value", "write string or quarantine"
	case r.Policy == elt.Clamp && r.As == nil && !hasNearest(c.Type.Kind):
		return fmt.Sprintf("for a column of type %s no value is nearest", c.Type), "write string, null or quarantine"
	}
	return "", ""
}

func hasNearest(k elt.Kind) bool {
	switch k {
	case elt.Int64, elt.Uint64, elt.Float64, elt.Decimal, elt.DateKind, elt.TimeKind, elt.Timestamp, elt.LocalTimestamp:
		return true
	}
	return false
}

// isNumeric reports whether the column holds exact numbers, also where they are so wide that they are text by default.
func isNumeric(c elt.Column) bool {
	switch c.Type.Kind {
	case elt.Int64, elt.Uint64, elt.Decimal:
		return true
	case elt.String:
		name := strings.ToLower(c.SourceType)
		return strings.HasPrefix(name, "numeric") || strings.HasPrefix(name, "decimal") || strings.HasPrefix(name, "money")
	}
	return false
}
