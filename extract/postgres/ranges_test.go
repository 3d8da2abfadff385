package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// selected returns the rows of a query as texts, ordered.
func selected(t *testing.T, conn *pgx.Conn, query string) [][]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]string, error) {
		texts := make([]string, len(row.FieldDescriptions()))
		into := make([]any, len(texts))
		for i := range texts {
			into[i] = &texts[i]
		}
		return texts, row.Scan(into...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return byColumns(out)
}

// TestWithoutPages reads what has no pages of its own: by key where the server finds ranges of it in an index, else
// whole.
func TestWithoutPages(t *testing.T) {
	url, conn := database(t,
		`CREATE TABLE base (id int, name text, at timestamptz, v text)`,
		`INSERT INTO base SELECT CASE WHEN i % 50 > 0 THEN i END, CASE WHEN i % 7 > 0 THEN 'näme '' ' || i % 500 END,
		   CASE WHEN i % 5 > 0 THEN timestamptz '2026-01-01 00:00Z' + i * interval '1 minute' END, repeat('x', 200) FROM generate_series(-4000, 8000) i`,
		`CREATE INDEX ON base (id)`, `CREATE INDEX ON base (name)`, `CREATE INDEX ON base (at)`,
		`CREATE TABLE more AS SELECT * FROM base WHERE id > 0`, `CREATE INDEX ON more (id)`, `VACUUM ANALYZE base`, `VACUUM ANALYZE more`,
		`CREATE VIEW plain AS SELECT id, name, at, v FROM base`,
		`CREATE VIEW united AS SELECT id, v FROM base UNION ALL SELECT id, 'more' FROM more`,
		`CREATE VIEW joined AS SELECT base.id, more.name FROM base LEFT JOIN more ON more.id = base.id`,
		`CREATE VIEW numbered AS SELECT row_number() OVER () AS id, v FROM base`,
		`CREATE VIEW few AS SELECT id, v FROM base ORDER BY v, id LIMIT 5000`,
		`CREATE VIEW computed AS SELECT id * 2 AS id, v FROM base`,
		`CREATE VIEW empty AS SELECT * FROM base WHERE id > 1000000`,
		`CREATE VIEW nobody AS SELECT NULL::int AS id, v FROM base`)
	for _, c := range []struct {
		view, key string
		cut       bool
		list      string // the first two columns as texts
	}{
		{"plain", "id", true, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"plain", "name", true, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"plain", "at", true, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"plain", "v", false, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"plain", "", false, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"united", "id", true, `coalesce(id::text, 'NULL'), v`},
		{"joined", "id", true, `coalesce(id::text, 'NULL'), coalesce(name, 'NULL')`},
		{"numbered", "id", false, `id::text, v`},
		{"few", "id", false, `coalesce(id::text, 'NULL'), v`},
		{"computed", "id", false, `coalesce(id::text, 'NULL'), v`},
		{"empty", "id", false, `id::text, v`},
		{"nobody", "id", false, `'NULL', v`},
	} {
		t.Run(c.view+" by "+c.key, func(t *testing.T) {
			e := extracttest.Table("public." + c.view)
			if c.key != "" {
				e.Key = []string{c.key}
			}
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), lake), extracttest.Job(e, 1))
			if err != nil {
				t.Fatal(err)
			}
			got := lake.Rows(t, m)
			for i := range got {
				got[i] = got[i][:2]
			}
			want := selected(t, conn, "SELECT "+c.list+" FROM "+c.view)
			if !slices.EqualFunc(want, byColumns(got), slices.Equal) {
				t.Errorf("%d rows came of %d, or others", len(got), len(want))
			}
			if cut := len(m.Parts) > 3; cut != c.cut {
				t.Errorf("it came in %d parts", len(m.Parts))
			}
		})
	}
}

// TestForeignTable reads a table of another server while it changes there: all of it in one session, and so at one
// moment.
func TestForeignTable(t *testing.T) {
	_, far := database(t, `CREATE TABLE far AS SELECT i AS id, 0 AS n, repeat('x', 300) AS v FROM generate_series(1, 20000) i`,
		`ALTER TABLE far ADD PRIMARY KEY (id)`, `ANALYZE far`)
	config := far.Config()
	url, _ := database(t, `CREATE EXTENSION postgres_fdw`,
		fmt.Sprintf(`CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '%d', dbname '%s', use_remote_estimate 'true')`, config.Port, config.Database),
		`CREATE USER MAPPING FOR postgres SERVER there OPTIONS (user 'postgres')`,
		`CREATE FOREIGN TABLE far (id int, n int, v text) SERVER there`, `CREATE VIEW over_far AS SELECT id, n, v FROM far`)
	for _, name := range []string{"public.far", "public.over_far"} {
		t.Run(name, func(t *testing.T) {
			parts := 0
			lake := &extracttest.Lake{Before: func(string) error {
				if parts++; parts == 2 { // every row changes, once the first chunk is there
					if _, err := far.Exec(t.Context(), `UPDATE far SET n = n + 1`); err != nil {
						t.Error(err)
					}
				}
				return nil
			}}
			e := extracttest.Table(name)
			e.Key = []string{"id"}
			m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), lake), extracttest.Job(e, 1))
			if err != nil {
				t.Fatal(err)
			}
			n := m.Stats.Columns[1]
			if m.Rows() != 20000 || len(m.Parts) < 4 || n.Min != n.Max {
				t.Errorf("%d rows came in %d parts, with n from %s to %s", m.Rows(), len(m.Parts), n.Min, n.Max)
			}
		})
	}
}

// TestForeignPartitions reads a table some of whose partitions are another server's, while they change there: whatever is
// read beside them by others, they are of one moment.
func TestForeignPartitions(t *testing.T) {
	const rows = `SELECT i AS id, timestamptz '2026-01-01 00:00Z' + i %% 500 * interval '10 seconds' AS at, 0 AS n, repeat('x', 300) AS v FROM generate_series(%d, %d) i`
	_, far := database(t, `CREATE TABLE a_far AS `+fmt.Sprintf(rows, 0, 4999), `CREATE TABLE z_far AS `+fmt.Sprintf(rows, 15000, 19999),
		`ALTER TABLE a_far ADD PRIMARY KEY (id)`, `ALTER TABLE z_far ADD PRIMARY KEY (id)`, `CREATE INDEX ON a_far (at)`, `CREATE INDEX ON z_far (at)`, `ANALYZE`)
	config := far.Config()
	url, conn := database(t, `CREATE EXTENSION postgres_fdw`,
		fmt.Sprintf(`CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '%d', dbname '%s', use_remote_estimate 'true')`, config.Port, config.Database),
		`CREATE USER MAPPING FOR postgres SERVER there OPTIONS (user 'postgres')`, `CREATE TABLE parted (id int, at timestamptz, n int, v text) PARTITION BY RANGE (id)`,
		`CREATE FOREIGN TABLE a_far PARTITION OF parted FOR VALUES FROM (0) TO (5000) SERVER there`,
		`CREATE FOREIGN TABLE z_far PARTITION OF parted FOR VALUES FROM (15000) TO (20000) SERVER there`)
	for i := range 20 { // so small that they share chunks with those before and behind
		exec(t, conn, fmt.Sprintf(`CREATE TABLE m%02d PARTITION OF parted FOR VALUES FROM (%d) TO (%d)`, i, 5000+500*i, 5500+500*i))
	}
	exec(t, conn, `INSERT INTO parted `+fmt.Sprintf(rows, 5000, 14999), `ANALYZE`)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	whole := extracttest.Job(extracttest.Table("public.parted"), 1)
	for _, c := range []struct {
		name, before string
		job          extract.Job
		rows         int64
	}{
		{"by pages", `SELECT`, whole, 20000},
		{"a window by its cursor", `CREATE INDEX ON parted (at)`, window(incremental("public.parted"), 1, from.Add(1000*time.Second), from.Add(1500*time.Second)), 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			exec(t, conn, c.before, `ANALYZE`)
			ctx, cancel := context.WithCancel(t.Context())
			var moving sync.WaitGroup
			moving.Go(func() { // two rows change together, again and again
				tick := time.NewTicker(time.Millisecond) // readers have to do something, too
				defer tick.Stop()
				for ; ctx.Err() == nil; <-tick.C {
					if _, err := far.Exec(t.Context(), `UPDATE a_far SET n = n + 1 WHERE id = 100; UPDATE z_far SET n = n + 1 WHERE id = 15149`); err != nil {
						t.Error(err)
						return
					}
				}
			})
			lake := &extracttest.Lake{}
			m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), lake), c.job)
			cancel()
			moving.Wait()
			if err != nil {
				t.Fatal(err)
			}
			moment := make(map[string]string)
			for _, row := range lake.Rows(t, m) {
				moment[row[0]] = row[2]
			}
			if m.Rows() != c.rows || len(m.Parts) < 4 || moment["100"] != moment["15149"] {
				t.Errorf("%d rows came in %d parts; two that change together are %s and %s", m.Rows(), len(m.Parts), moment["100"], moment["15149"])
			}
		})
	}
}

// TestWindowsInChunks cuts windows: by the cursor where an index finds them, by pages where none does, without the
// partitions that they cannot lie in.
func TestWindowsInChunks(t *testing.T) {
	const perDay, days = 4320, 8
	from, to := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	rows := fmt.Sprintf(`SELECT i AS id, timestamptz '2026-01-01 00:00Z' + i * interval '20 seconds' AS at, repeat('x', 200) AS s FROM generate_series(0, %d) i`, perDay*days-1)
	url, conn := database(t, `CREATE TABLE indexed AS `+rows, `CREATE INDEX ON indexed (at)`, `CREATE TABLE bare AS `+rows,
		`CREATE TABLE parted (id int, at timestamptz, s text) PARTITION BY RANGE (at)`,
		`CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('2026-01-04 00:00Z')`,
		`CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM ('2026-01-04 00:00Z') TO ('2026-01-06 00:00Z')`,
		`CREATE TABLE parted_c PARTITION OF parted DEFAULT`, `INSERT INTO parted `+rows, `ANALYZE`)
	for _, name := range []string{"indexed", "bare", "parted"} {
		exec(t, conn, fmt.Sprintf(`INSERT INTO %s SELECT i, NULL, 'timeless' FROM generate_series(1000001, 1000100) i`, name))
		for nulls, more := range map[elt.NullCursors]int{elt.NullsInclude: 100, elt.NullsSkip: 0} {
			t.Run(name+", without a cursor: "+string(nulls), func(t *testing.T) {
				lake := &extracttest.Lake{}
				e := incremental("public." + name)
				e.NullCursors, e.Verify = nulls, elt.LevelRows
				m, err := extracttest.Extract(t, extracttest.New(t, cutting(t, url, 3), lake), window(e, 1, from, to))
				if err != nil {
					t.Fatal(err)
				}
				ids := make(map[string]bool)
				for _, row := range lake.Rows(t, m) {
					ids[row[0]] = true
				}
				if want := 3*perDay + more; len(ids) != want || m.Rows() != int64(want) || len(m.Parts) < 4 || m.NullCursors != 100 {
					t.Errorf("%d rows came, %d of them different, in %d parts; %d had no cursor", m.Rows(), len(ids), len(m.Parts), m.NullCursors)
				}
			})
		}
	}
}
