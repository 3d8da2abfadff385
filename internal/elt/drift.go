package elt

import (
	"fmt"
	"strings"
)

// DriftRules say what becomes of a dataset whose columns changed at the source. An empty field is its default, the
// first that is named.
type DriftRules struct {
	NewColumn     string `json:"on_new_column,omitempty" yaml:"on_new_column"`         // add, ignore, fail
	TypeChange    string `json:"on_type_change,omitempty" yaml:"on_type_change"`       // fail, string, replace (full tables)
	DroppedColumn string `json:"on_dropped_column,omitempty" yaml:"on_dropped_column"` // fail, keep, drop
	Widened       string `json:"on_widened_type,omitempty" yaml:"on_widened_type"`     // automatic, fail
}

// What DriftRules can say.
const (
	DriftAdd       = "add"       // the new column becomes part of the table
	DriftIgnore    = "ignore"    // the new column stays at the source
	DriftFail      = "fail"      // the dataset is held back until a person has decided
	DriftText      = "string"    // the column becomes text
	DriftReplace   = "replace"   // the column has its new type
	DriftKeep      = "keep"      // the column stays, NULL from now on
	DriftDrop      = "drop"      // the column goes, with all that it held
	DriftAutomatic = "automatic" // the column becomes as wide as both need it
)

// DriftChoices are the choices of each rule by its key, the default first.
var DriftChoices = map[string][]string{
	"on_new_column":     {DriftAdd, DriftIgnore, DriftFail},
	"on_type_change":    {DriftFail, DriftText, DriftReplace},
	"on_dropped_column": {DriftFail, DriftKeep, DriftDrop},
	"on_widened_type":   {DriftAutomatic, DriftFail},
}

// DriftRule is one of the rules, by its key in the configuration.
type DriftRule struct{ Key, Choice string }

// Each returns the rules in order.
func (r DriftRules) Each() []DriftRule {
	return []DriftRule{{"on_new_column", r.NewColumn}, {"on_type_change", r.TypeChange}, {"on_dropped_column", r.DroppedColumn}, {"on_widened_type", r.Widened}}
}

// Or returns the rules with what they leave open taken from others.
func (r DriftRules) Or(other DriftRules) DriftRules {
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	return DriftRules{or(r.NewColumn, other.NewColumn), or(r.TypeChange, other.TypeChange), or(r.DroppedColumn, other.DroppedColumn), or(r.Widened, other.Widened)}
}

// Decided returns the rules with every default filled in.
func (r DriftRules) Decided() DriftRules {
	return r.Or(DriftRules{DriftAdd, DriftFail, DriftFail, DriftAutomatic})
}

// ChangeKind is a way in which a dataset's columns differ from those of its published version.
type ChangeKind string

// The kinds of change.
const (
	ColumnAdded   ChangeKind = "added"
	ColumnIgnored ChangeKind = "ignored"  // new at the source, and left there
	ColumnKept    ChangeKind = "kept"     // gone at the source: NULL from now on
	ColumnHidden  ChangeKind = "hidden"   // not read any more, by the configuration: NULL from now on
	ColumnLeftOut ChangeKind = "left_out" // full tables: not read any more, by the configuration
	ColumnDropped ChangeKind = "dropped"
	TypeWidened   ChangeKind = "widened"
	TypeNarrowed  ChangeKind = "narrowed" // the source's type became narrower: the column stays as wide as it was
	TypeToText    ChangeKind = "text"
	TypeReplaced  ChangeKind = "replaced" // full tables and models only, by a rule of the configuration
)

// SchemaChange is one change of a dataset's columns that a rule has let pass.
type SchemaChange struct {
	Column string     `json:"column"`
	Kind   ChangeKind `json:"kind"`
	From   string     `json:"from,omitempty"` // types as they are shown
	To     string     `json:"to,omitempty"`
	// Model is true where the columns are those of a model's SELECT, and not of a source.
	Model bool `json:"model,omitempty"`
}

// String says it in plain words: "column vat (decimal(12,2)) is new and was added".
func (c SchemaChange) String() string {
	if c.Model {
		return c.ofModel()
	}
	switch c.Kind {
	case ColumnAdded:
		return fmt.Sprintf("column %s (%s) is new and was added", c.Column, c.To)
	case ColumnIgnored:
		return fmt.Sprintf("column %s (%s) is new and was left at the source", c.Column, c.To)
	case ColumnKept:
		return fmt.Sprintf("column %s is gone from the source and is NULL from now on", c.Column)
	case ColumnHidden:
		return fmt.Sprintf("column %s is not read any more and is NULL from now on", c.Column)
	case ColumnLeftOut:
		return fmt.Sprintf("column %s is not read any more", c.Column)
	case ColumnDropped:
		return fmt.Sprintf("column %s is gone from the source and was dropped", c.Column)
	case TypeWidened:
		return fmt.Sprintf("column %s was widened from %s to %s", c.Column, c.From, c.To)
	case TypeNarrowed:
		return fmt.Sprintf("column %s became %s at the source and stays %s", c.Column, c.To, c.From)
	case TypeToText:
		return fmt.Sprintf("column %s was %s and is text from now on", c.Column, c.From)
	case TypeReplaced:
		return fmt.Sprintf("column %s was %s and is %s now", c.Column, c.From, c.To)
	}
	return fmt.Sprintf("column %s: %s", c.Column, c.Kind)
}

// ofModel is String of what a model's SELECT has changed.
func (c SchemaChange) ofModel() string {
	switch c.Kind {
	case ColumnIgnored:
		return fmt.Sprintf("column %s (%s) is new in the SELECT and was left out", c.Column, c.To)
	case ColumnKept:
		return fmt.Sprintf("column %s is gone from the SELECT and is NULL in new rows", c.Column)
	case ColumnDropped:
		return fmt.Sprintf("column %s (%s) is gone from the SELECT and was dropped", c.Column, c.From)
	}
	c.Model = false
	return c.String()
}

// ChangesText joins changes into one text.
func ChangesText(changes []SchemaChange) string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.String()
	}
	return strings.Join(out, "; ")
}

// DatasetChanges are the changes of a dataset's columns that came with one day.
type DatasetChanges struct {
	Seq     int64          `json:"seq"` // of the ledger's event
	Date    Date           `json:"date"`
	Run     RunID          `json:"run"`
	Changes []SchemaChange `json:"changes"`
}

// Join returns the type that holds every value of both exactly, if one does without becoming text of a number: integers
// and decimals that are wide enough, and text for what is text anyway.
func (t Type) Join(u Type) (Type, bool) {
	if t.Equal(u) {
		return t, true
	}
	if isNumber(t.Kind) && isNumber(u.Kind) {
		a, b := t.asDecimal(), u.asDecimal()
		scale := max(a.Scale, b.Scale)
		precision := max(a.Precision-a.Scale, b.Precision-b.Scale) + scale
		return Type{Kind: Decimal, Precision: precision, Scale: scale}, precision <= MaxPrecision
	}
	text := func(k Kind) bool { return k == String || k == UUID || k == JSON }
	if text(t.Kind) && text(u.Kind) {
		return Type{Kind: String}, true
	}
	return t, false
}

func isNumber(k Kind) bool { return k == Int64 || k == Uint64 || k == Decimal }

// asDecimal returns the decimal that holds every value of a number's type.
func (t Type) asDecimal() Type {
	switch t.Kind {
	case Int64:
		return Type{Kind: Decimal, Precision: 19}
	case Uint64:
		return Type{Kind: Decimal, Precision: 20}
	}
	return t
}

// Evolution is how the columns of a published table become those of the rows that are to join it.
type Evolution struct {
	Added   Schema   // columns of the rows that the table has not
	Retyped Schema   // columns of the table, as the rows have them
	Dropped []string // columns of the table that the rows have not
}

// IsZero reports whether the table can stay as it is.
func (e Evolution) IsZero() bool { return len(e.Added)+len(e.Retyped)+len(e.Dropped) == 0 }

// OnlyAdds reports whether the table needs nothing but further columns.
func (e Evolution) OnlyAdds() bool { return len(e.Added) > 0 && len(e.Retyped)+len(e.Dropped) == 0 }

// Evolve compares a published table with rows that are to join it; their order does not matter. unexplained are the
// differences that none of the changes accounts for. fits reports whether a column of the table holds those of the rows
// as it is.
func Evolve(table, rows Schema, changes []SchemaChange, fits func(table, rows Column) bool) (e Evolution, unexplained []string) {
	may := make(map[string]ChangeKind, len(changes))
	for _, c := range changes {
		may[c.Column] = c.Kind
	}
	for _, was := range table {
		is, there := rows.Column(was.Name)
		switch kind := may[was.Name]; {
		case !there && kind == ColumnDropped:
			e.Dropped = append(e.Dropped, was.Name)
		case !there:
			unexplained = append(unexplained, fmt.Sprintf("column %q is gone", was.Name))
		case fits(was, is):
		case kind == TypeWidened || kind == TypeToText || kind == TypeReplaced || kind == ColumnAdded: // added: kept without values, and back
			e.Retyped = append(e.Retyped, is)
		default:
			unexplained = append(unexplained, fmt.Sprintf("column %q was %s and is %s", was.Name, was.Type, is.Type))
		}
	}
	for _, is := range rows {
		if _, there := table.Column(is.Name); there {
			continue
		}
		if may[is.Name] != ColumnAdded {
			unexplained = append(unexplained, fmt.Sprintf("column %q is new", is.Name))
			continue
		}
		e.Added = append(e.Added, is)
	}
	return e, unexplained
}
