package ledger_test

import (
	"fmt"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Three years of a hundred datasets are committed, 109,500 days with their locks; and what one date costs afterwards, which is
// all that is written of a backfill's progress.
func BenchmarkBackfillThreeYears(b *testing.B) {
	for engine, address := range engines() {
		b.Run(engine, func(b *testing.B) {
			l := open(b, address(b))
			var days []elt.BackfillDay
			for i := range 1095 {
				for d := range 100 {
					days = append(days, elt.BackfillDay{Dataset: elt.DatasetName(fmt.Sprintf("shop.t%03d", d)), Date: day("2023-01-06").AddDays(i), Action: elt.BuildDay, Reason: "every day was asked for"})
				}
			}
			var last elt.Backfill
			b.Run("start", func(b *testing.B) {
				for b.Loop() {
					if last.ID != "" {
						must(l.SteerBackfill(b.Context(), last.ID, elt.CancelBackfill, "bench", "again"))(b)
					}
					last = must(l.StartBackfill(b.Context(), elt.Backfill{Request: anyRequest, Actor: "bench"}, days))(b)
				}
				b.ReportMetric(float64(len(days)), "days")
			})
			n := 0
			b.Run("begin-a-date", func(b *testing.B) {
				for b.Loop() {
					must(beginDate(b.Context(), l, last, elt.RunID(fmt.Sprintf("run-%d", n))))(b)
					n++
				}
			})
			b.Run("progress", func(b *testing.B) {
				for b.Loop() {
					must(l.Backfill(b.Context(), last.ID))(b)
				}
			})
		})
	}
}
