package duckdb

import (
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Tables of failing rows go two weeks after they were made anew last, with the publication that comes next; one that
// somebody dropped before is no trouble.
func TestFailingRowsAreSwept(t *testing.T) {
	now := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	w := open(t, Options{Now: func() time.Time { return now }})
	night := func(run elt.RunID) {
		t.Helper()
		if _, err := w.Build(t.Context(), elt.Build{Run: run, Dataset: "revenue", Relation: "analytics.revenue", Materialized: elt.AsTable, SQL: "SELECT 1 AS id"}); err != nil {
			t.Fatal(err)
		}
		item := elt.PublicationItem{Version: elt.Version{ID: elt.NewVersionID("revenue", run), Dataset: "revenue", Date: elt.DateOf(now), Run: run}, Relation: "analytics.revenue"}
		if _, err := w.Publish(t.Context(), elt.Publication{Run: run, Fence: 1, Items: []elt.PublicationItem{item}}); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(name string) {
		t.Helper()
		if _, err := w.KeepFailures(t.Context(), name, "SELECT 1 AS id", nil, 10); err != nil {
			t.Fatal(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		kinds, err := relationKinds(t.Context(), w.db, failuresSchema)
		if err != nil || len(kinds) != len(names) {
			t.Errorf("%s: kept are %v (%v), want %v", now.Format(time.DateOnly), kinds, err, names)
		}
		for _, name := range names {
			if _, kept := kinds[name]; !kept {
				t.Errorf("%s: %s is gone", now.Format(time.DateOnly), name)
			}
		}
	}
	keep("old")
	keep("renewed")
	keep("dropped")
	if _, err := w.db.ExecContext(t.Context(), "DROP TABLE _daybreak_failures.dropped"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(failuresKept - time.Hour)
	keep("renewed")
	keep("new")
	night("nightly-2026-11-14")
	want("old", "renewed", "new")
	now = now.Add(2 * time.Hour)
	night("nightly-2026-11-15")
	want("renewed", "new")
	now = now.Add(failuresKept)
	night("nightly-2026-11-29")
	want()
	var left int
	if err := w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM _daybreak.failures").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d are remembered: %v", left, err)
	}
}
