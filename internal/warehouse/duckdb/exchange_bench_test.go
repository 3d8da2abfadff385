package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// BenchmarkExchange measures what it costs that dbt works on a file of its own: a table handed out and taken back,
// against building that table, and against copying the whole warehouse's file as each publication does.
func BenchmarkExchange(b *testing.B) {
	w := open(b, Options{})
	const rows = 2_000_000
	began := time.Now()
	if _, err := w.Build(b.Context(), elt.Build{Run: "n", Dataset: "t", Materialized: elt.AsTable,
		SQL: fmt.Sprintf("SELECT range AS id, md5(range::VARCHAR) AS name, range %% 1000 / 7 AS amount, TIMESTAMP '2026-01-01' + INTERVAL (range) SECOND AS at FROM range(%d)", rows)}); err != nil {
		b.Fatal(err)
	}
	built := time.Since(began)
	began = time.Now()
	if err := w.RefreshReadCopy(b.Context()); err != nil {
		b.Fatal(err)
	}
	copied := time.Since(began)
	var out, back time.Duration
	for i := 0; b.Loop(); i++ {
		file := filepath.Join(b.TempDir(), "dbt.duckdb")
		began := time.Now()
		if err := w.HandOut(b.Context(), file, []elt.Exchange{{Dataset: "t", From: w.Staged("n", "t"), Schema: "shop", Name: "t"}}); err != nil {
			b.Fatal(err)
		}
		out += time.Since(began)
		began = time.Now()
		if _, err := w.TakeBack(b.Context(), "n", file, []elt.Exchange{{Dataset: elt.DatasetName(fmt.Sprintf("t%d", i)), Schema: "shop", Name: "t"}}); err != nil {
			b.Fatal(err)
		}
		back += time.Since(began)
		if err := os.Remove(file); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N)
	b.ReportMetric(out.Seconds()/n/built.Seconds(), "out/build")
	b.ReportMetric(back.Seconds()/n/built.Seconds(), "back/build")
	b.ReportMetric(copied.Seconds()/built.Seconds(), "filecopy/build")
	b.ReportMetric(rows*n/(out+back).Seconds(), "rows/s")
}
