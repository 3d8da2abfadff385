package main

import (
	"bufio"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is in the lake is loaded again: as a drill, in place of what people read, and over newer dates only where that is
// said.
func TestLoadAgain(t *testing.T) {
	t.Parallel()
	dir, first, second := twoNights(t)
	earlier := lastDate(t).AddDays(-1).String()
	for _, dataset := range []string{"app.companies", "app.message_parts"} {
		if a := must(t, dir, nil, "load", dataset); !strings.Contains(a.out, "whole and verified") {
			t.Errorf("load says %s", a.out)
		}
		wantContents(t, dir, first, second)
		wantRefusal(t, do(t, dir, nil, "load", dataset, "--date", earlier, "--publish", "--yes"), 78, "newer_published", "--replace-newer")
		must(t, dir, nil, "load", dataset, "--date", earlier, "--publish", "--yes", "--replace-newer", "--reason", "wrong prices")
		wantContents(t, dir, first, second, dataset)
		if h := headlineOf(t, dir, dataset); !strings.Contains(h.Withdrawn, "wrong prices") {
			t.Errorf("the day whose data is gone says %+v", h)
		}
		must(t, dir, nil, "verify", dataset)
		must(t, dir, nil, "load", dataset, "--date", lastDate(t).String(), "--publish", "--yes")
		wantContents(t, dir, first, second)
	}
	wantRefusal(t, do(t, dir, nil, "load", "mrr"), 78, "not_extracted")
	wantRefusal(t, do(t, dir, nil, "load"), 78, "bad_load")
	remove(t, firstPart(t, filepath.Join(dir, "lake", "app.users")))
	wantRefusal(t, do(t, dir, nil, "load", "app.users"), 65, "part_missing")
}

// A warehouse whose file was deleted is rebuilt from lake and ledger by one command, however often that is killed.
func TestALostWarehouseIsRebuilt(t *testing.T) {
	t.Parallel()
	dir, _, second := twoNights(t)
	must(t, dir, nil, "rollback", "app.users", "--reason", "x", "--yes")
	must(t, dir, nil, "rollback", "app.users", "--to", lastDate(t).String(), "--reason", "x", "--yes")
	remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	remove(t, filepath.Join(dir, "read", "warehouse.duckdb"))
	wantRefusal(t, do(t, dir, nil, "run", "--date", lastDate(t).String()), 78, "warehouse_behind_ledger", "daybreak load --all")
	killWhen(t, dir, 12, "load", "--all")
	killAfterLines(t, dir, 2, "load", "--all")
	must(t, dir, nil, "load", "--all")
	if diff := cmp.Diff(second, contents(t, dir)); diff != "" {
		t.Errorf("(-lost +rebuilt):\n%s", diff)
	}
	must(t, dir, nil, "verify")
	if a := must(t, dir, nil, "load", "--all"); !strings.Contains(a.out, "has lost nothing") {
		t.Errorf("load --all of a whole warehouse says %s", a.out)
	}
	must(t, dir, nil, "run", "--date", lastDate(t).String(), "--again")
	if diff := cmp.Diff(second, contents(t, dir)); diff != "" {
		t.Errorf("the night after (-lost +rebuilt):\n%s", diff)
	}
	for d, state := range statesOf(t, dir, lastDate(t)) {
		if state != "ready" {
			t.Errorf("%s is %s", d, state)
		}
	}
}

// killAfterLines runs daybreak and kills it once it has printed so many lines, or lets it end before that.
func killAfterLines(t *testing.T, dir string, lines int, args ...string) {
	t.Helper()
	cmd := program(context.WithoutCancel(t.Context()), t, dir, nil, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for scan := bufio.NewScanner(out); lines > 0 && scan.Scan(); lines-- {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Log(err) // it has just ended
	}
	_ = cmd.Wait() // it was killed
}

// gc drops what nobody needs, lists it before, and nothing else: afterwards everything can still be verified, brought
// back and rebuilt.
func TestGC(t *testing.T) {
	t.Parallel()
	dir, _, second := twoNights(t)
	for range 3 { // versions that nobody goes back to
		must(t, dir, nil, "run", "--date", lastDate(t).String(), "--again")
	}
	orphan := filepath.Join(dir, "lake", "app.users", "date=2020-01-05", "run=20200106t020000-abcdef", "attempt=1", "part-00000.parquet")
	strange := filepath.Join(dir, "lake", "notes", "readme.txt")
	young := filepath.Join(dir, "lake", "app.users", "date=2020-01-06", "run=20200107t020000-abcdef", "attempt=1", "part-00000.parquet")
	for _, file := range []string{orphan, strange, young} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(orphan, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(dir, "state", "ledger.db"), `UPDATE manifests SET saved_at = '2020-01-01T00:00:00.000000Z';
		UPDATE versions SET published_at = '2020' || substr(published_at, 5)`)
	lakeBefore := filesOf(t, filepath.Join(dir, "lake"))
	would := must(t, dir, nil, "gc", "--dry-run").out
	for _, want := range []string{"Would drop ", "date=2020-01-05/run=20200106t020000-abcdef", "1 without a manifest", "Left alone: 1 object"} {
		if !strings.Contains(would, want) {
			t.Errorf("gc --dry-run does not say %q:\n%s", want, would)
		}
	}
	if diff := cmp.Diff(lakeBefore, filesOf(t, filepath.Join(dir, "lake"))); diff != "" {
		t.Errorf("a dry run changed the lake:\n%s", diff)
	}
	did := must(t, dir, nil, "gc").out
	if strings.ReplaceAll(would, "Would drop", "Dropped") != did {
		t.Errorf("it would have\n%s\nand did\n%s", would, did)
	}
	left := filesOf(t, filepath.Join(dir, "lake"))
	if len(left) >= len(lakeBefore) || slices.Contains(left, orphan) || !slices.Contains(left, strange) || !slices.Contains(left, young) {
		t.Errorf("%d objects became %d", len(lakeBefore), len(left))
	}
	if a := must(t, dir, nil, "gc"); !strings.Contains(a.out, "There is nothing that nobody needs.") {
		t.Errorf("a second gc says %s", a.out)
	}
	must(t, dir, nil, "verify")
	must(t, dir, nil, "rollback", "app.companies", "--reason", "x", "--yes")
	must(t, dir, nil, "rollback", "app.message_parts", "--reason", "x", "--yes")
	must(t, dir, nil, "verify")
	must(t, dir, nil, "run", "--date", lastDate(t).String(), "--again")
	remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	must(t, dir, nil, "load", "--all")
	if diff := cmp.Diff(second, contents(t, dir)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if trail := must(t, dir, nil, "audit", "retention").out; strings.Count(trail, "gc") != 1 {
		t.Errorf("the audit trail:\n%s", trail)
	}
}

// filesOf returns every file below a folder.
func filesOf(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A night that was begun and not finished may lie for long: what it has written and staged stays, and it goes on.
func TestGCSparesARunThatHasNotEnded(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	killAfter(t, dir, lastDate(t).String(), 30)
	change(t, filepath.Join(dir, "state", "ledger.db"), `UPDATE manifests SET saved_at = '2020-01-01T00:00:00.000000Z'`)
	before := filesOf(t, filepath.Join(dir, "lake"))
	for _, file := range before {
		if err := os.Chtimes(file, time.Time{}, time.Now().AddDate(-1, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, dir, nil, "gc")
	if diff := cmp.Diff(before, filesOf(t, filepath.Join(dir, "lake"))); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	wantUndisturbed(t, dir)
}
