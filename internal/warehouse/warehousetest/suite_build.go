package warehousetest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var buildTests = map[string]func(*testing.T, Harness){
	"table, view, table again": testMaterializations,
	"strategies":               testStrategies,
	"incremental, rebuilt":     testIncrementalRebuilt,
	"incremental, changed":     testIncrementalChanged,
	"incremental over a view":  testIncrementalOverView,
	"refused SQL":              testRefusedSQL,
	"count and columns":        testCountColumns,
	"seed":                     testSeed,
	"failing rows":             testFailingRows,
}

func model(run elt.RunID, as elt.Materialization, sql string) elt.Build {
	return elt.Build{Run: run, Dataset: "revenue", Relation: "analytics.revenue", Materialized: as, SQL: sql}
}

func testMaterializations(t *testing.T, h Harness) {
	for _, as := range []elt.Materialization{elt.AsTable, elt.AsView, elt.AsTable, elt.AsTable, elt.AsView, elt.AsView, elt.AsIncremental} {
		if n := h.build(t, model(night1, as, "WITH x AS (SELECT 1 AS id UNION ALL SELECT 2) SELECT * FROM x ORDER BY id -- all of it\n;\n")); n != 2 {
			t.Errorf("%s built %d rows, want 2", as, n)
		}
		h.wantRows(t, "SELECT * FROM "+h.Staged(night1, "revenue")+" ORDER BY id", "1", "2")
	}
}

func testStrategies(t *testing.T, h Harness) {
	for _, c := range []struct {
		strategy elt.Strategy
		rows     string
		want     []string
	}{
		{elt.Append, "SELECT 1 AS id, 'again' AS v", []string{"1|a", "1|again", "2|b", "NULL|n"}},
		{elt.DeleteInsert, "SELECT 1 AS id, 'x' AS v UNION ALL SELECT 1, 'y' UNION ALL SELECT NULL, 'N'", []string{"1|x", "1|y", "2|b", "NULL|N"}},
		{elt.Merge, "SELECT 2 AS id, 'B' AS v UNION ALL SELECT 3, 'c'", []string{"1|a", "2|B", "3|c", "NULL|n"}},
	} {
		t.Run(string(c.strategy), func(t *testing.T) {
			d := elt.DatasetName("by_" + strings.ReplaceAll(string(c.strategy), "+", "_"))
			b := elt.Build{Run: night1, Dataset: d, Relation: "analytics." + string(d), Materialized: elt.AsIncremental,
				SQL: "SELECT 1 AS id, 'a' AS v UNION ALL SELECT 2, 'b' UNION ALL SELECT NULL, 'n'", Key: []string{"id"}}
			h.build(t, b)
			h.publish(t, night1, 1, item(night1, d, "", "id"))
			b.Run, b.Strategy, b.SQL = night2, c.strategy, c.rows
			h.build(t, b)
			query := "SELECT id, v FROM %s ORDER BY id NULLS LAST, v"
			h.wantRows(t, strings.Replace(query, "%s", h.Staged(night2, d), 1), c.want...)
			for range 2 {
				h.publish(t, night2, 2, item(night2, d, c.strategy, "id"))
				h.wantRows(t, strings.Replace(query, "%s", h.Published("analytics."+string(d)), 1), c.want...)
			}
		})
	}
}

func testIncrementalRebuilt(t *testing.T, h Harness) {
	b := model(night1, elt.AsIncremental, "SELECT 1 AS id")
	b.Strategy, b.Key = elt.Merge, []string{"id"} // nothing to merge into yet: built whole
	h.build(t, b)
	h.publish(t, night1, 1, item(night1, "revenue", elt.Merge, "id"))
	b.Run, b.Strategy, b.Key, b.SQL = night2, "", nil, "SELECT 'other' AS name" // a full refresh may change the columns
	h.build(t, b)
	h.publish(t, night2, 2, item(night2, "revenue", ""))
	h.wantRows(t, "SELECT * FROM "+h.Published("analytics.revenue"), "other")
}

func testIncrementalChanged(t *testing.T, h Harness) {
	b := model(night1, elt.AsIncremental, "SELECT 1 AS id, 'a' AS v")
	h.build(t, b)
	h.publish(t, night1, 1, item(night1, "revenue", ""))
	b.Run, b.Strategy, b.Key = night2, elt.Merge, []string{"id"}
	for code, sql := range map[elt.Code]string{
		"schema_changed": "SELECT 1 AS id, 'a' AS v, 2 AS w",
		"duplicate_key":  "SELECT 5 AS id, 'a' AS v UNION ALL SELECT 5, 'b'",
	} {
		b.SQL = sql
		_, err := h.Build(t.Context(), b)
		wantCode(t, err, code)
	}
	for name, key := range map[string][]string{"no key": nil, "no such column": {"uid"}} {
		b.SQL, b.Key = "SELECT 1 AS id, 'a' AS v", key
		_, err := h.Build(t.Context(), b)
		t.Run(name, func(t *testing.T) { wantCode(t, err, "key_missing") })
	}
}

// testIncrementalOverView: a view becomes an incremental model, which needs one whole build.
func testIncrementalOverView(t *testing.T, h Harness) {
	h.build(t, model(night1, elt.AsView, "SELECT 1 AS id"))
	view := item(night1, "revenue", "")
	view.ViewSQL = "SELECT 1 AS id"
	h.publish(t, night1, 1, view)
	b := model(night2, elt.AsIncremental, "SELECT 2 AS id")
	b.Strategy, b.Key = elt.Merge, []string{"id"}
	_, err := h.Build(t.Context(), b)
	wantCode(t, err, "schema_changed")
	b.Strategy = ""
	h.build(t, b)
	h.publish(t, night2, 2, item(night2, "revenue", ""))
	h.wantRows(t, "SELECT id FROM "+h.Published("analytics.revenue"), "2")
}

func testRefusedSQL(t *testing.T, h Harness) {
	h.build(t, model(night1, elt.AsTable, "SELECT 'kept' AS v"))
	for name, c := range map[string]struct{ sql, says string }{
		"syntax":         {"SELECT 1 AS a\nFORM x", "line 2"},
		"unknown table":  {"SELECT *\nFROM\n  no_such_table", "no_such_table"},
		"unknown column": {"SELECT 1 AS a,\n  colour FROM (SELECT 1 AS color)", "colour"},
		"two statements": {"SELECT 1; DROP SCHEMA analytics", ""},
		"no SELECT":      {"", ""},
		"bad cast":       {"SELECT CAST('secret' AS INTEGER) AS a", ""},
		"unbalanced":     {"SELECT (1", ""},
	} {
		for _, as := range []elt.Materialization{elt.AsTable, elt.AsView} {
			if name == "bad cast" && as == elt.AsView {
				continue // a view computes its values when it is read
			}
			t.Run(name+" "+string(as), func(t *testing.T) {
				_, err := h.Build(t.Context(), model(night1, as, c.sql))
				f := wantCode(t, err, "sql_refused")
				if !strings.Contains(f.Message, c.says) || strings.Contains(f.Message, "\n") || strings.Contains(f.Message, "secret") {
					t.Errorf("message %q", f.Message)
				}
			})
		}
	}
	h.wantRows(t, "SELECT * FROM "+h.Staged(night1, "revenue"), "kept")
}

func testCountColumns(t *testing.T, h Harness) {
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, NULL"))
	staged := h.Staged(night1, "revenue")
	if n, err := h.Count(t.Context(), "SELECT id FROM "+staged+" WHERE name IS NULL -- those without\n;\n"); n != 1 || err != nil {
		t.Errorf("count %d, %v", n, err)
	}
	_, err := h.Count(t.Context(), "SELECT nothing FROM "+staged)
	wantCode(t, err, "sql_refused")
	h.publish(t, night1, 1, item(night1, "revenue", ""))
	for _, relation := range []string{staged, h.Published("analytics.revenue"), "analytics.revenue"} {
		columns, err := h.Columns(t.Context(), relation)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, c := range columns {
			names = append(names, c.Name)
			if c.Type == "" {
				t.Errorf("column %s of %s has no type", c.Name, relation)
			}
		}
		if diff := cmp.Diff([]string{"id", "name"}, names); diff != "" {
			t.Errorf("columns of %s (-want +got):\n%s", relation, diff)
		}
	}
	_, err = h.Columns(t.Context(), "analytics.absent")
	wantCode(t, err, "sql_refused")
}

func testSeed(t *testing.T, h Harness) {
	path := writeFile(t, "we[i]rd.csv", "code,rate,name,zip\nDE,0.19,\"Germany, with ä\",01067\nFR,,\"\"\"x\"\"\",75001\n")
	for range 2 {
		n, err := h.SeedCSV(t.Context(), night1, "rates", path, map[string]string{"zip": "VARCHAR", "rate": "DECIMAL(4,2)"})
		if err != nil || n != 2 {
			t.Fatalf("%d rows, %v", n, err)
		}
	}
	h.wantRows(t, "SELECT code, rate, name, zip FROM "+h.Staged(night1, "rates")+" ORDER BY code", `DE|0.19|Germany, with ä|01067`, `FR|NULL|"x"|75001`)
	for name, c := range map[string]struct{ content, says string }{
		"too many fields": {"a,b\n1,2\n1,2,3\n", "line 3"},
		"too few fields":  {"a,b\n1,2\n1\n", "line 3"},
		"open quote":      {"a,b\n1,\"2\n", "line 2"},
		"twice":           {"a,A\n1,2\n", `"A"`},
		"no name":         {"a,\n1,2\n", "line 1"},
		"empty":           {"", "empty"},
		"a wrong type":    {"a,rate\nx,secret\n", "rate"},
		"no such column":  {"a,b\n1,2\n", "rate"},
	} {
		t.Run(name, func(t *testing.T) {
			var types map[string]string
			if c.says == "rate" {
				types = map[string]string{"rate": "DECIMAL(4,2)"}
			}
			_, err := h.SeedCSV(t.Context(), night1, "bad", writeFile(t, "bad.csv", c.content), types)
			if f := wantCode(t, err, "seed_unreadable"); !strings.Contains(f.Message, c.says) || strings.Contains(f.Message, "secret") {
				t.Errorf("message %q, want it to say %q", f.Message, c.says)
			}
		})
	}
	n, err := h.SeedCSV(t.Context(), night1, "none", writeFile(t, "none.csv", "\ufeffa,b\n"), nil)
	if n != 0 || err != nil {
		t.Errorf("a header alone: %d rows, %v", n, err)
	}
	_, err = h.SeedCSV(t.Context(), night1, "bad", t.TempDir()+"/absent.csv", nil)
	wantCode(t, err, "seed_unreadable")
}

func testFailingRows(t *testing.T, h Harness) {
	const query = "SELECT 1 AS id, 'a@x.se' AS email, 1.50 AS amount, CAST(NULL AS DATE) AS day -- no more\n"
	got, err := h.Sample(t.Context(), query, []string{"EMAIL"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	one, amount := "1", "1.50"
	if len(got.Rows) == 1 && got.Rows[0][1] != nil && *got.Rows[0][1] == "1.5" {
		amount = "1.5" // a NUMERIC of BigQuery has no scale of its own
	}
	if diff := cmp.Diff(elt.Sample{Columns: []string{"id", "amount", "day"}, Rows: [][]*string{{&one, &amount, nil}}}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := h.Sample(t.Context(), "SELECT * FROM (SELECT 1 AS id UNION ALL SELECT 2 UNION ALL SELECT 3) AS t", nil, 2); err != nil || len(got.Rows) != 2 {
		t.Errorf("a sample of two has %d rows: %v", len(got.Rows), err)
	}
	if got, err := h.Sample(t.Context(), "SELECT '"+strings.Repeat("é", 1000)+"' AS long", nil, 1); err != nil || len([]rune(*got.Rows[0][0])) != 200 {
		t.Errorf("a long value is kept whole: %v", err)
	}
	if _, err := h.Sample(t.Context(), "SELECT nothing", nil, 1); elt.CodeOf(err) != "sql_refused" {
		t.Errorf("got %v", err)
	}
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id")) // what runs stage lies beside it
	for range 2 {
		table, err := h.KeepFailures(t.Context(), "revenue__unique_id", query, []string{"email"}, 10)
		if err != nil || !strings.Contains(table, "revenue__unique_id") {
			t.Fatalf("kept %q, %v", table, err)
		}
		if !strings.HasPrefix(table, "_") { // a project stands before it
			table = "`" + table + "`"
		}
		h.wantRows(t, "SELECT id, day FROM "+table, "1|NULL")
	}
	if table, err := h.KeepFailures(t.Context(), "none", "SELECT 1 AS id", []string{"id"}, 10); table != "" || err != nil {
		t.Errorf("a table without columns is %q, %v", table, err)
	}
}
