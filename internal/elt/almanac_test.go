package elt_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

const nights = 4

// drawNight draws the facts of one date over the datasets: versions of this run or another, published at any time, steps
// in any state, days that are withdrawn or not expected.
func drawNight(t *rapid.T, datasets []elt.Dataset, date elt.Date) (f elt.Facts) {
	run := elt.RunID("run-" + date.String())
	states := []elt.StepState{pending, running, retrying, succeeded, failed, blocked}
	minute := func(label string) time.Time {
		return now.Add(time.Duration(rapid.IntRange(-600, 600).Draw(t, label)) * time.Minute)
	}
	for _, d := range datasets {
		what := rapid.IntRange(0, 7).Draw(t, "what")
		if what == 0 {
			continue // nobody expects it
		}
		day := elt.Day{Dataset: d.Name, Date: date, Run: run}
		if rapid.Bool().Draw(t, "due") {
			day.Deadline = minute("deadline")
		}
		switch what {
		case 1:
			day.NotExpected, day.Run = "a Sunday", ""
		case 2:
			day.Withdrawn = "wrong prices"
		case 3:
			day.Run = ""
		}
		f.Days = append(f.Days, day)
		by := run
		if what == 4 {
			by = "again"
		}
		if rapid.IntRange(0, 2).Draw(t, "published") > 0 {
			v := elt.Version{ID: elt.NewVersionID(d.Name, by), Dataset: d.Name, Date: date, Run: by, PublishedAt: minute("published at"), Rows: 7, Checks: elt.ChecksPassed, Inputs: map[elt.DatasetName]elt.VersionID{}}
			for _, in := range d.Inputs {
				v.Inputs[in] = elt.NewVersionID(in, rapid.SampledFrom([]elt.RunID{run, "again"}).Draw(t, "read"))
			}
			f.Versions = append(f.Versions, v)
		}
		if day.Run == run {
			s := step(elt.LoadStep, rapid.SampledFrom(states).Draw(t, "state"))
			s.ID, s.Run, s.Dataset, s.Date, s.LeaseUntil = elt.NewStepID(run, elt.LoadStep, d.Name), run, d.Name, date, minute("lease")
			f.Steps = append(f.Steps, s)
		}
	}
	p := step(elt.PublishStep, rapid.SampledFrom(states).Draw(t, "publish"))
	p.ID, p.Run, p.Date = elt.NewStepID(run, elt.PublishStep, ""), run, date
	f.Steps = append(f.Steps, p)
	return f
}

func drawCatalogue(t *rapid.T) (datasets []elt.Dataset) {
	for i := range rapid.IntRange(1, 6).Draw(t, "datasets") {
		d := elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("d%d", i)), Materialized: rapid.SampledFrom([]string{"table", "view", "incremental"}).Draw(t, "as")}
		for j := range i {
			if rapid.Bool().Draw(t, "feeds") {
				d.Inputs = append(d.Inputs, datasets[j].Name)
			}
		}
		datasets = append(datasets, d)
	}
	return datasets
}

func joined(datasets []elt.Dataset, at time.Time, rebuilt []elt.Version, parts ...elt.Facts) elt.Facts {
	f := elt.Facts{Now: at, Datasets: datasets, Rebuilt: rebuilt}
	for _, p := range parts {
		f.Days, f.Versions, f.Steps = append(f.Days, p.Days...), append(f.Versions, p.Versions...), append(f.Steps, p.Steps...)
	}
	return f
}

// After any changes of any dates, as time goes by, the almanac into which they were merged says what the board says that
// is derived from everything.
func TestMergedIsRebuilt(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		datasets, at := drawCatalogue(t), now
		var parts []elt.Facts
		for n := range nights {
			parts = append(parts, drawNight(t, datasets, theDate.AddDays(n)))
		}
		var rebuilt []elt.Version
		if rapid.Bool().Draw(t, "a full refresh") {
			rebuilt = []elt.Version{{ID: "whole", Dataset: datasets[0].Name, Date: theDate.AddDays(1), PublishedAt: now}}
		}
		a := elt.NewAlmanac(joined(datasets, at, rebuilt, parts...))
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			then := at
			at = at.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "minutes")) * time.Minute)
			n := rapid.IntRange(0, nights-1).Draw(t, "night")
			parts[n] = drawNight(t, datasets, theDate.AddDays(n))
			dates := append(a.Turned(then, at), theDate.AddDays(n))
			for len(dates) > 0 {
				var some []elt.Facts
				for _, d := range dates {
					some = append(some, parts[d.DaysSince(theDate)])
				}
				next, again, whole := a.Merge(joined(datasets, at, rebuilt, some...), dates)
				if whole {
					t.Fatal("nothing was built whole")
				}
				a, dates = next, again
			}
			got := maps.Collect(a.All())
			if diff := cmp.Diff(elt.NewBoard(joined(datasets, at, rebuilt, parts...)).Days, got); diff != "" {
				t.Fatal(diff)
			}
		}
		f := joined(datasets, at, []elt.Version{{ID: "another", Dataset: datasets[0].Name}}, parts...)
		if _, _, whole := a.Merge(f, []elt.Date{theDate}); !whole {
			t.Fatal("a full refresh concerns every date")
		}
	})
}
