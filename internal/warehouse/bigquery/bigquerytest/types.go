package bigquerytest

import (
	"fmt"
	"strconv"
	"strings"

	bq "google.golang.org/api/bigquery/v2"
)

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// plain are DuckDB's types of BigQuery's that have no parameters. A NUMERIC without them has 29 digits and 9.
var plain = map[string]string{
	"STRING": "VARCHAR", "BYTES": "BLOB", "INTEGER": "BIGINT", "FLOAT": "DOUBLE", "BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIME": "TIME",
	"TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "DATETIME": "TIMESTAMP", "NUMERIC": "DECIMAL(38,9)",
}

// duckType returns DuckDB's type of a field.
func duckType(f *bq.TableFieldSchema) (string, error) {
	f.Type = standard(f.Type) // a client may send the other name
	name, ok := plain[f.Type]
	switch {
	case f.Type == "RECORD":
		inner, err := definitions(&bq.TableSchema{Fields: f.Fields})
		if err != nil {
			return "", err
		}
		name = "STRUCT(" + inner + ")"
	case f.Precision > 0:
		most := f.Scale + 29
		if f.Type == "BIGNUMERIC" {
			most = f.Scale + 38
		}
		if f.Precision > most || f.Type == "NUMERIC" && f.Scale > 9 || f.Precision > 38 {
			return "", fmt.Errorf("%s(%d, %d) cannot be", f.Type, f.Precision, f.Scale)
		}
		name = fmt.Sprintf("DECIMAL(%d,%d)", f.Precision, f.Scale)
	case !ok:
		return "", fmt.Errorf("the double has no type %q", f.Type)
	}
	if f.Mode == "REPEATED" {
		name += "[]"
	}
	return name, nil
}

func definitions(schema *bq.TableSchema) (string, error) {
	if schema == nil || len(schema.Fields) == 0 {
		return "", fmt.Errorf("a table without columns")
	}
	out := make([]string, len(schema.Fields))
	for i, f := range schema.Fields {
		name, err := duckType(f)
		if err != nil {
			return "", fmt.Errorf("column %s: %w", f.Name, err)
		}
		out[i] = quote(f.Name) + " " + name
	}
	return strings.Join(out, ", "), nil
}

// fieldOf returns BigQuery's column for one of DuckDB's.
func fieldOf(name, duck string) (*bq.TableFieldSchema, error) {
	f := &bq.TableFieldSchema{Name: name}
	if element, ok := strings.CutSuffix(duck, "[]"); ok {
		f, err := fieldOf(name, element)
		if err == nil {
			f.Mode = "REPEATED"
		}
		return f, err
	}
	if inner, ok := strings.CutPrefix(duck, "STRUCT("); ok {
		f.Type = "RECORD"
		for _, part := range splitTop(strings.TrimSuffix(inner, ")")) {
			name, typ, _ := strings.Cut(strings.TrimSpace(part), " ")
			field, err := fieldOf(strings.Trim(name, `"`), typ)
			if err != nil {
				return nil, err
			}
			f.Fields = append(f.Fields, field)
		}
		return f, nil
	}
	var p, s int64
	if n, err := fmt.Sscanf(duck, "DECIMAL(%d,%d)", &p, &s); n == 2 && err == nil {
		f.Type = "BIGNUMERIC"
		if s <= 9 && p-s <= 29 {
			f.Type = "NUMERIC"
		}
		if duck != plain["NUMERIC"] {
			f.Precision, f.Scale = p, s
		}
		return f, nil
	}
	switch duck {
	case "TINYINT", "SMALLINT", "INTEGER", "HUGEINT":
		f.Type = "INTEGER"
		return f, nil
	case "JSON", `"NULL"`:
		f.Type = "STRING"
		return f, nil
	}
	for typ, known := range plain {
		if known == duck {
			f.Type = typ
			return f, nil
		}
	}
	return nil, fmt.Errorf("the double has no column of DuckDB's type %s", duck)
}

// splitTop splits at the commas outside of parentheses.
func splitTop(text string) (out []string) {
	depth, start := 0, 0
	for i, r := range text {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, text[start:i])
				start = i + 1
			}
		}
	}
	return append(out, text[start:])
}

// fields returns the columns of a query.
func (s *Server) fields(query string) ([]*bq.TableFieldSchema, error) {
	rows, err := s.db.Query("SELECT column_name, column_type FROM (DESCRIBE " + query + ")")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*bq.TableFieldSchema
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return nil, err
		}
		f, err := fieldOf(name, typ)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// trimmed writes a decimal as BigQuery does, without zeros at its end.
func trimmed(text string) string {
	if strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	if text == "" || text == "-" {
		return "0"
	}
	return text
}

func floatText(f float64) string {
	switch text := strconv.FormatFloat(f, 'g', -1, 64); text {
	case "+Inf":
		return "Infinity"
	case "-Inf":
		return "-Infinity"
	default:
		return text
	}
}
