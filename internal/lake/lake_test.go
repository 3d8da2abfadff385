package lake_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
)

func TestTheKeysOfManifestsAreKeys(t *testing.T) {
	m := elt.Manifest{Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 11, Day: 20}, Run: "20261121T020000-nightly", Attempt: 3}
	if err := lake.CheckKey(m.ObjectKey()); err != nil {
		t.Error(err)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a/b", "shop.users/date=2026-11-20/part-00000.parquet", "../a", "/a", "a//b", ".a", "a\x00", `a\b`, "日/本", "\xff"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if lake.CheckKey(key) != nil {
			return
		}
		if !fs.ValidPath(key) || !filepath.IsLocal(filepath.FromSlash(key)) {
			t.Errorf("%q leads out of a folder", key)
		}
		if strings.HasPrefix(key, ".") || strings.Contains(key, "/.") || strings.ContainsAny(key, "\x00\n\\") || key == "" {
			t.Errorf("%q is accepted", key)
		}
	})
}
