package bigquerytest

import (
	"regexp"
	"strings"
)

// macros are functions of BigQuery that DuckDB has not.
var macros = []string{
	// A decimal's digits as a whole number, where the factor is the power of ten that makes them one.
	`CREATE MACRO bq_whole(x, factor) AS CASE
		WHEN x IS NULL THEN NULL
		WHEN length(split_part(CAST(x AS VARCHAR), '.', 2)) = length(CAST(factor AS VARCHAR)) - 1 THEN CAST(replace(CAST(x AS VARCHAR), '.', '') AS HUGEINT)
		ELSE error('the double multiplies a BIGNUMERIC by the power of ten of its scale only') END`,
}

// functions renders the functions of BigQuery that the double knows.
var functions = map[string]func(args []string) string{
	"IF":              func(a []string) string { return "CASE WHEN " + a[0] + " THEN " + a[1] + " ELSE " + a[2] + " END" },
	"COUNTIF":         named("count_if"),
	"IS_NAN":          named("isnan"),
	"UNIX_DATE":       func(a []string) string { return "date_diff('day', DATE '1970-01-01', " + a[0] + ")" },
	"UNIX_MICROS":     named("epoch_us"),
	"TIMESTAMP":       func(a []string) string { return "CAST(" + a[0] + " AS TIMESTAMP WITH TIME ZONE)" },
	"DATETIME":        func(a []string) string { return "(" + a[0] + " AT TIME ZONE 'UTC')" },
	"TIME_DIFF":       func(a []string) string { return "(epoch_us(" + a[0] + ") - epoch_us(" + a[1] + "))" },
	"BYTE_LENGTH":     named("octet_length"),
	"TO_HEX":          func(a []string) string { return "lower(hex(" + a[0] + "))" },
	"ARRAY_LENGTH":    named("len"),
	"SAFE_MULTIPLY":   named("bq_whole"),
	"DIV":             func(a []string) string { return "CAST(" + a[0] + " // " + a[1] + " AS DECIMAL(38,0))" },
	"MOD":             func(a []string) string { return "CAST(" + a[0] + " % " + a[1] + " AS DECIMAL(38,0))" },
	"TO_JSON_STRING":  func(a []string) string { return "CAST(to_json(" + a[0] + ") AS VARCHAR)" },
	"CONCAT":          func(a []string) string { return "(" + strings.Join(a, " || ") + ")" },
	"DATE_TRUNC":      func(a []string) string { return "CAST(date_trunc('" + a[1] + "', " + a[0] + ") AS DATE)" },
	"TIMESTAMP_TRUNC": func(a []string) string { return "date_trunc('" + a[1] + "', " + a[0] + ")" },
	"DATETIME_TRUNC":  func(a []string) string { return "date_trunc('" + a[1] + "', " + a[0] + ")" },
	"IS_INF":          named("isinf"),
	"MD5":             func(a []string) string { return "unhex(md5(" + a[0] + "))" },
	"FORMAT": func(a []string) string { // of a decimal, '%.2f', or of a double, '%.14e'
		if strings.HasSuffix(a[0], "e'") {
			return "printf(" + strings.Join(a, ", ") + ")"
		}
		return "CAST(CAST(" + a[1] + " AS DECIMAL(38," + strings.Trim(a[0], "'%.f") + ")) AS VARCHAR)"
	},
	"FORMAT_TIMESTAMP":  func(a []string) string { return "CAST((" + a[1] + " AT TIME ZONE 'UTC') AS VARCHAR) || '+00'" },
	"FORMAT_DATETIME":   func(a []string) string { return "CAST(" + a[1] + " AS VARCHAR)" },
	"FORMAT_TIME":       func(a []string) string { return "CAST(" + a[1] + " AS VARCHAR)" },
	"CURRENT_TIMESTAMP": func([]string) string { return "now()" },
}

// arguments is how many a function takes, of those that take a certain number.
var arguments = map[string]int{
	"IF": 3, "UNIX_DATE": 1, "TIMESTAMP": 1, "DATETIME": 1, "TIME_DIFF": 3, "TO_HEX": 1, "SAFE_MULTIPLY": 2, "DIV": 2, "MOD": 2, "TO_JSON_STRING": 1,
	"FORMAT": 2, "FORMAT_TIMESTAMP": 3, "FORMAT_DATETIME": 2, "FORMAT_TIME": 2,
	"DATE_TRUNC": 2, "TIMESTAMP_TRUNC": 2, "DATETIME_TRUNC": 2,
}

func named(name string) func([]string) string {
	return func(a []string) string { return name + "(" + strings.Join(a, ", ") + ")" }
}

// same are functions that mean the same in both.
var same = words("COUNT SUM MIN MAX AVG UPPER LOWER COALESCE ROUND ABS SUBSTR LENGTH TRIM RTRIM REPLACE REGEXP_REPLACE STRPOS STRING_AGG ERROR")

// notFunctions are words that a parenthesis may follow.
var notFunctions = words("IN AS VALUES ON USING OVER AND OR NOT EXISTS FROM SELECT WHERE BY THEN WHEN ELSE ALL JOIN DISTINCT INTO UNION HAVING INSERT")

func words(list string) map[string]bool {
	out := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		out[w] = true
	}
	return out
}

// sqlTypes are BigQuery's types in a CAST.
var sqlTypes = map[string]string{
	"STRING": "VARCHAR", "INT64": "BIGINT", "INTEGER": "BIGINT", "INT": "BIGINT", "BIGINT": "BIGINT", "FLOAT64": "DOUBLE", "BOOL": "BOOLEAN",
	"NUMERIC": "DECIMAL(38,9)", "DECIMAL": "DECIMAL(38,9)", "DATE": "DATE", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "DATETIME": "TIMESTAMP",
}

// literalTypes begin a literal of their own: DATE '2026-01-05'.
var literalTypes = map[string]string{
	"DATE": "DATE", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "DATETIME": "TIMESTAMP", "NUMERIC": "DECIMAL(38,9)", "BIGNUMERIC": "HUGEINT",
}

// Translate returns the statements of BigQuery's SQL in DuckDB's, each with its lines as they were. It refuses what it
// does not know.
func Translate(query string) ([]string, error) {
	statements, err := translate(query)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range statements {
		out = append(out, s.sql)
	}
	return out, nil
}

func translate(query string) ([]statement, error) {
	all, err := tokenize(query)
	if err != nil {
		return nil, err
	}
	var out []statement
	for _, one := range split(whole(all), ";") {
		if len(trim(one)) == 0 {
			continue
		}
		translated, err := translateStatement(one)
		if err != nil {
			return nil, err
		}
		out = append(out, translated)
	}
	return out, nil
}

func translateStatement(all []token) (statement, error) {
	first := trim(all)
	head := strings.ToUpper(first[0].text)
	second := ""
	if rest := trim(first[1:]); len(rest) > 0 {
		second = strings.ToUpper(rest[0].text)
	}
	switch head + " " + second {
	case "BEGIN TRANSACTION", "COMMIT TRANSACTION":
		return statement{sql: head + " TRANSACTION", kind: head + "_TRANSACTION"}, nil
	case "TRUNCATE TABLE":
		name, err := render(trim(trim(first[1:])[1:]))
		return statement{sql: "DELETE FROM " + name, kind: "TRUNCATE_TABLE"}, err
	}
	switch head {
	case "SELECT", "WITH", "(":
		sql, err := render(all)
		return statement{sql: sql, kind: "SELECT"}, err
	case "INSERT", "DELETE", "UPDATE", "MERGE":
		sql, err := render(all)
		return statement{sql: sql, kind: head}, err
	case "CREATE", "DROP", "ALTER":
		return define(all)
	}
	return statement{}, failf("invalidQuery", "Syntax error: the double does not run a statement that begins with %s", head)
}

// render translates tokens.
func render(all []token) (string, error) {
	var b strings.Builder
	for i := 0; i < len(all); i++ {
		t := all[i]
		switch t.kind {
		case quoted:
			b.WriteString(tableName(t.text))
		case text:
			b.WriteString(stringLiteral(t.text))
		case word:
			used, translated, err := renderWord(all[i:])
			if err != nil {
				return "", err
			}
			b.WriteString(translated)
			i += used - 1
		default:
			b.WriteString(t.text)
		}
	}
	return b.String(), nil
}

// renderWord translates a word and what belongs to it: the arguments of a function, the text of a literal.
func renderWord(all []token) (used int, translated string, err error) {
	name := strings.ToUpper(all[0].text)
	next := 1
	for next < len(all) && all[next].kind == space {
		next++
	}
	if typ, ok := literalTypes[name]; ok && next < len(all) && all[next].kind == text {
		return next + 1, "CAST(" + stringLiteral(all[next].text) + " AS " + typ + ")", nil
	}
	if next == len(all) || all[next].text != "(" || all[next].kind != sign || notFunctions[name] {
		return 1, all[0].text, nil
	}
	end := closing(all, next)
	if end < 0 {
		return 0, "", failf("invalidQuery", "Syntax error: Expected \")\" but got end of script")
	}
	inner := all[next+1 : end]
	switch name {
	case "UNNEST":
		used, translated, err = renderUnnest(inner, all[end+1:])
		return end + 1 + used, translated, err
	case "CAST", "SAFE_CAST":
		translated, err = renderCast(inner)
		if name == "SAFE_CAST" && strings.HasPrefix(translated, "CAST(") {
			translated = "TRY_" + translated
		}
		return end + 1, translated, err
	case "STRUCT":
		translated, err = renderStruct(inner)
		return end + 1, translated, err
	}
	if same[name] {
		args, err := render(inner)
		return end + 1, all[0].text + "(" + args + ")", err
	}
	function := functions[name]
	if function == nil {
		return 0, "", failf("invalidQuery", "Function not found: %s (the double does not know it)", all[0].text)
	}
	var args []string
	for _, arg := range split(inner, ",") {
		a, err := render(trim(arg))
		if err != nil {
			return 0, "", err
		}
		args = append(args, a)
	}
	if n, ok := arguments[name]; ok && len(args) != n {
		return 0, "", failf("invalidQuery", "No matching signature for function %s: %d arguments", name, len(args))
	}
	return end + 1, function(args), nil
}

// unnested is how the elements and the places of an array are called.
var unnested = regexp.MustCompile(`^ AS ([a-z]+) WITH OFFSET AS ([a-z]+)`)

// renderUnnest translates an array that is read as a table, and how its elements and their places are called.
func renderUnnest(inner, after []token) (used int, translated string, err error) {
	array, err := render(inner)
	if err != nil {
		return 0, "", err
	}
	var rest strings.Builder
	for _, t := range after {
		rest.WriteString(t.text)
	}
	names := unnested.FindStringSubmatch(rest.String())
	if names == nil {
		return 0, "", failf("invalidQuery", "the double knows UNNEST(…) AS e WITH OFFSET AS o only")
	}
	for text := ""; text != names[0]; used++ {
		text += after[used].text
	}
	return used, "(SELECT unnest(" + array + ") AS " + names[1] + ", generate_subscripts(" + array + ", 1) AS " + names[2] + ")", nil
}

// renderCast translates what stands in the parentheses of a CAST.
func renderCast(inner []token) (string, error) {
	as, depth := -1, 0
	for i, t := range inner {
		switch {
		case t.kind == sign && t.text == "(":
			depth++
		case t.kind == sign && t.text == ")":
			depth--
		case t.kind == word && depth == 0 && strings.EqualFold(t.text, "AS"):
			as = i
		}
	}
	if as < 0 {
		return "", failf("invalidQuery", "Syntax error: Expected keyword AS")
	}
	value, err := render(trim(inner[:as]))
	if err != nil {
		return "", err
	}
	typ := strings.ToUpper(join(trim(inner[as+1:])))
	if typ == "BYTES" {
		return "encode(" + value + ")", nil
	}
	duck, ok := sqlTypes[typ]
	if !ok && regexp.MustCompile(`^(NUMERIC|DECIMAL|BIGNUMERIC)\(\d+, ?\d+\)$`).MatchString(typ) {
		duck, ok = "DECIMAL"+typ[strings.Index(typ, "("):], true
	}
	if !ok {
		return "", failf("invalidQuery", "Type not found: %s (the double does not know it)", typ)
	}
	return "CAST(" + value + " AS " + duck + ")", nil
}

// renderStruct translates the fields of a STRUCT, each with a name.
func renderStruct(inner []token) (string, error) {
	var fields []string
	for _, field := range split(inner, ",") {
		field = trim(field)
		if len(field) < 4 || field[len(field)-1].kind != quoted || !strings.EqualFold(field[len(field)-3].text, "AS") {
			return "", failf("invalidQuery", "the double knows a STRUCT of named fields only")
		}
		value, err := render(trim(field[:len(field)-3]))
		if err != nil {
			return "", err
		}
		fields = append(fields, tableName(field[len(field)-1].text)+" := "+value)
	}
	return "struct_pack(" + strings.Join(fields, ", ") + ")", nil
}

// tableName translates a quoted name; a table's begins with its project.
func tableName(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) == 3 {
		parts = parts[1:]
	}
	for i, p := range parts {
		parts[i] = quote(p)
	}
	return strings.Join(parts, ".")
}

var quotedName = regexp.MustCompile("`[^`]*`")

// plainNames translates the names of tables alone.
func plainNames(query string) string {
	return quotedName.ReplaceAllStringFunc(query, func(name string) string { return tableName(strings.Trim(name, "`")) })
}

func stringLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
