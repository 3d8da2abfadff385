package duckdb

import (
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

func TestConformance(t *testing.T) {
	warehousetest.Run(t, func(t *testing.T) warehousetest.Harness {
		layouts := make(map[elt.DatasetName]elt.Layout)
		w := open(t, Options{Layout: func(d elt.DatasetName) elt.Layout { return layouts[d] }})
		return warehousetest.Harness{
			Warehouse: w, Layouts: layouts,
			Physical: func(_ testing.TB, run elt.RunID, d elt.DatasetName) string { return w.Staged(run, d) },
			Rows:     func(t testing.TB, query string) []string { return rowsOf(t, w, query) },
			Exec: func(t testing.TB, statement string) {
				t.Helper()
				if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// open opens a new warehouse, with a read copy, in a folder of its own.
func open(t testing.TB, o Options) *Warehouse {
	t.Helper()
	dir := t.TempDir()
	if o.Path == "" {
		o.Path, o.ReadPath = dir+"/state/warehouse.duckdb", dir+"/read/warehouse.duckdb"
	}
	w, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// rowsOf returns each row of a query as its cells in text with | in between.
func rowsOf(t testing.TB, w *Warehouse, query string) []string {
	t.Helper()
	rows, err := w.db.QueryContext(t.Context(), "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ("+query+")")
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		cells, dests := make([]*string, len(columns)), make([]any, len(columns))
		for i := range cells {
			dests[i] = &cells[i]
		}
		if err := rows.Scan(dests...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = "NULL"
			if c != nil {
				texts[i] = *c
			}
		}
		out = append(out, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
