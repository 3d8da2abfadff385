package bench

import (
	"cmp"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // does the bare load
	_ "github.com/jackc/pgx/v5/stdlib" // makes the table

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/extracttest"
	"github.com/daybreak-data/daybreak/extract/postgres"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/load"
)

// loadRounds is how often the two take turns.
const loadRounds = 5

// BenchmarkLoad brings lineitem, as an extraction wrote it, into an empty warehouse: with a bare CREATE TABLE AS over the
// same files, and as a night does, with the checksum of every part and verification at level columns. They take turns;
// the ratios of the medians are reported, wall and CPU. DAYBREAK_BENCH_ROWS is the number of rows, a million by default.
func BenchmarkLoad(b *testing.B) {
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("DAYBREAK_BENCH_ROWS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	store, m, files := extracted(b, rows)
	var bare, night []cost
	for b.Loop() {
		for range loadRounds {
			bare = append(bare, bareLoad(b, files, rows))
			night = append(night, nightLoad(b, store, m, rows))
		}
	}
	least, ours := medianCost(bare), medianCost(night)
	b.ReportMetric(ours.wall.Seconds()/least.wall.Seconds(), "wall/bare")
	b.ReportMetric(ours.cpu.Seconds()/least.cpu.Seconds(), "cpu/bare")
	b.ReportMetric(float64(rows)/ours.wall.Seconds(), "rows/s")
	fmt.Printf("\nlineitem: %d rows, %d parts, %.1f MiB of Parquet; medians of %d rounds\n\n| load | wall s | CPU s | wall ÷ bare | CPU ÷ bare |\n| --- | --- | --- | --- | --- |\n",
		rows, len(m.Parts), float64(m.Bytes())/(1<<20), len(bare))
	for _, line := range []struct {
		name string
		cost
	}{{"CREATE TABLE AS, unchecked", least}, {"load and verify", ours}} {
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f |\n", line.name, line.wall.Seconds(), line.cpu.Seconds(),
			line.wall.Seconds()/least.wall.Seconds(), line.cpu.Seconds()/least.cpu.Seconds())
	}
}

// extracted has a table of a PostgreSQL extracted to a lake on disk.
func extracted(b *testing.B, rows int) (*disk.Store, *elt.Manifest, []string) {
	b.Helper()
	url := testenv.Postgres(b).Database(b)
	db, err := sql.Open("pgx", url)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), fmt.Sprintf(extracttest.Lineitem, rows)); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	source, err := postgres.New(postgres.Options{Name: "shop", URL: url, Connections: 2})
	if err != nil {
		b.Fatal(err)
	}
	store, err := disk.Open(filepath.Join(b.TempDir(), "lake"))
	if err != nil {
		b.Fatal(err)
	}
	table := elt.Extraction{Dataset: "shop.lineitem", Source: "shop", Table: "public.lineitem", Mode: elt.Full}
	x := extract.New(extract.Options{Sources: map[elt.SourceName]extract.Source{"shop": source}, Lake: store, Now: time.Now})
	night := x.Begin("nightly-1", []elt.Extraction{table}, []elt.Extraction{table})
	m, err := night.Extract(b.Context(), extract.Job{Extraction: table, Run: "nightly-1", Date: elt.DateOf(time.Now()), Attempt: 1}, func(elt.Progress) {})
	if err != nil {
		b.Fatal(err)
	}
	if err := cmp.Or(night.Close(), source.Close()); err != nil {
		b.Fatal(err)
	}
	if m.Rows() != int64(rows) {
		b.Fatalf("%d rows of %d were extracted", m.Rows(), rows)
	}
	var files []string
	for _, p := range m.Parts {
		path, ok := store.Local(p.Key)
		if !ok {
			b.Fatalf("part %s is no file", p.Key)
		}
		files = append(files, "'"+path+"'")
	}
	return store, m, files
}

// cost is what one load took of time and of this process's CPUs.
type cost struct{ wall, cpu time.Duration }

func medianCost(of []cost) cost {
	middle := func(figure func(cost) time.Duration) time.Duration {
		all := make([]time.Duration, len(of))
		for i, c := range of {
			all[i] = figure(c)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return cost{middle(func(c cost) time.Duration { return c.wall }), middle(func(c cost) time.Duration { return c.cpu })}
}

func costOf(b *testing.B, do func()) cost {
	b.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began, before := time.Now(), cpu()
	do()
	return cost{time.Since(began), cpu() - before}
}

// bareLoad is the least that DuckDB can do with the files.
func bareLoad(b *testing.B, files []string, rows int) cost {
	b.Helper()
	db, err := sql.Open("duckdb", filepath.Join(b.TempDir(), "bare.duckdb"))
	if err != nil {
		b.Fatal(err)
	}
	took := costOf(b, func() {
		if _, err := db.ExecContext(b.Context(), "CREATE TABLE lineitem AS SELECT * FROM read_parquet(["+strings.Join(files, ", ")+"], hive_partitioning = false)"); err != nil {
			b.Fatal(err)
		}
	})
	var n int
	if err := cmp.Or(db.QueryRowContext(b.Context(), "SELECT count(*) FROM lineitem").Scan(&n), db.Close()); err != nil || n != rows {
		b.Fatalf("%d rows of %d, %v", n, rows, err)
	}
	return took
}

// nightLoad is what the steps load and verify of a night do.
func nightLoad(b *testing.B, store *disk.Store, m *elt.Manifest, rows int) cost {
	b.Helper()
	dir := b.TempDir()
	w, err := duckdb.Open(b.Context(), duckdb.Options{Path: filepath.Join(dir, "warehouse.duckdb")})
	if err != nil {
		b.Fatal(err)
	}
	loader := load.New(load.Options{Lake: store, Warehouse: w, Spool: filepath.Join(dir, "spool")})
	var result elt.Result
	took := costOf(b, func() {
		if _, err := loader.Load(b.Context(), m.ObjectKey(), "shop.lineitem", func(elt.Progress) {}); err != nil {
			b.Fatal(err)
		}
		if result, err = loader.Verify(b.Context(), m.ObjectKey(), load.Rules{}); err != nil {
			b.Fatal(err)
		}
	})
	if err := w.Close(); err != nil || result.Rows != int64(rows) || result.Level != elt.LevelColumns {
		b.Fatalf("%+v, %v", result, err)
	}
	return took
}
