package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// cafe is a workspace whose models are written in BigQuery's SQL.
var cafe = map[string]string{
	"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  cafe.drinks: {mode: full, key: [id]}
  cafe.orders: {mode: full, key: [id]}
`,
	"sql/models/revenue.sql": "{{ config(materialized='table') }}\n" +
		"select d.name, sum(o.price) as revenue from {{ source('cafe', 'orders') }} as o join {{ source('cafe', 'drinks') }} as d on d.id = o.drink group by d.name\n",
	"sql/models/best.sql":   "{{ config(materialized='view') }}\nselect name, revenue from {{ ref('revenue') }} where revenue > 5\n",
	"sql/seeds/targets.csv": "name,target\ntea,4\ncoffee,9\n",
	"sql/models/schema.yml": `
version: 2
models:
  - name: revenue
    columns:
      - name: name
        tests: [unique, not_null, {relationships: {to: ref('targets'), field: name}}]
`,
}

// TestBigQueryNight: whole nights on BigQuery's double, from the source to the published tables.
func TestBigQueryNight(t *testing.T) {
	t.Parallel()
	for _, publish := range []string{"each", "together"} {
		t.Run(publish, func(t *testing.T) {
			server, dir := bigquerytest.New(t), t.TempDir()
			write(t, dir, cafe)
			write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q, publish: %s}}
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, server.URL, publish)})
			exec := func(statements string) {
				t.Helper()
				db, err := sql.Open("sqlite", filepath.Join(dir, "cafe.db"))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if _, err := db.ExecContext(t.Context(), statements); err != nil {
					t.Fatal(err)
				}
			}
			exec(`CREATE TABLE drinks (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO drinks VALUES (1, 'tea'), (2, 'coffee');
				CREATE TABLE orders (id INTEGER PRIMARY KEY, drink INTEGER, price INTEGER); INSERT INTO orders VALUES (1, 1, 3), (2, 2, 4), (3, 2, 5)`)
			want := func(relation string, rows ...string) {
				t.Helper()
				if diff := cmp.Diff(rows, server.Rows(t, "SELECT * FROM test_"+relation+" ORDER BY 1")); diff != "" {
					t.Errorf("%s (-want +got):\n%s", relation, diff)
				}
			}
			must(t, dir, nil, "check")
			must(t, dir, nil, "run", "--yes")
			want("analytics.revenue", "coffee|9", "tea|3")
			want("analytics.best", "coffee|9")
			exec("INSERT INTO orders VALUES (4, 1, 3)")
			must(t, dir, nil, "run", "--yes", "--again")
			want("analytics.revenue", "coffee|9", "tea|6")
			want("analytics.best", "coffee|9", "tea|6")

			// A night that fails its test changes nothing of the model and of what is made from it.
			exec("INSERT INTO drinks VALUES (3, 'juice'); INSERT INTO orders VALUES (5, 3, 7), (6, 1, 1)")
			if a := do(t, dir, nil, "run", "--yes", "--again"); a.code != 65 {
				t.Errorf("exit %d, want 65\n%s%s", a.code, a.out, a.errors)
			}
			want("analytics.revenue", "coffee|9", "tea|6")
			want("analytics.best", "coffee|9", "tea|6")
			want("cafe.drinks", "1|tea", "2|coffee", "3|juice")

			// What is published passes its tests; one that it does not pass is shown with its rows, and one of a column that
			// the SELECT does not give is found by a dry run.
			if a := must(t, dir, nil, "test", "--rows", "5"); !strings.Contains(a.out, "3 passed") || !strings.Contains(a.out, "unique(name)") {
				t.Errorf("daybreak test:\n%s", a.out)
			}
			edit(t, dir, "sql/models/schema.yml", "tests: [unique,", "tests: [{accepted_values: {values: [tea]}}, unique,")
			if a := do(t, dir, nil, "test", "revenue", "--rows", "5"); a.code != 65 || !strings.Contains(a.out, "coffee") || !strings.Contains(a.out, "1 failed") {
				t.Errorf("daybreak test: exit %d\n%s%s", a.code, a.out, a.errors)
			}
			edit(t, dir, "sql/models/schema.yml", "- name: name", "- name: nam")
			if a := do(t, dir, nil, "check"); a.code != 78 || !strings.Contains(a.out, `schema.yml:6:15: revenue has no column nam; did you mean "name"?`) {
				t.Errorf("daybreak check: exit %d\n%s%s", a.code, a.out, a.errors)
			}

			edit(t, dir, "sql/models/schema.yml", "- name: nam", "- name: name")
			if a := must(t, dir, nil, "doctor"); !strings.Contains(a.out, "acme-analytics in EU runs queries") || !strings.Contains(a.out, "budget_missing") {
				t.Errorf("daybreak doctor:\n%s", a.out)
			}

			if a := do(t, dir, nil, "query", "SELECT 1"); a.code == 0 || !strings.Contains(a.errors, "BigQuery") {
				t.Errorf("daybreak query: exit %d\n%s", a.code, a.errors)
			}
			if a := must(t, dir, nil, "verify"); strings.Count(a.out, "✓") != 2 {
				t.Errorf("daybreak verify:\n%s", a.out)
			}
		})
	}
}
