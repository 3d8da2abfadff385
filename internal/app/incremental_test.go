package app

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/sqlite"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/load"
)

// history is a source with one table, and the stages that bring it night after night.
type history struct {
	source    *sql.DB
	extractor *extract.Extractor
	loader    *load.Loader
	warehouse *duckdb.Warehouse
	table     elt.Extraction
	last      *elt.Manifest
}

func newHistory(t *rapid.T, dir string, numbers bool) *history {
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "shop.db")
	source, err := sql.Open("sqlite", "file:"+file)
	must(err)
	_, err = source.Exec("CREATE TABLE orders (a INTEGER NOT NULL, b TEXT, name TEXT, at DATETIME NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (a, b))")
	must(err)
	lake, err := disk.Open(filepath.Join(dir, "lake"))
	must(err)
	w, err := duckdb.Open(t.Context(), duckdb.Options{Path: filepath.Join(dir, "warehouse.duckdb")})
	must(err)
	h := &history{source: source, warehouse: w, loader: load.New(load.Options{Lake: lake, Warehouse: w})}
	h.extractor = extract.New(extract.Options{
		Sources: map[elt.SourceName]extract.Source{"shop": sqlite.New(sqlite.Options{Name: "shop", Path: file})}, Lake: lake,
	})
	h.table = elt.Extraction{
		Dataset: "shop.orders", Source: "shop", Table: "orders", Mode: elt.Incremental, Key: []string{"a", "b"}, Cursor: "at", CursorZone: time.UTC,
		Overlap: overlap, Deletes: elt.DeleteRule{Mode: elt.DeletesByKey, Every: 1, Max: 1}, Verify: elt.LevelRows,
	}
	if numbers {
		given := int64(lateNumbers)
		h.table.Cursor, h.table.OverlapNumbers, h.table.CursorZone, h.table.Overlap = "n", &given, nil, 0
	}
	return h
}

const (
	overlap     = 2 * time.Hour
	lateNumbers = 20 // how far below the last a number may still come
)

// night brings one date to the published table.
func (h *history) night(t *rapid.T, date elt.Date, keys bool) {
	run := elt.RunID("night-" + date.String())
	job := extract.Job{Extraction: h.table, Run: run, Date: date, Attempt: 1, Published: h.last, Keys: keys && h.last != nil}
	if h.table.OverlapNumbers == nil {
		w := date.Window(time.UTC)
		if h.last == nil {
			w.From = time.Time{}
		}
		job.Window = &w
	}
	night := h.extractor.Begin(run, []elt.Extraction{h.table}, []elt.Extraction{h.table})
	m, err := night.Extract(t.Context(), job, func(elt.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := night.Close(); err != nil {
		t.Fatal(err)
	}
	// Loading and publishing twice is as good as once.
	for range rapid.IntRange(1, 2).Draw(t, "loads") {
		if _, err := h.loader.Load(t.Context(), m.ObjectKey(), "shop.orders", func(elt.Progress) {}); err != nil {
			t.Fatal(err)
		}
		if r, err := h.loader.Verify(t.Context(), m.ObjectKey(), load.Rules{Level: elt.LevelRows}); err != nil || r.Level != elt.LevelRows {
			t.Fatalf("verified at %q: %v", r.Level, err)
		}
	}
	item := elt.PublicationItem{Relation: "shop.orders", Version: elt.Version{ID: elt.NewVersionID("shop.orders", run), Dataset: "shop.orders", Date: date, Run: run}}
	merges(&item, m, elt.Layout{})
	for range rapid.IntRange(1, 2).Draw(t, "publications") {
		if _, err := h.warehouse.Publish(t.Context(), elt.Publication{Run: run, Fence: 1, Items: []elt.PublicationItem{item}}); err != nil {
			t.Fatal(err)
		}
	}
	h.last = m
}

// change draws what becomes of the source on a date: rows that come, change, go, and come late.
func (h *history) change(t *rapid.T, date elt.Date, highest *int64) {
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		key := fmt.Sprintf("a = %d AND b IS %s", rapid.IntRange(0, 4).Draw(t, "a"), rapid.SampledFrom([]string{"NULL", "''", "'x'"}).Draw(t, "b"))
		at := date.Start(time.UTC).Add(time.Duration(rapid.Int64Range(0, 86_399_999_999).Draw(t, "at")) * time.Microsecond)
		*highest++
		n := *highest
		if rapid.Bool().Draw(t, "late") { // it was begun before, and was committed today
			at = date.Start(time.UTC).Add(-time.Duration(rapid.Int64Range(0, int64(overlap/time.Microsecond)).Draw(t, "before")) * time.Microsecond)
			n -= rapid.Int64Range(0, lateNumbers/2).Draw(t, "below")
		}
		var parts [2]string
		if _, err := fmt.Sscanf(key, "a = %s AND b IS %s", &parts[0], &parts[1]); err != nil {
			t.Fatal(err)
		}
		statements := []string{"DELETE FROM orders WHERE " + key}
		if rapid.IntRange(0, 3).Draw(t, "delete") > 0 {
			statements = append(statements, fmt.Sprintf("INSERT INTO orders VALUES (%s, %s, 'v%d', '%s', %d)", parts[0], parts[1], rapid.IntRange(0, 9).Draw(t, "v"),
				at.Format("2006-01-02 15:04:05.000000"), n))
		}
		for _, s := range statements {
			if _, err := h.source.Exec(s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
}

func (h *history) sourceRows(t *rapid.T) (out []string) {
	rows, err := h.source.Query("SELECT a || '|' || coalesce(b, 'NULL') || '|' || name || '|' || n FROM orders ORDER BY a, b NULLS FIRST")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *history) publishedRows(t *rapid.T, dir string) (out []string) {
	reader, err := duckdb.OpenReadOnly(t.Context(), filepath.Join(dir, "warehouse.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_, _, rows, err := reader.Query(t.Context(), "SELECT a || '|' || coalesce(b, 'NULL') || '|' || name || '|' || n FROM shop.orders ORDER BY a, b NULLS FIRST")
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row[0].(string))
	}
	return out
}

// Whatever happens to a source over some days, with rows that come late within the overlap and rows that go, its last
// night ends with exactly its rows: by a cursor that tells a time, and by one that is a number.
func TestAnyHistoryEndsEqualToItsSource(t *testing.T) {
	root := t.TempDir()
	n := 0
	property.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			rt.Fatal(err)
		}
		h := newHistory(rt, dir, rapid.Bool().Draw(rt, "by number"))
		first, days := elt.Date{Year: 2026, Month: 1, Day: 5}, rapid.IntRange(1, 4).Draw(rt, "days")
		var highest int64 = 100
		for d := range days {
			h.change(rt, first.AddDays(d), &highest)
			h.night(rt, first.AddDays(d), d == days-1 || rapid.Bool().Draw(rt, "keys"))
		}
		want := h.sourceRows(rt)
		if err := h.source.Close(); err != nil {
			rt.Fatal(err)
		}
		if err := h.warehouse.Close(); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, h.publishedRows(rt, dir)); diff != "" {
			rt.Fatalf("(-source +published):\n%s", diff)
		}
	})
}
