package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// gates hold up whoever reads the tables of a world that are behind them, until they are opened.
type gates struct {
	admin *sql.Conn // whose session closes them
	n     int
}

// gate adds n small incremental tables g0, g1, … to the world's PostgreSQL, each behind a gate of its own that is open, with a
// model over each: rows of the world's date, of the one before and of the one after it. It has the world be read by a user
// who cannot go round.
func (w *world) gate(t *testing.T, n int) *gates {
	t.Helper()
	db := open(t, "pgx", w.database)
	admin, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() }) // its session ends with the test, and the locks with it
	g := &gates{admin: admin, n: n}
	g.exec(t, `CREATE FUNCTION gate(k int) RETURNS boolean LANGUAGE plpgsql VOLATILE SET lock_timeout = 0 AS
		$$ BEGIN PERFORM pg_advisory_xact_lock_shared(k); RETURN true; END $$`)
	date, err := elt.ParseDate(w.date)
	if err != nil {
		t.Fatal(err)
	}
	for k := range n {
		name := fmt.Sprintf("g%d", k)
		g.exec(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL, note VARCHAR(400), updated_at TIMESTAMPTZ NOT NULL)", name))
		g.exec(t, fmt.Sprintf("INSERT INTO %s SELECT i, i * %d, 'row ' || i, '%s 12:00Z'::timestamptz + (i %% 3 - 1) * interval '1 day' FROM generate_series(1, 20) i", name, k+3, date))
		g.exec(t, fmt.Sprintf("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name))
		g.exec(t, fmt.Sprintf("CREATE POLICY held_up ON %s USING (gate(%d))", name, k))
		w.tables = append(w.tables, worldTable{source: "pg", name: name, rows: 20, incremental: true})
		w.models = append(w.models, worldModel{name: "of_" + name, inputs: []string{fmt.Sprintf("{{ source('pg', '%s') }}", name)}})
	}
	place, err := url.Parse(w.database)
	if err != nil {
		t.Fatal(err)
	}
	reader := "reader_of_" + strings.TrimPrefix(place.Path, "/") // users belong to all databases of a server
	g.exec(t, fmt.Sprintf("CREATE ROLE %q LOGIN", reader))
	g.exec(t, fmt.Sprintf("GRANT SELECT ON ALL TABLES IN SCHEMA public TO %q", reader))
	place.User = url.User(reader)
	w.database = place.String()
	return g
}

func (g *gates) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := g.admin.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// close lets nobody read the table any more.
func (g *gates) close(t *testing.T, k int) { g.exec(t, fmt.Sprintf("SELECT pg_advisory_lock(%d)", k)) }

// open lets everybody read it who has waited, and who comes.
func (g *gates) open(t *testing.T, k int) { g.exec(t, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", k)) }
