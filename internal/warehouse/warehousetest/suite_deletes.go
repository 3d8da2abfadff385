package warehousetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

var deletesTests = map[string]func(*testing.T, Harness){
	"a digest sees what columns miss": testDigestSeesMore,
	"keys that are gone":              testKeysGone,
	"keys of two columns, with NULLs": testCompositeKeysGone,
	"keys found twice":                testKeysTwice,
	"keys that come twice":            testDuplicateKeys,
	"keys before the first load":      testKeysFirst,
	"rows that the keys do not know":  testUnknownRows,
	"rows that are flagged":           testSoftDeletes,
	"a first load with flagged rows":  testSoftDeletesFirst,
}

// testDigestSeesMore: two values that changed places leave the facts of every column as they were.
func testDigestSeesMore(t *testing.T, h Harness) {
	good := []Row{{int64(1), "one"}, {int64(2), "two"}, {int64(2), "two"}}
	for name, bad := range map[string][]Row{
		"swapped":         {{int64(1), "two"}, {int64(2), "one"}, {int64(2), "two"}},
		"a pair for one":  {{int64(1), "one"}, {int64(1), "one"}, {int64(3), "two"}},
		"shifted lengths": {{int64(1), "on"}, {int64(2), "etwo"}, {int64(2), "two"}},
	} {
		day := users(t, night1, elt.Full, bad...)
		h.stage(t, day)
		got, err := h.Digest(t.Context(), night1, "shop.users", day.Schema)
		if err != nil {
			t.Fatal(err)
		}
		if Digest(day.Schema, good).Equal(got) {
			t.Errorf("%s: the digest is that of other rows", name)
		}
		if !Digest(day.Schema, bad).Equal(got) {
			t.Errorf("%s: the digest is %s", name, got)
		}
	}
}

// withKeys adds every key of the source to a day, as parts of their own, and returns their files.
func (d Day) withKeys(t testing.TB, parts ...[]Row) []string {
	t.Helper()
	keys := &elt.KeySet{Max: 1}
	for _, name := range d.Key {
		c, _ := d.Schema.Column(name)
		keys.Schema = append(keys.Schema, c)
	}
	var files []string
	var all []Row
	for i, rows := range parts {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("keys-%d.parquet", i))
		WriteParquet(t, file, keys.Schema, rows)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		keys.Parts = append(keys.Parts, elt.Part{Key: d.Prefix() + filepath.Base(file), Rows: int64(len(rows)), Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
		files, all = append(files, file), append(all, rows...)
	}
	keys.Stats = Stats(keys.Schema, all)
	d.Keys = keys
	return files
}

func (h Harness) deletes(t testing.TB, day Day, files []string) elt.Deletion {
	t.Helper()
	found, err := h.Deletes(t.Context(), day.Run, day.Manifest, string(day.Dataset), files)
	if err != nil {
		t.Fatalf("find the deletes of %s: %v", day.Dataset, err)
	}
	return found
}

func testKeysGone(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}, Row{int64(3), "three"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	day := users(t, night2, elt.Incremental, Row{int64(2), "TWO"}, Row{int64(4), "four"})
	files := day.withKeys(t, []Row{{int64(2)}}, []Row{{int64(3)}, {int64(4)}})
	for range 2 { // loading it again, and asking again, comes to the same
		h.stage(t, day)
		for range 2 {
			found := h.deletes(t, day, files)
			if diff := cmp.Diff(elt.Deletion{Published: 3, Gone: 1, Keys: day.Keys.Stats}, found); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
		h.wantUsers(t, h.Staged(night2, "shop.users"), "2|TWO", "3|three", "4|four")
		h.wantUsers(t, h.Published("shop.users"), "1|one", "2|two", "3|three")
	}
	published := item(night2, "shop.users", elt.Merge, "id")
	published.Version.Level, published.Version.Deletes = elt.LevelRows, 1
	for range 2 {
		versions := h.publish(t, night2, 2, published)
		if len(versions) != 1 || versions[0].Deletes != 1 || versions[0].Level != elt.LevelRows {
			t.Errorf("the version says %+v", versions)
		}
		h.wantUsers(t, h.Published("shop.users"), "2|TWO", "3|three", "4|four")
	}
	// A night without keys deletes nothing.
	h.stage(t, users(t, night3, elt.Incremental, Row{int64(5), "five"}))
	h.publish(t, night3, 3, item(night3, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "2|TWO", "3|three", "4|four", "5|five")
}

func testCompositeKeysGone(t *testing.T, h Harness) {
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
	second := day(night2)
	h.stage(t, second)
	found := h.deletes(t, second, second.withKeys(t, []Row{{int64(1), nil}, {nil, "x"}}))
	if found.Gone != 2 || found.Published != 4 || found.Unknown != 0 {
		t.Errorf("found %+v", found)
	}
	h.publish(t, night2, 2, item(night2, "shop.parts", elt.Merge, "a", "b"))
	h.wantRows(t, "SELECT a, b, v FROM "+h.Published("shop.parts")+" ORDER BY v", "1|NULL|10", "NULL|x|13")
}

// testKeysTwice: another attempt found other keys.
func testKeysTwice(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}, Row{int64(2), "two"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	for attempt, keys := range [][]Row{{{int64(1)}}, {{int64(2)}}} {
		day := users(t, night2, elt.Incremental)
		day.Attempt = attempt + 1
		h.stage(t, day)
		if found := h.deletes(t, day, day.withKeys(t, keys)); found.Gone != 1 {
			t.Errorf("found %+v", found)
		}
	}
	h.publish(t, night2, 2, item(night2, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "2|two")
}

func testDuplicateKeys(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	day := users(t, night2, elt.Incremental)
	h.stage(t, day)
	_, err := h.Deletes(t.Context(), night2, day.Manifest, "shop.users", day.withKeys(t, []Row{{int64(7)}, {int64(7)}}))
	if f := wantCode(t, err, "duplicate_key"); !strings.Contains(f.Message, "(id) = (7)") {
		t.Errorf("the message %q does not name the key", f.Message)
	}
}

func testKeysFirst(t *testing.T, h Harness) {
	day := users(t, night1, elt.Incremental, Row{int64(1), "one"})
	h.stage(t, day)
	if found := h.deletes(t, day, day.withKeys(t, []Row{{int64(1)}})); found.Gone != 0 {
		t.Errorf("found %+v", found)
	}
	h.publish(t, night1, 1, item(night1, "shop.users", elt.Merge, "id"))
	h.wantUsers(t, h.Published("shop.users"), "1|one")
}

func testUnknownRows(t *testing.T, h Harness) {
	h.stage(t, users(t, night1, elt.Incremental, Row{int64(1), "one"}))
	h.publish(t, night1, 1, item(night1, "shop.users", ""))
	day := users(t, night2, elt.Incremental, Row{int64(2), "two"})
	h.stage(t, day)
	if found := h.deletes(t, day, day.withKeys(t, []Row{{int64(1)}})); found.Unknown != 1 {
		t.Errorf("found %+v", found)
	}
}

func flagged(t testing.TB, run elt.RunID, kind elt.Kind, rows ...Row) Day {
	return NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.users", Run: run, Date: dateOf(run), Attempt: 1, Mode: elt.Incremental, Key: []string{"id"}, SoftDelete: "deleted",
		Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.String}}, {Name: "deleted", Type: elt.Type{Kind: kind}}},
	}, rows)
}

func testSoftDeletes(t *testing.T, h Harness) {
	for i, flag := range []struct {
		kind    elt.Kind
		set, no any
	}{{elt.Bool, true, false}, {elt.Int64, int64(1), int64(0)}, {elt.Timestamp, int64(1), nil}, {elt.Bool, true, nil}} {
		night := func(n int) elt.RunID { return elt.RunID(fmt.Sprintf("nightly-2026-0%d-0%d", i+1, n)) }
		fence := int64(10 * i)
		publish := func(day Day, strategy elt.Strategy, key ...string) {
			fence++
			it := item(day.Run, "shop.users", strategy, key...)
			it.SoftDelete = day.SoftDelete
			h.publish(t, day.Run, fence, it)
		}
		// The table begins whole, with another kind of column each time.
		whole := flagged(t, night(1), flag.kind, Row{int64(1), "one", flag.no}, Row{int64(2), "two", flag.no})
		whole.Mode, whole.SoftDelete = elt.Full, ""
		h.stage(t, whole)
		publish(whole, "")
		day := flagged(t, night(2), flag.kind, Row{int64(1), "one", flag.set}, Row{int64(3), "three", flag.set}, Row{int64(4), "four", flag.no})
		h.stage(t, day)
		if found := h.deletes(t, day, nil); found.Gone != 2 {
			t.Errorf("%s: found %+v", flag.kind, found)
		}
		if digest, err := h.Digest(t.Context(), day.Run, day.Dataset, day.Schema); err != nil || digest.Rows != 3 {
			t.Errorf("the digest is of %s, %v", digest, err) // flagged rows are verified, too
		}
		h.wantUsers(t, h.Staged(night(2), "shop.users"), "2|two", "4|four")
		publish(day, elt.Merge, "id")
		h.wantUsers(t, h.Published("shop.users"), "2|two", "4|four")
		back := flagged(t, night(3), flag.kind, Row{int64(1), "back", flag.no})
		h.stage(t, back)
		publish(back, elt.Merge, "id")
		h.wantUsers(t, h.Published("shop.users"), "1|back", "2|two", "4|four")
	}
}

func testSoftDeletesFirst(t *testing.T, h Harness) {
	day := flagged(t, night1, elt.Bool, Row{int64(1), "one", false}, Row{int64(2), "two", true}, Row{int64(3), "three", nil})
	h.stage(t, day)
	h.wantUsers(t, h.Staged(night1, "shop.users"), "1|one", "3|three")
	if got, err := h.Measure(t.Context(), night1, "shop.users", day.Schema); err != nil || got.Rows != 3 {
		t.Errorf("%d rows are verified, %v", got.Rows, err)
	}
	it := item(night1, "shop.users", elt.Merge, "id")
	it.SoftDelete = "deleted"
	for range 2 {
		h.publish(t, night1, 1, it)
		h.wantUsers(t, h.Published("shop.users"), "1|one", "3|three")
	}
}
