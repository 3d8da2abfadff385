package warehousetest

import (
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A layout changes where rows lie and never which: a warehouse without partitions passes these, too.
var layoutTests = map[string]func(*testing.T, Harness){
	"whole tables":               testWholeLayout,
	"rows that moved":            testMovedRows,
	"a window replaced":          testReplacedWindow,
	"a window without rows":      testEmptyWindow,
	"several days at once":       testWideWindow,
	"another layout":             testOtherLayout,
	"another layout, rows added": testOtherLayoutMerged,
	"models":                     testModelLayout,
	"a replaced window restored": testReplacedRestored,
	"another layout restored":    testOtherLayoutRestored,
}

// clicksOf returns a day of clicks: an id, an instant, a date and a country; at is "2026-01-05 07:30:00", nil for NULL.
func clicksOf(t testing.TB, run elt.RunID, mode elt.Mode, rows ...Row) Day {
	t.Helper()
	m := elt.Manifest{
		Dataset: "shop.clicks", Run: run, Date: dateOf(run), Attempt: 1, Mode: mode, Key: []string{"id"},
		Schema: elt.Schema{
			{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "at", Type: elt.Type{Kind: elt.Timestamp}},
			{Name: "wall", Type: elt.Type{Kind: elt.LocalTimestamp}}, {Name: "day", Type: elt.Type{Kind: elt.DateKind}},
			{Name: "country", Type: elt.Type{Kind: elt.String}},
		},
	}
	values := make([]Row, len(rows))
	for i, r := range rows {
		values[i] = Row{r[0], nil, nil, nil, r[2]}
		if at, ok := r[1].(string); ok {
			micros := Micros(t, at)
			values[i][1], values[i][2], values[i][3] = micros, micros, micros/86_400_000_000
		}
	}
	if mode == elt.Incremental {
		m.Cursor = "at"
		m.Range = &elt.CursorRange{From: Micros(t, m.Date.String()+" 00:00:00"), To: Micros(t, m.Date.AddDays(1).String()+" 00:00:00")}
	}
	return NewDay(t, t.TempDir(), m, values)
}

const clickRows = "SELECT id, CAST(wall AS VARCHAR), country FROM %s ORDER BY id, wall"

func (h Harness) wantClicks(t testing.TB, relation string, want ...string) {
	t.Helper()
	h.wantRows(t, sprintf(clickRows, relation), want...)
}

// layouts are arrangements by each kind of column.
func layouts() map[string]elt.Layout {
	return map[string]elt.Layout{
		"day":   {PartitionBy: "at", Granularity: elt.ByDay, ClusterBy: []string{"country", "id"}},
		"hour":  {PartitionBy: "wall", Granularity: elt.ByHour},
		"month": {PartitionBy: "day", Granularity: elt.ByMonth},
		"year":  {PartitionBy: "at", Granularity: elt.ByYear},
		"heap":  {ClusterBy: []string{"day"}},
	}
}

func testWholeLayout(t *testing.T, h Harness) {
	fence := int64(1)
	for name, l := range layouts() {
		h.Layouts["shop.clicks"] = l
		for i, run := range []elt.RunID{elt.RunID(name + "-2026-01-05"), elt.RunID(name + "-2026-01-06")} {
			h.stage(t, clicksOf(t, run, elt.Full, Row{int64(i), "2026-01-05 07:30:00", "se"}, Row{int64(9), nil, "no"}))
			h.publish(t, run, fence, item(run, "shop.clicks", ""))
			h.wantClicks(t, h.Published("shop.clicks"), string(rune('0'+i))+"|2026-01-05 07:30:00|se", "9|NULL|no")
			fence++
		}
	}
}

// testMovedRows: a row is merged by its key also when what it is partitioned by has changed, from and to NULL, too.
func testMovedRows(t *testing.T, h Harness) {
	fence := int64(0)
	publish := func(run elt.RunID, strategy elt.Strategy, key ...string) {
		t.Helper()
		fence++
		h.publish(t, run, fence, item(run, "shop.clicks", strategy, key...))
	}
	for name, l := range layouts() {
		h.Layouts["shop.clicks"] = l
		first, second := elt.RunID(name+"-2026-01-05"), elt.RunID(name+"-2026-01-06")
		full := clicksOf(t, first, elt.Full,
			Row{int64(1), "2026-01-05 07:30:00", "se"}, Row{int64(2), "2025-12-31 23:59:59", "no"}, Row{int64(3), nil, "dk"},
			Row{int64(4), "2024-02-29 00:00:00", "fi"}, Row{int64(5), "2026-01-05 08:30:00", "se"})
		h.stage(t, full)
		publish(first, "")
		h.stage(t, clicksOf(t, second, elt.Incremental,
			Row{int64(1), "2026-01-06 07:30:00", "moved"}, Row{int64(2), nil, "moved"}, Row{int64(3), "2026-01-06 00:00:00", "moved"}, Row{int64(6), "2026-01-06 01:00:00", "new"}))
		want := []string{"1|2026-01-06 07:30:00|moved", "2|NULL|moved", "3|2026-01-06 00:00:00|moved", "4|2024-02-29 00:00:00|fi", "5|2026-01-05 08:30:00|se", "6|2026-01-06 01:00:00|new"}
		h.wantClicks(t, h.Staged(second, "shop.clicks"), want...)
		publish(second, elt.Merge, "id")
		h.wantClicks(t, h.Published("shop.clicks"), want...)
		if err := h.Discard(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		third := elt.RunID(name + "-2026-01-07")
		h.stage(t, clicksOf(t, third, elt.Incremental, Row{int64(7), "2026-01-07 01:00:00", "none of the keys"}))
		publish(third, elt.Merge, "id")
		h.wantClicks(t, h.Published("shop.clicks"), append(want, "7|2026-01-07 01:00:00|none of the keys")...)
		h.Layouts["shop.clicks"] = elt.Layout{} // the next load is whole again, and arranged in another way
		reset := elt.RunID(name + "-2026-01-08")
		h.stage(t, clicksOf(t, reset, elt.Full))
		publish(reset, "")
	}
}

// replacing returns the item that puts a day's rows in place of what was published of its window.
func replacing(d Day) elt.PublicationItem {
	i := item(d.Run, d.Dataset, elt.Replace, d.Key...)
	i.Cursor, i.Range = d.Cursor, d.Range
	return i
}

var byDayReplaced = elt.Layout{PartitionBy: "at", Granularity: elt.ByDay, ReplacePartitions: true}

// replaceBegun publishes a first load of three days, one row without a cursor among them.
func replaceBegun(t *testing.T, h Harness) {
	t.Helper()
	h.Layouts["shop.clicks"] = byDayReplaced
	first := clicksOf(t, night1, elt.Incremental,
		Row{int64(1), "2026-01-04 23:59:59", "before"}, Row{int64(2), "2026-01-05 00:00:00", "gone"}, Row{int64(3), "2026-01-05 23:59:59", "kept"},
		Row{int64(4), "2026-01-06 00:00:00", "after"}, Row{int64(5), nil, "never"})
	first.Range = &elt.CursorRange{To: first.Range.To, All: true}
	h.stage(t, first)
	h.publish(t, night1, 1, item(night1, "shop.clicks", elt.Replace, "id"))
}

func testReplacedWindow(t *testing.T, h Harness) {
	replaceBegun(t, h)
	again := clicksOf(t, "again-2026-01-05", elt.Incremental, Row{int64(3), "2026-01-05 23:59:59", "kept"}, Row{int64(6), "2026-01-05 12:00:00", "late"})
	h.stage(t, again)
	want := []string{"1|2026-01-04 23:59:59|before", "3|2026-01-05 23:59:59|kept", "4|2026-01-06 00:00:00|after", "5|NULL|never", "6|2026-01-05 12:00:00|late"}
	h.wantClicks(t, h.Staged(again.Run, "shop.clicks"), want...)
	for range 2 {
		h.publish(t, again.Run, 2, replacing(again))
		h.wantClicks(t, h.Published("shop.clicks"), want...)
	}
}

func testEmptyWindow(t *testing.T, h Harness) {
	replaceBegun(t, h)
	again := clicksOf(t, "again-2026-01-05", elt.Incremental)
	h.stage(t, again)
	want := []string{"1|2026-01-04 23:59:59|before", "4|2026-01-06 00:00:00|after", "5|NULL|never"}
	h.wantClicks(t, h.Staged(again.Run, "shop.clicks"), want...)
	h.publish(t, again.Run, 2, replacing(again))
	h.wantClicks(t, h.Published("shop.clicks"), want...)
}

// testWideWindow: a window that is no whole number of partitions takes the place of its own rows and no others.
func testWideWindow(t *testing.T, h Harness) {
	replaceBegun(t, h)
	again := clicksOf(t, "again-2026-01-05", elt.Incremental, Row{int64(7), "2026-01-05 22:30:00", "new"})
	again.Range = &elt.CursorRange{From: Micros(t, "2026-01-04 22:00:00"), To: Micros(t, "2026-01-05 23:00:00")}
	h.stage(t, again)
	want := []string{"3|2026-01-05 23:59:59|kept", "4|2026-01-06 00:00:00|after", "5|NULL|never", "7|2026-01-05 22:30:00|new"}
	h.wantClicks(t, h.Staged(again.Run, "shop.clicks"), want...)
	h.publish(t, again.Run, 2, replacing(again))
	h.wantClicks(t, h.Published("shop.clicks"), want...)
}

// testOtherLayout: a table that is to be arranged in another way is made anew, and shows the new rows.
func testOtherLayout(t *testing.T, h Harness) {
	fence := int64(1)
	for _, l := range []elt.Layout{{}, layouts()["day"], layouts()["month"], layouts()["heap"], {}} {
		h.Layouts["shop.clicks"] = l
		run := elt.RunID("nightly-2026-01-0" + string(rune('0'+fence)))
		h.stage(t, clicksOf(t, run, elt.Full, Row{fence, "2026-01-05 07:30:00", "se"}))
		h.publish(t, run, fence, item(run, "shop.clicks", ""))
		h.wantClicks(t, h.Published("shop.clicks"), string(rune('0'+fence))+"|2026-01-05 07:30:00|se")
		fence++
	}
}

// testOtherLayoutMerged: so is one to which rows are added, and it keeps those that it had.
func testOtherLayoutMerged(t *testing.T, h Harness) {
	h.stage(t, clicksOf(t, night1, elt.Incremental, Row{int64(1), "2026-01-05 07:30:00", "old"}, Row{int64(2), "2026-01-04 07:30:00", "old"}))
	h.publish(t, night1, 1, item(night1, "shop.clicks", elt.Merge, "id"))
	want := []string{"1|2026-01-06 07:30:00|new", "2|2026-01-04 07:30:00|old"}
	for i, l := range []elt.Layout{layouts()["day"], layouts()["month"], {}} {
		h.Layouts["shop.clicks"] = l
		run := elt.RunID("nightly-2026-01-1" + string(rune('0'+i)))
		h.stage(t, clicksOf(t, run, elt.Incremental, Row{int64(1), "2026-01-06 07:30:00", "new"}))
		for range 2 {
			h.publish(t, run, int64(i+2), item(run, "shop.clicks", elt.Merge, "id"))
			h.wantClicks(t, h.Published("shop.clicks"), want...)
		}
	}
}

func testModelLayout(t *testing.T, h Harness) {
	h.Layouts["revenue"] = elt.Layout{PartitionBy: "day", Granularity: elt.ByMonth, ClusterBy: []string{"id"}}
	query := "SELECT 1 AS id, DATE '2026-01-05' AS day"
	h.build(t, model(night1, elt.AsTable, query))
	h.publish(t, night1, 1, item(night1, "revenue", ""))
	b := model(night2, elt.AsIncremental, query+" UNION ALL SELECT 2, DATE '2026-02-05'")
	b.Strategy, b.Key = elt.DeleteInsert, []string{"id"}
	h.build(t, b)
	h.publish(t, night2, 2, item(night2, "revenue", elt.DeleteInsert, "id"))
	h.wantRows(t, "SELECT id, CAST(day AS VARCHAR) FROM "+h.Published("analytics.revenue")+" ORDER BY id", "1|2026-01-05", "2|2026-02-05")
}

func testReplacedRestored(t *testing.T, h Harness) {
	replaceBegun(t, h)
	again := clicksOf(t, "again-2026-01-05", elt.Incremental, Row{int64(3), "2026-01-05 23:59:59", "changed"}, Row{int64(6), "2026-01-05 12:00:00", "late"})
	h.stage(t, again)
	h.publish(t, again.Run, 2, replacing(again))
	h.restore(t, rollback, 3, elt.NewVersionID("shop.clicks", night1))
	h.wantClicks(t, h.Published("shop.clicks"), "1|2026-01-04 23:59:59|before", "2|2026-01-05 00:00:00|gone", "3|2026-01-05 23:59:59|kept",
		"4|2026-01-06 00:00:00|after", "5|NULL|never")
}

func testOtherLayoutRestored(t *testing.T, h Harness) {
	for i, run := range []elt.RunID{night1, night2} {
		h.stage(t, clicksOf(t, run, elt.Full, Row{int64(i), "2026-01-05 07:30:00", "se"}))
		h.publish(t, run, int64(i+1), item(run, "shop.clicks", ""))
		h.Layouts["shop.clicks"] = layouts()["month"]
	}
	h.restore(t, rollback, 3, elt.NewVersionID("shop.clicks", night1))
	h.wantClicks(t, h.Published("shop.clicks"), "0|2026-01-05 07:30:00|se")
}
