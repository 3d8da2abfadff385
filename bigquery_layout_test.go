package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// TestBigQueryPartitions: a table whose nights replace their day, from the source to the published partitions: a row
// that is gone in the source goes, and the day is copied as one partition.
func TestBigQueryPartitions(t *testing.T) {
	t.Parallel()
	server, dir := bigquerytest.New(t), t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q}}
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, server.URL),
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
catch_up: all
tables:
  cafe.visits: {mode: incremental, key: [id], cursor: at, cursor_timezone: UTC, partition_by: at, cluster_by: [drink], replace: partitions}
`,
	})
	db, err := sql.Open("sqlite", filepath.Join(dir, "cafe.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statements string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE visits (id INTEGER PRIMARY KEY, at DATETIME, drink TEXT);
		INSERT INTO visits VALUES (1, '2026-01-04 10:00:00', 'tea'), (2, '2026-01-05 10:00:00', 'tea'), (3, '2026-01-05 11:00:00', 'juice')`)
	must(t, dir, nil, "check")
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-05")
	exec(`DELETE FROM visits WHERE id = 2; UPDATE visits SET drink = 'coffee' WHERE id = 3; INSERT INTO visits VALUES (4, '2026-01-05 12:00:00', 'water')`)
	n := len(server.Requests())
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-05", "--again")
	want := []string{"1|tea", "3|coffee", "4|water"}
	if diff := cmp.Diff(want, server.Rows(t, "SELECT id, drink FROM cafe.visits ORDER BY id")); diff != "" {
		t.Errorf("published rows (-want +got):\n%s", diff)
	}
	copied := slices.ContainsFunc(server.Requests()[n:], func(r bigquerytest.Request) bool {
		return r.Config != nil && r.Config.Copy != nil && strings.HasSuffix(r.Config.Copy.DestinationTable.TableId, "$20260105")
	})
	if !copied {
		t.Error("the day was not copied as one partition")
	}

	write(t, dir, map[string]string{"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
catch_up: all
tables:
  cafe.visits: {mode: incremental, key: [id], cursor: at, cursor_timezone: UTC, partition_by: drink}
`})
	if a := do(t, dir, nil, "check"); a.code != 78 || !strings.Contains(a.out, `"drink" is string`) {
		t.Errorf("partitions of a text: exit %d\n%s%s", a.code, a.out, a.errors)
	}
}
