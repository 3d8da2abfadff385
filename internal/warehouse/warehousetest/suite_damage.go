package warehousetest

import (
	"slices"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Whatever is not what the manifest says shows in the facts that the warehouse takes, before anything is published.
var damageTests = map[string]func(*testing.T, Harness){
	"rows changed behind its back": testAlteredStaging,
	"parts that are not theirs":    testWrongParts,
}

// orders are two parts of a table with a column of each sort of fact.
func orders(t testing.TB) Day {
	t.Helper()
	return NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.orders", Run: night1, Date: dateOf(night1), Attempt: 1,
		Schema: elt.Schema{
			{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.String}}, {Name: "paid", Type: elt.Type{Kind: elt.Bool}},
		},
	}, []Row{{int64(1), "tea", true}, {int64(2), "coffee", nil}}, []Row{{int64(3), "juice", false}, {int64(4), nil, true}})
}

// wantDamage fails the test unless what is staged differs from the manifest, and nothing is published.
func (h Harness) wantDamage(t testing.TB, day Day, what string) {
	t.Helper()
	got, err := h.Measure(t.Context(), day.Run, day.Dataset, day.Schema)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if len(day.Stats.Compare(got)) == 0 {
		t.Errorf("%s is not noticed", what)
	}
	if versions, err := h.Versions(t.Context()); len(versions) > 0 || err != nil {
		t.Errorf("%s: versions %v, %v", what, versions, err)
	}
}

func testAlteredStaging(t *testing.T, h Harness) {
	for what, change := range map[string]string{
		"a changed text":   "UPDATE %s SET name = 'TEA' WHERE id = 1",
		"a changed number": "UPDATE %s SET id = 5 WHERE id = 1",
		"a changed truth":  "UPDATE %s SET paid = false WHERE id = 1",
		"a value for NULL": "UPDATE %s SET name = '' WHERE id = 4",
		"NULL for a value": "UPDATE %s SET name = NULL WHERE id = 1",
		"a lost row":       "DELETE FROM %s WHERE id = 2",
		"a doubled row":    "INSERT INTO %s SELECT * FROM %s WHERE id = 3",
		"two rows swapped": "UPDATE %s SET name = CASE WHEN name = 'tea' THEN 'coffees' ELSE 'te' END WHERE id < 3",
	} {
		day := orders(t)
		day.Run = elt.RunID("run-" + what[len(what)-3:] + "-" + what[:1])
		h.stage(t, day)
		table := h.Physical(t, day.Run, day.Dataset)
		h.Exec(t, sprintf(sprintf(change, table), table))
		h.wantDamage(t, day, what)
	}
}

// testWrongParts: a part in the place of another, or twice, or none: the warehouse says so, or its rows or facts do.
func testWrongParts(t *testing.T, h Harness) {
	good := orders(t)
	for what, files := range map[string][]string{
		"a part twice":    {good.Files[0], good.Files[0]},
		"the other twice": {good.Files[1], good.Files[1]},
		"a dropped part":  {good.Files[0]},
		"no part at all":  nil,
		"one too many":    append(slices.Clone(good.Files), good.Files[0]),
	} {
		day := orders(t)
		day.Run = elt.RunID("run-" + what[:1] + what[len(what)-2:])
		rows, err := h.Stage(t.Context(), day.Run, day.Manifest, string(day.Dataset), files, func(int64) {})
		if err != nil || rows != day.Rows() {
			continue // load tells
		}
		h.wantDamage(t, day, what)
	}
}
