package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// keyType is a type of key columns, with values.
type keyType struct {
	declared string
	values   []string
}

// keyed are types of key columns with values that are hard to keep in order: they fall together under their collation, or
// look alike in text, or are the ends of their range.
var keyed = []keyType{
	{"INT", []string{"-2147483648", "-1", "0", "1", "7", "8", "9", "1000", "2147483647"}},
	{"BIGINT UNSIGNED", []string{"0", "1", "9223372036854775807", "9223372036854775808", "18446744073709551615"}},
	{"DECIMAL(20,5)", []string{"-999999999999999.99999", "-0.00001", "0", "0.1", "0.10001", "999999999999999.99999"}},
	{"FLOAT", []string{"-3.4e38", "-0.1", "0", "0.1", "0.3", "16777216", "3.4e38"}},
	{"DOUBLE", []string{"-1.7e308", "-5e-324", "0", "0.1", "0.1 + 0.2e0", "0.3", "1e22"}},
	{"BIT(40)", []string{"0", "1", "255", "256", "1099511627775"}},
	{"YEAR", []string{"0", "1901", "1999", "2000", "2155"}},
	{"DATE", []string{"'1000-01-01'", "'1999-12-31'", "'2026-02-28'", "'9999-12-31'"}},
	{"DATETIME(6)", []string{"'1000-01-01 00:00:00'", "'2026-03-29 02:30:00'", "'2026-03-29 02:30:00.000001'", "'9999-12-31 23:59:59.999999'"}},
	{"TIMESTAMP(3)", []string{"'1970-01-02 00:00:01'", "'2026-10-25 00:30:00'", "'2026-10-25 00:30:00.001'", "'2026-10-25 01:30:00'"}},
	{"TIME(2)", []string{"'-838:59:58.99'", "'-00:00:01'", "'00:00:00'", "'24:00:00'", "'838:59:59'"}},
	{"VARCHAR(20)", []string{"''", "'a'", "'B'", "'c '", "'d\\t'", "'\\''", "'\\\\'", "'%'", "'_'", "'🌅'", "'\\0'", "'é'", "'Z'", "'ß'"}},
	{"VARCHAR(20) COLLATE utf8mb4_bin", []string{"''", "'a'", "'A'", "'b'", "'B'", "'é'", "'e'", "'🌅'"}},
	{"VARCHAR(20) COLLATE utf8mb4_unicode_nopad_ci", []string{"''", "'a'", "'a '", "'a\\t'", "'B'", "'é'", "'f'"}},
	{"CHAR(9) CHARACTER SET latin1 COLLATE latin1_german2_ci", []string{"''", "'ad'", "'ä'", "'AF'", "'o'", "'ö'", "'ss'", "'t'"}},
	{"VARCHAR(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_swedish_ci", []string{"'z'", "'å'", "'ä'", "'ö'", "'a'", "'V'", "'x'"}},
	{"VARCHAR(9) CHARACTER SET utf16", []string{"'a'", "'b'", "'🌅'", "'ﬁ'", "'z'"}},
	{"BINARY(4)", []string{"x'00000000'", "x'61000000'", "x'61200000'", "x'ff'", "x'27'", "x'5c'"}},
	{"VARBINARY(4)", []string{"''", "x'00'", "x'0000'", "x'61'", "x'6120'", "x'ff'"}},
	{"ENUM('z', 'm', 'a', '')", []string{"'z'", "'m'", "'a'"}},
	{"SET('b', 'a')", []string{"''", "'a'", "'b'", "'a,b'"}},
	{"UUID", []string{"'00000000-0000-0000-0000-000000000000'", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'", "'6ba7b811-9dad-11d0-80b4-00c04fd430c8'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"}},
	{"INET6", []string{"'::'", "'::ffff:10.0.0.1'", "'2001:db8::1'", "'ffff::'"}},
}

// TestChunksTile extracts random tables in random chunks: whatever the key, the same rows must come as one scan of
// the table has, each once.
func TestChunksTile(t *testing.T) {
	server, db := database(t)
	lake := &extracttest.Lake{}
	attempt, chunked := 0, 0
	property.Check(t, func(r *rapid.T) {
		attempt++
		if chunksTile(t, r, server, db, lake, keyed, attempt) > 1 {
			chunked++
		}
	})
	if chunked == 0 {
		t.Error("no table was cut")
	}
}

// chunksTile extracts a random table in random chunks, and returns how many parts that made.
func chunksTile(t *testing.T, r *rapid.T, server *testenv.MariaDBServer, db *sql.DB, lake *extracttest.Lake, types []keyType, attempt int) int {
	makeTable(t, r, db, types)
	source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Connections: rapid.IntRange(1, 4).Draw(r, "connections"),
		ChunkBytes: int64(rapid.SampledFrom([]int{1, 2000, 8000}).Draw(r, "chunk"))})
	if err != nil {
		r.Fatal(err)
	}
	m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("v"), attempt))
	if err != nil {
		r.Fatal(err)
	}
	want := scan(t, db)
	var got []string
	for _, row := range lake.Rows(t, m) {
		got = append(got, row[len(row)-1])
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		r.Fatalf("(-one scan +chunks)\n%s", diff)
	}
	return len(m.Parts)
}

// makeTable makes a table v with a random key and rows; its last column tells them apart.
func makeTable(t *testing.T, r *rapid.T, db *sql.DB, types []keyType) {
	var columns, names []string
	values := rapid.IntRange(20, 300).Draw(r, "rows")
	tuples := []string{""}
	nullable := rapid.IntRange(0, 3).Draw(r, "nullable") == 0
	for i := range rapid.IntRange(0, 3).Draw(r, "key columns") {
		k := rapid.SampledFrom(types).Draw(r, "type")
		names = append(names, fmt.Sprintf("k%d", i))
		some := slices.Clone(k.values)
		if k.declared == "INT" { // gaps of every size
			for range values / 5 {
				some = append(some, fmt.Sprint(rapid.Int32().Draw(r, "n")>>rapid.IntRange(0, 31).Draw(r, "bits")))
			}
		}
		null := " NOT NULL"
		if nullable && rapid.Bool().Draw(r, "null") {
			null, some = " NULL", append(some, "NULL", "NULL")
		}
		columns = append(columns, names[i]+" "+k.declared+null)
		var next []string
		for _, tuple := range tuples {
			for _, v := range some {
				next = append(next, tuple+v+", ")
			}
		}
		tuples = next
	}
	key, partitions := "", ""
	if len(names) > 0 {
		key = rapid.SampledFrom([]string{"PRIMARY KEY", "UNIQUE KEY `un``ique`"}).Draw(r, "key")
		if nullable {
			key = "UNIQUE KEY `un``ique`"
		}
		key = ", " + key + " (" + strings.Join(names, ", ") + ")"
		if rapid.IntRange(0, 3).Draw(r, "partitioned") == 0 {
			partitions = " PARTITION BY KEY (" + names[len(names)-1] + ") PARTITIONS 3"
		}
	}
	exec(t, db, "DROP TABLE IF EXISTS v", "CREATE TABLE v ("+strings.Join(append(columns, "x VARCHAR(200)", "serial BIGINT"), ", ")+key+")"+partitions)
	var rows []string
	for i := range values {
		tuple := rapid.SampledFrom(tuples).Draw(r, "row")
		rows = append(rows, fmt.Sprintf("(%sREPEAT('x', %d), %d)", tuple, i%200, i))
	}
	exec(t, db, "INSERT IGNORE INTO v VALUES "+strings.Join(rows, ", "),
		fmt.Sprintf("DELETE FROM v WHERE serial %% %d = 0", rapid.IntRange(2, 50).Draw(r, "deleted")), "ANALYZE TABLE v")
}

// scan returns what tells the rows of v apart, by one scan of the table.
func scan(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(context.WithoutCancel(t.Context()), "SELECT CAST(serial AS CHAR) FROM v")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}
