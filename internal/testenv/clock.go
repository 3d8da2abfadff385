package testenv

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// StepClock returns a function that sets a PostgreSQL server's clock so far ahead, or behind, for whoever connects to the
// database from now on: what tells the time is found there before the server's own.
func StepClock(t testing.TB, url string) (step func(ahead time.Duration)) {
	t.Helper()
	exec := func(statements ...string) {
		t.Helper()
		db, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(t.Context())
		for _, statement := range statements {
			if _, err := db.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	const tells = `() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN pg_catalog.`
	exec(
		`CREATE SCHEMA stepped`,
		`CREATE TABLE stepped.clock (ahead interval NOT NULL)`,
		`INSERT INTO stepped.clock VALUES ('0')`,
		`CREATE FUNCTION stepped.clock_timestamp`+tells+`clock_timestamp() + ahead FROM stepped.clock; END'`,
		`CREATE FUNCTION stepped.now`+tells+`now() + ahead FROM stepped.clock; END'`,
		`ALTER DATABASE `+pgx.Identifier{config.Database}.Sanitize()+` SET search_path = public, stepped, pg_catalog`,
	)
	return func(ahead time.Duration) {
		t.Helper()
		exec(fmt.Sprintf(`UPDATE stepped.clock SET ahead = '%f seconds'`, ahead.Seconds()))
	}
}
