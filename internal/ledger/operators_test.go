package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// A version that restores an earlier one rolls back what was published in between, in whatever order the ledger hears of
// them; a newer version of the same date takes its place.
func TestARollbackInAnyOrder(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		first := version("shop.users", day("2026-01-05"), "run-1", "2026-01-06T05:00:00Z")
		second := version("shop.users", day("2026-01-06"), "run-2", "2026-01-07T05:00:00Z")
		back := version("shop.users", day("2026-01-05"), "run-3", "2026-01-07T08:00:00Z")
		back.Restores = first.ID
		run := elt.Run{ID: "run-3", Schedule: "nightly", Date: first.Date, Kind: elt.RollbackRun, Reason: "by hand, ops: wrong prices", Target: first.ID}
		kept, _, err := l.CreateRun(ctx, run, nil, nil)
		if ok(t, err); kept.Target != first.ID {
			t.Errorf("the run brings back %q", kept.Target)
		}
		ok(t, l.RecordVersions(ctx, []elt.Version{back, second, first}))
		ok(t, l.RecordVersions(ctx, []elt.Version{first, second, back})) // harmless
		if v := must(l.Current(ctx))(t)["shop.users"]; v.ID != back.ID || v.Restores != first.ID {
			t.Errorf("current is %+v", v)
		}
		facts := must(l.Facts(ctx, first.Date, second.Date))(t)
		newest := map[string]string{}
		for _, v := range facts.Versions {
			newest[v.Date.String()] = string(v.ID) + ": " + v.RolledBack
		}
		want := map[string]string{
			"2026-01-05": "shop.users@run-3: ",
			"2026-01-06": "shop.users@run-2: rolled back to the data of 2026-01-05, by hand, ops: wrong prices",
		}
		if diff := cmp.Diff(want, newest); diff != "" {
			t.Error(diff)
		}
		if got := must(l.TrailingRows(ctx, "shop.users", day("2026-01-07"), 7))(t); len(got) != 0 {
			t.Errorf("what was rolled back, or only brought again, counts as usual: %v", got)
		}
		again := version("shop.users", day("2026-01-06"), "run-4", "2026-01-07T09:00:00Z")
		again.Rows = 12
		ok(t, l.RecordVersions(ctx, []elt.Version{again}))
		facts = must(l.Facts(ctx, second.Date, second.Date))(t)
		if len(facts.Versions) != 1 || facts.Versions[0].ID != again.ID || must(l.Current(ctx))(t)["shop.users"].ID != again.ID {
			t.Errorf("the date was brought again, and its newest version is %+v", facts.Versions)
		}
		if diff := cmp.Diff([]int64{12}, must(l.TrailingRows(ctx, "shop.users", day("2026-01-07"), 7))(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWithdraw(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx, date := t.Context(), day("2026-01-05")
		_, err := l.Withdraw(ctx, "shop.users", date, "ops", "wrong prices")
		wantCode(t, err, "day_unknown")
		ok(t, l.ExpectDays(ctx, []elt.Day{{Dataset: "shop.users", Date: date}}))
		withdrawn := func() string { return must(l.Facts(ctx, date, date))(t).Days[0].Withdrawn }
		for _, step := range []struct {
			do      func() (bool, error)
			changed bool
			says    string
		}{
			{func() (bool, error) { return l.Reinstate(ctx, "shop.users", date, "ops", "") }, false, ""},
			{func() (bool, error) { return l.Withdraw(ctx, "shop.users", date, "ops", "wrong prices") }, true, "wrong prices"},
			{func() (bool, error) { return l.Withdraw(ctx, "shop.users", date, "ops", "wrong prices") }, false, "wrong prices"},
			{func() (bool, error) { return l.Withdraw(ctx, "shop.users", date, "ops", "wrong currency") }, true, "wrong currency"},
			{func() (bool, error) { return l.Reinstate(ctx, "shop.users", date, "dev", "checked") }, true, ""},
		} {
			changed, err := step.do()
			if ok(t, err); changed != step.changed || withdrawn() != step.says {
				t.Errorf("changed %t, want %t; the day says %q, want %q", changed, step.changed, withdrawn(), step.says)
			}
		}
		entries, _, err := l.AuditTrail(ctx, 0, 10)
		ok(t, err)
		var acts []string
		for _, e := range entries {
			acts = append(acts, e.Actor+" "+e.Action+" "+e.Target+": "+e.Reason)
		}
		want := []string{"dev withdraw.undo shop.users 2026-01-05: checked", "ops withdraw shop.users 2026-01-05: wrong currency", "ops withdraw shop.users 2026-01-05: wrong prices"}
		if diff := cmp.Diff(want, acts); diff != "" {
			t.Error(diff)
		}
	})
}

// An allowance lets one run pass, as often as that run asks, and no other.
func TestAnAllowanceIsUsedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx, date := t.Context(), day("2026-01-05")
		use := func(run elt.RunID) string {
			a, found, err := l.UseAllowance(ctx, "shop.users", date, run)
			if ok(t, err); found != (a.Reason != "") {
				t.Errorf("found %t, %+v", found, a)
			}
			return a.Reason
		}
		if got := use("run-1"); got != "" {
			t.Errorf("passed for no reason: %q", got)
		}
		ok(t, l.Allow(ctx, elt.Allowance{Dataset: "shop.users", Date: date, Actor: "ops", Reason: "a holiday"}))
		ok(t, l.Allow(ctx, elt.Allowance{Dataset: "shop.users", Date: date, Actor: "ops", Reason: "a public holiday"}))
		if a, found, err := l.UseAllowance(ctx, "shop.users", day("2026-01-06"), "run-1"); found || err != nil {
			t.Errorf("another date passes: %+v, %v", a, err)
		}
		for run, want := range map[elt.RunID]string{"run-1": "a public holiday"} {
			if got := []string{use(run), use(run)}; got[0] != want || got[1] != want {
				t.Errorf("%s: %q", run, got)
			}
		}
		if got := use("run-2"); got != "" {
			t.Errorf("a second run passes: %q", got)
		}
		ok(t, l.Allow(ctx, elt.Allowance{Dataset: "shop.users", Date: date, Actor: "ops", Reason: "again"}))
		if got := []string{use("run-2"), use("run-1")}; got[0] != "again" || got[1] != "a public holiday" {
			t.Errorf("%q", got)
		}
	})
}
