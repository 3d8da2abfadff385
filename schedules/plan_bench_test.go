package schedules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// company is a catalog of n datasets: a fifth of them tables, the others models of up to three inputs each, layer upon
// layer.
func company(n int) []elt.Dataset {
	datasets := make([]elt.Dataset, n)
	tables := max(1, n/5)
	for i := range datasets {
		d := elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("shop.t%05d", i)), Kind: elt.TableDataset, Materialized: "incremental", Schedule: "nightly"}
		if i >= tables {
			d.Name, d.Kind = elt.DatasetName(fmt.Sprintf("m%05d", i)), elt.ModelDataset
			d.Materialized = []string{"incremental", "table", "view"}[i%3]
			for _, back := range []int{tables, tables + 7, 2*tables + 3} {
				if i-back >= 0 {
					d.Inputs = append(d.Inputs, datasets[i-back].Name)
				}
			}
		}
		datasets[i] = d
	}
	return datasets
}

// planning are the facts about a company of which every day from the first to the last is there.
func planning(datasets []elt.Dataset, from, to elt.Date) schedules.BackfillFacts {
	f := elt.Facts{Now: to.AddDays(2).At(8, 0, time.UTC), Datasets: datasets}
	facts := schedules.BackfillFacts{
		Datasets: datasets, Extractions: make(map[elt.DatasetName]elt.Extraction), Dates: make(map[elt.DatasetName]schedules.PublishedDates),
		Efforts: make(map[elt.DatasetName]elt.Effort), Threads: 2,
		Last:        func(elt.Dataset) elt.Date { return to },
		NotExpected: func(elt.Dataset, elt.Date) string { return "" },
	}
	for _, d := range datasets {
		facts.Extractions[d.Name] = elt.Extraction{Mode: elt.Incremental}
		facts.Dates[d.Name] = schedules.PublishedDates{First: from, Newest: to}
		facts.Efforts[d.Name] = elt.Effort{Rows: 1000, Bytes: 10_000, Duration: time.Second}
		for date := from; !date.After(to); date = date.AddDays(1) {
			run := elt.RunID(date.String())
			f.Days = append(f.Days, elt.Day{Dataset: d.Name, Date: date, Run: run})
			f.Versions = append(f.Versions, elt.Version{ID: elt.NewVersionID(d.Name, run), Dataset: d.Name, Date: date, Run: run, PublishedAt: date.AddDays(1).At(3, 0, time.UTC)})
		}
	}
	facts.Board = elt.NewBoard(f)
	return facts
}

// A night of ten thousand datasets: every step of its run, each after what it needs.
func BenchmarkPlanNight10000(b *testing.B) {
	datasets := company(10_000)
	run := elt.Run{ID: "r", Schedule: "nightly", Date: date("2026-01-05")}
	tests := func(elt.DatasetName) ([]elt.DatasetName, bool) { return nil, true }
	for b.Loop() {
		b.ReportMetric(float64(len(schedules.Plan(run, datasets, tests))), "steps")
	}
}

// One day of ten thousand datasets, brought again.
func BenchmarkPlanBackfill10000Datasets(b *testing.B) {
	facts := planning(company(10_000), date("2026-01-05"), date("2026-01-05"))
	benchmarkPlan(b, facts, date("2026-01-05"), date("2026-01-05"))
}

// Three years of a hundred datasets, brought again: 109,500 days, with the token of the plan.
func BenchmarkPlanBackfillThreeYears(b *testing.B) {
	from := date("2023-01-06")
	to := from.AddDays(1094)
	benchmarkPlan(b, planning(company(100), from, to), from, to)
}

func benchmarkPlan(b *testing.B, facts schedules.BackfillFacts, from, to elt.Date) {
	r := elt.BackfillRequest{Select: []string{"*"}, From: from, To: to, Mode: elt.AllDays, Downstream: true}
	chosen := make([]elt.DatasetName, len(facts.Datasets))
	for i, d := range facts.Datasets {
		chosen[i] = d.Name
	}
	for b.Loop() {
		plan := schedules.PlanBackfill(facts, r, chosen)
		if plan.Token() == "" {
			b.Fatal("no token")
		}
		b.ReportMetric(float64(len(plan.Days)), "days")
	}
}
