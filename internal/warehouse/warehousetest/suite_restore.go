package warehousetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var restoreTests = map[string]func(*testing.T, Harness){
	"a whole table":                testRestoreWhole,
	"a merged table":               testRestoreMerged,
	"appended rows":                testRestoreAppended,
	"a view":                       testRestoreView,
	"a view that became a table":   testRestoreOtherKind,
	"a stale fence":                testRestoreStaleFence,
	"what is not kept":             testRestoreNotKept,
	"and the night after":          testNightAfterRestore,
	"back and forward":             testRestoreForward,
	"twice the same":               testRestoreTwice,
	"a merged table, then a whole": testRestoreAcrossWhole,
	"deleted rows":                 testRestoreDeleted,
}

// restore brings the content of an earlier version back as what the run publishes.
func (h Harness) restore(t testing.TB, run elt.RunID, fence int64, target elt.VersionID) elt.Version {
	t.Helper()
	v, err := h.Restore(t.Context(), restoration(run, fence, target))
	if err != nil {
		t.Fatalf("restore %s: %v", target, err)
	}
	return v
}

func restoration(run elt.RunID, fence int64, target elt.VersionID) elt.Restoration {
	it := item(run, target.Dataset(), "")
	it.Version.Restores = target
	return elt.Restoration{Version: it.Version, Fence: fence, Relation: it.Relation}
}

// restorable returns what can be restored of a relation.
func (h Harness) restorable(t testing.TB, relation string) []elt.VersionID {
	t.Helper()
	ids, err := h.Restorable(t.Context(), relation)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

const rollback elt.RunID = "rollback-2026-01-05"

func (h Harness) wholeNights(t testing.TB, names ...string) {
	t.Helper()
	for i, name := range names {
		run := elt.RunID(fmt.Sprintf("nightly-2026-01-%02d", 5+i))
		h.stage(t, users(t, run, elt.Full, Row{int64(1), name}))
		h.publish(t, run, int64(i+1), item(run, "shop.users", ""))
	}
}

func testRestoreWhole(t *testing.T, h Harness) {
	h.wholeNights(t, "one", "two")
	if diff := cmp.Diff([]elt.VersionID{"shop.users@" + elt.VersionID(night1), "shop.users@" + elt.VersionID(night2)}, h.restorable(t, "shop.users")); diff != "" {
		t.Error(diff)
	}
	v := h.restore(t, rollback, 7, elt.NewVersionID("shop.users", night1))
	h.wantUsers(t, h.Published("shop.users"), "1|one")
	want := elt.Version{
		ID: elt.NewVersionID("shop.users", rollback), Dataset: "shop.users", Date: dateOf(rollback), Run: rollback, Fence: 7,
		Checks: elt.ChecksPassed, PublishedAt: v.PublishedAt, Restores: elt.NewVersionID("shop.users", night1),
	}
	versions, err := h.Versions(t.Context())
	if err != nil || len(versions) != 3 {
		t.Fatalf("versions %v, %v", versions, err)
	}
	for _, got := range []elt.Version{v, versions[2]} {
		if diff := cmp.Diff(want, got, cmp.Transformer("inputs", noInputs)); diff != "" || v.PublishedAt.IsZero() {
			t.Errorf("version (-want +got):\n%s", diff)
		}
	}
	if n, exists, err := h.PublishedRows(t.Context(), "shop.users"); n != 1 || !exists || err != nil {
		t.Errorf("%d rows, %t, %v", n, exists, err)
	}
}

func (h Harness) mergedNights(t testing.TB) {
	t.Helper()
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}, Row{nil, "none"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.stage(t, users(t, night2, elt.Incremental, Row{int64(2), "TWO"}, Row{int64(3), "three"}, Row{nil, "NONE"}))
	h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
}

func testRestoreMerged(t *testing.T, h Harness) {
	h.mergedNights(t)
	h.restore(t, rollback, 3, elt.NewVersionID("shop.users", night1))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")
}

// testNightAfterRestore: the nights after a rollback go on from what it brought back.
func testNightAfterRestore(t *testing.T, h Harness) {
	h.mergedNights(t)
	h.restore(t, rollback, 3, elt.NewVersionID("shop.users", night1))
	h.stage(t, users(t, night3, elt.Incremental, Row{int64(1), "ONE"}, Row{int64(4), "four"}))
	h.wantUsers(t, h.Staged(night3, "shop.users"), "1|ONE", "2|two", "4|four", "NULL|none")
	h.publish(t, night3, 4, item(night3, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "1|ONE", "2|two", "4|four", "NULL|none")
	h.restore(t, "rollback-2026-01-09", 5, elt.NewVersionID("shop.users", rollback))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")
}

// testRestoreForward: a rollback can be taken back as long as what it took away is kept.
func testRestoreForward(t *testing.T, h Harness) {
	h.mergedNights(t)
	h.restore(t, rollback, 3, elt.NewVersionID("shop.users", night1))
	h.restore(t, "forward-2026-01-06", 4, elt.NewVersionID("shop.users", night2))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|TWO", "3|three", "NULL|NONE")
	h.restore(t, "back-2026-01-05", 5, elt.NewVersionID("shop.users", night1)) // the rollback still has its content
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")
	h.restore(t, "again-2026-01-06", 6, elt.NewVersionID("shop.users", night2))
	h.stage(t, users(t, night3, elt.Incremental, Row{int64(3), "THREE"}))
	h.publish(t, night3, 7, item(night3, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|TWO", "3|THREE", "NULL|NONE")
}

func testRestoreAcrossWhole(t *testing.T, h Harness) {
	h.mergedNights(t)
	h.stage(t, users(t, night3, elt.Full, Row{int64(9), "anew"}))
	h.publish(t, night3, 3, item(night3, "shop.users", ""))
	h.restore(t, rollback, 4, elt.NewVersionID("shop.users", night2))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|TWO", "3|three", "NULL|NONE")
}

func testRestoreAppended(t *testing.T, h Harness) {
	append1 := model(night1, elt.AsIncremental, "SELECT 1 AS id UNION ALL SELECT 1")
	h.build(t, append1)
	h.publish(t, night1, 1, item(night1, "revenue", ""))
	append2 := model(night2, elt.AsIncremental, "SELECT 1 AS id UNION ALL SELECT 2")
	append2.Strategy = elt.Append
	h.build(t, append2)
	h.publish(t, night2, 2, item(night2, "revenue", elt.Append))
	h.wantRows(t, "SELECT id FROM "+h.Published("analytics.revenue")+" ORDER BY id", "1", "1", "1", "2")
	h.restore(t, rollback, 3, elt.NewVersionID("revenue", night1))
	h.wantRows(t, "SELECT id FROM "+h.Published("analytics.revenue")+" ORDER BY id", "1", "1")
}

func (h Harness) viewNight(t testing.TB, run elt.RunID, fence int64, function string) {
	t.Helper()
	h.build(t, model(run, elt.AsView, "SELECT "+function+"(name) AS name FROM "+h.Published("shop.users")))
	view := item(run, "revenue", "")
	view.ViewSQL = "SELECT " + function + "(name) AS name FROM " + h.Published("shop.users") + " -- " + function
	h.publish(t, run, fence, view)
}

func testRestoreView(t *testing.T, h Harness) {
	h.wholeNights(t, "One")
	h.viewNight(t, night1, 2, "upper")
	h.viewNight(t, night2, 3, "lower")
	h.wantRows(t, "SELECT name FROM "+h.Published("analytics.revenue"), "one")
	h.restore(t, rollback, 4, elt.NewVersionID("revenue", night1))
	h.wantRows(t, "SELECT name FROM "+h.Published("analytics.revenue"), "ONE")
}

func testRestoreOtherKind(t *testing.T, h Harness) {
	h.wholeNights(t, "One")
	h.viewNight(t, night1, 2, "upper")
	h.build(t, model(night2, elt.AsTable, "SELECT 'table' AS name"))
	h.publish(t, night2, 3, item(night2, "revenue", ""))
	h.restore(t, rollback, 4, elt.NewVersionID("revenue", night1))
	h.wantRows(t, "SELECT name FROM "+h.Published("analytics.revenue"), "ONE")
	h.restore(t, "forward-2026-01-06", 5, elt.NewVersionID("revenue", night2))
	h.wantRows(t, "SELECT name FROM "+h.Published("analytics.revenue"), "table")
}

func testRestoreStaleFence(t *testing.T, h Harness) {
	h.wholeNights(t, "one", "two")
	_, err := h.Restore(t.Context(), restoration(rollback, 1, elt.NewVersionID("shop.users", night1)))
	wantCode(t, err, "stale_fence")
	h.wantUsers(t, h.Published("shop.users"), "1|two")
}

func testRestoreNotKept(t *testing.T, h Harness) {
	h.wholeNights(t, "one", "two", "three")
	for _, target := range []elt.VersionID{elt.NewVersionID("shop.users", night1), "shop.users@never"} {
		_, err := h.Restore(t.Context(), restoration(rollback, 9, target))
		wantCode(t, err, "version_not_kept")
	}
	h.wantUsers(t, h.Published("shop.users"), "1|three")
	if versions, err := h.Versions(t.Context()); len(versions) != 3 || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
	if diff := cmp.Diff([]elt.VersionID{"shop.users@" + elt.VersionID(night2), "shop.users@" + elt.VersionID(night3)}, h.restorable(t, "shop.users")); diff != "" {
		t.Error(diff)
	}
}

func testRestoreTwice(t *testing.T, h Harness) {
	h.mergedNights(t)
	first := h.restore(t, rollback, 3, elt.NewVersionID("shop.users", night1))
	again := h.restore(t, rollback, 2, elt.NewVersionID("shop.users", night1)) // what is there needs no fence
	if diff := cmp.Diff(first, again, cmp.Transformer("inputs", noInputs)); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")
}

// testRestoreDeleted: rows that a night deleted because the source had lost them come back with the night before.
func testRestoreDeleted(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}, Row{int64(3), "three"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	day := users(t, night2, elt.Incremental, Row{int64(2), "TWO"})
	files := day.withKeys(t, []Row{{int64(2)}, {int64(3)}})
	h.stage(t, day)
	h.deletes(t, day, files)
	h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "2|TWO", "3|three")
	h.restore(t, rollback, 3, elt.NewVersionID("shop.users", night1))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "3|three")
}
