package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// edge is a value at the edge of what its type holds. As text it must come to the warehouse as the server writes it;
// of another type it must equal what the warehouse makes of want.
type edge struct{ typ, value, held, want string }

// edges are values that others have lost, rounded or turned into something else.
func edges() []edge {
	text := func(typ, value string) edge { return edge{typ, value, "VARCHAR", ""} }
	exact := func(typ, value, held string) edge { return edge{typ, value, held, "'" + value + "'::" + held} }
	return []edge{
		exact("boolean", "true", "BOOLEAN"), exact("smallint", "-32768", "BIGINT"), exact("integer", "-2147483648", "BIGINT"),
		exact("bigint", "-9223372036854775808", "BIGINT"), exact("bigint", "9223372036854775807", "BIGINT"), exact("oid", "4294967295", "BIGINT"),
		{"real", "0.1", "DOUBLE", "0.1::REAL::DOUBLE"}, exact("double precision", "5e-324", "DOUBLE"), exact("double precision", "1.7976931348623157e308", "DOUBLE"),
		exact("double precision", "Infinity", "DOUBLE"), exact("double precision", "-Infinity", "DOUBLE"), exact("double precision", "NaN", "DOUBLE"),
		{"double precision", "-0", "DOUBLE", "CASE WHEN {}::VARCHAR = '-0.0' THEN {} END"},
		exact("numeric(12,2)", "0.10", "DECIMAL(12,2)"), exact("numeric(38,10)", "-9999999999999999999999999999.9999999999", "DECIMAL(38,10)"),
		exact("numeric(38,38)", "0.00000000000000000000000000000000000001", "DECIMAL(38,38)"), exact("numeric(3,-2)", "12300", "DECIMAL(5,0)"),
		exact("numeric(2,4)", "0.0099", "DECIMAL(4,4)"),
		text("numeric", "0.10"), text("numeric", "NaN"), text("numeric", "Infinity"), text("numeric", "-Infinity"), text("numeric(39,2)", "0.10"),
		text("numeric", "1"+strings.Repeat("0", 131071)+"."+strings.Repeat("9", 16383)),
		{"money", "-92233720368547758.08", "VARCHAR", "'-92233720368547758.08'"}, {"money", "92233720368547758.07", "VARCHAR", "'92233720368547758.07'"},
		text("text", ""), text("text", "2013, grüße 🌅 \n\t\r\" ' \\ NULL"), text("varchar(5)", "a b c"), {"char(5)", "ab", "VARCHAR", "'ab   '"}, text("name", "n"), text(`"char"`, "x"),
		{"bytea", `\x`, "BLOB", "''::BLOB"}, {"bytea", `\x00`, "BLOB", `'\x00'::BLOB`}, {"bytea", `\x00ff27`, "BLOB", `'\x00\xFF\x27'::BLOB`},
		exact("date", "0001-01-01", "DATE"), exact("date", "9999-12-31", "DATE"), exact("date", "1970-01-01", "DATE"),
		exact("time", "00:00:00", "TIME"), exact("time", "23:59:59.999999", "TIME"), text("timetz", "00:00:00-15:59:59"), text("timetz", "24:00:00+00"),
		exact("timestamp", "0001-01-01 00:00:00", "TIMESTAMP"), exact("timestamp", "9999-12-31 23:59:59.999999", "TIMESTAMP"), exact("timestamp", "1969-12-31 23:59:59.999999", "TIMESTAMP"),
		exact("timestamptz", "0001-01-01 00:00:00+00", "TIMESTAMP WITH TIME ZONE"), exact("timestamptz", "9999-12-31 23:59:59.999999+00", "TIMESTAMP WITH TIME ZONE"),
		exact("timestamptz", "2026-03-29 02:30:00.000001+02", "TIMESTAMP WITH TIME ZONE"),
		text("interval", "1 mon -1 day 00:00:00.000001"), text("interval", "-178000000 years"),
		{"json", `{"a": 1.10, "a": "\u0000"}`, "JSON", `'{"a": 1.10, "a": "\u0000"}'`}, {"jsonb", `{"n": 12345678901234567890.10}`, "JSON", `'{"n": 12345678901234567890.10}'`},
		{"jsonb", `1e400`, "JSON", "'1" + strings.Repeat("0", 400) + "'"}, {"jsonb", `null`, "JSON", "'null'"},
		{"uuid", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "UUID", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID"},
		text("mood", "happy"), text("pair", `(1,"a b")`), exact("cents", "12.30", "DECIMAL(12,2)"), {"pair[]", `{"(1,x)",NULL}`, "VARCHAR[]", "['(1,x)',NULL]"},
		text("inet", "10.0.0.1/24"), text("inet", "::1"), text("cidr", "10.0.0.0/24"), text("macaddr", "08:00:2b:01:02:03"), text("macaddr8", "08:00:2b:01:02:03:04:05"),
		text("bit(64)", strings.Repeat("10", 32)), text("varbit", ""), text("int4range", "empty"), text("int8range", "(,)"), text("numrange", "[1.10,2)"),
		text("daterange", "[2026-01-01,2026-02-01)"), text("tstzrange", `["2026-01-01 00:00:00+00",)`), text("int4multirange", "{[1,3),[5,8)}"),
		text("point", "(1,-0)"), text("box", "(2,2),(1,1)"), text("path", "[(0,0),(1,1)]"), text("circle", "<(0,0),1>"), text("line", "{1,2,3}"),
		text("lseg", "[(0,0),(1,1)]"), text("polygon", "((0,0),(1,1),(1,0))"),
		text("tsvector", "'a':1 'b'"), text("tsquery", "'a' & 'b'"), text("xml", "<a>é</a>"), text("hstore", `"a"=>NULL`), text("pg_lsn", "16/B374D848"),
		text("txid_snapshot", "10:20:10,14"), text("regclass", "pg_class"), text("jsonpath", `$."a"[*]`), text("tid", "(1,2)"), text("xid", "7"),
		{"int[]", "{}", "BIGINT[]", "[]::BIGINT[]"}, {"int[]", "{1,NULL,3}", "BIGINT[]", "[1,NULL,3]::BIGINT[]"},
		{"text[]", `{a,"",NULL,"NULL"}`, "VARCHAR[]", "['a','',NULL,'NULL']"}, {"numeric(6,2)[]", "{1.10,-2}", "DECIMAL(6,2)[]", "[1.10,-2]::DECIMAL(6,2)[]"},
		{"numeric[]", "{1.10,NaN}", "VARCHAR[]", "['1.10','NaN']"}, {"timestamp[]", "{2026-01-01}", "TIMESTAMP[]", "[TIMESTAMP '2026-01-01']"},
		{"date[]", "{0001-01-01,9999-12-31}", "DATE[]", "[DATE '0001-01-01', DATE '9999-12-31']"}, {"mood[]", "{sad,happy}", "VARCHAR[]", "['sad','happy']"},
		{"bytea[]", `{"\\x00",NULL}`, "BLOB[]", `['\x00'::BLOB, NULL]`}, {"boolean[]", "{t,f,NULL}", "BOOLEAN[]", "[true,false,NULL]"},
	}
}

// TestEdgesComeToTheWarehouse brings a row of every built-in type's edge values, and one of NULLs, from PostgreSQL into
// DuckDB: each is there exactly.
func TestEdgesComeToTheWarehouse(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).URL
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatalf("%.200s: %v", statement, err)
		}
	}
	run(`CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN price AS numeric(12,2);
		CREATE DOMAIN cents AS price CHECK (VALUE >= 0); CREATE EXTENSION hstore; SET TimeZone = 'UTC'`)
	all := edges()
	var columns, values, texts []string
	for i, e := range all {
		column := fmt.Sprintf("c%d", i)
		columns = append(columns, column+" "+e.typ)
		values = append(values, "'"+strings.ReplaceAll(e.value, "'", "''")+"'")
		texts = append(texts, "md5("+column+"::text)")
	}
	run(`CREATE TABLE "Ed.ge ""s" (id int PRIMARY KEY, doubled int GENERATED ALWAYS AS (id * 2) STORED, ` + strings.Join(columns, ", ") + `)`)
	run(`INSERT INTO "Ed.ge ""s" VALUES (1, DEFAULT)`)
	run(`INSERT INTO "Ed.ge ""s" VALUES (2, DEFAULT, ` + strings.Join(values, ", ") + `)`)
	rows, err := conn.Query(t.Context(), `SELECT ARRAY[`+strings.Join(texts, ", ")+`] FROM "Ed.ge ""s" WHERE id = 2`)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]string])
	if err != nil {
		t.Fatal(err)
	}

	dir, env := t.TempDir(), []string{"SHOP_URL=" + url}
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources:\n  shop: {postgres: \"${env:SHOP_URL}\"}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  shop.edges: {table: 'public."Ed.ge ""s"', mode: full, key: [id], verify: rows}
`,
	})
	must(t, dir, env, "run", "--yes")
	var checks []string
	for i, e := range all {
		column := fmt.Sprintf("c%d", i)
		same := fmt.Sprintf("md5(%s) = '%s'", column, sums[i])
		if e.want != "" {
			same = column + " IS NOT DISTINCT FROM " + strings.ReplaceAll(e.want, "{}", column)
		}
		name := strings.ReplaceAll(fmt.Sprintf("%s %.40s", e.typ, e.value), "'", "''")
		checks = append(checks, fmt.Sprintf("SELECT '%s' AS edge, typeof(%s) AS held, left(%s::VARCHAR, 60) AS came FROM shop.edges WHERE id = 2 AND (typeof(%s) <> '%s' OR NOT (%s))",
			name, column, column, column, e.held, same), fmt.Sprintf("SELECT '%s is not NULL', '', '' FROM shop.edges WHERE id = 1 AND %s IS NOT NULL", name, column))
	}
	checks = append(checks, "SELECT 'rows', '', count(*)::VARCHAR || ' ' || sum(doubled)::VARCHAR FROM shop.edges HAVING count(*) <> 2 OR sum(doubled) <> 6")
	a := do(t, dir, env, "query", "-f", "csv", strings.Join(checks, " UNION ALL "))
	if lines := strings.Split(strings.TrimSpace(a.out), "\n"); a.code != 0 || len(lines) != 1 {
		t.Errorf("these came as something else, exit %d:\n%s%s", a.code, a.out, a.errors)
	}
}
