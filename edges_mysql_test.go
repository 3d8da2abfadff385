package main

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// mysqlEdge is a value at the edge of what a type of MySQL holds: its type, how a statement writes it, as what the
// warehouse holds it, and what it makes of it; without that, it is text, and as the server has it.
type mysqlEdge struct {
	typ, value, held, want string
	mariadb                bool // only MariaDB has it
}

func mysqlEdges() []mysqlEdge {
	text := func(typ, value string) mysqlEdge { return mysqlEdge{typ: typ, value: value, held: "VARCHAR"} }
	exact := func(typ, value, held string) mysqlEdge {
		return mysqlEdge{typ: typ, value: "'" + value + "'", held: held, want: "'" + value + "'::" + held}
	}
	is := func(typ, value, held, want string) mysqlEdge {
		return mysqlEdge{typ: typ, value: value, held: held, want: want}
	}
	all := []mysqlEdge{
		exact("TINYINT(1)", "5", "BIGINT"), exact("TINYINT UNSIGNED", "255", "BIGINT"), exact("SMALLINT", "-32768", "BIGINT"), exact("MEDIUMINT", "8388607", "BIGINT"),
		exact("INT UNSIGNED", "4294967295", "BIGINT"), is("INT(8) ZEROFILL", "42", "BIGINT", "42"), exact("BIGINT", "-9223372036854775808", "BIGINT"),
		exact("BIGINT UNSIGNED", "18446744073709551615", "UBIGINT"), is("BIT(1)", "b'1'", "BOOLEAN", "true"), is("BIT(1)", "b'0'", "BOOLEAN", "false"),
		is("BIT(20)", "b'10000000000000000001'", "UBIGINT", "524289"), is("BIT(64)", "18446744073709551615", "UBIGINT", "18446744073709551615"),
		is("YEAR", "0", "BIGINT", "0"), is("YEAR", "2155", "BIGINT", "2155"),
		is("FLOAT", "0.1", "DOUBLE", "0.1::REAL::DOUBLE"), is("FLOAT", "16777217", "DOUBLE", "16777216"), is("DOUBLE", "5e-324", "DOUBLE", "5e-324"),
		is("DOUBLE", "0.1e0 + 0.2e0", "DOUBLE", "0.1::DOUBLE + 0.2::DOUBLE"), is("DOUBLE", "-1.7976931348623157e308", "DOUBLE", "-1.7976931348623157e308"),
		is("DOUBLE", "0 * -1e0", "DOUBLE", "0"), // MariaDB shows its sign to nobody
		exact("DECIMAL(12,2)", "0.10", "DECIMAL(12,2)"), exact("DECIMAL(12,2)", "-0.05", "DECIMAL(12,2)"), exact("DECIMAL(38,10)", "-9999999999999999999999999999.9999999999", "DECIMAL(38,10)"),
		text("DECIMAL(65,30)", "'-"+strings.Repeat("9", 35)+".10'"),
		exact("DATE", "0001-01-01", "DATE"), exact("DATE", "9999-12-31", "DATE"), exact("DATE", "2024-02-29", "DATE"),
		exact("DATETIME(6)", "9999-12-31 23:59:59.999999", "TIMESTAMP"), exact("DATETIME(6)", "0001-01-01 00:00:00", "TIMESTAMP"), exact("DATETIME", "2026-03-29 02:30:00", "TIMESTAMP"),
		is("TIMESTAMP(6) NULL", "'2026-03-29 01:30:00.000001'", "TIMESTAMP WITH TIME ZONE", "'2026-03-29 01:30:00.000001+00'::TIMESTAMPTZ"),
		text("TIME(6)", "'-838:59:58.999999'"), text("TIME", "'838:59:59'"),
		text("CHAR(5)", "'ab'"), text("VARCHAR(20)", "'ab  '"), text("VARCHAR(60)", `'2013, grüße 🌅 \n\t\r" \' \\ NULL'`), text("VARCHAR(9)", "''"),
		text("LONGTEXT", "REPEAT('é', 70000)"), text("VARCHAR(9) CHARACTER SET latin1", "CONVERT(x'e4f6fc80819f' USING latin1)"),
		text("VARCHAR(9) CHARACTER SET sjis", "'日本'"), text("VARCHAR(9) CHARACTER SET utf16", "'a🌅'"), text("VARCHAR(9) CHARACTER SET ucs2", "'é'"),
		text("ENUM('a', '', 'ü')", "'ü'"), text("ENUM('a', 'b')", "''"), text("SET('a', 'b')", "''"), text("SET('a', 'b')", "'b,a'"),
		is("BINARY(16)", "x'6ba7b8109dad11d180b400c04fd40000'", "BLOB", `'\x6B\xA7\xB8\x10\x9D\xAD\x11\xD1\x80\xB4\x00\xC0\x4F\xD4\x00\x00'::BLOB`),
		is("BINARY(4)", "'a'", "BLOB", `'a\x00\x00\x00'::BLOB`), is("VARBINARY(4)", "''", "BLOB", "''::BLOB"), is("BLOB", "x'00ff27'", "BLOB", `'\x00\xFF\x27'::BLOB`),
		is("POINT", "ST_GeomFromText('POINT(1 2)')", "BLOB", `'\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xF0\x3F\x00\x00\x00\x00\x00\x00\x00\x40'::BLOB`),
	}
	for _, e := range []mysqlEdge{
		is("JSON", `'{"a": 1.10, "a": "\\u0000", "n": 18446744073709551616}'`, "JSON", `'{"a": 1.10, "a": "\u0000", "n": 18446744073709551616}'`),
		is("UUID", "'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'", "UUID", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID"),
		text("INET6", "'::ffff:10.0.0.1'"), is("INT INVISIBLE", "7", "BIGINT", "7"), {typ: "INT AS (id * 10) VIRTUAL", value: "DEFAULT", held: "BIGINT", want: "20"},
	} {
		e.mariadb = true
		all = append(all, e)
	}
	return all
}

// TestMySQLEdgesComeToTheWarehouse brings a row of every type's edge values, and one of NULLs, from MariaDB and from
// MySQL into DuckDB: each is there exactly, and verify finds both sides equal.
func TestMySQLEdgesComeToTheWarehouse(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *testenv.MariaDBServer{"MariaDB": testenv.MariaDB, "MySQL": testenv.MySQL} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			db, err := sql.Open("mysql", "root@tcp("+server.Addr+")/"+server.Database+"?sql_mode=%27%27&time_zone=%27%2B00%3A00%27&charset=utf8mb4")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			var all []mysqlEdge
			var columns, names, values, nulls, sums []string
			for _, e := range mysqlEdges() {
				if e.mariadb && name != "MariaDB" {
					continue
				}
				all = append(all, e)
				column := fmt.Sprintf("c%d", len(all))
				columns, names, values = append(columns, column+" "+e.typ), append(names, column), append(values, e.value)
				null := "NULL"
				if e.value == "DEFAULT" {
					null = e.value
				}
				nulls, sums = append(nulls, null), append(sums, "MD5(CONVERT("+column+" USING utf8mb4))")
			}
			for _, s := range []string{
				"CREATE TABLE `Ed``ge.s` (id INT PRIMARY KEY, " + strings.Join(columns, ", ") + ") CHARACTER SET utf8mb4",
				"INSERT INTO `Ed``ge.s` (id, " + strings.Join(names, ", ") + ") VALUES (1, " + strings.Join(nulls, ", ") + "), (2, " + strings.Join(values, ", ") + ")",
			} {
				if _, err := db.ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%.300s: %v", s, err)
				}
			}
			digests := make([]sql.NullString, len(all))
			into := make([]any, len(all))
			for i := range digests {
				into[i] = &digests[i]
			}
			if err := db.QueryRowContext(t.Context(), "SELECT "+strings.Join(sums, ", ")+" FROM `Ed``ge.s` WHERE id = 2").Scan(into...); err != nil {
				t.Fatal(err)
			}
			dir, env := t.TempDir(), []string{"SHOP_URL=" + server.URL}
			write(t, dir, map[string]string{
				"daybreak.yaml":          "sources:\n  shop: {mysql: \"${env:SHOP_URL}\"}\nstatus: {public: true}\n",
				"schedules/nightly.yaml": "at: \"02:00\"\ntimezone: UTC\nowners: [data@example.com, finance@example.com]\ntables:\n  shop.edges: {table: '`Ed``ge.s`', mode: full, key: [id]}\n",
			})
			must(t, dir, env, "run", "--yes")
			must(t, dir, env, "verify", "shop.edges")
			var checks []string
			for i, e := range all {
				same := fmt.Sprintf("md5(%s) = '%s'", names[i], digests[i].String)
				if e.want != "" {
					same = names[i] + " IS NOT DISTINCT FROM " + strings.ReplaceAll(e.want, "{}", names[i])
				}
				edge := strings.ReplaceAll(fmt.Sprintf("%s %.40s", e.typ, e.value), "'", "''")
				checks = append(checks, fmt.Sprintf("SELECT '%s' AS edge, typeof(%s) AS held, left(%[2]s::VARCHAR, 60) AS came FROM shop.edges WHERE id = 2 AND (typeof(%[2]s) <> '%[3]s' OR NOT (%[4]s))",
					edge, names[i], e.held, same))
				if e.value != "DEFAULT" {
					checks = append(checks, fmt.Sprintf("SELECT '%s is not NULL', '', '' FROM shop.edges WHERE id = 1 AND %s IS NOT NULL", edge, names[i]))
				}
			}
			a := do(t, dir, env, "query", "-f", "csv", strings.Join(checks, " UNION ALL "))
			if lines := strings.Split(strings.TrimSpace(a.out), "\n"); a.code != 0 || len(lines) != 1 {
				t.Errorf("these came as something else, exit %d:\n%s%s", a.code, a.out, a.errors)
			}
		})
	}
}

// TestMySQLGoesAway: a server that is gone in the middle of a table fails the night in a sentence, and what was published
// before is served on; when it is back, the next attempt brings what it has then.
func TestMySQLGoesAway(t *testing.T) {
	t.Parallel()
	server := testenv.NewMariaDB(t)
	db, err := sql.Open("mysql", "root@tcp("+server.Addr+")/"+server.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fill := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(`CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)`, `INSERT INTO orders SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_5000`)
	proxy := testenv.Toxiproxy(t).Before(t, server.URL)
	dir, last := t.TempDir(), lastDate(t)
	write(t, dir, map[string]string{
		"daybreak.yaml":          "sources:\n  shop: {mysql: \"" + proxy.URL + "\"}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": "at: \"02:00\"\ntimezone: UTC\ncatch_up: all\nretries: {attempts: 1}\nowners: [data@example.com, finance@example.com]\ntables:\n  shop.orders: {mode: full, key: [id]}\n",
	})
	must(t, dir, nil, "run", "--yes", "--date", last.AddDays(-1).String())
	fill(`UPDATE orders SET v = 'new'`, `INSERT INTO orders SELECT seq, REPEAT(MD5(seq), 30) FROM seq_5001_to_9000`)
	remove := proxy.Add(t, testenv.LimitData(50_000), testenv.Answers)
	a := do(t, dir, nil, "run", "--yes", "--date", last.String())
	if a.code == 0 || !strings.Contains(a.errors, "source_") || !strings.Contains(a.errors, "shop") {
		t.Errorf("exit %d\n%s", a.code, a.errors)
	}
	if got := query(t, dir, "SELECT count(*), count(*) FILTER (v = 'new') FROM shop.orders"); got[0][0] != "5000" || got[0][1] != "0" {
		t.Errorf("after the failure there is %v", got)
	}
	remove()
	must(t, dir, nil, "run", "--yes", "--date", last.String())
	if got := query(t, dir, "SELECT count(*), count(*) FILTER (v = 'new') FROM shop.orders"); got[0][0] != "9000" || got[0][1] != "5000" {
		t.Errorf("after the next attempt there is %v", got)
	}
}
