package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// A day that will probably be late opens an incident before its deadline, which tells of the deadline when that has
// passed, and which the data resolves.
func TestADayThatWillProbablyBeLate(t *testing.T) {
	l := newLedger(t)
	ctx := t.Context()
	now, err := l.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key := elt.DayKey{Dataset: "shop.users", Date: elt.DateOf(now).AddDays(-1)}
	if err := l.SyncDatasets(ctx, []elt.Dataset{{Name: key.Dataset, Kind: elt.TableDataset}}); err != nil {
		t.Fatal(err)
	}
	expect := func(deadline time.Time) {
		t.Helper()
		if err := l.ExpectDays(ctx, []elt.Day{{Dataset: key.Dataset, Date: key.Date, Deadline: deadline}}); err != nil {
			t.Fatal(err)
		}
	}
	var risky []elt.DayKey
	watch := schedules.Watch{Ledger: l, Days: 7, AtRisk: func() []elt.DayKey { return risky }, Log: slog.New(slog.DiscardHandler)}
	titles := func() (out []string) {
		t.Helper()
		if err := watch.Look(ctx, elt.DateOf(now)); err != nil {
			t.Fatal(err)
		}
		incidents, err := l.Incidents(ctx, true, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range incidents {
			out = append(out, in.Title)
		}
		return out
	}
	expect(now.Add(time.Hour))
	if got := titles(); len(got) != 0 {
		t.Errorf("on its way: %v", got)
	}
	risky = []elt.DayKey{key, {Dataset: "nothing", Date: key.Date}}
	for range 2 {
		if got := titles(); len(got) != 1 || got[0] != "shop.users will probably be late" {
			t.Errorf("at risk: %v", got)
		}
	}
	v := elt.Version{ID: elt.NewVersionID(key.Dataset, "r1"), Dataset: key.Dataset, Date: key.Date, Run: "r1", PublishedAt: now}
	if err := l.RecordVersions(ctx, []elt.Version{v}); err != nil {
		t.Fatal(err)
	}
	if got := titles(); len(got) != 0 {
		t.Errorf("it came: %v", got)
	}
}

func TestAMissedDeadlineOpensOneIncidentUntilTheDataComes(t *testing.T) {
	l := newLedger(t)
	datasets := []elt.Dataset{
		{Name: "shop.users", Kind: elt.TableDataset},
		{Name: "churn", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"shop.users"}},
	}
	now, err := l.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	today := elt.DateOf(now)
	date := today.AddDays(-1)
	expect := func(names ...elt.DatasetName) {
		t.Helper()
		var days []elt.Day
		for _, name := range names {
			days = append(days, elt.Day{Dataset: name, Date: date, Deadline: now.Add(-time.Hour)})
		}
		if err := l.ExpectDays(t.Context(), days); err != nil {
			t.Fatal(err)
		}
	}
	watch := schedules.Watch{Ledger: l, Days: 7, Log: slog.New(slog.DiscardHandler)}
	look := func(openOnly bool) []elt.Incident {
		t.Helper()
		for range 2 { // as often as one likes
			if err := watch.Look(t.Context(), today); err != nil {
				t.Fatal(err)
			}
		}
		incidents, err := l.Incidents(t.Context(), openOnly, 10)
		if err != nil {
			t.Fatal(err)
		}
		return incidents
	}
	publish := func(name elt.DatasetName) {
		t.Helper()
		v := elt.Version{ID: elt.NewVersionID(name, "r1"), Dataset: name, Date: date, Run: "r1", PublishedAt: now}
		if err := l.RecordVersions(t.Context(), []elt.Version{v}); err != nil {
			t.Fatal(err)
		}
	}

	if err := l.SyncDatasets(t.Context(), datasets); err != nil {
		t.Fatal(err)
	}
	expect("shop.users")
	if open := look(true); len(open) != 1 || open[0].Cause != "shop.users" || len(open[0].Affected) != 1 {
		t.Fatalf("one day is late, and these incidents are open: %+v", open)
	}
	expect("shop.users", "churn")
	if open := look(true); len(open) != 1 || len(open[0].Affected) != 2 {
		t.Fatalf("its descendant is late too, and these incidents are open: %+v", open)
	}
	publish("shop.users")
	if open := look(true); len(open) != 2 {
		t.Fatalf("churn is late by itself now, and the first incident waits for it; open are: %+v", open)
	}
	publish("churn")
	if open := look(true); len(open) != 0 {
		t.Errorf("everything has come, and these incidents are open: %+v", open)
	}
	if all := look(false); len(all) != 2 || all[0].ResolvedAt.IsZero() || all[1].ResolvedAt.IsZero() {
		t.Errorf("the incidents are kept as %+v", all)
	}
}
