package mysql_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// database returns a new database after the statements, and one connection to it.
func database(t testing.TB, statements ...string) (*testenv.MariaDBServer, *sql.DB) {
	t.Helper()
	server := testenv.MariaDB(t)
	db := connect(t, server, "root")
	exec(t, db, statements...)
	return server, db
}

// connect opens one connection. Its session allows whatever an old application may have written.
func connect(t testing.TB, server *testenv.MariaDBServer, user string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", user+"@tcp("+server.Addr+")/"+server.Database+"?multiStatements=true&sql_mode=%27%27&time_zone=%27%2B00%3A00%27")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func newSource(t testing.TB, url string) *mysql.Source {
	t.Helper()
	s, err := mysql.New(mysql.Options{Name: "shop", URL: url, Log: extracttest.Log(t), Budget: extract.Budget{LockTimeout: 30 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nothing is a progress callback for who does not care.
func nothing(elt.Progress) {}

// TestEveryType extracts a NULL and a value of each type, and compares them as text.
func TestEveryType(t *testing.T) {
	server, db := database(t)
	source := newSource(t, server.URL)
	for _, c := range []struct {
		declared, value string
		typ             string
		want            string // the canonical text; "!" and what is named when it is refused
	}{
		{"TINYINT(1)", "5", "int64", "5"},
		{"TINYINT", "-128", "int64", "-128"},
		{"TINYINT UNSIGNED", "255", "int64", "255"},
		{"SMALLINT", "-32768", "int64", "-32768"},
		{"MEDIUMINT UNSIGNED", "16777215", "int64", "16777215"},
		{"INT", "-2147483648", "int64", "-2147483648"},
		{"INT UNSIGNED", "4294967295", "int64", "4294967295"},
		{"INT(8) ZEROFILL", "42", "int64", "42"},
		{"BIGINT", "-9223372036854775808", "int64", "-9223372036854775808"},
		{"BIGINT", "9223372036854775807", "int64", "9223372036854775807"},
		{"BIGINT UNSIGNED", "18446744073709551615", "uint64", "18446744073709551615"},
		{"BIGINT(20) UNSIGNED ZEROFILL", "7", "uint64", "7"},
		{"BIT(1)", "b'1'", "bool", "true"},
		{"BIT(1)", "b'0'", "bool", "false"},
		{"BIT(20)", "b'10000000000000000001'", "uint64", "524289"},
		{"BIT(64)", "18446744073709551615", "uint64", "18446744073709551615"},
		{"YEAR", "0", "int64", "0"},
		{"YEAR", "2155", "int64", "2155"},
		{"FLOAT", "16777217", "float64", "1.6777216e+07"},
		{"FLOAT", "0.1", "float64", "0.10000000149011612"},
		{"FLOAT(7,4)", "999.00009", "float64", "999.0001220703125"},
		{"FLOAT UNSIGNED", "3.402823466e38", "float64", "3.4028234663852886e+38"},
		{"DOUBLE", "5e-324", "float64", "5e-324"},
		{"DOUBLE", "-1.7976931348623157e308", "float64", "-1.7976931348623157e+308"},
		{"DOUBLE", "0 * -1e0", "float64", "0"}, // canonical text; the sign is held elsewhere
		{"DOUBLE(12,2)", "0.1", "float64", "0.1"},
		{"DOUBLE", "0.1 + 0.2e0", "float64", "0.30000000000000004"},
		{"DECIMAL(12,2)", "-1234567890.12", "decimal(12,2)", "-1234567890.12"},
		{"DECIMAL(12,2)", "0.1", "decimal(12,2)", "0.10"},
		{"DECIMAL(12,2)", "-0.05", "decimal(12,2)", "-0.05"},
		{"DECIMAL(5,5)", "0.0001", "decimal(5,5)", "0.00010"},
		{"DECIMAL(10,2) ZEROFILL", "1.5", "decimal(10,2)", "1.50"},
		{"DECIMAL(18,0)", "999999999999999999", "decimal(18,0)", "999999999999999999"},
		{"DECIMAL(19,1)", "-100000000000000000.5", "decimal(19,1)", "-100000000000000000.5"},
		{"DECIMAL(38,0)", strings.Repeat("9", 38), "decimal(38,0)", strings.Repeat("9", 38)},
		{"DECIMAL(38,38)", "'0." + strings.Repeat("0", 37) + "1'", "decimal(38,38)", "0." + strings.Repeat("0", 37) + "1"},
		{"DECIMAL(65,30)", "'-" + strings.Repeat("9", 35) + ".10'", "string", "-" + strings.Repeat("9", 35) + ".1" + strings.Repeat("0", 29)},
		{"DATE", "'1000-01-01'", "date", "1000-01-01"},
		{"DATE", "'0001-01-01'", "date", "0001-01-01"},
		{"DATE", "'2024-02-29'", "date", "2024-02-29"},
		{"DATE", "'9999-12-31'", "date", "9999-12-31"},
		{"DATE", "'0000-00-00'", "date", "!0000-00-00 has a zero"},
		{"DATE", "'2000-00-01'", "date", "!2000-00-01 has a zero"},
		{"DATE", "'2000-01-00'", "date", "!2000-01-00 has a zero"},
		{"DATE", "'0000-01-01'", "date", "!0000-01-01 is outside"},
		{"DATETIME", "'2026-01-05 10:20:30'", "local_timestamp", "2026-01-05 10:20:30"},
		{"DATETIME(6)", "'9999-12-31 23:59:59.999999'", "local_timestamp", "9999-12-31 23:59:59.999999"},
		{"DATETIME(3)", "'1969-12-31 23:59:59.001'", "local_timestamp", "1969-12-31 23:59:59.001"},
		{"DATETIME", "'0000-00-00 00:00:00'", "local_timestamp", "!0000-00-00 00:00:00 has a zero"},
		{"DATETIME(6)", "'2026-00-05 10:20:30.5'", "local_timestamp", "!2026-00-05 10:20:30.500000 has a zero"},
		{"TIMESTAMP(6) NULL", "'2026-03-29 01:30:00.000001'", "timestamp", "2026-03-29 01:30:00.000001+00"},
		{"TIMESTAMP NULL", "'1970-01-01 00:00:01'", "timestamp", "1970-01-01 00:00:01+00"},
		{"TIMESTAMP NULL", "'0000-00-00 00:00:00'", "timestamp", "!0000-00-00 00:00:00 has a zero"},
		{"TIME", "'10:20:30'", "string", "10:20:30"},
		{"TIME(6)", "'-838:59:58.999999'", "string", "-838:59:58.999999"},
		{"TIME", "'838:59:59'", "string", "838:59:59"},
		{"CHAR(5)", "'ab'", "string", "ab"},
		{"VARCHAR(20)", "'ab  '", "string", "ab  "},
		{"VARCHAR(40)", "'grüße 🌅 \\n\\t\"'", "string", "grüße 🌅 \n\t\""},
		{"VARCHAR(40)", "''", "string", ""},
		{"VARCHAR(40)", "'a\\0b'", "string", "a\x00b"},
		{"TINYTEXT", "'x'", "string", "x"},
		{"LONGTEXT", "REPEAT('é', 70000)", "string", strings.Repeat("é", 70000)},
		{"VARCHAR(9) CHARACTER SET latin1", "CONVERT(x'e4f6fc80819f' USING latin1)", "string", "äöü€\u0081Ÿ"},
		{"VARCHAR(9) CHARACTER SET utf8mb3", "'grüße'", "string", "grüße"},
		{"VARCHAR(9) CHARACTER SET ascii", "'ab'", "string", "ab"},
		{"VARCHAR(9) CHARACTER SET sjis", "'日本'", "string", "日本"},
		{"VARCHAR(9) CHARACTER SET utf16", "'a🌅'", "string", "a🌅"},
		{"VARCHAR(9) CHARACTER SET greek", "CONVERT(x'41d2ff' USING greek)", "string", "!\\x41d2ff"}, // no such characters
		{"ENUM('a', '', 'ü')", "'ü'", "string", "ü"},
		{"ENUM('a', 'b')", "''", "string", ""},
		{"ENUM('a', 'b')", "'none of them'", "string", ""},
		{"ENUM('a', 'ö') CHARACTER SET latin1", "'ö'", "string", "ö"},
		{"SET('a', 'b')", "''", "string", ""},
		{"SET('a', 'b')", "'b,a'", "string", "a,b"},
		{"BINARY(16)", "x'6ba7b8109dad11d180b400c04fd40000'", "bytes", `\x6ba7b8109dad11d180b400c04fd40000`},
		{"BINARY(4)", "'a'", "bytes", `\x61000000`},
		{"VARBINARY(4)", "x'00ff'", "bytes", `\x00ff`},
		{"VARBINARY(4)", "''", "bytes", `\x`},
		{"BLOB", "x'27005c'", "bytes", `\x27005c`},
		{"LONGBLOB", "REPEAT(x'ff', 70000)", "bytes", `\x` + strings.Repeat("ff", 70000)},
		{"JSON", `'{"a": 1.10, "a": "\\u0000", "n": 18446744073709551616}'`, "json", `{"a": 1.10, "a": "\u0000", "n": 18446744073709551616}`},
		{"UUID", "'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'", "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{"INET4", "'10.0.0.1'", "string", "10.0.0.1"},
		{"INET6", "'::ffff:10.0.0.1'", "string", "::ffff:10.0.0.1"},
		{"POINT", "ST_GeomFromText('POINT(1 2)')", "bytes", `\x0101000000000000000000f03f0000000000000040`},
		{"GEOMETRY", "ST_GeomFromText('POINT(1 2)', 4326)", "bytes", `\x0101000020e6100000000000000000f03f0000000000000040`},
		{"GEOMETRY", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", "bytes", `\x010700000000000000`},
		{"INT INVISIBLE", "7", "int64", "7"},
		{"INT AS (id * 10) VIRTUAL", "DEFAULT", "int64", "20"},
		{"VARCHAR(9) AS (CONCAT('n', id)) PERSISTENT", "DEFAULT", "string", "n2"},
	} {
		t.Run(c.declared+" "+c.value[:min(len(c.value), 40)], func(t *testing.T) {
			null := "NULL"
			if c.value == "DEFAULT" {
				null = c.value
			}
			exec(t, db, "DROP TABLE IF EXISTS v", "CREATE TABLE v (v "+c.declared+", id INT PRIMARY KEY)",
				"INSERT INTO v (v, id) VALUES ("+null+", 1)", "INSERT INTO v (v, id) VALUES ("+c.value+", 2)")
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("v"), 1))
			if named, refused := strings.CutPrefix(c.want, "!"); refused {
				extracttest.Fails(t, err, "value_not_representable", "table v", "column v", "id = 2", named)
				if keys := lake.Keys(); len(keys) != 0 {
					t.Errorf("the lake holds %v", keys)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			first := "NULL"
			if c.value == "DEFAULT" {
				first = strings.Replace(c.want, "2", "1", 1)
			}
			if diff := cmp.Diff([][]string{{first, "1"}, {c.want, "2"}}, lake.Rows(t, m)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := m.Schema[0].Type.String(); got != c.typ {
				t.Errorf("the type is %s, expected %s", got, c.typ)
			}
		})
	}
}

// TestNames holds names that need quoting, in both parts of a table's name, and tables that differ by case.
func TestNames(t *testing.T) {
	server, _ := database(t, "CREATE TABLE `a``b.c \"d` (`Key``1` INT, b INT, PRIMARY KEY (b, `Key``1`))", "INSERT INTO `a``b.c \"d` VALUES (1, 2)",
		"CREATE TABLE Tags (id INT PRIMARY KEY, upper INT)", "CREATE TABLE tags (id INT PRIMARY KEY, lower INT)", "INSERT INTO tags VALUES (1, 2)",
		"CREATE VIEW seen AS SELECT id, lower FROM tags")
	source := newSource(t, server.URL)
	tables, err := source.Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, info := range tables {
		got = append(got, fmt.Sprint(info.Name, info.Columns.Names(), info.Key))
	}
	slices.Sort(got)
	want := []string{"Tags[id upper] [id]", "`a``b.c \"d`[Key`1 b] [b Key`1]", "seen[id lower] []", "tags[id lower] [id]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"tags", server.Database + ".tags", "`" + server.Database + "`.`tags`", "seen"} {
		e := extracttest.Table(name)
		e.Dataset = "shop.tags"
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(e, 1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([][]string{{"1", "2"}}, lake.Rows(t, m)); diff != "" {
			t.Error(diff)
		}
	}
	e := extracttest.Table("`a``b.c \"d`")
	e.Dataset, e.Exclude = "shop.odd", []string{"b"}
	_, err = extracttest.Extract(t, extracttest.New(t, source, &extracttest.Lake{}), extracttest.Job(e, 1))
	extracttest.Fails(t, err, "column_name", "Key`1")
	for name, code := range map[string]elt.Code{"nope": "table_missing", "a.b.c": "table_name", "`a": "table_name", "a`b": "table_name", "`a`b": "table_name", "a.": "table_name", "": "table_name"} {
		_, err := source.Describe(t.Context(), name)
		extracttest.Fails(t, err, code)
	}
}

// TestThroughTheDriver reads as over TLS, where the driver reads the rows: what comes must be the same.
func TestThroughTheDriver(t *testing.T) {
	server, db := database(t, `CREATE TABLE v (id BIGINT UNSIGNED PRIMARY KEY, i INT, f FLOAT, d DOUBLE, y YEAR, p DECIMAL(12,2), b BIT(9), x VARBINARY(9), s VARCHAR(9), at DATETIME(6), z TIMESTAMP NULL)`,
		`INSERT INTO v VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
			(18446744073709551615, -5, 0.1, 5e-324, 1999, 0.10, 257, x'00', '', '2026-01-05 10:20:30.5', '2026-01-05 10:20:30')`,
		`CREATE TABLE a (n INT PRIMARY KEY, d DATE)`, `INSERT INTO a SELECT seq, '2026-01-05' FROM seq_1_to_300000`, `UPDATE a SET d = '0000-00-00' WHERE n = 3`)
	var rows [2][][]string
	for i, url := range []string{server.URL, server.URL + "?tls=preferred"} {
		lake := &extracttest.Lake{}
		x := extracttest.New(t, newSource(t, url), lake)
		m, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("v"), 1))
		if err != nil {
			t.Fatal(err)
		}
		rows[i] = lake.Rows(t, m)
		_, err = extracttest.Extract(t, x, extracttest.Job(extracttest.Table("a"), 1))
		extracttest.Fails(t, err, "value_not_representable", "n = 3")
	}
	if diff := cmp.Diff(rows[0], rows[1]); diff != "" || len(rows[0]) != 2 {
		t.Errorf("(-wire +driver)\n%s", diff)
	}
	exec(t, db, `TRUNCATE TABLE a`) // nobody reads it any more
}

// TestLongValues holds rows around the length at which a packet goes on in the next.
func TestLongValues(t *testing.T) {
	server, db := database(t, `CREATE TABLE v (v LONGTEXT, id INT PRIMARY KEY)`)
	const packet = 1<<24 - 1
	var want [][]string
	for i, n := range []int{packet - 7, packet - 6, packet - 5, packet + 1, 2*packet - 11, 2*packet - 10, 0} {
		exec(t, db, fmt.Sprintf(`INSERT INTO v VALUES (REPEAT('x', %d), %d)`, n, i))
		want = append(want, []string{fmt.Sprint(n), fmt.Sprint(i)})
	}
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, newSource(t, server.URL), lake), extracttest.Job(extracttest.Table("v"), 1))
	if err != nil {
		t.Fatal(err)
	}
	rows := lake.Rows(t, m)
	for _, row := range rows {
		row[0] = fmt.Sprint(len(row[0]))
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}
