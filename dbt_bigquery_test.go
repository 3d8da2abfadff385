package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
