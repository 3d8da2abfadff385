package warehousetest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var publishTests = map[string]func(*testing.T, Harness){
	"versions":                       testVersions,
	"all or nothing":                 testAllOrNothing,
	"a stale fence":                  testStaleFence,
	"a name that is taken":           testRelationTaken,
	"views over published names":     testPublishedViews,
	"a view that is held back":       testHeldView,
	"what is published stays staged": testPublishedIsNotStagedAgain,
	"a cancelled context":            testCancelledPublish,
	"old nights go":                  testOldNightsGo,
	"several at once":                testPublishAtOnce,
	"nothing to publish":             testPublishNothing,
}

func testVersions(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "one"}))
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id"))
	table, built := item(night1, "shop.users", ""), item(night1, "revenue", "")
	table.Version.Manifest, table.Version.Rows = "shop.users/manifest.json", 1
	built.Version.Inputs = map[elt.DatasetName]elt.VersionID{"shop.users": table.Version.ID}
	built.Version.Checks = elt.ChecksWarned
	before := time.Now()
	got := h.publish(t, night1, 7, table, built)
	want := []elt.Version{table.Version, built.Version}
	for i := range want {
		want[i].Fence, want[i].PublishedAt = 7, got[i].PublishedAt
		if at := got[i].PublishedAt; at.Before(before.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
			t.Errorf("published at %v", at)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, h.publish(t, night1, 8, table, built), cmp.Transformer("inputs", noInputs)); diff != "" {
		t.Errorf("published again (-first +second):\n%s", diff)
	}
	all, err := h.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byID := make(map[elt.VersionID]elt.Version)
	for _, v := range all {
		byID[v.ID] = v
	}
	for _, v := range got {
		if diff := cmp.Diff(v, byID[v.ID], cmp.Transformer("inputs", noInputs)); diff != "" {
			t.Errorf("version %s (-published +recorded):\n%s", v.ID, diff)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d versions, want 2", len(all))
	}
}

// noInputs makes nil and no inputs the same.
func noInputs(m map[elt.DatasetName]elt.VersionID) []string {
	var out []string
	for d, v := range m {
		out = append(out, string(d)+"="+string(v))
	}
	return out
}

func testAllOrNothing(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "old"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.stage(t, users(t, night2, elt.Full, Row{int64(1), "new"}))
	_, err := h.Publish(t.Context(), elt.Publication{Run: night2, Fence: 2, Items: []elt.PublicationItem{
		item(night2, "shop.users", ""), item(night2, "never_built", ""),
	}})
	wantCode(t, err, "staging_missing")
	h.wantUsers(t, h.Published("shop.users"), "1|old")
	if versions, err := h.Versions(t.Context()); len(versions) != 1 || err != nil {
		t.Errorf("versions %v, %v; want the first alone", versions, err)
	}
	h.publish(t, night2, 2, item(night2, "shop.users", ""))
	h.wantUsers(t, h.Published("shop.users"), "1|new")
}

func testStaleFence(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "slow"}))
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id"))
	h.stage(t, users(t, night2, elt.Full, Row{int64(1), "fast"}))
	h.publish(t, night2, 9, item(night2, "shop.users", ""))
	_, err := h.Publish(t.Context(), elt.Publication{Run: night1, Fence: 8, Items: []elt.PublicationItem{
		item(night1, "revenue", ""), item(night1, "shop.users", ""),
	}})
	wantCode(t, err, "stale_fence")
	h.wantUsers(t, h.Published("shop.users"), "1|fast")
	if _, exists, err := h.PublishedRows(t.Context(), "analytics.revenue"); exists || err != nil {
		t.Errorf("half of a stale publication is visible (%v)", err)
	}
	h.publish(t, night2, 3, item(night2, "shop.users", "")) // a repeat of what is there needs no fence
}

func testRelationTaken(t *testing.T, h Harness) {
	h.Exec(t, "CREATE SCHEMA shop")
	h.Exec(t, "CREATE TABLE shop.users AS SELECT 'theirs' AS v")
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "ours"}))
	_, err := h.Publish(t.Context(), elt.Publication{Run: night1, Fence: 1, Items: []elt.PublicationItem{item(night1, "shop.users", "")}})
	if f := wantCode(t, err, "relation_taken"); !strings.Contains(f.Message, "shop.users") {
		t.Errorf("message %q", f.Message)
	}
	h.wantRows(t, "SELECT * FROM shop.users", "theirs")
	h.Exec(t, "DROP TABLE shop.users")
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
}

func testPublishedViews(t *testing.T, h Harness) {
	night := func(run elt.RunID, fence int64, name string) {
		h.stage(t, users(t, run, elt.Full, Row{int64(1), name}))
		h.build(t, model(run, elt.AsView, "SELECT upper(name) AS name FROM "+h.Staged(run, "shop.users")))
		h.wantRows(t, "SELECT * FROM "+h.Staged(run, "revenue"), strings.ToUpper(name))
		view := item(run, "revenue", "")
		view.ViewSQL = "SELECT upper(name) AS name\nFROM " + h.Published("shop.users") + " -- as it is published"
		h.publish(t, run, fence, item(run, "shop.users", ""), view)
		h.wantRows(t, "SELECT * FROM "+h.Published("analytics.revenue"), strings.ToUpper(name))
	}
	night(night1, 1, "one")
	night(night2, 2, "two")
	// A view becomes a table, and a table a view again.
	h.build(t, model(night3, elt.AsTable, "SELECT 'table' AS name"))
	h.publish(t, night3, 3, item(night3, "revenue", ""))
	h.wantRows(t, "SELECT * FROM "+h.Published("analytics.revenue"), "table")
	night("nightly-2026-01-08", 4, "three")
}

// testHeldView: a view that is held back keeps its rows while what it reads changes under it, whatever the change,
// and is a view again with its next version.
func testHeldView(t *testing.T, h Harness) {
	view := func(run elt.RunID) elt.PublicationItem {
		h.build(t, model(run, elt.AsView, "SELECT upper(name) AS name FROM "+h.Staged(run, "shop.users")))
		v := item(run, "revenue", "")
		v.ViewSQL = "SELECT upper(name) AS name FROM " + h.Published("shop.users")
		return v
	}
	wantView := func(want string) {
		t.Helper()
		h.wantRows(t, "SELECT name FROM "+h.Published("analytics.revenue"), want)
	}
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""), view(night1))
	wantView("ONE")
	for i, run := range []elt.RunID{night2, night3} {
		h.build(t, elt.Build{Run: run, Dataset: "shop.users", Relation: "shop.users", Materialized: elt.AsTable, SQL: "SELECT 1 AS id, 2 AS nobody"})
		for range 2 { // publishing again is harmless
			_, err := h.Publish(t.Context(), elt.Publication{
				Run: run, Fence: int64(2 + i), Items: []elt.PublicationItem{item(run, "shop.users", "")},
				Held: []string{"analytics.revenue", "shop.users_that_never_were"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		wantView("ONE")
	}
	const night4 elt.RunID = "nightly-2026-01-08"
	h.stage(t, users(t, night4, elt.Full, Row{int64(1), "four"}))
	h.publish(t, night4, 4, item(night4, "shop.users", ""), view(night4))
	wantView("FOUR")
	if _, err := h.Count(t.Context(), "SELECT 1 FROM "+h.Staged(night2, "analytics.revenue:held")); err == nil {
		t.Error("the rows that were kept are still there")
	}
}

// testPublishedIsNotStagedAgain: an attempt that lost its lease stages once more after the night was published.
func testPublishedIsNotStagedAgain(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "one"}))
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id"))
	h.publish(t, night1, 1, item(night1, "shop.users", ""), item(night1, "revenue", ""))
	h.stageError(t, users(t, night1, elt.Full, Row{int64(2), "late"}), "already_published")
	for _, as := range []elt.Materialization{elt.AsTable, elt.AsView} {
		_, err := h.Build(t.Context(), model(night1, as, "SELECT 2 AS id"))
		wantCode(t, err, "already_published")
	}
	h.wantUsers(t, h.Published("shop.users"), "1|one")
	h.wantRows(t, "SELECT * FROM "+h.Published("analytics.revenue"), "1")
}

func testCancelledPublish(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "one"}))
	ctx, cancel := cancelled(t)
	defer cancel()
	_, err := h.Publish(ctx, elt.Publication{Run: night1, Fence: 1, Items: []elt.PublicationItem{item(night1, "shop.users", "")}})
	wantCode(t, err, elt.Interrupted)
	if versions, err := h.Versions(t.Context()); len(versions) != 0 || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
}

// testOldNightsGo: what no published name needs goes with the next publish, and nothing else does.
func testOldNightsGo(t *testing.T, h Harness) {
	parts := func(run elt.RunID, rows ...Row) Day {
		day := users(t, run, elt.Incremental, rows...)
		day.Dataset = "shop.parts"
		return day
	}
	gone := func(run elt.RunID, d elt.DatasetName) bool {
		_, err := h.Count(t.Context(), "SELECT * FROM "+h.Staged(run, d))
		return err != nil
	}
	h.stage(t, users(t, night1, elt.Full, Row{int64(1), "one"}))
	h.stage(t, parts(night1, Row{int64(1), "one"}))
	h.build(t, model(night1, elt.AsTable, "SELECT 1 AS id"))
	h.publish(t, night1, 1, item(night1, "shop.users", ""), item(night1, "shop.parts", ""))
	if gone(night1, "revenue") {
		t.Error("what the publishing run holds back went with its own publish; a retry needs it")
	}
	h.stage(t, users(t, night3, elt.Full, Row{int64(1), "in progress"}))
	h.stage(t, users(t, night2, elt.Full, Row{int64(1), "two"}))
	h.stage(t, parts(night2, Row{int64(2), "two"}))
	h.publish(t, night2, 2, item(night2, "shop.users", ""), item(night2, "shop.parts", elt.Merge, "id"))
	if !gone(night1, "revenue") {
		t.Error("what the night before held back is still there")
	}
	if !h.Copies && gone(night1, "shop.users") {
		t.Error("the version before cannot be restored")
	}
	if !h.Copies && gone(night1, "shop.parts") {
		t.Error("the table behind an incremental dataset is gone")
	}
	if gone(night3, "shop.users") {
		t.Error("a run in progress lost what it staged")
	}
	h.wantUsers(t, h.Published("shop.parts"), "1|one", "2|two")
	if left, err := h.Leftovers(t.Context()); err != nil || left["nightly_2026_01_07"] == 0 {
		t.Errorf("leftovers %v, %v; the run in progress has staged something", left, err)
	}
	for _, run := range []elt.RunID{night1, night2, night3, "never-seen"} {
		if err := h.Discard(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	if !gone(night3, "shop.users") {
		t.Error("a discarded run's tables are still there")
	}
	if left, err := h.Leftovers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("leftovers %v, %v, although everything was discarded", left, err)
	}
	h.wantUsers(t, h.Published("shop.users"), "1|two")
	h.wantUsers(t, h.Published("shop.parts"), "1|one", "2|two")
	const night4 elt.RunID = "nightly-2026-01-08"
	h.stage(t, users(t, night4, elt.Full, Row{int64(1), "four"}))
	h.publish(t, night4, 4, item(night4, "shop.users", ""))
	if !gone(night1, "shop.users") {
		t.Error("the version before the last two is still there")
	}
}

// testPublishAtOnce: runs stage and publish at the same time, and a reader sees every night whole.
func testPublishAtOnce(t *testing.T, h Harness) {
	var work sync.WaitGroup
	var mu sync.Mutex
	for i := range 6 {
		work.Go(func() {
			run := elt.RunID("nightly-2026-02-0" + string(rune('1'+i)))
			day := users(t, run, elt.Full, Row{int64(i), "x"})
			if _, err := h.Stage(t.Context(), run, day.Manifest, "shop.users", day.Files, func(int64) {}); err != nil {
				t.Errorf("stage %s: %v", run, err)
				return
			}
			if _, err := h.Build(t.Context(), model(run, elt.AsTable, "SELECT id FROM "+h.Staged(run, "shop.users"))); err != nil {
				t.Errorf("build %s: %v", run, err)
				return
			}
			mu.Lock() // under one fence that rises
			defer mu.Unlock()
			if _, err := h.Publish(t.Context(), elt.Publication{Run: run, Fence: 1, Items: []elt.PublicationItem{
				item(run, "shop.users", ""), item(run, "revenue", ""),
			}}); err != nil {
				t.Errorf("publish %s: %v", run, err)
			}
		})
	}
	work.Wait()
	n, err := h.Count(t.Context(), "SELECT 1 FROM "+h.Published("shop.users")+" u JOIN "+h.Published("analytics.revenue")+" r ON u.id = r.id")
	if n != 1 || err != nil {
		t.Errorf("the two tables are of different nights (%d rows, %v)", n, err)
	}
	if versions, err := h.Versions(t.Context()); len(versions) != 12 || err != nil {
		t.Errorf("%d versions, %v; want 12", len(versions), err)
	}
}

func testPublishNothing(t *testing.T, h Harness) {
	if got := h.publish(t, night1, 1); len(got) != 0 {
		t.Errorf("published %v", got)
	}
}
