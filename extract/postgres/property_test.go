package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// kinds are types whose canonical text is the server's own, each with an expression of the row's number i.
var kinds = []struct{ typ, value string }{
	{"bigint", "i * 1000003::bigint - 5000000000"}, {"smallint", "(i % 60000 - 30000)::int2"}, {"text", "'ü' || i || E'\\n''\"\\\\'"}, {"text", "repeat('x', i % 2000)"},
	{"uuid", "md5(i::text)::uuid"}, {"date", "date '0001-01-01' + i * 3"}, {"numeric(20,3)", "i * 1.005 - 7"}, {"numeric(38,10)", "(i - 40) / 3.0"}, {"boolean", "i % 2 = 0"},
	{"jsonb", "jsonb_build_object('n', i / 7.0, 's', 'x' || i)"}, {"timestamptz", "timestamptz '1969-12-31 23:59:59.999999Z' + i * interval '1000003 us'"},
	{"timestamp", "timestamp '9999-12-31 23:59:59.999999' - i * interval '1 hour'"}, {"bytea", "decode(md5(i::text), 'hex')"}, {"time", "time '23:59:59.999999' - i * interval '1 s'"},
	{"varchar(3)", "left(i::text, 3)"}, {"char(8)", "i::text"}, {"inet", "inet '10.0.0.1/24' + i"}, {"interval", "i * interval '1 month 1 day'"}, {"numeric", "i / 7.0"}, {"int4range", "int4range(i, i + 3)"},
}

// TestAnyTableIsWhole makes tables of random columns, NULLs, keys and gaps, and reads them in random chunks, as they are
// or through a view, while random sessions are ended: what comes is what one SELECT brings, row for row.
func TestAnyTableIsWhole(t *testing.T) {
	url, conn := database(t, `SET TimeZone = 'UTC'`)
	saboteur := connect(t, url)
	property.Check(t, func(r *rapid.T) {
		run := func(statement string, args ...any) {
			r.Helper()
			if _, err := conn.Exec(t.Context(), fmt.Sprintf(statement, args...)); err != nil {
				r.Fatalf("%s: %v", statement, err)
			}
		}
		run(`DROP TABLE IF EXISTS v CASCADE`)
		columns, values, texts := []string{"id int"}, []string{"i"}, []string{"coalesce(id::text, 'NULL')"}
		key := rapid.SampledFrom([]string{"", "PRIMARY KEY", "index"}).Draw(r, "key")
		for n := range rapid.IntRange(0, 6).Draw(r, "columns") {
			k := rapid.SampledFrom(kinds).Draw(r, "kind")
			name := fmt.Sprintf("c%d", n)
			columns = append(columns, name+" "+k.typ)
			values = append(values, fmt.Sprintf("CASE WHEN i %% %d > 0 THEN %s END", rapid.IntRange(1, 9).Draw(r, "nulls"), k.value))
			text := name + "::text"
			if strings.HasPrefix(k.typ, "char(") { // a cast to text would take its blanks off
				text = "CASE WHEN " + name + " IS NOT NULL THEN concat(" + name + ") END"
			}
			texts = append(texts, "coalesce("+text+", 'NULL')")
		}
		partitioned := key != "PRIMARY KEY" && rapid.Bool().Draw(r, "partitioned")
		by := ""
		if partitioned {
			by = " PARTITION BY HASH (id)"
		}
		run(`CREATE TABLE v (%s)%s`, strings.Join(columns, ", "), by)
		if partitioned {
			for i := range 3 {
				run(`CREATE TABLE v%d PARTITION OF v FOR VALUES WITH (MODULUS 3, REMAINDER %d)`, i, i)
			}
		}
		first := "i * " + fmt.Sprint(rapid.IntRange(1, 1000).Draw(r, "step"))
		if key != "PRIMARY KEY" {
			first = fmt.Sprintf("CASE WHEN i %% 10 > 0 THEN i / %d END", rapid.IntRange(1, 50).Draw(r, "doubles"))
		}
		run(`INSERT INTO v SELECT %s FROM generate_series(1, %d) i`, strings.Join(append([]string{first}, values[1:]...), ", "), rapid.IntRange(0, 1500).Draw(r, "rows"))
		switch key {
		case "PRIMARY KEY":
			run(`ALTER TABLE v ADD PRIMARY KEY (id)`)
		case "index":
			run(`CREATE INDEX ON v (id)`)
		}
		if rapid.Bool().Draw(r, "gaps") {
			run(`DELETE FROM v WHERE id %% 3 = 1`)
			run(`VACUUM v`)
			run(`UPDATE v SET id = id + 100000000 WHERE id %% 7 = 2`) // beyond every other
		}
		run(`ANALYZE v`)
		run(`CREATE VIEW w AS SELECT * FROM v`)

		rows, err := conn.Query(t.Context(), `SELECT ARRAY[`+strings.Join(texts, ", ")+`] FROM v`)
		var want [][]string
		if err == nil {
			want, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
		}
		if err != nil {
			r.Fatal(err)
		}
		lake := &extracttest.Lake{}
		kills := rapid.IntRange(0, 2).Draw(r, "kills")
		var mu sync.Mutex
		lake.Before = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if kills--; kills >= 0 {
				_, err := saboteur.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 60000) FROM (SELECT pid FROM pg_stat_activity
					WHERE application_name = 'daybreak' AND datname = current_database() ORDER BY random() LIMIT 1) AS one`)
				return err
			}
			return nil
		}
		e := extracttest.Table("public." + rapid.SampledFrom([]string{"v", "w"}).Draw(r, "of"))
		e.Verify = rapid.SampledFrom([]elt.Level{elt.LevelColumns, elt.LevelRows}).Draw(r, "level")
		if rapid.Bool().Draw(r, "declared") {
			e.Key = []string{"id"}
		}
		source := wary(t, url, func(o *postgres.Options) {
			o.Connections, o.ChunkBytes = 1+rapid.IntRange(1, 4).Draw(r, "readers"), rapid.Int64Range(1, 100_000).Draw(r, "chunk")
		})
		m, err := extracttest.Extract(t, extracttest.New(t, source, lake), extracttest.Job(e, 1))
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(byColumns(want), byColumns(lake.Rows(t, m)), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("(-one SELECT +chunks)\n%s", diff)
		}
	})
}
