package duckdb

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A file of views shows what people read, and its rows are sampled without what is hidden; the copy is not written to.
func TestViewsOfTheReadCopy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "read.duckdb")
	db, err := connect(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA shop; CREATE TABLE shop.users AS SELECT 1 AS id, 'ada@example.com' AS email UNION ALL SELECT 2, NULL"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	file := filepath.Join(t.TempDir(), "dbt_night.duckdb")
	users := elt.Exchange{Dataset: "shop.users", From: publishedName("shop.users"), Schema: "raw", Name: "people"}
	if err := r.HandOutViews(t.Context(), file, []elt.Exchange{users}); err != nil {
		t.Fatal(err)
	}
	got, err := r.SampleIn(t.Context(), file, `SELECT * FROM "dbt_night"."raw"."people" ORDER BY id DESC`, []string{"EMAIL"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(elt.Sample{Columns: []string{"id"}, Rows: [][]*string{{new("2")}}}, got); diff != "" {
		t.Errorf("the sample (-want +got):\n%s", diff)
	}
	if err := r.HandOutViews(t.Context(), file, []elt.Exchange{{Dataset: "shop.none", From: publishedName("shop.none"), Schema: "raw", Name: "none"}}); err == nil {
		t.Error("a view of nothing was made")
	}
}
