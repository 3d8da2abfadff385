package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var collectableOnce fixture[string]

// collectable returns a workspace of the test's own with much that nobody needs: versions that nobody goes back to, all
// long past, what their runs have staged, and parts without a manifest.
func collectable(t *testing.T) string {
	t.Helper()
	dir := copyOf(t, collectableOnce.get(func() string {
		dir := filepath.Join(folder(t, "collectable"), "demo")
		copied, _, _ := twoNights(t)
		if err := os.CopyFS(dir, os.DirFS(copied)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			must(t, dir, nil, "run", "--date", lastDate(t).String(), "--again")
		}
		refused := lastDate(t).String() // what this run has staged was not published
		edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n    expect_rows: at least 1_000_000\n")
		wantRefusal(t, do(t, dir, nil, "run", "--date", refused, "--again"), 65, "rows_unexpected")
		edit(t, dir, "schedules/nightly.yaml", "    expect_rows: at least 1_000_000\n", "")
		write(t, dir, map[string]string{"lake/app.users/date=2020-01-05/run=20200106t020000-abcdef/attempt=1/part-00000.parquet": "half"})
		change(t, ledgerIn(dir), `UPDATE manifests SET saved_at = '2020-01-01T00:00:00.000000Z';
			UPDATE runs SET finished_at = '2020' || substr(finished_at, 5) WHERE finished_at IS NOT NULL;
			UPDATE versions SET published_at = '2020' || substr(published_at, 5)`)
		return dir
	}))
	for _, file := range filesOf(t, filepath.Join(dir, "lake")) {
		if err := os.Chtimes(file, time.Time{}, time.Now().AddDate(-1, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// leftIn returns what is in a workspace's lake and in its warehouse's staging.
func leftIn(t *testing.T, dir string) (left []string) {
	t.Helper()
	for _, file := range filesOf(t, filepath.Join(dir, "lake")) {
		left = append(left, strings.TrimPrefix(file, dir))
	}
	db := duck(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	defer db.Close()
	return append(left, texts(t, db, `SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema LIKE 'run\_%' ESCAPE '\' ORDER BY 1`)...)
}

// gc that is killed at any moment and given again leaves what one that nobody disturbed leaves: nothing that can go, and
// everything that a published version needs, which can still be verified, brought back and rebuilt.
func TestKilledGC(t *testing.T) {
	t.Parallel()
	undisturbed := collectable(t)
	before := leftIn(t, undisturbed)
	must(t, undisturbed, nil, "gc")
	want := leftIn(t, undisturbed)
	if len(want) >= len(before) {
		t.Fatalf("of %d things that are there, %d are left", len(before), len(want))
	}
	rebuilt := false
	scene{
		name: "gc", stage: collectable, args: []string{"gc"}, forgets: true,
		must: []string{"gc.listed", "gc.deleted", "gc.discarded", "gc.forget", "lake.disk.delete", "lake.disk.deleted"},
		settled: func(t *testing.T, dir string) {
			if diff := cmp.Diff(want, leftIn(t, dir)); diff != "" {
				t.Errorf("(-undisturbed +killed and given again):\n%s", diff)
			}
			if a := must(t, dir, nil, "gc"); !strings.Contains(a.out, "There is nothing that nobody needs.") {
				t.Errorf("another gc says %s", a.out)
			}
			must(t, dir, nil, "verify")
			if rebuilt {
				return
			}
			rebuilt = true // once is enough: the lake is the same each time
			published := contents(t, dir)
			must(t, dir, nil, "rollback", "app.message_parts", "--reason", "x", "--yes")
			remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
			must(t, dir, nil, "load", "--all")
			if got := contents(t, dir); got["app.companies"] != published["app.companies"] {
				t.Errorf("the companies were rebuilt from the lake as %s, and were %s", got["app.companies"], published["app.companies"])
			}
		},
	}.play(t, moments(3, "gc.listed", "gc.deleted", "gc.discarded", "gc.forget"))
}
