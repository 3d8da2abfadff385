package bigquery

import (
	"fmt"
	"regexp"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// plainTypes are BigQuery's types of the logical types that have no parameters. A document stays the text that
// it was: BigQuery's own JSON type would change its numbers, its keys and its spaces.
var plainTypes = map[elt.Kind]bigquery.FieldType{
	elt.Bool:           bigquery.BooleanFieldType,
	elt.Int64:          bigquery.IntegerFieldType,
	elt.Uint64:         bigquery.NumericFieldType,
	elt.Float64:        bigquery.FloatFieldType,
	elt.String:         bigquery.StringFieldType,
	elt.Bytes:          bigquery.BytesFieldType,
	elt.DateKind:       bigquery.DateFieldType,
	elt.TimeKind:       bigquery.TimeFieldType,
	elt.Timestamp:      bigquery.TimestampFieldType,
	elt.LocalTimestamp: bigquery.DateTimeFieldType,
	elt.JSON:           bigquery.StringFieldType,
	elt.UUID:           bigquery.StringFieldType,
}

// field returns the column in which values of the type are kept. A list is a record as Parquet writes it,
// {list: [{element}]}: a repeated column would hold neither a NULL list nor a NULL element.
func field(name string, t elt.Type) (*bigquery.FieldSchema, error) {
	switch t.Kind {
	case elt.Decimal:
		return decimalField(name, t)
	case elt.List:
		if t.Elem == nil {
			return nil, fmt.Errorf("a list without the type of its elements")
		}
		switch t.Elem.Kind {
		case elt.LocalTimestamp, elt.Uint64, elt.List:
			return nil, fmt.Errorf("BigQuery cannot load %s exactly", t)
		}
		element, err := field("element", *t.Elem)
		if err != nil {
			return nil, err
		}
		list := &bigquery.FieldSchema{Name: "list", Type: bigquery.RecordFieldType, Repeated: true, Schema: bigquery.Schema{element}}
		return &bigquery.FieldSchema{Name: name, Type: bigquery.RecordFieldType, Schema: bigquery.Schema{list}}, nil
	}
	plain, ok := plainTypes[t.Kind]
	if !ok {
		return nil, fmt.Errorf("the type %q is unknown", t.Kind)
	}
	return &bigquery.FieldSchema{Name: name, Type: plain}, nil
}

func decimalField(name string, t elt.Type) (*bigquery.FieldSchema, error) {
	if t.Precision < 1 || t.Precision > 38 || t.Scale < 0 || t.Scale > t.Precision {
		return nil, fmt.Errorf("%s cannot be held: precision 1 to 38, scale 0 to the precision", t)
	}
	f := &bigquery.FieldSchema{Name: name, Type: bigquery.BigNumericFieldType, Precision: int64(t.Precision), Scale: int64(t.Scale)}
	if fitsNumeric(t) {
		f.Type = bigquery.NumericFieldType
	}
	return f, nil
}

// fitsNumeric reports whether a decimal fits NUMERIC's 29 digits before the point and 9 after it.
func fitsNumeric(t elt.Type) bool { return t.Scale <= 9 && t.Precision-t.Scale <= 29 }

// landing returns the column as a Parquet part is loaded into it. Where that is not how it will be kept,
// convert is the expression that makes it so: Parquet's writers mark a timestamp without zone as an instant, and
// BigQuery reads an unsigned integer's bits as a signed one's.
func landing(name string, t elt.Type) (f *bigquery.FieldSchema, convert string, err error) {
	switch t.Kind {
	case elt.LocalTimestamp:
		return &bigquery.FieldSchema{Name: name, Type: bigquery.TimestampFieldType}, "DATETIME(" + quote(name) + ")", nil
	case elt.Uint64:
		number := "CAST(" + quote(name) + " AS NUMERIC)"
		return &bigquery.FieldSchema{Name: name, Type: bigquery.IntegerFieldType},
			"IF(" + quote(name) + " < 0, " + number + " + NUMERIC '18446744073709551616', " + number + ")", nil
	}
	f, err = field(name, t)
	return f, "", err
}

var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)

// reservedPrefixes begin names that BigQuery keeps for itself.
var reservedPrefixes = []string{"_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier", "_change_"}

// checkNames refuses columns that BigQuery cannot name.
func checkNames(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("it has no columns, and BigQuery holds no table without one")
	}
	seen := make(map[string]string, len(names))
	for _, name := range names {
		folded := strings.ToLower(name)
		if !columnName.MatchString(name) {
			return fmt.Errorf("BigQuery has no column %q: letters, digits and _, at most 300 of them, and no digit first", name)
		}
		for _, prefix := range reservedPrefixes {
			if strings.HasPrefix(folded, prefix) {
				return fmt.Errorf("BigQuery keeps names such as %q for itself", name)
			}
		}
		if other, ok := seen[folded]; ok {
			return fmt.Errorf("the columns %q and %q differ only in case, which BigQuery ignores", other, name)
		}
		seen[folded] = name
	}
	return nil
}

// columnsOf returns BigQuery's columns as logical types, as far as one can be told from another in BigQuery.
func columnsOf(schema bigquery.Schema) elt.Schema {
	out := make(elt.Schema, len(schema))
	for i, f := range schema {
		out[i] = elt.Column{Name: f.Name, Type: elt.Type{Kind: kindOf(f)}, Nullable: true}
	}
	return out
}

func kindOf(f *bigquery.FieldSchema) elt.Kind {
	switch f.Type {
	case bigquery.IntegerFieldType:
		return elt.Int64
	case bigquery.FloatFieldType:
		return elt.Float64
	case bigquery.BooleanFieldType:
		return elt.Bool
	case bigquery.DateTimeFieldType:
		return elt.LocalTimestamp
	case bigquery.RecordFieldType:
		var inner []string
		for _, c := range columnsOf(f.Schema) {
			inner = append(inner, c.Name+" "+string(c.Type.Kind))
		}
		return elt.Kind("record<" + strings.Join(inner, ", ") + ">")
	}
	return elt.Kind(strings.ToLower(string(f.Type)))
}
