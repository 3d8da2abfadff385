package sqlite

import (
	"database/sql/driver"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// acceptor appends a value that is not NULL to the vector, or says why it does not fit.
type acceptor func(to *parquet.Vector, value driver.Value) *unfit

// declared splits "DECIMAL(12, 2)" into its name and its numbers.
var declared = regexp.MustCompile(`^([^(]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$`)

// namedTypes are the declared types that mean something of their own.
var namedTypes = map[string]elt.Kind{
	"BOOLEAN": elt.Bool, "BOOL": elt.Bool,
	"DATE": elt.DateKind, "TIME": elt.TimeKind,
	"DATETIME": elt.LocalTimestamp, "TIMESTAMP": elt.LocalTimestamp, "TIMESTAMP WITHOUT TIME ZONE": elt.LocalTimestamp,
	"TIMESTAMPTZ": elt.Timestamp, "DATETIMETZ": elt.Timestamp, "TIMESTAMP WITH TIME ZONE": elt.Timestamp,
	"UUID": elt.UUID, "JSON": elt.JSON, "JSONB": elt.JSON,
	"BLOB": elt.Bytes, "BINARY": elt.Bytes, "VARBINARY": elt.Bytes, "BYTEA": elt.Bytes,
}

// partTypes are those that are known by a part of their name, in the order of SQLite's own rules.
var partTypes = []struct {
	part string
	kind elt.Kind
}{
	{"INT", elt.Int64}, {"CHAR", elt.String}, {"CLOB", elt.String}, {"TEXT", elt.String}, {"BLOB", elt.Bytes},
	{"REAL", elt.Float64}, {"FLOA", elt.Float64}, {"DOUB", elt.Float64},
}

// typeOf returns what a column's declared type means.
func typeOf(declaration string) elt.Type {
	text := strings.ToUpper(strings.TrimSpace(declaration))
	text = strings.TrimSpace(strings.TrimSuffix(text, "GENERATED ALWAYS"))
	name := text
	if m := declared.FindStringSubmatch(text); m != nil {
		name = strings.Join(strings.Fields(m[1]), " ")
		if (name == "DECIMAL" || name == "NUMERIC") && m[2] != "" {
			return decimalType(m[2], m[3])
		}
	}
	if kind, ok := namedTypes[name]; ok {
		return elt.Type{Kind: kind}
	}
	for _, t := range partTypes {
		if strings.Contains(name, t.part) {
			return elt.Type{Kind: t.kind}
		}
	}
	return elt.Type{Kind: elt.String}
}

func decimalType(precision, scale string) elt.Type {
	p, err := strconv.Atoi(precision)
	s := 0
	if err == nil && scale != "" {
		s, err = strconv.Atoi(scale)
	}
	if err != nil || p < 1 || p > parquet.MaxPrecision || s > p {
		return elt.Type{Kind: elt.String}
	}
	return elt.Type{Kind: elt.Decimal, Precision: p, Scale: s}
}

// unfit says why a value is not what its column declares.
type unfit struct{ value, why string }

func refuse(value driver.Value, why string) *unfit {
	switch v := value.(type) {
	case []byte:
		return &unfit{fmt.Sprintf(`the BLOB \x%x`, v[:min(len(v), 50)]), why}
	case string:
		return &unfit{"the text " + strconv.Quote(v), why}
	case float64:
		return &unfit{"the REAL " + strconv.FormatFloat(v, 'g', -1, 64), why}
	}
	return &unfit{fmt.Sprintf("the value %v", value), why}
}

// acceptorOf returns how values of a column of that type are taken.
func acceptorOf(t elt.Type) acceptor {
	switch t.Kind {
	case elt.Bool:
		return acceptBool
	case elt.Int64:
		return acceptInt
	case elt.Float64:
		return acceptFloat
	case elt.Decimal:
		return acceptDecimal(t)
	case elt.DateKind:
		return acceptDate
	case elt.TimeKind:
		return acceptTime
	case elt.LocalTimestamp:
		return acceptStamp(false)
	case elt.Timestamp:
		return acceptStamp(true)
	case elt.UUID:
		return acceptUUID
	case elt.Bytes:
		return acceptBytes
	}
	return acceptText
}
