package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where the disk fills in the middle of a night, with so many KiB of room that a part of what the night needs fits.
var fillsWithin = map[string][]int{
	"lake":      {4, 12, 24, 48, 96},
	"ledger":    {200, 400, 800, 1600},
	"warehouse": {300, 700, 1200, 2500, 5000},
	"read copy": {3000, 5000},
}

// A disk that fills within a night, at whichever step of extraction, load, build or publish: each dataset is
// published exactly if the ledger says so, every published table is whole, and once there is room a new run ends as an
// undisturbed one.
func TestADiskFillsWithinANight(t *testing.T) {
	t.Parallel()
	for part, rooms := range fillsWithin {
		for _, room := range rooms {
			t.Run(fmt.Sprintf("%s within %d KiB", part, room), func(t *testing.T) { fillWithin(t, part, room) })
		}
	}
}

func fillWithin(t *testing.T, part string, room int) {
	t.Parallel()
	dir, place := brought(t), onSmallDisk[part]
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	disk := mount(t, small)
	edit(t, dir, "daybreak.yaml", place.old, place.moved)
	move(t, filepath.Join(dir, place.file), filepath.Join(small, filepath.Base(place.file)))
	neverFalselyGreen(t, dir)
	before, after := contents(t, dir), undisturbed(t)
	disk.leave(t, room)
	a := disk.do(t, dir, "run", "--date", lastDate(t).String())
	disk.leave(t, 1<<16)
	switch {
	case a.code == 0 && disk.mounted:
		t.Logf("%d KiB were enough for the %s", room, part)
	case a.code == 0:
	case !strings.Contains(a.errors+a.out, "_full"):
		t.Errorf("%d KiB for the %s: exit %d without saying that the disk is full:\n%s%s", room, part, a.code, a.out, a.errors)
	}
	published := versionsOf(t, dir, part)
	got := contents(t, dir)
	for relation, dataset := range datasetsOf(t, dir) {
		want := before[relation]
		if published[dataset] {
			want = after[relation]
		}
		if got[relation] != want {
			t.Errorf("%d KiB for the %s: %s is published: %t, and shows %q, want %q", room, part, dataset, published[dataset], got[relation], want)
		}
	}
	wantUndisturbed(t, dir)
}

// versionsOf returns the datasets that are published for the last date: what readers see and what the ledger says. A
// ledger that was full may lack what was committed last.
func versionsOf(t *testing.T, dir, part string) map[string]bool {
	t.Helper()
	ledger := filepath.Join(dir, "state", "ledger.db")
	if part == "ledger" {
		ledger = filepath.Join(dir, "small", "ledger.db")
	}
	date := lastDate(t).String()
	said := make(map[string]bool)
	for _, row := range ask(t, ledger, "SELECT dataset FROM versions WHERE date = '"+date+"'") {
		said[row[0]] = true
	}
	seen := make(map[string]bool)
	db := readCopy(t, dir)
	defer db.Close()
	for _, dataset := range texts(t, db, "SELECT dataset FROM _daybreak.versions WHERE data_date = '"+date+"'") {
		seen[dataset] = true
	}
	if part != "ledger" || len(said) > 0 {
		if diff := cmp.Diff(said, seen); diff != "" {
			t.Errorf("published (-ledger +readers):\n%s", diff)
		}
	}
	return seen
}

// datasetsOf returns the dataset of each published relation.
func datasetsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	out := make(map[string]string)
	for _, row := range lines(t, db, "SELECT relation, dataset FROM _daybreak.published") {
		out[row[0]] = row[1]
	}
	return out
}
