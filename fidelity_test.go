package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/status/api"
)

// kiosk is a workspace whose one table has values that no warehouse can hold.
const kiosk = `
at: "02:00"
timezone: UTC
catch_up: all
owners: [data@example.com, finance@example.com]
tables:
  kiosk.sales:
    mode: %s
%s`

// A night with policies: what is not as in the source is counted in the night's output, by verify, in the API and on the
// pages, and what was left out can be read.
func TestANightWithPolicies(t *testing.T) {
	t.Parallel()
	dir, date := t.TempDir(), lastDate(t).String()
	write(t, dir, map[string]string{
		"daybreak.yaml":          "sources: {kiosk: {sqlite: kiosk.db}}\nmasking: {key: a key of the tests}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": fmt.Sprintf(kiosk, "full", ""),
	})
	change(t, filepath.Join(dir, "kiosk.db"), `CREATE TABLE sales (id INTEGER PRIMARY KEY, amount DECIMAL(5,2), sold_on DATE, pieces INTEGER, note TIMESTAMP, email TEXT);
		INSERT INTO sales VALUES (1, 1.5, '2026-01-05', 1, '2026-01-05 10:00:00', 'a@example.com'), (2, 12345, '2026-01-05', 1, NULL, 'b@example.com'),
			(3, 2, 'yesterday', 2, NULL, NULL), (4, 2, '2026-01-06', 'two', NULL, 'd@example.com'), (5, 3, '2026-01-06', 3, 'noon', NULL)`)
	a := do(t, dir, nil, "run", "--yes", "--date", date)
	wantRefusal(t, a, 65, "table sales, column amount (DECIMAL(5,2) → decimal(5,2)), id = 2", "columns: {types: {amount:", "value_not_representable")

	rules := "    columns: {hash: [email], types: {amount: clamp, sold_on: quarantine, pieces: null, note: string}}\n"
	write(t, dir, map[string]string{"schedules/nightly.yaml": fmt.Sprintf(kiosk, "full", rules)})
	must(t, dir, nil, "check")
	a = must(t, dir, nil, "run", "--yes", "--date", date)
	uses := []string{"1 value of amount became the nearest that can be held", "1 row was quarantined because of sold_on", "1 value of pieces became NULL", "1 value of note was kept as text"}
	for _, text := range append(uses, "daybreak quarantine kiosk.sales --date "+date) {
		if !strings.Contains(a.errors, text) {
			t.Errorf("the night does not say %q:\n%s", text, a.errors)
		}
	}
	want := [][]string{{"1", "1.5", "1", "2026-01-05 10:00:00"}, {"2", "999.99", "1", ""}, {"4", "2", "", ""}, {"5", "3", "3", "noon"}}
	if diff := cmp.Diff(want, query(t, dir, "SELECT id, CAST(amount AS DOUBLE), pieces, note FROM kiosk.sales ORDER BY id")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	verified := must(t, dir, nil, "verify", "kiosk.sales").out
	for _, text := range uses {
		if !strings.Contains(verified, text) {
			t.Errorf("verify does not say %q:\n%s", text, verified)
		}
	}
	left := must(t, dir, nil, "quarantine", "kiosk.sales", "-f", "csv").out
	if lines := strings.Split(strings.TrimSpace(left), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[1], "id = 3,sold_on,yesterday,is no date such as 2026-01-05,") {
		t.Errorf("the quarantine holds:\n%s", left)
	}
	s, stop := serve(t, dir, nil)
	defer stop()
	day := get[api.Day](t, s, "/v1/datasets/kiosk.sales/days/"+date)
	if day.Source == nil || len(day.Source.Fidelity) != 4 || day.Source.Quarantined != 1 || day.Rows != 4 {
		t.Errorf("the API says of the day: %+v", day.Source)
	}
	for _, page := range []string{"/datasets/kiosk.sales", "/datasets/kiosk.sales/" + date} {
		body := s.text(t, page)
		for _, text := range uses[1:] {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q", page, text)
			}
		}
	}
}

// drifts are the ways in which a table changes between two nights, and what is there afterwards.
var drifts = map[string]struct {
	rule   string // of the table
	change string // of the source, beside two new rows
	refuse string // what is said without the rule; empty where it is the default
	said   string // by the night that follows the rule
	query  string
	want   []string // the rows of the incremental table; a full one has no NULL or text of its own
}{
	"a new column": {"", "ALTER TABLE sales ADD COLUMN vat TEXT; UPDATE sales SET vat = 'IE' WHERE id > 1", "",
		"column vat (string) is new and was added", "SELECT id, vat", []string{"1|NULL", "2|IE", "3|IE"}},
	"a new column that is ignored": {"on_new_column: ignore", "ALTER TABLE sales ADD COLUMN vat TEXT", "",
		"column vat (string) is new and was left at the source", "SELECT id, note", []string{"1|a", "2|b2", "3|c"}},
	"a column that is gone and kept": {"on_dropped_column: keep", "ALTER TABLE sales DROP COLUMN note", `column "note" (string) is gone`,
		"column note is gone from the source and is NULL from now on", "SELECT id, note", []string{"1|a", "2|NULL", "3|NULL"}},
	"a column that is gone and dropped": {"on_dropped_column: drop", "ALTER TABLE sales DROP COLUMN note", `column "note" (string) is gone`,
		"column note is gone from the source and was dropped", "SELECT id, amount", []string{"1|1.50", "2|2.50", "3|3.50"}},
	"a wider type": {"", "ALTER TABLE sales RENAME COLUMN amount TO old; ALTER TABLE sales ADD COLUMN amount DECIMAL(12,2); UPDATE sales SET amount = old; ALTER TABLE sales DROP COLUMN old", "",
		"column amount was widened from decimal(5,2) to decimal(12,2)", "SELECT id, amount", []string{"1|1.50", "2|2.50", "3|3.50"}},
	"another type": {"on_type_change: string", "ALTER TABLE sales RENAME COLUMN pieces TO old; ALTER TABLE sales ADD COLUMN pieces TEXT; UPDATE sales SET pieces = 'some' WHERE id > 1; ALTER TABLE sales DROP COLUMN old",
		`column "pieces" was int64 and is string`, "column pieces was int64 and is text from now on", "SELECT id, pieces", []string{"1|7", "2|some", "3|some"}},
}

// warehouses are where the drifts are tried: the configuration, and how to read a published table.
func warehouses(t *testing.T, dir string) map[string]func() (config string, rows func(query string) []string) {
	return map[string]func() (string, func(string) []string){
		"duckdb": func() (string, func(string) []string) {
			return "", func(statement string) (out []string) {
				for _, row := range query(t, dir, strings.Replace(statement, "FROM", ", 0 FROM", 1)) {
					cells := row[:len(row)-1]
					for i := range cells {
						if cells[i] == "" {
							cells[i] = "NULL"
						}
					}
					out = append(out, strings.Join(cells, "|"))
				}
				return out
			}
		},
		"bigquery": func() (string, func(string) []string) {
			server := bigquerytest.New(t)
			return fmt.Sprintf("warehouse: {bigquery: {project: acme-analytics, location: EU, endpoint: %q}}\n", server.URL),
				func(statement string) []string { return server.Rows(t, statement) }
		},
	}
}

// Columns that change, on both warehouses: without a rule the night is held back and says what to do; once the
// schedule says it, the next attempt goes on; killed anywhere in between and run again, the same is there.
func TestColumnsThatChange(t *testing.T) {
	t.Parallel()
	for name, c := range drifts {
		for _, warehouse := range []string{"duckdb", "bigquery"} {
			t.Run(name+"/"+warehouse, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				config, rows := warehouses(t, dir)[warehouse]()
				last := lastDate(t)
				first, second := last.AddDays(-1).String(), last.String()
				schedule := func(rule string) {
					t.Helper()
					if rule != "" {
						rule = "    " + rule + "\n"
					}
					write(t, dir, map[string]string{"schedules/nightly.yaml": fmt.Sprintf(kiosk, "incremental", "    key: [id]\n    cursor: at\n    cursor_timezone: UTC\n"+rule)})
				}
				write(t, dir, map[string]string{"daybreak.yaml": config + "sources: {kiosk: {sqlite: kiosk.db}}\nstatus: {public: true}\n"})
				schedule("")
				source := filepath.Join(dir, "kiosk.db")
				change(t, source, `CREATE TABLE sales (id INTEGER PRIMARY KEY, at DATETIME, amount DECIMAL(5,2), pieces INTEGER, note TEXT);
					INSERT INTO sales VALUES (1, '`+first+` 10:00:00', 1.5, 7, 'a'), (2, '`+first+` 10:00:00', 2, 8, 'b')`)
				must(t, dir, nil, "run", "--yes", "--date", first)
				change(t, source, `UPDATE sales SET at = '`+second+` 10:00:00', amount = 2.5, note = 'b2' WHERE id = 2; INSERT INTO sales VALUES (3, '`+second+` 10:00:00', 3.5, 9, 'c');`+c.change)
				if c.refuse != "" {
					a := do(t, dir, nil, "run", "--yes", "--date", second)
					wantRefusal(t, a, 65, c.refuse, "schema_changed", strings.SplitN(c.rule, ":", 2)[0])
					if a := do(t, dir, nil, "check"); a.code != 78 || !strings.Contains(a.out, c.refuse) {
						t.Errorf("check: exit %d\n%s%s", a.code, a.out, a.errors)
					}
				}
				schedule(c.rule)
				if a := must(t, dir, nil, "check"); !strings.Contains(a.out, c.said) {
					t.Errorf("check does not warn of what will happen:\n%s", a.out)
				}
				for events := 3; events < 16; events += 6 {
					killAfter(t, dir, second, seen(dir)+events)
				}
				a := do(t, dir, nil, "run", "--yes", "--date", second)
				if a.code != 0 {
					t.Fatalf("exit %d\n%s%s", a.code, a.out, a.errors)
				}
				read := func(when string) {
					t.Helper()
					if diff := cmp.Diff(c.want, rows(c.query+" FROM kiosk.sales ORDER BY id")); diff != "" {
						t.Errorf("%s (-want +got)\n%s", when, diff)
					}
				}
				read("after the night")
				if a := must(t, dir, nil, "run", "--yes", "--date", second, "--again"); strings.Contains(a.errors, c.said) && !strings.Contains(name, "ignored") {
					t.Errorf("the second time it is told again:\n%s", a.errors)
				}
				read("run twice")
				if warehouse == "duckdb" {
					must(t, dir, nil, "verify")
				}
				s, stop := serve(t, dir, nil)
				defer stop()
				set := get[api.OneDataset](t, s, "/v1/datasets/kiosk.sales")
				if len(set.SchemaChanges) == 0 || !strings.Contains(set.SchemaChanges[0].Changes[0].String(), c.said) {
					t.Errorf("the API tells of the changes %+v", set.SchemaChanges)
				}
				if page := s.text(t, "/datasets/kiosk.sales"); !strings.Contains(page, strings.TrimPrefix(c.said, "c")) {
					t.Errorf("the page does not say %q", c.said)
				}
			})
		}
	}
}

// A night's files stay readable when a process was killed while it quarantined rows.
func TestQuarantineOfAKilledNight(t *testing.T) {
	t.Parallel()
	dir, date := t.TempDir(), lastDate(t).String()
	write(t, dir, map[string]string{
		"daybreak.yaml":          "sources: {kiosk: {sqlite: kiosk.db}}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": fmt.Sprintf(kiosk, "full", "    columns: {types: {pieces: quarantine}}\n"),
	})
	change(t, filepath.Join(dir, "kiosk.db"), `CREATE TABLE sales (id INTEGER PRIMARY KEY, pieces INTEGER);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO sales SELECT i, CASE WHEN i % 100 = 0 THEN 'many' ELSE i END FROM n`)
	for events := 2; events < 12; events += 3 {
		killAfter(t, dir, date, events)
	}
	must(t, dir, nil, "run", "--yes", "--date", date)
	if got := query(t, dir, "SELECT count(*) FROM kiosk.sales"); got[0][0] != "19800" {
		t.Errorf("rows: %v", got)
	}
	left := must(t, dir, nil, "quarantine", "kiosk.sales", "-f", "json").out
	if n := strings.Count(left, "\n"); n != 200 {
		t.Errorf("%d rows are in quarantine, expected 200", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "lake")); err != nil {
		t.Error(err)
	}
}
