package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// BenchmarkFacts reads 200 datasets × 90 days, each with its version, as the status service does when
// something changed.
func BenchmarkFacts(b *testing.B) {
	for engine, address := range engines() {
		b.Run(engine, func(b *testing.B) {
			l := open(b, address(b))
			from, to := fill(b, l, 200, 90)
			for b.Loop() {
				facts := must(l.Facts(b.Context(), from, to))(b)
				if len(facts.Days) != 200*90 || len(facts.Versions) != 200*90-200 || len(facts.Steps) == 0 {
					b.Fatalf("%d days, %d versions, %d steps", len(facts.Days), len(facts.Versions), len(facts.Steps))
				}
			}
		})
	}
}

// fill makes a history in which every other dataset is a model of three inputs, and tonight is running.
func fill(b *testing.B, l *ledger.Ledger, datasets, nights int) (from, to elt.Date) {
	b.Helper()
	from = day("2026-01-01")
	for n := range nights {
		date := from.AddDays(n)
		run := elt.Run{ID: elt.RunID(fmt.Sprintf("nightly-%s-01jd3x", date)), Schedule: "nightly", Date: date, Kind: elt.ScheduledRun}
		var steps []elt.Step
		var days []elt.Day
		var versions []elt.Version
		for i := range datasets {
			d := elt.DatasetName(fmt.Sprintf("shop.table_%03d", i))
			days = append(days, elt.Day{Dataset: d, Date: date, Deadline: date.AddDays(1).Start(time.UTC)})
			for _, kind := range []elt.StepKind{elt.ExtractStep, elt.LoadStep, elt.VerifyStep, elt.TestStep} {
				steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, kind, d), Kind: kind, Dataset: d})
			}
			v := elt.Version{ID: elt.NewVersionID(d, run.ID), Dataset: d, Date: date, Run: run.ID, Rows: 1000, Checks: elt.ChecksPassed}
			if i%2 == 1 {
				v.Inputs = map[elt.DatasetName]elt.VersionID{}
				for j := range 3 {
					in := elt.DatasetName(fmt.Sprintf("shop.table_%03d", (i+j)%datasets))
					v.Inputs[in] = elt.NewVersionID(in, run.ID)
				}
			}
			versions = append(versions, v)
		}
		must2(l.CreateRun(b.Context(), run, steps, days))(b)
		if n < nights-1 {
			ok(b, l.RecordVersions(b.Context(), versions))
		}
	}
	return from, from.AddDays(nights - 1)
}

// BenchmarkHeartbeat is the cheapest durable write.
func BenchmarkHeartbeat(b *testing.B) {
	for engine, address := range engines() {
		b.Run(engine, func(b *testing.B) {
			l := open(b, address(b))
			_, steps := begin(b, l)
			lease := must(l.Claim(b.Context(), steps[0].ID, "w", hour))(b)
			for b.Loop() {
				lease = must(l.Heartbeat(b.Context(), lease, hour, elt.Progress{Rows: 1}))(b)
			}
		})
	}
}

// BenchmarkClaimAndFinish is a step's two changes, each with its event.
func BenchmarkClaimAndFinish(b *testing.B) {
	for engine, address := range engines() {
		b.Run(engine, func(b *testing.B) {
			l := open(b, address(b))
			_, steps := begin(b, l)
			again := elt.Outcome{State: elt.StepRetrying, NextAttemptAt: day("2020-01-01").Start(time.UTC)}
			for b.Loop() {
				ok(b, l.Finish(b.Context(), must(l.Claim(b.Context(), steps[0].ID, "w", hour))(b), again))
			}
		})
	}
}
