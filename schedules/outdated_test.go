package schedules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// past is a ledger's facts about four nights of a table, an incremental model over it, and models over that.
func past() (elt.Facts, []elt.Dataset) {
	datasets := []elt.Dataset{
		{Name: "shop.orders", Kind: elt.TableDataset, Materialized: "incremental"},
		{Name: "daily", Kind: elt.ModelDataset, Materialized: "incremental", Inputs: []elt.DatasetName{"shop.orders"}},
		{Name: "totals", Kind: elt.ModelDataset, Materialized: "table", Inputs: []elt.DatasetName{"daily"}},
		{Name: "shown", Kind: elt.ModelDataset, Materialized: "view", Inputs: []elt.DatasetName{"totals"}},
	}
	f := elt.Facts{Now: time.Date(2026, 1, 10, 8, 0, 0, 0, time.UTC), Datasets: datasets}
	for date := (elt.Date{Year: 2026, Month: 1, Day: 5}); date.Day <= 8; date = date.AddDays(1) {
		run := elt.RunID(fmt.Sprintf("run%d", date.Day))
		for _, d := range datasets {
			v := elt.Version{ID: elt.NewVersionID(d.Name, run), Dataset: d.Name, Date: date, Run: run, PublishedAt: date.AddDays(1).At(3, 0, time.UTC), Inputs: map[elt.DatasetName]elt.VersionID{}}
			for _, in := range d.Inputs {
				v.Inputs[in] = elt.NewVersionID(in, run)
			}
			f.Versions = append(f.Versions, v)
			f.Days = append(f.Days, elt.Day{Dataset: d.Name, Date: date, Run: run})
		}
	}
	return f, datasets
}

// again publishes a date of a dataset once more.
func again(f elt.Facts, d elt.DatasetName, day int) elt.Facts {
	for i := range f.Versions {
		if v := &f.Versions[i]; v.Dataset == d && v.Date.Day == day {
			v.ID, v.PublishedAt = elt.NewVersionID(d, "again"), time.Date(2026, 1, 10, 7, 0, 0, 0, time.UTC)
		}
	}
	return f
}

// without takes a version away, as if its day had failed.
func without(f elt.Facts, d elt.DatasetName, day int) elt.Facts {
	for i := range f.Versions {
		if v := f.Versions[i]; v.Dataset == d && v.Date.Day == day {
			f.Versions = append(f.Versions[:i:i], f.Versions[i+1:]...)
			return f
		}
	}
	return f
}

func TestPlanOutdated(t *testing.T) {
	for name, c := range map[string]struct {
		change func(elt.Facts) elt.Facts
		want   string
	}{
		"nothing happened": {func(f elt.Facts) elt.Facts { return f }, ""},
		"a late day of the source": {func(f elt.Facts) elt.Facts { return again(f, "shop.orders", 6) }, `
2026-01-06 daily: shop.orders of 2026-01-06 has a newer version, shop.orders@again
2026-01-08 totals: older dates of daily are built again
2026-01-08 shown: totals is built again`},
		"a late day that was followed up": {func(f elt.Facts) elt.Facts {
			f = again(again(f, "shop.orders", 6), "daily", 6)
			for i := range f.Versions {
				if v := &f.Versions[i]; v.Dataset == "daily" && v.Date.Day == 6 {
					v.Inputs["shop.orders"] = "shop.orders@again"
				}
			}
			return f
		}, `
2026-01-08 totals: daily of 2026-01-06 has a newer version, daily@again
2026-01-08 shown: totals is built again`},
		"the newest day of the source": {func(f elt.Facts) elt.Facts { return again(f, "shop.orders", 8) }, `
2026-01-08 daily: shop.orders of 2026-01-08 has a newer version, shop.orders@again
2026-01-08 totals: daily is built again
2026-01-08 shown: totals is built again`},
		"a late day behind a view": {func(f elt.Facts) elt.Facts {
			return again(behindAView(f), "shop.orders", 6)
		}, `
2026-01-06 daily: shop.orders of 2026-01-06 has a newer version, shop.orders@again
2026-01-08 stg: shop.orders of 2026-01-06 has a newer version, shop.orders@again
2026-01-08 daily: stg is built again
2026-01-08 totals: daily is built again
2026-01-08 shown: totals is built again`},
		"a missing day": {func(f elt.Facts) elt.Facts { return without(f, "daily", 7) }, `
2026-01-07 daily: the day is missing, and its inputs are there
2026-01-08 totals: older dates of daily are built again
2026-01-08 shown: totals is built again`},
		"a missing day without inputs":   {func(f elt.Facts) elt.Facts { return without(without(f, "daily", 7), "shop.orders", 7) }, ""},
		"a missing day before the first": {func(f elt.Facts) elt.Facts { return without(f, "daily", 5) }, ""},
		"an older day of what is whole":  {func(f elt.Facts) elt.Facts { return again(f, "totals", 6) }, ""},
		"a missing day of what is whole": {func(f elt.Facts) elt.Facts { return without(f, "totals", 6) }, ""},
		"a full refresh came after":      {func(f elt.Facts) elt.Facts { return rebuilt(again(f, "shop.orders", 6), "daily", 8) }, ""},
		"a full refresh of an older night": {func(f elt.Facts) elt.Facts { return rebuilt(again(f, "shop.orders", 6), "daily", 5) }, `
2026-01-06 daily: shop.orders of 2026-01-06 has a newer version, shop.orders@again
2026-01-08 totals: older dates of daily are built again
2026-01-08 shown: totals is built again`},
	} {
		t.Run(name, func(t *testing.T) {
			facts, _ := past()
			facts = c.change(facts)
			datasets := facts.Datasets
			var got strings.Builder
			for _, r := range schedules.PlanOutdated(elt.NewBoard(facts), datasets, elt.Date{Year: 2026, Month: 1, Day: 1}, elt.Date{Year: 2026, Month: 1, Day: 9}) {
				for _, m := range r.Models {
					fmt.Fprintf(&got, "\n%s %s: %s", r.Date, m.Dataset, m.Why)
				}
			}
			if diff := cmp.Diff(c.want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// behindAView puts a view between the table and the incremental model.
func behindAView(f elt.Facts) elt.Facts {
	f.Datasets[1].Inputs = []elt.DatasetName{"stg"}
	f.Datasets = append(f.Datasets, elt.Dataset{Name: "stg", Kind: elt.ModelDataset, Materialized: "view", Inputs: []elt.DatasetName{"shop.orders"}})
	for _, v := range f.Versions {
		if v.Dataset != "daily" {
			continue
		}
		f.Versions = append(f.Versions, elt.Version{ID: elt.NewVersionID("stg", v.Run), Dataset: "stg", Date: v.Date, Run: v.Run, PublishedAt: v.PublishedAt,
			Inputs: map[elt.DatasetName]elt.VersionID{"shop.orders": elt.NewVersionID("shop.orders", v.Run)}})
		f.Days = append(f.Days, elt.Day{Dataset: "stg", Date: v.Date, Run: v.Run})
		v.Inputs["stg"] = elt.NewVersionID("stg", v.Run)
		delete(v.Inputs, "shop.orders")
	}
	return f
}

// rebuilt says that a full refresh of the date built the dataset whole after everything else; nothing else is newer.
func rebuilt(f elt.Facts, d elt.DatasetName, day int) elt.Facts {
	f.Rebuilt = append(f.Rebuilt, elt.Version{Dataset: d, Date: elt.Date{Year: 2026, Month: 1, Day: day}, PublishedAt: time.Date(2026, 1, 10, 7, 30, 0, 0, time.UTC)})
	return f
}
