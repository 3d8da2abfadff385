package mysql_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestOracleChunksTile is TestChunksTile on a server of Oracle's, without the types and collations that only MariaDB has.
func TestOracleChunksTile(t *testing.T) {
	types := slices.DeleteFunc(slices.Clone(keyed), func(k keyType) bool {
		return slices.ContainsFunc([]string{"UUID", "INET6", "nopad", "utf8mb3"}, func(s string) bool { return strings.Contains(k.declared, s) })
	})
	server := testenv.MySQL(t)
	db := connect(t, server, "root")
	lake := &extracttest.Lake{}
	attempt := 0
	property.Check(t, func(r *rapid.T) {
		attempt++
		chunksTile(t, r, server, db, lake, types, attempt)
	})
}

// TestOracleTypes extracts the edges of types from a server of Oracle's.
func TestOracleTypes(t *testing.T) {
	server := testenv.MySQL(t)
	db := connect(t, server, "root")
	exec(t, db, `CREATE TABLE v (id INT PRIMARY KEY, u BIGINT UNSIGNED, d DECIMAL(65,30), e DECIMAL(12,2), at DATETIME(6), z TIMESTAMP(3) NULL, l VARCHAR(20) CHARACTER SET latin1, s VARCHAR(20) CHARACTER SET sjis,
			m VARCHAR(20) CHARACTER SET utf8mb4, f FLOAT, b BIT(20), o BIT(1), g GEOMETRY, x SET('a','b'), n ENUM('a', ''), t TIME(6), y YEAR, i BINARY(16), q TINYINT(1), dt DATE)`,
		`INSERT INTO v VALUES (1, 18446744073709551615, 1.5, -0.05, '9999-12-31 23:59:59.999999', '2026-03-29 02:30:00.001', 'äÿ', '日本', '🌅', 0.1, 524289, 1, ST_GeomFromText('POINT(1 2)'),
			'b,a', '', '-838:59:58.999999', 0, x'6ba7b8109dad11d180b400c04fd40000', 5, '0001-01-01'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
		`CREATE TABLE zero (id INT PRIMARY KEY, d DATE)`, `INSERT INTO zero VALUES (7, '0000-00-00')`,
		`CREATE VIEW long_text AS SELECT GROUP_CONCAT(REPEAT('x', 100)) AS t FROM mysql.user a, mysql.user b, mysql.user c`)
	source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Log: extracttest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("v"), 1))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"1", "18446744073709551615", "1.5" + strings.Repeat("0", 29), "-0.05", "9999-12-31 23:59:59.999999", "2026-03-29 02:30:00.001+00", "äÿ", "日本", "🌅", "0.10000000149011612", "524289", "true",
			`\x0101000000000000000000f03f0000000000000040`, "a,b", "", "-838:59:58.999999", "0", `\x6ba7b8109dad11d180b400c04fd40000`, "5", "0001-01-01"},
		append([]string{"2"}, slices.Repeat([]string{"NULL"}, 19)...),
	}
	if diff := cmp.Diff(want, lake.Rows(t, m)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("zero"), 1))
	extracttest.Fails(t, err, "value_not_representable", "table zero", "column d", "id = 7", "0000-00-00")
	m, err = extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("long_text"), 1))
	if err != nil {
		t.Fatal(err)
	}
	if rows := lake.Rows(t, m); len(rows[0][0])%101 != 100 {
		t.Errorf("a text that a view puts together was cut to %d octets", len(rows[0][0]))
	}
}

// TestOracleSnapshots moves money while tables are read over several sessions, by each way that the server has.
func TestOracleSnapshots(t *testing.T) {
	server := testenv.MySQL(t)
	db := connect(t, server, "root")
	var ids []string
	for i := range 500 {
		ids = append(ids, fmt.Sprintf("(%d, 1000)", i+1))
	}
	exec(t, db, `CREATE TABLE a (id INT PRIMARY KEY, n BIGINT)`, `CREATE TABLE b (id INT PRIMARY KEY, n BIGINT)`, `INSERT INTO a VALUES `+strings.Join(ids, ", "),
		`INSERT INTO b SELECT id, 0 FROM a`, `ANALYZE TABLE a, b`)
	moved := moving(t, server)
	for name, grants := range map[string][]string{"flush": {"SELECT, RELOAD ON *.*"}, "table": {"SELECT, LOCK TABLES ON *.*"}, "one": {"SELECT ON *.*"}} {
		url := user(t, server, db, "oracle_"+name, grants...)
		for round := range 3 {
			wait(t, moved)
			lake := &extracttest.Lake{}
			source, err := mysql.New(mysql.Options{Name: "shop", URL: url, Connections: 3, ChunkBytes: 1000, Log: extracttest.Log(t)})
			if err != nil {
				t.Fatal(err)
			}
			tables := []elt.Extraction{extracttest.Table("a"), extracttest.Table("b")}
			night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
			total := 0
			for _, e := range tables {
				m, err := night.Extract(t.Context(), extracttest.Job(e, round), nothing)
				if err != nil {
					t.Fatal(err)
				}
				sum, err := strconv.Atoi(m.Stats.Columns[1].Sum)
				if err != nil {
					t.Fatal(err)
				}
				total += sum
				wait(t, moved)
			}
			if err := night.Close(); err != nil {
				t.Fatal(err)
			}
			if total != 500_000 {
				t.Errorf("%s: the tables add up to %d", name, total)
			}
		}
	}
}
