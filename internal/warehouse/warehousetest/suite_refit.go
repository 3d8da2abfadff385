package warehousetest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// refitTests are SELECTs of an incremental model that give other columns than those that are published.
var refitTests = map[string]func(*testing.T, Harness){
	"each policy":       testRefitPolicies,
	"published twice":   testRefitTwice,
	"values would go":   testRefitLossy,
	"the key's type":    testRefitKey,
	"restored":          testRefitRestored,
	"nothing published": testRefitFirst,
	"two nights":        testRefitNextNight,
}

const (
	refitFirst = "SELECT 1 AS id, 'a' AS name, 5 AS n UNION ALL SELECT 2, 'b', 6"
	// refitSecond has a column more, one less, and the key 2 again.
	refitSecond = "SELECT 'B' AS name, 2 AS id, CAST('2026-01-05' AS DATE) AS day UNION ALL SELECT 'c', 3, NULL"
)

// refitted publishes a first night of a model and returns the build of a second one.
func (h Harness) refitted(t testing.TB, first, second string, strategy elt.Strategy, policy elt.SchemaPolicy) elt.Build {
	t.Helper()
	b := model(night1, elt.AsIncremental, first)
	if strategy != elt.Append {
		b.Key = []string{"id"}
	}
	h.build(t, b)
	h.publish(t, night1, 1, item(night1, "revenue", ""))
	b.Run, b.SQL, b.Strategy, b.OnSchemaChange = night2, second, strategy, policy
	return b
}

func (h Harness) wantRefit(t testing.TB, b elt.Build, query, changes string, want ...string) {
	t.Helper()
	built, err := h.Build(t.Context(), b)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	if got := strings.ReplaceAll(elt.ChangesText(built.Changes), "INTEGER", "int64"); got != changes {
		t.Errorf("changes: %s\nwant:    %s", got, changes)
	}
	h.wantRows(t, sprintf(query, h.Staged(b.Run, "revenue")), want...)
	i := item(b.Run, "revenue", b.Strategy, b.Key...)
	i.Changes = built.Changes
	h.publish(t, b.Run, 2, i)
	h.wantRows(t, sprintf(query, h.Published("analytics.revenue")), want...)
}

func testRefitPolicies(t *testing.T, h Harness) {
	b := h.refitted(t, refitFirst, refitSecond, elt.Merge, "")
	for _, policy := range []elt.SchemaPolicy{"", elt.SchemaFail, elt.SchemaIgnore} {
		b.OnSchemaChange = policy
		_, err := h.Build(t.Context(), b)
		f := wantCode(t, err, "schema_changed")
		if want := `column "n" is gone`; !strings.Contains(f.Message, want) || strings.Contains(f.Message, "day") != (policy != elt.SchemaIgnore) {
			t.Errorf("%s: %q", policy, f.Message)
		}
	}
	all := "SELECT * FROM %s ORDER BY id"
	b.SQL = "SELECT 2 AS id, 'B' AS name, 7 AS n, 1 AS more"
	h.wantRefit(t, b, all, "column more (int64) is new in the SELECT and was left out", "1|a|5", "2|B|7")
}

func testRefitNextNight(t *testing.T, h Harness) {
	b := h.refitted(t, refitFirst, refitSecond, elt.DeleteInsert, elt.SchemaAppend)
	columns := "SELECT id, name, n, day FROM %s ORDER BY id"
	h.wantRefit(t, b, columns, "column n is gone from the SELECT and is NULL in new rows; column day (date) is new and was added",
		"1|a|5|NULL", "2|B|NULL|2026-01-05", "3|c|NULL|NULL")
	b.Run, b.SQL = night3, "SELECT 4 AS id, 'd' AS name"
	h.wantRefit(t, b, columns, "column n is gone from the SELECT and is NULL in new rows; column day is gone from the SELECT and is NULL in new rows",
		"1|a|5|NULL", "2|B|NULL|2026-01-05", "3|c|NULL|NULL", "4|d|NULL|NULL")
}

func testRefitTwice(t *testing.T, h Harness) {
	for _, strategy := range []elt.Strategy{elt.Append, elt.Merge} {
		t.Run(string(strategy), func(t *testing.T) {
			d := elt.DatasetName("by_" + string(strategy))
			b := elt.Build{Run: night1, Dataset: d, Relation: "analytics." + string(d), Materialized: elt.AsIncremental, SQL: refitFirst}
			i := item(night2, d, strategy)
			if strategy == elt.Merge {
				b.Key, i.Key = []string{"id"}, []string{"id"}
			}
			h.build(t, b)
			h.publish(t, night1, 1, item(night1, d, ""))
			b.Run, b.Strategy, b.OnSchemaChange, b.SQL = night2, strategy, elt.SchemaSync, "SELECT 3 AS id, '8' AS n, 1.5 AS share, 7 AS whole"
			built, err := h.Build(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range built.Changes {
				if !c.Model {
					t.Errorf("%v is not said of a model", c)
				}
			}
			i.Changes = built.Changes
			for range 2 {
				h.publish(t, night2, 2, i)
				h.wantRows(t, "SELECT id, n FROM "+h.Published(i.Relation)+" ORDER BY id", "1|5", "2|6", "3|8")
			}
			var names []string
			columns, err := h.Columns(t.Context(), i.Relation)
			for _, c := range columns {
				names = append(names, c.Name)
			}
			if diff := cmp.Diff([]string{"id", "n", "share", "whole"}, names); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func testRefitLossy(t *testing.T, h Harness) {
	b := h.refitted(t, "SELECT 1 AS id, '007' AS n UNION ALL SELECT 2, '8' UNION ALL SELECT 3, NULL", "SELECT 4 AS id, 9 AS n", elt.Merge, elt.SchemaSync)
	_, err := h.Build(t.Context(), b)
	if f := wantCode(t, err, "schema_changed"); !strings.Contains(f.Message, "1 published values would not be the same") {
		t.Errorf("message %q", f.Message)
	}
	b.SQL = "SELECT 1 AS id, 7 AS n"
	_, err = h.Build(t.Context(), b)
	wantCode(t, err, "schema_changed") // also where the night itself replaces the row
	h.wantRows(t, "SELECT id, n FROM "+h.Published("analytics.revenue")+" ORDER BY id", "1|007", "2|8", "3|NULL")
}

func testRefitKey(t *testing.T, h Harness) {
	b := h.refitted(t, refitFirst, "SELECT '2' AS id, 'b' AS name, 1 AS n", elt.Merge, elt.SchemaSync)
	_, err := h.Build(t.Context(), b)
	if f := wantCode(t, err, "schema_changed"); !strings.Contains(f.Message, `column "id" was`) {
		t.Errorf("message %q", f.Message)
	}
	b.SQL = "SELECT 'b' AS name, 1 AS n"
	_, err = h.Build(t.Context(), b)
	wantCode(t, err, "key_missing")
}

func testRefitRestored(t *testing.T, h Harness) {
	b := h.refitted(t, refitFirst, refitSecond, elt.Merge, elt.SchemaSync)
	h.wantRefit(t, b, "SELECT id, name, day FROM %s ORDER BY id", "column n (int64) is gone from the SELECT and was dropped; column day (date) is new and was added",
		"1|a|NULL", "2|B|2026-01-05", "3|c|NULL")
	h.restore(t, night3, 3, elt.NewVersionID("revenue", night1))
	h.wantRows(t, "SELECT id, name, n FROM "+h.Published("analytics.revenue")+" ORDER BY id", "1|a|5", "2|b|6")
}

// testRefitFirst: with nothing published there is nothing to differ from.
func testRefitFirst(t *testing.T, h Harness) {
	b := model(night1, elt.AsIncremental, refitFirst)
	b.Strategy, b.Key, b.OnSchemaChange = elt.Merge, []string{"id"}, elt.SchemaSync
	h.wantRefit(t, b, "SELECT * FROM %s ORDER BY id", "", "1|a|5", "2|b|6")
}
