package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// worldDate is the data date of a night over a world.
func worldDate(t *testing.T) string {
	t.Helper()
	return lastDate(t).AddDays(-1).String() // it has ended in UTC too
}

// world is a company made from a seed: tables in three databases, models over them, and tests, of which some fail.
type world struct {
	seed     uint64
	tables   []worldTable
	models   []worldModel
	postgres *testenv.PostgresServer
	database string // of postgres, the world's own
	maria    *testenv.MariaDBServer
	files    string // the folder with the SQLite source
	sources  map[string]*sql.DB
	attempts int    // how often a step is tried
	date     string // on which every row was changed
	// connections is how many all processes together may have open to PostgreSQL; 0 leaves it to Daybreak.
	connections int
}

// worldTable is a table of one of the sources lite, pg and maria.
type worldTable struct {
	source, name string
	rows         int
	incremental  bool
}

// worldModel is a model over datasets before it. fails is true if it has a test that finds something.
type worldModel struct {
	name   string
	inputs []string // as its SQL names them
	fails  bool
}

// newWorld makes a world of n datasets and fills its databases.
func newWorld(t *testing.T, seed uint64, n int) *world {
	t.Helper()
	return newWorldOf(t, seed, n, worldDate(t))
}

// newWorldOf makes a world whose rows were all changed on the date.
func newWorldOf(t *testing.T, seed uint64, n int, date string) *world {
	t.Helper()
	w := &world{seed: seed, postgres: testenv.Postgres(t), maria: testenv.MariaDB(t), files: t.TempDir(), attempts: 5, date: date}
	w.database = w.postgres.Database(t)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n * 6 / 10 {
		table := worldTable{source: []string{"lite", "pg", "maria"}[r.IntN(3)], name: fmt.Sprintf("t%03d", i), rows: 1 + r.IntN(40), incremental: r.IntN(4) == 0}
		if r.IntN(12) == 0 {
			table.rows = 4000 + r.IntN(8000) // long enough to be cut in its middle
		}
		w.tables = append(w.tables, table)
	}
	for i := range n - len(w.tables) {
		m := worldModel{name: fmt.Sprintf("m%03d", i), fails: r.IntN(14) == 0}
		for range 1 + r.IntN(2) {
			table := w.tables[r.IntN(len(w.tables))]
			m.inputs = append(m.inputs, fmt.Sprintf("{{ source('%s', '%s') }}", table.source, table.name))
		}
		if i > 0 && r.IntN(3) > 0 {
			m.inputs = append(m.inputs, fmt.Sprintf("{{ ref('m%03d') }}", r.IntN(i)))
		}
		w.models = append(w.models, m)
	}
	w.sources = map[string]*sql.DB{
		"lite": open(t, "sqlite", filepath.Join(w.files, "lite.db")), "pg": open(t, "pgx", w.database),
		"maria": open(t, "mysql", "root@tcp("+w.maria.Addr+")/"+w.maria.Database),
	}
	w.fill(t)
	return w
}

// fill makes the tables.
func (w *world) fill(t *testing.T) {
	t.Helper()
	for i := range w.tables {
		w.fillTable(t, i)
	}
}

// fillTable makes the ith table.
func (w *world) fillTable(t *testing.T, i int) {
	t.Helper()
	table := w.tables[i]
	const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)`
	stamps := map[string]string{"lite": "DATETIME", "pg": "TIMESTAMPTZ", "maria": "DATETIME(6)"}
	create := fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, amount BIGINT NOT NULL, note VARCHAR(400), updated_at %s NOT NULL DEFAULT '%s 12:00:00')", table.name, stamps[table.source], w.date)
	from := fmt.Sprintf(numbers, table.rows)
	note := "'row ' || i || '%s'"
	if table.source == "maria" {
		note = "CONCAT('row ', i, '%s')"
	}
	insert := fmt.Sprintf("INSERT INTO %s (id, amount, note) %s SELECT i, i * %d %% 97, "+note+" FROM n", table.name, from, i+3, strings.Repeat(" and more", table.rows%30))
	if table.source == "maria" { // which wants its recursion after INSERT … and a limit of its own
		insert = "SET STATEMENT max_recursive_iterations = 100000 FOR " + insert
	}
	for _, statement := range []string{create, insert} {
		if _, err := w.sources[table.source].ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// places are the addresses at which a workspace finds what it needs.
type places struct {
	ledger, pg, maria, s3 string
	warehouse             string // the value of warehouse in daybreak.yaml, {} for the embedded one
}

// direct are the places without anything in between, with a ledger and a warehouse of a workspace's own.
func (w *world) direct(t *testing.T) places {
	t.Helper()
	return places{ledger: w.postgres.Database(t), pg: w.database, maria: w.maria.URL, s3: testenv.S3(t).Endpoint, warehouse: "{duckdb: state/warehouse.duckdb}"}
}

// workspace writes a workspace over the world, with a bucket of its own.
func (w *world) workspace(t *testing.T, p places, bucket string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s3, connections := testenv.S3(t), ""
	if w.connections > 0 {
		connections = fmt.Sprintf(", connections: %d", w.connections)
	}
	files := map[string]string{
		"daybreak.yaml": fmt.Sprintf(`
ledger: %q
lake: {s3: {bucket: %s, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}
warehouse: %s
sources:
  lite: {sqlite: %q}
  pg: {postgres: %q%s}
  maria: {mysql: %q}
status: {public: true}
`, p.ledger, bucket, p.s3, s3.AccessKey, s3.SecretKey, p.warehouse, filepath.Join(w.files, "lite.db"), p.pg, connections, p.maria),
		"schedules/nightly.yaml": w.schedule(),
	}
	for _, m := range w.models {
		var parts []string
		for _, in := range m.inputs {
			parts = append(parts, "select id, amount from "+in+" where id <= 3")
		}
		files["sql/models/"+m.name+".sql"] = strings.Join(parts, " union all ") + "\n"
		if m.fails {
			files["sql/tests/nothing_in_"+m.name+".sql"] = "select * from {{ ref('" + m.name + "') }}\n"
		}
	}
	write(t, dir, files)
	return dir
}

func (w *world) schedule() string {
	var b strings.Builder
	fmt.Fprintf(&b, "at: \"02:00\"\ntimezone: UTC\ncatch_up: all\nowners: [data@example.com, finance@example.com]\nretries: {attempts: %d, first_delay: 100ms, max_delay: 1s}\ntables:\n", w.attempts)
	for _, table := range w.tables {
		mode := "mode: full"
		if table.incremental {
			mode = "mode: incremental, cursor: updated_at"
			if table.source != "pg" { // whose cursor has a zone
				mode += ", cursor_timezone: UTC"
			}
		}
		fmt.Fprintf(&b, "  %s.%s: {%s, key: [id]}\n", table.source, table.name, mode)
	}
	return b.String()
}
