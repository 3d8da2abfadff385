package postgres_test

import (
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// BenchmarkExtract extracts a million rows of ten columns, and reports rows a second and the memory in use.
func BenchmarkExtract(b *testing.B) {
	url := testenv.Postgres(b).URL
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	const rows = 1_000_000
	if _, err := conn.Exec(b.Context(), `CREATE TABLE items AS SELECT i AS id, i % 10007 AS part, (i % 50)::int AS quantity,
		(i % 100000 / 100.0)::numeric(12,2) AS price, (i % 11 / 100.0)::numeric(12,2) AS discount, now() + i * interval '1 second' AS shipped_at,
		date '2026-01-01' + i % 365 AS due_on, CASE WHEN i % 3 = 0 THEN 'open' WHEN i % 3 = 1 THEN 'closed' END AS state,
		md5(i::text)::uuid AS ref, 'item number ' || i || ' of the list' AS comment FROM generate_series(1, 1000000) i`); err != nil {
		b.Fatal(err)
	}
	source, err := postgres.New(postgres.Options{Name: "shop", URL: url, Log: extracttest.Log(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := extracttest.Extract(b, extracttest.New(b, source, &extracttest.Lake{Discard: true}), extracttest.Job(extracttest.Table("public.items"), 1))
		if err != nil || m.Rows() != rows {
			b.Fatal(m, err)
		}
		b.ReportMetric(float64(m.Bytes())/(1<<20), "MiB-written")
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.Sys)/(1<<20), "MiB-of-the-system")
}
