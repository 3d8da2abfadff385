package elt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Policy says what becomes of a value that its column's type cannot hold exactly.
type Policy string

// The policies. Whatever is not Refuse is counted each time that it is used.
const (
	Refuse     Policy = ""           // the extraction fails and names the value
	AsText     Policy = "string"     // the column is text, and holds every value as its canonical text
	AsNull     Policy = "null"       // the value becomes NULL
	Clamp      Policy = "clamp"      // the value becomes the nearest one that can be held
	Quarantine Policy = "quarantine" // its row is set aside in the lake, and left out of the table
)

// TypeRule is what a schedule says about the type of one column.
type TypeRule struct {
	// As is the type that the column is to have; nil for what follows from its source.
	As     *Type  `json:"as,omitempty"`
	Policy Policy `json:"policy,omitempty"`
}

var decimalRule = regexp.MustCompile(`^decimal\((\d{1,2}),\s*(\d{1,2})\)$`)

// ParseTypeRule reads "string", "null", "clamp", "quarantine", "decimal(18,2)" or "decimal(18,2) or null".
func ParseTypeRule(text string) (TypeRule, error) {
	wrong := fmt.Errorf("%q says no type and no policy", text)
	first, rest, both := strings.Cut(text, " or ")
	var r TypeRule
	if m := decimalRule.FindStringSubmatch(strings.TrimSpace(first)); m != nil {
		precision, err := strconv.Atoi(m[1])
		if err != nil {
			return r, wrong
		}
		scale, err := strconv.Atoi(m[2])
		if err != nil || precision < 1 || precision > MaxPrecision || scale > precision {
			return r, fmt.Errorf("%q: a decimal has 1 to %d digits, its scale among them", text, MaxPrecision)
		}
		r.As = &Type{Kind: Decimal, Precision: precision, Scale: scale}
		if !both {
			return r, nil
		}
		first = rest
	} else if both {
		return r, wrong
	}
	switch p := Policy(strings.TrimSpace(first)); {
	case p == AsText && r.As != nil, p != AsText && p != AsNull && p != Clamp && p != Quarantine:
		return r, wrong
	default:
		r.Policy = p
	}
	return r, nil
}

// String returns the rule as ParseTypeRule reads it.
func (r TypeRule) String() string {
	switch {
	case r.As == nil:
		return string(r.Policy)
	case r.Policy == Refuse:
		return r.As.String()
	}
	return r.As.String() + " or " + string(r.Policy)
}

// MaxPrecision is the number of digits of the widest decimal that every part of the way can hold.
const MaxPrecision = 38

// PolicyUse counts how often a policy was used on a column of one extraction.
type PolicyUse struct {
	Column string `json:"column"`
	Policy Policy `json:"policy"`
	Values int64  `json:"values"` // rows for quarantine: the first column that cannot be held is named
}

// String says it in plain words: "3 values of amount became NULL".
func (u PolicyUse) String() string {
	values, are := fmt.Sprintf("%d values", u.Values), "were"
	if u.Values == 1 {
		values, are = "1 value", "was"
	}
	switch u.Policy {
	case AsText:
		return fmt.Sprintf("%s of %s %s kept as text", values, u.Column, are)
	case AsNull:
		return fmt.Sprintf("%s of %s became NULL", values, u.Column)
	case Clamp:
		return fmt.Sprintf("%s of %s became the nearest that can be held", values, u.Column)
	case Quarantine:
		rows := strings.Replace(values, "value", "row", 1)
		return fmt.Sprintf("%s %s quarantined because of %s", rows, are, u.Column)
	}
	return fmt.Sprintf("%s of %s: %s", values, u.Column, u.Policy)
}

// SumUses adds up the uses of several extractions, by column and policy in the order in which they first come.
func SumUses(manifests []*Manifest) []PolicyUse {
	var out []PolicyUse
	for _, m := range manifests {
		for _, u := range m.Fidelity {
			at := slices.IndexFunc(out, func(o PolicyUse) bool { return o.Column == u.Column && o.Policy == u.Policy })
			if at < 0 {
				out = append(out, u)
				continue
			}
			out[at].Values += u.Values
		}
	}
	return out
}

// QuarantinedRows are the rows of an extraction that were set aside: Parquet objects of their own, beside the parts.
type QuarantinedRows struct {
	Rows  int64  `json:"rows"`
	Parts []Part `json:"parts"`
}

// ColumnRules say of columns what may leave their source and how. Of a source they are defaults, and a name may be a
// pattern ("*email*") or be meant for one table ("users.email"); of a dataset they name its own columns.
type ColumnRules struct {
	// Allow, unless nil, lists every column that may leave the source.
	Allow   []string
	Exclude []string            // left out
	Hash    []string            // replaced by HMAC-SHA-256, in hexadecimal
	Redact  []string            // values that are not NULL become "***"
	Keep    []string            // decided: they go through as they are
	PII     []string            // personal data: a decision is wanted
	Types   map[string]TypeRule // of dataset columns only
}
