package sqlite

import (
	"database/sql/driver"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// acceptor appends a value that is not NULL to the vector, or says why it does not fit.
type acceptor func(to *parquet.Vector, value driver.Value) *extract.Misfit

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

func refuse(value driver.Value, why string) *extract.Misfit {
	switch v := value.(type) {
	case []byte:
		return extract.Refuse(fmt.Sprintf(`the BLOB \x%x`, v[:min(len(v), 50)]), why)
	case string:
		return extract.Refuse("the text "+strconv.Quote(v), why)
	case float64:
		return extract.Refuse("the REAL "+strconv.FormatFloat(v, 'g', -1, 64), why)
	}
	return extract.Refuse(fmt.Sprintf("the value %v", value), why)
}

// refuseFor refuses a value that has a nearest one.
func refuseFor(value driver.Value, why string, nearest func(to *parquet.Vector)) *extract.Misfit {
	m := refuse(value, why)
	m.Nearest = nearest
	return m
}

// plainText writes a value of any type as text.
func plainText(value driver.Value) string {
	switch v := value.(type) {
	case []byte:
		return fmt.Sprintf(`\x%x`, v)
	case string:
		if !utf8.ValidString(v) {
			return fmt.Sprintf(`\x%x`, v)
		}
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return parquet.FormatFloat(v)
	}
	return fmt.Sprint(value)
}

// acceptAsText takes values as their column's own type wants them, and appends their canonical text.
func acceptAsText(t elt.Type) acceptor {
	accept, scratch := acceptorOf(t), parquet.NewVector(t)
	return func(to *parquet.Vector, value driver.Value) *extract.Misfit {
		scratch.Reset()
		if bad := accept(scratch, value); bad != nil {
			return bad
		}
		to.AppendString(scratch.Texts()[0])
		return nil
	}
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
