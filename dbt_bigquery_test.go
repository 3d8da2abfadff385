package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// onBigQuery makes a workspace with jaffle_shop that the team's dbt-bigquery builds on the double.
func onBigQuery(t *testing.T, server *bigquerytest.Server) string {
	t.Helper()
	dir := jaffle(t, byDaybreak)
	configureBigQuery(t, dir, server, "")
	return dir
}

func configureBigQuery(t *testing.T, dir string, server *bigquerytest.Server, more string) {
	t.Helper()
	write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q%s}}
sources: {shop: {sqlite: shop.db}}
status: {public: true}
models: {dbt: analytics, dbt_command: %q}
`, server.URL, more, testenv.BigQueryDBT(t))})
}

// onDouble returns the rows of relations on the double, sorted, as DuckDB writes records.
func onDouble(t *testing.T, server *bigquerytest.Server, names []string) map[string][]string {
	t.Helper()
	out := make(map[string][]string)
	for _, name := range names {
		out[name] = server.Rows(t, "SELECT CAST(r AS VARCHAR) AS line FROM test_analytics."+name+" r ORDER BY 1")
	}
	return out
}

// jaffle_shop by the team's dbt-bigquery gives the tables, row for row, and the test results that dbt itself gives on
// DuckDB, and what fails there fails here, with some of the rows; what each step was billed is in the ledger; and nothing
// is left of the place in which it was built.
func TestJaffleShopByDBTOnBigQuery(t *testing.T) {
	t.Parallel()
	server := bigquerytest.New(t)
	dir := onBigQuery(t, server)
	project := filepath.Join(dir, "analytics")
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-04")
	found := tested(t, dir)
	alone := t.TempDir()
	testenv.JaffleShop(t, alone)
	file, wanted := dbtItself(t, alone)
	if diff := cmp.Diff(wanted, found); diff != "" {
		t.Errorf("test results (-dbt itself +dbt on BigQuery):\n%s", diff)
	}
	whole := onDouble(t, server, jaffleRelations)
	if diff := cmp.Diff(rowsOf(tables(t, file, jaffleRelations)), whole); diff != "" {
		t.Errorf("tables (-dbt itself +dbt on BigQuery):\n%s", diff)
	}
	wantNoPlace(t, server)
	ledger := filepath.Join(dir, "state", "ledger.db")
	if got := ask(t, ledger, "SELECT dataset FROM steps WHERE kind = 'transform' AND bytes_billed > 0 ORDER BY 1"); len(got) != 5 {
		t.Errorf("billed are %v, want the five models", got)
	}
	for _, name := range []string{"manifest.json", "run_results.json"} {
		b, err := os.ReadFile(filepath.Join(dir, "state", "artifacts", name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "_daybreak_dbt_") || !strings.Contains(string(b), "`acme-analytics`.`test_analytics`.`orders`") {
			t.Errorf("%s does not call tables by their published names", name)
		}
	}
	labels := make(map[string]int)
	for _, r := range server.Requests() {
		if c := r.Config; c != nil && c.Labels["app"] == "dbt" && c.Labels["daybreak_run"] != "" {
			labels[c.Labels["daybreak_step"]+" "+c.Labels["daybreak_dataset"]]++
		}
	}
	if labels["transform orders"] == 0 || labels["test unique_orders_order_id"] == 0 {
		t.Errorf("jobs bear the labels %v", labels)
	}

	// An order of nobody: orders and what is made from it keep the night before, the rest appears.
	edit(t, project, "seeds/raw_orders.csv", "\n2,3,", "\n2,999,")
	if a := do(t, dir, nil, "run", "--yes", "--date", "2026-01-05"); a.code != 65 {
		t.Errorf("exit %d, want 65\n%s%s", a.code, a.out, a.errors)
	}
	if got := tested(t, dir)["orders relationships(customer_id → customers.customer_id)"]; got != "fail 1" {
		t.Errorf("the test of the order of nobody says %q", got)
	}
	rows := ask(t, ledger, "SELECT dataset, test, sample FROM failing_rows")
	if len(rows) != 1 || rows[0][0] != "orders" || !strings.Contains(rows[0][2], "999") {
		t.Errorf("failing rows are %v", rows)
	}
	after := onDouble(t, server, jaffleRelations)
	if diff := cmp.Diff(whole["orders"], after["orders"]); diff != "" {
		t.Errorf("orders changed (-before +after):\n%s", diff)
	}
	if cmp.Equal(whole["stg_orders"], after["stg_orders"]) {
		t.Error("stg_orders did not change, although its tests passed")
	}
	wantNoPlace(t, server)
}

func wantNoPlace(t *testing.T, server *bigquerytest.Server) {
	t.Helper()
	if left := server.Rows(t, "SELECT DISTINCT schema_name FROM information_schema.schemata WHERE schema_name LIKE '%dbt%'"); left != nil {
		t.Errorf("left of the place: %v", left)
	}
}

// cafeByDBT is a dbt project in BigQuery's SQL: a source, a model that keeps its rows, a view, and one that reads both.
var cafeByDBT = map[string]string{
	"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
retries: {attempts: 1}
tables:
  cafe.orders: {mode: full, key: [id]}
models: ["*"]
`,
	"analytics/dbt_project.yml":    "name: cafe\nprofile: cafe\nmodels: {cafe: {+materialized: table}}\n",
	"analytics/models/sources.yml": "sources: [{name: raw, tables: [{name: sales, meta: {dataset: cafe.orders}, columns: [{name: id, data_tests: [unique]}]}]}]\n",
	"analytics/models/daily.sql": "{{ config(materialized='incremental', unique_key='day') }}\n" +
		"select date '{{ var(\"data_date\") }}' as day, count(*) as orders, {{ is_incremental() }} as added from {{ source('raw', 'sales') }}\n",
	"analytics/models/dear.sql":  "{{ config(materialized='view', schema='marts') }}\nselect id, price from {{ source('raw', 'sales') }} where price > 4\n",
	"analytics/models/after.sql": "select d.day, d.orders, count(*) as dear from {{ ref('daily') }} as d join {{ ref('dear') }} as e on e.id > 0 group by d.day, d.orders\n",
}

// A dbt project's models on BigQuery read the night's verified tables and keep their rows from night to night; a night that
// failed is retried from the model that failed, and one that was killed gives the tables of an undisturbed one.
func TestDBTOnBigQueryNightByNight(t *testing.T) {
	t.Parallel()
	server, dir := bigquerytest.New(t), t.TempDir()
	write(t, dir, cafeByDBT)
	shop := filepath.Join(dir, "cafe.db")
	change(t, shop, "CREATE TABLE orders (id INTEGER PRIMARY KEY, price INTEGER); INSERT INTO orders VALUES (1, 3), (2, 5)")
	want := func(relation string, rows ...string) {
		t.Helper()
		if diff := cmp.Diff(rows, server.Rows(t, "SELECT * FROM test_"+relation+" ORDER BY 1")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", relation, diff)
		}
	}
	configureCafe(t, dir, server, "{}")
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-04")
	want("analytics.daily", "2026-01-04|2|false")
	want("analytics_marts.dear", "2|5")
	want("analytics.after", "2026-01-04|2|1")
	if a := must(t, dir, nil, "plan"); !strings.Contains(a.out, "READS") || strings.Count(a.out, " B") < 3 {
		t.Errorf("plan does not say what models would read:\n%s", a.out)
	}
	if a := must(t, dir, nil, "compile", "daily", "--date", "2026-01-05"); !strings.Contains(a.out, "`acme-analytics`.`test_cafe`.`orders`") || !strings.Contains(a.out, "True as added") {
		t.Errorf("daily is compiled to\n%s", a.out)
	}

	// The last model is wrong: what was built before it stays, and the same night goes on with it alone.
	change(t, shop, "INSERT INTO orders VALUES (3, 7)")
	edit(t, dir, "analytics/models/after.sql", "count(*) as dear", "count(e.nothing) as dear")
	if a := do(t, dir, nil, "run", "--yes", "--date", "2026-01-05"); a.code == 0 || !strings.Contains(a.errors, "dbt_model_failed") {
		t.Errorf("exit %d\n%s%s", a.code, a.out, a.errors)
	}
	want("analytics.daily", "2026-01-04|2|false", "2026-01-05|3|true")
	want("analytics.after", "2026-01-04|2|1")
	edit(t, dir, "analytics/models/after.sql", "count(e.nothing) as dear", "count(*) as dear")
	before := len(server.Requests())
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-05")
	want("analytics.after", "2026-01-04|2|2", "2026-01-05|3|2")
	for _, r := range server.Requests()[before:] {
		if c := r.Config; c != nil && c.Labels["app"] == "dbt" && c.Labels["daybreak_dataset"] != "after" {
			t.Errorf("dbt did %s again", c.Labels["daybreak_dataset"])
		}
	}
	wantNoPlace(t, server)

	// Killed while dbt builds: readers see the night before, and the rerun gives what an undisturbed night would.
	change(t, shop, "INSERT INTO orders VALUES (4, 9)")
	before = len(server.Requests())
	cmd := program(t.Context(), t, dir, nil, "run", "--yes", "--date", "2026-01-06")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitJob(t, server, before)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("daybreak was not killed")
	}
	want("analytics.after", "2026-01-04|2|2", "2026-01-05|3|2")
	must(t, dir, nil, "run", "--yes", "--date", "2026-01-06")
	want("analytics.daily", "2026-01-04|2|false", "2026-01-05|3|true", "2026-01-06|4|true")
	want("analytics.after", "2026-01-04|2|3", "2026-01-05|3|3", "2026-01-06|4|3")
	wantNoPlace(t, server)
	askedOfBigQuery(t, server, dir)
	want("analytics.daily", "2026-01-06|4|false|said")
	want("analytics.after", "2026-01-04|2|3", "2026-01-05|3|3", "2026-01-06|4|3")
	wantNoPlace(t, server)
}

// askedOfBigQuery asks for what is not like every night: a full refresh of some models with a variable, whose tests show
// and keep rows without what is personal, and then the same tests of what is published.
func askedOfBigQuery(t *testing.T, server *bigquerytest.Server, dir string) {
	t.Helper()
	write(t, dir, map[string]string{
		"analytics/tests/few_are_dear.sql": "{{ config(store_failures=true) }}\nselect * from {{ ref('dear') }} where price > 4\n",
		"analytics/models/sources.yml": `
sources:
  - name: raw
    tables:
      - name: sales
        meta: {dataset: cafe.orders}
        loaded_at_field: timestamp '2026-01-01 00:00:00'
        freshness: {warn_after: {count: 1, period: day}}
        columns: [{name: price, meta: {pii: true}}]
`})
	edit(t, dir, "analytics/models/daily.sql", "as added", "as added, '{{ var(\"word\") }}' as word")
	if a := do(t, dir, nil, "run", "--yes", "--date", "2026-01-06", "--again", "--full-refresh", "--vars", "{word: said}", "--exclude", "after"); a.code != 65 {
		t.Errorf("exit %d, want 65\n%s%s", a.code, a.out, a.errors)
	}
	found := tested(t, dir)
	if found["dear few_are_dear"] != "fail 3" || found["cafe.orders freshness(timestamp '2026-01-01 00:00:00')"] != "warn 1" {
		t.Errorf("the tests found %v", found)
	}
	got := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT dataset, sample, relation FROM failing_rows ORDER BY saved_at DESC LIMIT 1")
	if len(got) != 1 || got[0][0] != "dear" || !strings.Contains(got[0][1], `"id"`) || strings.Contains(got[0][1], "price") {
		t.Fatalf("failing rows are %v", got)
	}
	table := got[0][2][strings.LastIndex(got[0][2], ".")+1:]
	if got := server.Rows(t, "SELECT column_name FROM information_schema.columns WHERE table_name = '"+table+"'"); !cmp.Equal(got, []string{"id"}) {
		t.Errorf("kept in %s are %v", table, got)
	}
	a := do(t, dir, nil, "test", "--vars", "{word: said}", "--rows", "2")
	if a.code != 65 || !strings.Contains(a.out, "few_are_dear of dear:\n  id\n  ") || !strings.Contains(a.out, "2 tests: 0 passed, 1 warning, 1 failed") {
		t.Errorf("test: exit %d, want 65\n%s%s", a.code, a.out, a.errors)
	}
}

// A model of dbt's that would read more than it may is refused by BigQuery, with what is made from it; the rest appears.
func TestDBTOnBigQueryBudget(t *testing.T) {
	t.Parallel()
	server, dir := bigquerytest.New(t), t.TempDir()
	write(t, dir, cafeByDBT)
	configureCafe(t, dir, server, "{model: 1KB}")
	write(t, dir, map[string]string{"analytics/models/sources.yml": "sources: [{name: raw, tables: [{name: sales, meta: {dataset: cafe.orders}}]}]\n"})
	change(t, filepath.Join(dir, "cafe.db"), `CREATE TABLE orders (id INTEGER PRIMARY KEY, price INTEGER);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO orders SELECT i, 1 FROM n`)
	if a := do(t, dir, nil, "run", "--yes", "--date", "2026-01-07"); a.code == 0 || !strings.Contains(a.out+a.errors, "over_budget") {
		t.Errorf("over the model's budget: exit %d\n%s%s", a.code, a.out, a.errors)
	}
	if got := server.Rows(t, "SELECT dataset FROM test__daybreak.versions ORDER BY 1"); !cmp.Equal(got, []string{"cafe.orders"}) {
		t.Errorf("published are %v", got)
	}
}

func configureCafe(t *testing.T, dir string, server *bigquerytest.Server, budget string) {
	t.Helper()
	write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q, budget: %s}}
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
models: {dbt: analytics, dbt_command: %q}
`, server.URL, budget, testenv.BigQueryDBT(t))})
}

// awaitJob waits until dbt has had a job done since a request.
func awaitJob(t *testing.T, server *bigquerytest.Server, since int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		for _, r := range server.Requests()[since:] {
			if c := r.Config; c != nil && c.Labels["app"] == "dbt" {
				return
			}
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("dbt asks for nothing")
		}
	}
}
