package testenv

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// dbtDir is the folder into which dbt and the project that tests run are installed, once for each user.
var dbtDir = sync.OnceValues(func() (string, error) { return install("dbt") })

// bigqueryDBTDir is that of a dbt with its adapter for BigQuery, which brings Google's libraries with it.
var bigqueryDBTDir = sync.OnceValues(func() (string, error) { return install("dbt-bigquery") })

// DBT returns the path of dbt, with its adapter for DuckDB. DAYBREAK_TEST_DBT names another one, to try
// the tests with another version.
func DBT(t testing.TB) string {
	t.Helper()
	if other := os.Getenv("DAYBREAK_TEST_DBT"); other != "" {
		return other
	}
	dir, err := dbtDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "venv", "bin", "dbt")
}

// BigQueryDBT returns the path of dbt with its adapter for BigQuery.
func BigQueryDBT(t testing.TB) string {
	t.Helper()
	dir, err := bigqueryDBTDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "venv", "bin", "dbt")
}

// JaffleShop copies dbt Labs' jaffle_shop into the folder: a dbt project of three seeds, five models and twenty tests.
func JaffleShop(t testing.TB, into string) {
	t.Helper()
	dir, err := dbtDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(into, os.DirFS(filepath.Join(dir, "jaffle_shop"))); err != nil {
		t.Fatal(err)
	}
}
