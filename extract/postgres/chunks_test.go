package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// cutting returns a source that cuts tables of a few pages, and reads over as many connections as are wanted.
func cutting(t testing.TB, url string, readers int) *postgres.Source {
	t.Helper()
	s, err := postgres.New(postgres.Options{Name: "shop", URL: url, Log: extracttest.Log(t), Connections: 1 + readers, ChunkBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// byColumns orders rows.
func byColumns(rows [][]string) [][]string {
	slices.SortFunc(rows, slices.Compare)
	return rows
}

// TestChunksAreTheWholeTable makes tables of random rows, updates and deletes them so that pages have gaps and rows lie
// far from where they began, and compares what chunks bring with what one SELECT brings: the rows, and the facts.
func TestChunksAreTheWholeTable(t *testing.T) {
	url, conn := database(t, `SET default_statistics_target = 10`)
	shapes := []string{
		`CREATE TABLE v (id int, n numeric(20,3), s text, l int[])`,
		`CREATE TABLE v (id int, n numeric(20,3), s text, l int[]) WITH (fillfactor = 20)`,
		`CREATE TABLE v (id int, n numeric(20,3), s text, l int[]) PARTITION BY RANGE (id)`,
		`CREATE TABLE v (id int, n numeric(20,3), s text, l int[]); CREATE TABLE w (extra int) INHERITS (v)`,
	}
	property.Check(t, func(r *rapid.T) {
		run := func(statement string, args ...any) {
			r.Helper()
			if _, err := conn.Exec(t.Context(), fmt.Sprintf(statement, args...)); err != nil {
				r.Fatalf("%s: %v", statement, err)
			}
		}
		shape := rapid.SampledFrom(shapes).Draw(r, "shape")
		run(`DROP TABLE IF EXISTS w, v CASCADE`)
		for s := range strings.SplitSeq(shape, ";") {
			run("%s", s)
		}
		into := []string{"v"}
		switch {
		case strings.Contains(shape, "PARTITION"):
			for i := range 3 {
				run(`CREATE TABLE v%d PARTITION OF v FOR VALUES FROM (%d) TO (%d)`, i, i*1000, i*1000+1000)
			}
			run(`CREATE TABLE vd PARTITION OF v DEFAULT PARTITION BY LIST (id)`)
			run(`CREATE TABLE vdd PARTITION OF vd DEFAULT`)
		case strings.Contains(shape, "INHERITS"):
			into = append(into, "w")
		}
		for _, name := range into {
			run(`INSERT INTO %s (id, n, s, l) SELECT i * %d, CASE WHEN i %% 3 > 0 THEN i * 1.5 END, repeat('x', i %% %d), ARRAY[i, NULL] FROM generate_series(1, %d) i`,
				name, rapid.IntRange(1, 20).Draw(r, "step"), rapid.IntRange(1, 3000).Draw(r, "width"), rapid.IntRange(0, 400).Draw(r, "rows"))
		}
		for range rapid.IntRange(0, 3).Draw(r, "changes") {
			from := rapid.IntRange(0, 4000).Draw(r, "from")
			switch rapid.IntRange(0, 3).Draw(r, "change") {
			case 0:
				run(`DELETE FROM v WHERE id BETWEEN %d AND %d`, from, from+rapid.IntRange(0, 4000).Draw(r, "many"))
			case 1:
				run(`UPDATE v SET n = n + 1, s = s || 'y' WHERE id BETWEEN %d AND %d`, from, from+500)
			case 2:
				run(`VACUUM v`)
			case 3:
				run(`ANALYZE v`)
			}
		}
		var want [][]string
		rows, err := conn.Query(t.Context(), `SELECT coalesce(id::text, 'NULL'), coalesce(n::text, 'NULL'), s, '[' || l[1] || ' NULL]' FROM v`)
		if err == nil {
			want, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
				texts := make([]string, 4)
				return texts, row.Scan(&texts[0], &texts[1], &texts[2], &texts[3])
			})
		}
		if err != nil {
			r.Fatal(err)
		}
		lake := &extracttest.Lake{}
		x := extracttest.New(t, cutting(t, url, rapid.IntRange(1, 4).Draw(r, "readers")), lake)
		m, err := extracttest.Extract(t, x, extracttest.Job(extracttest.Table("public.v"), 1))
		if err != nil {
			r.Fatal(err)
		}
		// Rows also compares the manifest's facts, merged over chunks, with one pass over the parts.
		if diff := cmp.Diff(byColumns(want), byColumns(lake.Rows(t, m)), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("(-one SELECT +chunks)\n%s", diff)
		}
	})
}

// TestPartsAreInTheTablesOrder: whichever connection was faster, the manifest lists the parts as the table has
// its pages.
func TestPartsAreInTheTablesOrder(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v AS SELECT i AS n, repeat('x', 500) AS s FROM generate_series(1, 5000) i`)
	for range 5 {
		lake := &extracttest.Lake{}
		m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 4), lake), extracttest.Job(extracttest.Table("public.v"), 1))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Parts) < 10 {
			t.Fatalf("%d parts are not many", len(m.Parts))
		}
		for i, row := range lake.Rows(t, m) {
			if row[0] != fmt.Sprint(i+1) {
				t.Fatalf("row %d is %s", i+1, row[0])
			}
		}
	}
}

// TestPartitionsOfOthers: a role that may read the table and not its partitions, or sees some rows only, reads it as it
// is meant to.
func TestPartitionsOfOthers(t *testing.T) {
	url, conn := database(t, `CREATE TABLE p (id int, v text) PARTITION BY RANGE (id)`, `CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000)`,
		`CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (2000)`, `INSERT INTO p SELECT i, repeat('x', 200) FROM generate_series(0, 1999) i`,
		`CREATE ROLE outsider LOGIN`, `GRANT SELECT ON p TO outsider`,
		`CREATE TABLE rows (id int, v text)`, `INSERT INTO rows SELECT i, repeat('x', 200) FROM generate_series(0, 1999) i`,
		`ALTER TABLE rows ENABLE ROW LEVEL SECURITY`, `CREATE POLICY even ON rows FOR SELECT TO outsider USING (id % 2 = 0)`, `GRANT SELECT ON rows TO outsider`,
		`CREATE TABLE q (id int, v text) PARTITION BY RANGE (id)`, `CREATE TABLE q1 PARTITION OF q DEFAULT`, `INSERT INTO q SELECT * FROM p`,
		`ALTER TABLE q ENABLE ROW LEVEL SECURITY`, `CREATE POLICY few ON q FOR SELECT TO outsider USING (id < 10)`, `GRANT SELECT ON q, q1 TO outsider`,
		`CREATE MATERIALIZED VIEW m AS SELECT * FROM p`, `GRANT SELECT ON m TO outsider`)
	t.Cleanup(func() { afterwards(t, url, `DROP OWNED BY outsider`, `DROP ROLE outsider`) })
	source := cutting(t, strings.Replace(url, conn.Config().User+"@", "outsider@", 1), 2)
	for name, want := range map[string]int64{"public.p": 2000, "public.rows": 1000, "public.q": 10, "public.m": 2000} {
		m, err := extracttest.Extract(t, extracttest.New(t, source, &extracttest.Lake{}), extracttest.Job(extracttest.Table(name), 1))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Rows() != want || name != "public.m" && len(m.Parts) != 1 || name == "public.m" && len(m.Parts) < 2 {
			t.Errorf("%s came as %d rows in %d parts", name, m.Rows(), len(m.Parts))
		}
	}
}

// TestFirstLoadInChunks: a first load of an incremental table has no beginning, and is read in chunks up to its end.
func TestFirstLoadInChunks(t *testing.T) {
	url, _ := database(t, `CREATE TABLE v AS SELECT i AS id, timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' AS at, repeat('x', 200) AS s FROM generate_series(1, 5000) i`)
	e := incremental("public.v")
	to := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	lake := &extracttest.Lake{}
	m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 2), lake), window(e, 1, time.Time{}, to))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(lake.Rows(t, m)); got != 24*60-1 || len(m.Parts) < 2 {
		t.Errorf("%d rows came in %d parts", got, len(m.Parts))
	}
}

// TestRefusedValueInAChunk: the row is named by its key, and without one by its place.
func TestRefusedValueInAChunk(t *testing.T) {
	url, conn := database(t, `CREATE TABLE v (id int, d date, s text)`, `INSERT INTO v SELECT i, date '2026-01-01', repeat('x', 200) FROM generate_series(1, 5000) i`,
		`UPDATE v SET d = 'infinity' WHERE id = 4000`)
	_, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), &extracttest.Lake{}), extracttest.Job(extracttest.Table("public.v"), 1))
	extracttest.Fails(t, err, "value_not_representable", "from page", "infinity")
	exec(t, conn, `ALTER TABLE v ADD PRIMARY KEY (id)`)
	_, err = extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), &extracttest.Lake{}), extracttest.Job(extracttest.Table("public.v"), 1))
	extracttest.Fails(t, err, "value_not_representable", "id = 4000")
}

// TestOneKeeperMayDie ends each of the sessions that keep the snapshot, in turn: what is still to be read is read in
// the same snapshot, under locks that were never let go.
func TestOneKeeperMayDie(t *testing.T) {
	for name, victim := range map[string]string{"the first": `ORDER BY backend_start LIMIT 1`, "the second": `ORDER BY backend_start DESC LIMIT 1`} {
		t.Run(name, func(t *testing.T) {
			url, conn := database(t, `CREATE TABLE a AS SELECT generate_series(1, 10) AS n`, `CREATE TABLE b AS SELECT generate_series(1, 20) AS n`,
				`CREATE TABLE c AS SELECT generate_series(1, 30) AS n`)
			tables := []elt.Extraction{extracttest.Table("public.a"), extracttest.Table("public.b"), extracttest.Table("public.c")}
			night := extracttest.New(t, newSource(t, url), &extracttest.Lake{}).Begin("r1", tables, tables)
			defer night.Close()
			read := func(e elt.Extraction) *elt.Manifest {
				t.Helper()
				m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			first := read(tables[0])
			exec(t, conn, `SELECT pg_terminate_backend(pid, 60000) FROM (SELECT pid FROM pg_stat_activity
				WHERE application_name = 'daybreak' AND datname = current_database() `+victim+`) AS x`, `INSERT INTO b VALUES (21)`)
			_, err := conn.Exec(t.Context(), `SET lock_timeout = '100ms'; TRUNCATE c`)
			if err == nil || !strings.Contains(err.Error(), "lock timeout") {
				t.Errorf("TRUNCATE was not held up: %v", err)
			}
			for _, e := range tables[1:] {
				m := read(e)
				if m.Source.Snapshot != first.Source.Snapshot || !m.Source.CrossTableConsistent || m.Rows() != int64(10+10*slices.Index(tablesOf(tables), e.Table)) {
					t.Errorf("%s was read as %+v with %d rows", e.Dataset, m.Source, m.Rows())
				}
			}
		})
	}
}

func tablesOf(all []elt.Extraction) (names []string) {
	for _, e := range all {
		names = append(names, e.Table)
	}
	return names
}

// TestTablesShareConnections extracts large and small tables at once: all come whole, over no more sessions than
// are allowed.
func TestTablesShareConnections(t *testing.T) {
	server := testenv.NewPostgres(t, map[string]string{"max_connections": "8", "superuser_reserved_connections": "0"})
	conn := connect(t, server.URL)
	var tables []elt.Extraction
	for i := range 6 {
		exec(t, conn, fmt.Sprintf(`CREATE TABLE t%d AS SELECT i AS n, repeat('x', 300) AS s FROM generate_series(1, %d) i`, i, 1+i%3*20000))
		tables = append(tables, extracttest.Table(fmt.Sprintf("public.t%d", i)))
	}
	// Two connections are this test's, six are the source's, and one would be too many.
	exec(t, connect(t, server.URL), `SELECT 1`)
	testenv.Eventually(t, "who asked whether the server is there has gone", func() bool {
		var clients int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'`).Scan(&clients); err != nil {
			t.Fatal(err)
		}
		return clients == 2
	})
	night := extracttest.New(t, cutting(t, server.URL, 5), &extracttest.Lake{}).Begin("r1", tables, tables)
	defer night.Close()
	var all sync.WaitGroup
	for i, e := range tables {
		all.Go(func() {
			m, err := night.Extract(t.Context(), extracttest.Job(e, 1), nothing)
			if err != nil {
				t.Error(err)
			} else if m.Rows() != int64(1+i%3*20000) || !m.Source.CrossTableConsistent {
				t.Errorf("%s has %d rows of %+v", e.Dataset, m.Rows(), m.Source)
			}
		})
	}
	all.Wait()
}
