package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/mysql"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestThousandTables extracts a thousand tables in one snapshot.
func TestThousandTables(t *testing.T) {
	server, db := database(t)
	const count = 1000
	var tables []elt.Extraction
	for i := range count {
		exec(t, db, fmt.Sprintf(`CREATE TABLE t%d (n INT PRIMARY KEY, s VARCHAR(20)) STATS_PERSISTENT = 0`, i), fmt.Sprintf(`INSERT INTO t%d VALUES (%[1]d, 'x'), (-1, NULL)`, i))
		tables = append(tables, extracttest.Table(fmt.Sprintf("t%d", i)))
	}
	lake := &extracttest.Lake{}
	source := newSource(t, server.URL)
	if problems := extracttest.New(t, source, lake).Check(t.Context(), tables[:3], nil); len(problems) > 0 {
		t.Error(problems)
	}
	night := extracttest.New(t, source, lake).Begin("r1", tables, tables)
	defer night.Close()
	grown := extracttest.Held(t, func() {
		for i, e := range tables {
			m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
			if err != nil {
				t.Fatal(err)
			}
			if rows := lake.Rows(t, m); len(rows) != 2 || rows[1][0] != fmt.Sprint(i) && rows[0][0] != fmt.Sprint(i) || !m.Source.CrossTableConsistent {
				t.Fatalf("table %d has %v in %+v", i, rows, m.Source)
			}
		}
	})
	if grown > 30 {
		t.Errorf("a thousand tables took %d MB", grown)
	}
	all, err := source.Tables(t.Context())
	if err != nil || len(all) != count {
		t.Errorf("discovery found %d tables: %v", len(all), err)
	}
}

// TestWidestTable extracts a table of as many columns as InnoDB takes.
func TestWidestTable(t *testing.T) {
	const columns = 1017
	var names, values []string
	for i := range columns {
		names, values = append(names, fmt.Sprintf("c%d TINYINT", i)), append(values, fmt.Sprintf("seq %% %d", i%100+1))
	}
	server, db := database(t, `CREATE TABLE wide (`+strings.Join(names, ", ")+`)`, `INSERT INTO wide SELECT `+strings.Join(values, ", ")+` FROM seq_1_to_2000`)
	exec(t, db, `INSERT INTO wide (c0) VALUES (NULL)`)
	lake := &extracttest.Lake{}
	var m *elt.Manifest
	var err error
	grown := extracttest.Held(t, func() {
		m, err = extracttest.Extract(t, extracttest.New(t, newSource(t, server.URL), lake), extracttest.Job(extracttest.Table("wide"), 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := lake.Rows(t, m)
	if len(rows) != 2001 || len(rows[0]) != columns || rows[100][99] != "1" || rows[2000][1016] != "NULL" {
		t.Errorf("%d rows of %d columns came", len(rows), len(rows[0]))
	}
	if grown > 100 {
		t.Errorf("it took %d MB", grown)
	}
}

// TestHugeValues extracts values of 100 MB, which come in several packets each, in the memory of a few.
func TestHugeValues(t *testing.T) { hugeValues(t, 2) }

func hugeValues(t *testing.T, count int64) {
	t.Helper()
	const size = 100_000_000
	server := testenv.UnloggedMariaDB(t)
	db := connect(t, server, "root")
	exec(t, db, `CREATE TABLE huge (id INT PRIMARY KEY, v LONGBLOB)`)
	for i := range count {
		exec(t, db, fmt.Sprintf(`INSERT INTO huge VALUES (%d, REPEAT(CHAR(65 + %[1]d), %d))`, i, size+i))
	}
	lake := &extracttest.Lake{Discard: true}
	source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, Connections: 1, Log: extracttest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	var m *elt.Manifest
	grown := extracttest.Held(t, func() {
		m, err = extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table("huge"), 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows() != count || m.Stats.Columns[1].Length != size*count+count*(count-1)/2 {
		t.Errorf("%d rows came, of %+v", m.Rows(), m.Stats.Columns[1])
	}
	if grown > 650 {
		t.Errorf("it took %d MB", grown)
	}
}

// TestEmptyTables extracts tables without rows: each still shows its schema.
func TestEmptyTables(t *testing.T) {
	server, _ := database(t, `CREATE TABLE none (a INT PRIMARY KEY, b JSON, c DECIMAL(12,2))`, `CREATE TABLE parts (a INT PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 4`,
		`CREATE TABLE keyless (a INT, UNIQUE KEY (a))`)
	for _, name := range []string{"none", "parts", "keyless"} {
		lake := &extracttest.Lake{}
		source, err := mysql.New(mysql.Options{Name: "shop", URL: server.URL, ChunkBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(extracttest.Table(name), 1))
		if err != nil {
			t.Fatal(err)
		}
		if rows := lake.Rows(t, m); len(rows) != 0 || len(m.Parts) != 1 {
			t.Errorf("%s has %v in %d parts", name, rows, len(m.Parts))
		}
	}
}
