package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// TestBigQueryBudget: a plan says what models would read; one that would read more than it may is refused with both
// numbers before anything is billed, and the rest of the night appears; what was billed is in the ledger.
func TestBigQueryBudget(t *testing.T) {
	t.Parallel()
	server, dir := bigquerytest.New(t), t.TempDir()
	server.MakeBucket("parts")
	write(t, dir, map[string]string{
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  cafe.orders: {key: [id], cluster_by: [drink]}
`,
		"sql/models/cheap.sql": "{{ config(materialized='table', partition_by={'field': 'day', 'data_type': 'date'}, cluster_by=['n']) }}\n" +
			"select count(*) as n, date '2026-01-05' as day from {{ source('cafe', 'orders') }}\n",
		"sql/models/dear.sql": "{{ config(materialized='table') }}\nselect o.id from {{ source('cafe', 'orders') }} as o join {{ ref('cheap') }} as c on c.n > 0\n",
	})
	configure := func(budget string) {
		write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q, gcs_bucket: parts, budget: %s}}
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, server.URL, budget)})
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "cafe.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE orders (id INTEGER PRIMARY KEY, drink TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO orders SELECT i, 'tea' FROM n`); err != nil {
		t.Fatal(err)
	}
	configure("{}")
	if a := do(t, dir, nil, "plan"); a.code != 0 || !strings.Contains(a.out, "READS") || strings.Count(a.out, "unknown") < 2 {
		t.Errorf("before the first night, plan says (exit %d)\n%s%s", a.code, a.out, a.errors)
	}
	if a := must(t, dir, nil, "run", "--yes"); !strings.Contains(a.out+a.errors, ", billed for ") {
		t.Errorf("the night's summary does not say what was billed:\n%s%s", a.out, a.errors)
	}
	if a := do(t, dir, nil, "plan"); a.code != 0 || !strings.Contains(a.out, "10 kB") {
		t.Errorf("after it, plan says (exit %d)\n%s%s", a.code, a.out, a.errors)
	}
	if left := server.Objects(t, "parts"); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}

	configure("{model: 10.05KB}") // 100 orders are 10,000 bytes, and the one row of cheap another 100
	a := do(t, dir, nil, "run", "--yes", "--again")
	if a.code == 0 || !strings.Contains(a.out+a.errors, "building dear would read") || !strings.Contains(a.out+a.errors, "budget.model") {
		t.Errorf("over the model's budget: exit %d\n%s%s", a.code, a.out, a.errors)
	}
	configure("{night: 25KB}") // verification, cheap and what the catalogue reads are within it, dear is not
	a = do(t, dir, nil, "run", "--yes", "--again")
	if a.code == 0 || !strings.Contains(a.out+a.errors, "the night has been billed for") {
		t.Errorf("over the night's budget: exit %d\n%s%s", a.code, a.out, a.errors)
	}

	ledger, err := sql.Open("sqlite", filepath.Join(dir, "state/ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	var attempts, steps int64
	if err := ledger.QueryRowContext(t.Context(), "SELECT (SELECT sum(bytes_billed) FROM attempts), (SELECT sum(bytes_billed) FROM steps)").Scan(&attempts, &steps); err != nil {
		t.Fatal(err)
	}
	if attempts != steps || attempts < 40_000 {
		t.Errorf("attempts were billed %d bytes, steps %d", attempts, steps)
	}
}
