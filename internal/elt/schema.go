package elt

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is a logical column type: what a value means, whatever a source, Parquet or a warehouse calls it.
type Kind string

// The logical types.
const (
	Bool           Kind = "bool"
	Int64          Kind = "int64"           // every signed integer up to 64 bits
	Uint64         Kind = "uint64"          // MySQL's BIGINT UNSIGNED
	Float64        Kind = "float64"         // real and double precision
	Decimal        Kind = "decimal"         // exact; Precision 1..38, Scale 0..Precision
	String         Kind = "string"          // UTF-8
	Bytes          Kind = "bytes"           // any octets
	DateKind       Kind = "date"            // days, no zone
	TimeKind       Kind = "time"            // time of day in microseconds, no zone
	Timestamp      Kind = "timestamp"       // an instant, microseconds since the epoch, UTC
	LocalTimestamp Kind = "local_timestamp" // a wall-clock reading without zone, microseconds
	JSON           Kind = "json"            // text, its numbers as written
	UUID           Kind = "uuid"            // canonical lower-case text
	List           Kind = "list"            // one dimension; Elem tells of what
)

// Type is a logical type with its parameters.
type Type struct {
	Kind      Kind  `json:"kind"`
	Precision int   `json:"precision,omitempty"` // Decimal only
	Scale     int   `json:"scale,omitempty"`     // Decimal only
	Elem      *Type `json:"elem,omitempty"`      // List only
}

// String returns the type as it is shown to people: "decimal(12,2)", "list<string>".
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case List:
		if t.Elem == nil {
			return "list"
		}
		return "list<" + t.Elem.String() + ">"
	}
	return string(t.Kind)
}

// Equal reports whether t and u are the same type.
func (t Type) Equal(u Type) bool { return t.String() == u.String() }

// Column is one column of a dataset as it lands in the lake.
type Column struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Nullable bool   `json:"nullable"`
	// SourceType is what the source calls the type: "numeric(12,2)".
	SourceType string `json:"source_type,omitempty"`
	// Masked names the rule that replaced the values ("hash", "redact"); empty when they are as in the source.
	Masked string `json:"masked,omitempty"`
	// Absent is true for a column that is not read, and is kept because older rows have it: every value is NULL.
	Absent bool `json:"absent,omitempty"`
}

// Schema is the ordered list of a dataset's columns.
type Schema []Column

// Column returns the column of that name.
func (s Schema) Column(name string) (Column, bool) {
	for _, c := range s {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Names returns the column names in order.
func (s Schema) Names() []string {
	names := make([]string, len(s))
	for i, c := range s {
		names[i] = c.Name
	}
	return names
}

// Diff describes how t differs from s, a sentence for each difference, none when they are equal.
func (s Schema) Diff(t Schema) []string {
	var out []string
	for _, c := range s {
		d, ok := t.Column(c.Name)
		switch {
		case !ok:
			out = append(out, "column "+strconv.Quote(c.Name)+" is gone")
		case !c.Type.Equal(d.Type):
			out = append(out, fmt.Sprintf("column %q was %s and is %s", c.Name, c.Type, d.Type))
		}
	}
	for _, d := range t {
		if _, ok := s.Column(d.Name); !ok {
			out = append(out, "column "+strconv.Quote(d.Name)+" is new")
		}
	}
	if len(out) == 0 && strings.Join(s.Names(), "\x00") != strings.Join(t.Names(), "\x00") {
		out = append(out, "the columns are in another order")
	}
	return out
}
