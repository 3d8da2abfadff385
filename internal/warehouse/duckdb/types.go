package duckdb

import (
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// plainTypes are DuckDB's names of the logical types that have no parameters.
var plainTypes = map[elt.Kind]string{
	elt.Bool:           "BOOLEAN",
	elt.Int64:          "BIGINT",
	elt.Uint64:         "UBIGINT",
	elt.Float64:        "DOUBLE",
	elt.String:         "VARCHAR",
	elt.Bytes:          "BLOB",
	elt.DateKind:       "DATE",
	elt.TimeKind:       "TIME",
	elt.Timestamp:      "TIMESTAMP WITH TIME ZONE",
	elt.LocalTimestamp: "TIMESTAMP",
	elt.JSON:           "JSON",
	elt.UUID:           "UUID",
}

// sqlType returns DuckDB's name of a logical type.
func sqlType(t elt.Type) (string, error) {
	switch t.Kind {
	case elt.Decimal:
		if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
			return "", fmt.Errorf("%s cannot be held: precision 1 to 38, scale 0 to the precision", t)
		}
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale), nil
	case elt.List:
		if t.Elem == nil {
			return "", fmt.Errorf("a list without the type of its elements")
		}
		elem, err := sqlType(*t.Elem)
		return elem + "[]", err
	}
	name, ok := plainTypes[t.Kind]
	if !ok {
		return "", fmt.Errorf("the type %q is unknown", t.Kind)
	}
	return name, nil
}

// logicalType returns the logical type of a DuckDB type; one that no source column becomes keeps DuckDB's
// name as its kind, so that two schemas can still be compared.
func logicalType(name string) elt.Type {
	if elem, ok := strings.CutSuffix(name, "[]"); ok {
		t := logicalType(elem)
		return elt.Type{Kind: elt.List, Elem: &t}
	}
	var t elt.Type
	if n, err := fmt.Sscanf(name, "DECIMAL(%d,%d)", &t.Precision, &t.Scale); n == 2 && err == nil {
		t.Kind = elt.Decimal
		return t
	}
	for kind, plain := range plainTypes {
		if plain == name {
			return elt.Type{Kind: kind}
		}
	}
	return elt.Type{Kind: elt.Kind(name)}
}

// typeName is the reverse of logicalType: DuckDB's name of the type of any column.
func typeName(t elt.Type) (string, error) {
	if t.Kind == elt.List && t.Elem != nil {
		elem, err := typeName(*t.Elem)
		return elem + "[]", err
	}
	if _, plain := plainTypes[t.Kind]; !plain && t.Kind != elt.Decimal {
		return string(t.Kind), nil
	}
	return sqlType(t)
}

// fromParquet returns the expression that reads a Parquet column as its logical type. Writers mark
// timestamps without zone as if they were instants; their microseconds are taken as they are, whatever the
// file calls them.
func fromParquet(expr string, t elt.Type) (string, error) {
	name, err := sqlType(t)
	if err != nil {
		return "", err
	}
	switch {
	case t.Kind == elt.LocalTimestamp:
		return "make_timestamp(epoch_us(" + expr + "))", nil
	case t.Kind == elt.List && t.Elem.Kind == elt.LocalTimestamp:
		return "list_transform(" + expr + ", lambda x: make_timestamp(epoch_us(x)))", nil
	}
	return "CAST(" + expr + " AS " + name + ")", nil
}
