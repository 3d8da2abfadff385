package warehousetest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var incrementalTests = map[string]func(*testing.T, Harness){
	"upsert by key":              testUpsert,
	"an empty night":             testEmptyNight,
	"two first loads":            testTwoFirstLoads,
	"a key twice":                testDuplicateKey,
	"a masked key twice":         testMaskedKey,
	"a key that is no column":    testMissingKey,
	"columns changed":            testColumnsChanged,
	"columns changed since":      testColumnsChangedSince,
	"a whole load replaces all":  testWholeAfterIncremental,
	"two columns, NULL in a key": testCompositeKey,
}

// sprintf puts a relation's name into a query.
func sprintf(query, relation string) string { return strings.Replace(query, "%s", relation, 1) }

const published = "SELECT id, name FROM %s ORDER BY id NULLS LAST"

func (h Harness) wantUsers(t testing.TB, relation string, want ...string) {
	t.Helper()
	h.wantRows(t, sprintf(published, relation), want...)
}

func testUpsert(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}, Row{nil, "none"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")

	day := users(t, night2, elt.Incremental, Row{int64(2), "TWO"}, Row{int64(3), "three"}, Row{nil, "NONE"})
	for range 2 { // staging it again replaces it
		h.stage(t, day)
	}
	night := []string{"1|one", "2|TWO", "3|three", "NULL|NONE"}
	h.wantUsers(t, h.Staged(night2, "shop.users"), night...)
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "NULL|none")
	got, err := h.Measure(t.Context(), night2, "shop.users", day.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if bad := day.Stats.Compare(got); len(bad) > 0 {
		t.Errorf("the delta measures %v", bad)
	}
	for range 2 { // publishing it again changes nothing
		h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
		h.wantUsers(t, h.Published("shop.users"), night...)
	}
	if n, exists, err := h.PublishedRows(t.Context(), "shop.users"); n != 4 || !exists || err != nil {
		t.Errorf("%d published rows, %v, %v", n, exists, err)
	}
}

func testEmptyNight(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.stage(t, users(t, night2, elt.Incremental))
	h.wantUsers(t, h.Staged(night2, "shop.users"), "1|one")
	h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "1|one")
}

// testTwoFirstLoads: two nights staged before either was published; the second must not undo the first.
func testTwoFirstLoads(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}))
	h.stage(t, users(t, night2, elt.Incremental, Row{int64(2), "TWO"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "1|one", "2|TWO")
}

func testDuplicateKey(t *testing.T, h Harness) {
	f := h.stageError(t, users(t, night1, elt.Incremental, Row{int64(7), "a"}, Row{int64(7), "b"}, Row{int64(8), "c"}), "duplicate_key")
	if !strings.Contains(f.Message, "(id) = (7)") {
		t.Errorf("the message %q does not name the key's value", f.Message)
	}
	h.stageError(t, users(t, night1, elt.Incremental, Row{nil, "a"}, Row{nil, "b"}), "duplicate_key")
	h.stage(t, users(t, night1, elt.Full, Row{int64(7), "a"}, Row{int64(7), "b"})) // a full load has no key to hold
}

func testMaskedKey(t *testing.T, h Harness) {
	day := users(t, night1, elt.Incremental, Row{int64(12345), "a"}, Row{int64(12345), "b"})
	day.Schema = slices.Clone(day.Schema)
	day.Schema[0].Masked = "hash"
	if f := h.stageError(t, day, "duplicate_key"); strings.Contains(f.Message, "12345") {
		t.Errorf("the message %q shows a masked value", f.Message)
	}
}

func testMissingKey(t *testing.T, h Harness) {
	day := users(t, night1, elt.Incremental, Row{int64(1), "a"})
	day.Key = []string{"uid"}
	if f := h.stageError(t, day, "key_missing"); !strings.Contains(f.Message, "uid") {
		t.Errorf("the message %q does not name the column", f.Message)
	}
}

func wider(t testing.TB, run elt.RunID, mode elt.Mode) Day {
	return NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.users", Run: run, Date: dateOf(run), Attempt: 1, Mode: mode, Key: []string{"id"},
		Schema: elt.Schema{
			{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.Int64}},
			{Name: "plan", Type: elt.Type{Kind: elt.String}},
		},
	}, []Row{{int64(1), int64(11), "pro"}})
}

func testColumnsChanged(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	f := h.stageError(t, wider(t, night2, elt.Incremental), "schema_changed")
	for _, part := range []string{`column "plan" is new`, `column "name" was string and is int64`} {
		if !strings.Contains(f.Message, part) {
			t.Errorf("the message %q does not say %q", f.Message, part)
		}
	}
	h.wantUsers(t, h.Published("shop.users"), "1|one")
}

// testColumnsChangedSince: the published columns changed between staging and publishing.
func testColumnsChangedSince(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.stage(t, wider(t, night2, elt.Full))
	h.publish(t, night2, 1, item(night2, "shop.users", ""))
	_, err := h.Publish(t.Context(), elt.Publication{Run: night1, Fence: 2, Items: []elt.PublicationItem{item(night1, "shop.users", elt.Merge, "id")}})
	wantCode(t, err, "schema_changed")
	h.wantRows(t, "SELECT id, plan FROM "+h.Published("shop.users"), "1|pro")
}

func testWholeAfterIncremental(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	h.stage(t, wider(t, night2, elt.Full))
	h.publish(t, night2, 2, item(night2, "shop.users", ""))
	h.wantRows(t, "SELECT id, plan FROM "+h.Published("shop.users"), "1|pro")
	h.stage(t, wider(t, night3, elt.Incremental))
	h.publish(t, night3, 3, item(night3, "shop.users", elt.Merge, "id"))
	h.wantRows(t, "SELECT id, plan FROM "+h.Published("shop.users"), "1|pro")
}

func testCompositeKey(t *testing.T, h Harness) {
	day := func(run elt.RunID, rows ...Row) Day {
		return NewDay(t, t.TempDir(), elt.Manifest{
			Dataset: "shop.parts", Run: run, Date: dateOf(run), Attempt: 1, Mode: elt.Incremental, Key: []string{"a", "b"},
			Schema: elt.Schema{
				{Name: "a", Type: elt.Type{Kind: elt.Int64}}, {Name: "b", Type: elt.Type{Kind: elt.String}}, {Name: "v", Type: elt.Type{Kind: elt.Int64}},
			},
		}, rows)
	}
	h.stage(t, day(night1, Row{int64(1), nil, int64(10)}, Row{int64(1), "", int64(11)}, Row{nil, nil, int64(12)}, Row{nil, "x", int64(13)}))
	h.publish(t, night1, 1, item(night1, "shop.parts", ""))
	h.stage(t, day(night2, Row{int64(1), nil, int64(20)}, Row{nil, nil, int64(22)}, Row{int64(2), nil, int64(24)}))
	want := []string{"NULL|x|13", "NULL|NULL|22", "1||11", "1|NULL|20", "2|NULL|24"}
	query := "SELECT a, b, v FROM %s ORDER BY a NULLS FIRST, b NULLS LAST"
	h.wantRows(t, strings.Replace(query, "%s", h.Staged(night2, "shop.parts"), 1), want...)
	h.publish(t, night2, 2, item(night2, "shop.parts", elt.Merge, "a", "b"))
	h.wantRows(t, strings.Replace(query, "%s", h.Published("shop.parts"), 1), want...)
}

func cancelled(t testing.TB) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
