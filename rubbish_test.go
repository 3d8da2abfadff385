package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// edit replaces text in a file of the workspace; the file must hold it.
func edit(t *testing.T, dir, file, old, replacement string) {
	t.Helper()
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, replacement)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// change runs a statement on a SQLite file, as somebody else would.
func change(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(300000)") // whoever reads it may keep it for a moment
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// readers returns a workspace whose files are right and whose read copy is that of dir, to look at what readers see
// whatever became of dir's own files.
func readers(t *testing.T, dir string) string {
	t.Helper()
	sound := brought(t)
	if err := os.RemoveAll(filepath.Join(sound, "read")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "read"), filepath.Join(sound, "read")); err != nil {
		t.Fatal(err)
	}
	return sound
}

// wantRefusal checks how daybreak turned something down: an exit of the right kind, and each of the texts.
func wantRefusal(t *testing.T, a answer, code int, says ...string) {
	t.Helper()
	var wrong []string
	if a.code != code {
		wrong = append(wrong, fmt.Sprintf("exit %d, want %d", a.code, code))
	}
	for _, want := range says {
		if !strings.Contains(a.out+a.errors, want) {
			wrong = append(wrong, fmt.Sprintf("it does not say %q", want))
		}
	}
	for _, sign := range []string{"internal_error", "panic:", "goroutine "} {
		if strings.Contains(a.errors, sign) {
			wrong = append(wrong, "it calls that a fault of its own: "+sign)
		}
	}
	if wrong != nil {
		t.Errorf("%s:\n%s%s", strings.Join(wrong, "; "), a.out, a.errors)
	}
}

// What is wrong with a workspace or its state is said before any work, with its place, and changes nothing.
func TestWhatIsWrongIsSaidBeforeAnyWork(t *testing.T) {
	t.Parallel()
	date := lastDate(t).String()
	files := func(file, old, replacement string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, dir, file, old, replacement) }
	}
	bytesAt := func(file string, offset int64, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, file), offset, text) }
	}
	noise := strings.Repeat("no database", 2000)
	busy := takenPort(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		args  []string
		code  int
		says  []string
	}{
		"broken YAML":              {files("daybreak.yaml", "lake: lake", "lake: [lake"), nil, 78, []string{"daybreak.yaml:", "[yaml_syntax]"}},
		"broken YAML of schedules": {files("schedules/nightly.yaml", "tables:", "tables: {"), nil, 78, []string{"schedules/nightly.yaml:", "[yaml_syntax]"}},
		"broken YAML of models":    {files("sql/models/marts/schema.yml", "version: 2", "version: [2"), nil, 78, []string{"sql/models/marts/schema.yml:", "[yaml_syntax]"}},
		"an unknown key":           {files("schedules/nightly.yaml", "cursor: updated_at", "curser: updated_at"), nil, 78, []string{"schedules/nightly.yaml:", `unknown key "curser"; did you mean "cursor"?`, "[unknown_key]"}},
		"a missing variable":       {files("daybreak.yaml", "production.db", "${env:NOBODY_SET_IT}"), nil, 78, []string{"daybreak.yaml:7:", "NOBODY_SET_IT is not set", "[env_missing]"}},
		"a model of a cycle":       {files("sql/models/staging/stg_invoices.sql", "{{ source('app', 'invoices') }}", "{{ ref('revenue_by_currency') }}"), nil, 78, []string{"sql/models/", "[model_cycle]"}},
		"an unknown ref":           {files("sql/models/marts/revenue_by_currency.sql", "ref('stg_invoices')", "ref('stg_invoice')"), nil, 78, []string{"sql/models/marts/revenue_by_currency.sql:15:", `did you mean "stg_invoices"?`, "[unknown_ref]"}},
		"a table that models read is removed": {files("schedules/nightly.yaml", "app.invoices:", "app.bills:"), nil, 78,
			[]string{"sql/models/staging/stg_invoices.sql:", `"app.invoices"`, "[unknown_source]"}},
		"a date in the future": {nil, []string{"run", "--date", "2999-01-01"}, 78, []string{"2999-01-01 has not ended yet in Europe/Dublin", "date_not_over"}},
		"no date at all":       {nil, []string{"run", "--date", "tomorrow"}, 78, []string{`"tomorrow"`, "bad_date"}},
		"an unknown schedule":  {nil, []string{"run", "--schedule", "hourly"}, 78, []string{`"hourly"`, "nightly", "schedule_unknown"}},
		"no ledger":            {bytesAt("state/ledger.db", 0, noise), nil, 78, []string{"state/ledger.db", "move it away", "ledger_unreadable"}},
		"a damaged ledger":     {bytesAt("state/ledger.db", 3*4096, strings.Repeat(noise, 8)), nil, 78, []string{"state/ledger.db", "ledger_unreadable"}},
		"a newer ledger": {func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "state/ledger.db"), "UPDATE counters SET value = value + 1 WHERE name = 'schema'")
		}, nil, 78, []string{"state/ledger.db was written by a newer Daybreak", "ledger_newer"}},
		"no warehouse":      {bytesAt("state/warehouse.duckdb", 0, noise), nil, 78, []string{"state/warehouse.duckdb", "read copy", "warehouse_unreadable"}},
		"half a warehouse":  {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, "state/warehouse.duckdb"), 100_000) }, nil, 78, []string{"state/warehouse.duckdb", "warehouse_unreadable"}},
		"a lost warehouse":  {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "state/warehouse.duckdb")) }, nil, 78, []string{"state/warehouse.duckdb", "read/warehouse.duckdb", "warehouse_behind_ledger"}},
		"no port for serve": {nil, []string{"serve", "--listen", busy}, 75, []string{busy, "--listen", "address_in_use"}},
		"no port for demo":  {nil, []string{"demo", "--dir", ".", "--listen", busy}, 75, []string{busy, "--listen", "address_in_use"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := brought(t)
			look := readers(t, dir)
			before := contents(t, look)
			if c.spoil != nil {
				c.spoil(t, dir)
			}
			args := c.args
			if args == nil {
				args = []string{"run", "--date", date}
			}
			wantRefusal(t, do(t, dir, nil, args...), c.code, c.says...)
			if diff := cmp.Diff(before, contents(t, look)); diff != "" {
				t.Errorf("something changed (-before +after):\n%s", diff)
			}
		})
	}
}

func overwrite(t *testing.T, file string, offset int64, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(text), offset); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

// What goes wrong in the night is held back with all that is made from it; the rest of the night appears.
func TestWhatFailsIsHeldBackAndTheRestAppears(t *testing.T) {
	t.Parallel()
	date := lastDate(t)
	production := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "production.db"), statements)
		}
	}
	within := "'" + date.String() + "T12:00:00.000Z'"
	locked := lockedServer(t)
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, dir string)
		code   int
		failed []string // what is at fault; what is held back with it follows from the models
		says   []string
	}{
		"a missing table": {production("ALTER TABLE subscriptions RENAME TO renamed"), 78, []string{"app.subscriptions"},
			[]string{"source app has no table subscriptions", "daybreak discover", "table_missing"}},
		"a missing key column": {production("ALTER TABLE invoices RENAME COLUMN id TO number_of_old"), 78, []string{"app.invoices"},
			[]string{`app.invoices (table invoices): the key names the column "id"`, "the table has", "key_missing"}},
		"a missing cursor column": {production("ALTER TABLE conversations RENAME COLUMN updated_at TO changed_at"), 78, []string{"app.conversations"},
			[]string{`app.conversations (table conversations): the cursor names the column "updated_at"`, "cursor_missing"}},
		"SQL that the warehouse refuses": {func(t *testing.T, dir string) {
			edit(t, dir, "sql/models/staging/stg_invoices.sql", "{{ source('app', 'invoices') }}", "{{ source('app', 'invoices') }} whree")
		}, 65, []string{"stg_invoices"}, []string{"sql/models/staging/stg_invoices.sql:", "model_refused"}},
		"a failing test": {production("UPDATE users SET role = 'robot', updated_at = " + within + " WHERE id % 7 = 0"), 65, []string{"app.users"},
			[]string{"accepted_values", "test_failed"}},
		"a new column that somebody must decide upon": {func(t *testing.T, dir string) {
			edit(t, dir, "schedules/nightly.yaml", "  app.users:\n", "  app.users:\n    on_new_column: fail\n")
			change(t, filepath.Join(dir, "production.db"), "ALTER TABLE users ADD COLUMN nickname TEXT")
		}, 65, []string{"app.users"}, []string{`column "nickname" (string) is new`, "on_new_column: add or ignore", "schema_changed"}},
		"a column that is gone": {production("ALTER TABLE companies DROP COLUMN employees"), 65, []string{"app.companies"},
			[]string{`column "employees" (int64) is gone`, "on_dropped_column: keep", "schema_changed"}},
		"a changed type of a full table": {production(`ALTER TABLE companies RENAME COLUMN employees TO was;
			ALTER TABLE companies ADD COLUMN employees TEXT; UPDATE companies SET employees = 'many'`), 65, []string{"app.companies"},
			[]string{`column "employees" was int64 and is string`, "on_type_change: string", "replace", "schema_changed"}},
		"a source that is away": {func(t *testing.T, dir string) {
			edit(t, dir, "daybreak.yaml", "sqlite: production.db", "postgres: postgres://reader@"+testenv.NobodyListens(t)+"/shop")
		}, 69, sourceTables, []string{"cannot reach source app at 127.0.0.1:", "connection refused", "source_unreachable"}},
		"a wrong password": {func(t *testing.T, dir string) {
			edit(t, dir, "daybreak.yaml", "sqlite: production.db", "postgres: "+locked)
		}, 78, sourceTables, []string{"cannot connect to source app at 127.0.0.1:", "source_auth_failed"}},
		"a lost file": {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "production.db")) }, 78, sourceTables,
			[]string{"production.db: no such file", "its path in daybreak.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := brought(t)
			neverFalselyGreen(t, dir)
			before := contents(t, dir)
			c.spoil(t, dir)
			a := do(t, dir, nil, "run", "--date", date.String())
			wantRefusal(t, a, c.code, c.says...)
			states := statesOf(t, dir, date)
			wantHeld(t, dir, date, before, states, c.failed)
		})
	}
}

// takenPort returns an address on which somebody listens until the test ends.
func takenPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// lockedServer returns the URL of a PostgreSQL database that asks for a password, with a wrong one.
func lockedServer(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "daybreak-hba-") //nolint:usetesting // the test's own folder is closed to the server's account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(dir, "pg_hba.conf")
	if err := os.WriteFile(rules, []byte("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	database := testenv.NewPostgres(t, map[string]string{"hba_file": rules}).Database(t)
	if out, err := command(t, "psql", "-XAtqc", "CREATE ROLE reader LOGIN PASSWORD 'right'", database).CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return strings.Replace(database, "postgres@", "reader:wrong@", 1)
}

var sourceTables = []string{"app.companies", "app.conversations", "app.invoices", "app.message_parts", "app.subscriptions", "app.users"}

// wantHeld checks that a dataset is published for the date if and only if the status calls it ready, that what is held
// back keeps its rows, and that nothing but the failed and their descendants is.
func wantHeld(t *testing.T, dir string, date elt.Date, before, states map[string]string, failed []string) {
	t.Helper()
	after := contents(t, dir)
	published := make(map[string]string)
	for _, row := range query(t, dir, "SELECT dataset, max(data_date), max_by(relation, published_at) FROM _daybreak.versions GROUP BY 1") {
		published[row[0]] = row[1]
		held := row[1] != date.String()
		if state := states[row[0]]; held != (state == string(elt.DayFailed) || state == string(elt.DayBlocked)) || held == (state == string(elt.DayReady)) {
			t.Errorf("%s is published for %s and said to be %s", row[0], row[1], state)
		}
		if held && before[row[2]] != after[row[2]] {
			t.Errorf("%s is held back and changed from %s to %s", row[0], before[row[2]], after[row[2]])
		}
	}
	if len(published) != len(states) {
		t.Errorf("%d datasets are published, the status knows %d", len(published), len(states))
	}
	for d, state := range states {
		if state == string(elt.DayFailed) != slices.Contains(failed, d) {
			t.Errorf("%s is %s, and what is at fault is %v", d, state, failed)
		}
	}
}

// said is what daybreak status --json prints.
type said struct {
	Sentence string
	Datasets int
	Counts   map[string]int
	Trouble  []struct{ Dataset, Title, Detail, Do string }
	All      []struct {
		Name     elt.DatasetName
		Retired  bool
		Headline struct {
			Latest struct{ Date, State string }
		}
	}
}

func summaryOf(t *testing.T, dir string) (s said) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, dir, nil, "status", "--json").out), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// statesOf returns each dataset's state on the date, which must be its latest.
func statesOf(t *testing.T, dir string, date elt.Date) map[string]string {
	t.Helper()
	states := make(map[string]string)
	for _, d := range summaryOf(t, dir).All {
		if d.Retired {
			continue
		}
		if d.Headline.Latest.Date != date.String() {
			t.Errorf("the latest day of %s is %s, want %s", d.Name, d.Headline.Latest.Date, date)
		}
		states[string(d.Name)] = d.Headline.Latest.State
	}
	return states
}

// A failed test's cause is told to whoever asks: which test, and how many rows.
func TestAFailedTestNamesItsRows(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t)
	change(t, filepath.Join(dir, "production.db"), "UPDATE users SET role = 'robot', updated_at = '"+date.String()+"T12:00:00.000Z' WHERE id IN (1, 2, 3)")
	wantRefusal(t, do(t, dir, nil, "run", "--date", date.String()), 65, "test of app.users failed", "accepted_values", "3 rows")
	s := summaryOf(t, dir)
	if len(s.Trouble) != 1 || s.Trouble[0].Dataset != "app.users" || !strings.Contains(s.Trouble[0].Detail, "accepted_values") {
		t.Errorf("trouble %+v", s.Trouble)
	}
	// Its cause gone, the same run goes on with what failed.
	change(t, filepath.Join(dir, "production.db"), "UPDATE users SET role = 'user' WHERE role = 'robot'")
	must(t, dir, nil, "run", "--date", date.String(), "--again")
	for d, state := range statesOf(t, dir, date) {
		if state != string(elt.DayReady) {
			t.Errorf("%s is %s after its cause was gone", d, state)
		}
	}
}
