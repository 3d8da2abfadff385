package testenv

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var dbt = sync.OnceValues(func() (string, error) { return pythonProgram("dbt", "dbt") })

// bigqueryDBT is a dbt with its adapter for BigQuery, which brings Google's libraries with it.
var bigqueryDBT = sync.OnceValues(func() (string, error) { return pythonProgram("dbt-bigquery", "dbt") })

var jaffleShop = sync.OnceValues(func() (string, error) { return install("jaffle_shop") })

// DBT returns the path of dbt, with its adapter for DuckDB. DAYBREAK_TEST_DBT names another one, to try
// the tests with another version.
func DBT(t testing.TB) string {
	t.Helper()
	if other := os.Getenv("DAYBREAK_TEST_DBT"); other != "" {
		return other
	}
	path, err := dbt()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// BigQueryDBT returns the path of dbt with its adapter for BigQuery.
func BigQueryDBT(t testing.TB) string {
	t.Helper()
	path, err := bigqueryDBT()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// JaffleShop copies dbt Labs' jaffle_shop into the folder: a dbt project of three seeds, five models and twenty tests.
func JaffleShop(t testing.TB, into string) {
	t.Helper()
	dir, err := jaffleShop()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(into, os.DirFS(filepath.Join(dir, "jaffle_shop"))); err != nil {
		t.Fatal(err)
	}
}
