package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// TestFailingRows: the latest attempt's rows are told, of that run and dataset only, and no event tells of them.
func TestFailingRows(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		run, _ := begin(t, l)
		events := must(l.Events(t.Context(), 0, 1000))(t)
		text := "7"
		rows := elt.FailingRows{
			Run: run.ID, Dataset: "shop.users", Date: run.Date, Test: "unique(id)", Table: "_daybreak_failures.users",
			Sample: elt.Sample{Columns: []string{"id", "name"}, Rows: [][]*string{{&text, nil}}},
		}
		for _, test := range []string{"unique(id)", "not_null(id)", "unique(id)"} {
			rows.Test = test
			ok(t, l.SaveFailingRows(t.Context(), rows))
		}
		found := must(l.FailingRows(t.Context(), run.ID, "shop.users"))(t)
		if len(found) != 2 || found[1].SavedAt.IsZero() {
			t.Fatalf("got %+v", found)
		}
		if diff := cmp.Diff(rows, found[1], cmpopts.IgnoreFields(elt.FailingRows{}, "SavedAt")); diff != "" {
			t.Error(diff)
		}
		if other := must(l.FailingRows(t.Context(), run.ID, "shop.orders"))(t); len(other) != 0 {
			t.Errorf("another dataset has %v", other)
		}
		if diff := cmp.Diff(events, must(l.Events(t.Context(), 0, 1000))(t)); diff != "" {
			t.Errorf("events tell of the rows: %s", diff)
		}
	})
}

// TestOptionsOfRuns: what was asked for is what whoever goes on with the run reads.
func TestOptionsOfRuns(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		run, steps, days := night("20260106t020000-a", day("2026-01-05"))
		run.Options = elt.RunOptions{Select: []string{"+revenue"}, FullRefresh: true, Vars: map[string]any{"since": "2026-01-01", "n": float64(3)}}
		must2(l.CreateRun(t.Context(), run, steps, days))(t)
		got := must(l.Run(t.Context(), run.ID))(t)
		if diff := cmp.Diff(run.Options, got.Options); diff != "" {
			t.Error(diff)
		}
		if want := "only +revenue; incremental models whole; n=3; since=2026-01-01"; got.Options.String() != want || !got.Options.Equal(run.Options) {
			t.Errorf("got %q", got.Options)
		}
	})
}
