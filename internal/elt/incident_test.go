package elt

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTroublesNameEachRootCauseOnce(t *testing.T) {
	date := Date{2026, time.January, 5}
	now := time.Date(2026, 1, 6, 6, 0, 0, 0, time.UTC)
	due, past := now.Add(time.Hour), now.Add(-time.Minute)
	refused := &Failure{Code: "source_unreachable", Class: Transient, Message: "no answer"}
	day := func(name DatasetName, deadline time.Time) Day {
		return Day{Dataset: name, Date: date, Run: "r1", Deadline: deadline}
	}
	step := func(name DatasetName, state StepState) Step {
		s := Step{ID: NewStepID("r1", ExtractStep, name), Run: "r1", Kind: ExtractStep, Dataset: name, Date: date, State: state}
		switch state {
		case StepFailed:
			s.Error = refused
		case StepRunning:
			s.LeaseUntil = now.Add(time.Minute)
		}
		return s
	}
	blocked := func(name DatasetName) Step {
		return Step{ID: NewStepID("r1", TransformStep, name), Run: "r1", Kind: TransformStep, Dataset: name, Date: date, State: StepBlocked}
	}
	facts := Facts{
		Now: now,
		Datasets: []Dataset{
			{Name: "shop.invoices"},
			{Name: "stg_invoices", Inputs: []DatasetName{"shop.invoices"}},
			{Name: "revenue", Inputs: []DatasetName{"stg_invoices"}},
			{Name: "shop.users"}, {Name: "shop.orders"}, {Name: "shop.notes"}, {Name: "shop.logs"},
		},
		Days: []Day{
			day("shop.invoices", due), day("stg_invoices", time.Time{}), day("revenue", due), // failed, and two that follow
			day("shop.users", past),        // late without any failure
			day("shop.orders", due),        // on its way
			day("shop.notes", time.Time{}), // failed, but nobody was promised it
			day("shop.logs", past),         // was there in time
		},
		Steps: []Step{
			step("shop.invoices", StepFailed), blocked("stg_invoices"), blocked("revenue"),
			step("shop.users", StepRunning), step("shop.orders", StepRunning), step("shop.notes", StepFailed),
		},
		Versions: []Version{{ID: "v", Dataset: "shop.logs", Date: date, Run: "r1", PublishedAt: past.Add(-time.Hour)}},
	}
	got := Troubles(NewBoard(facts))
	want := []Incident{
		{
			Cause: "shop.invoices", Date: date, Title: "shop.invoices failed to extract", Failure: refused,
			Affected: []DatasetName{"revenue", "shop.invoices"},
		},
		{Cause: "shop.users", Date: date, Title: "shop.users is late", Affected: []DatasetName{"shop.users"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnIncidentHealsByTheDataAlone(t *testing.T) {
	date := Date{2026, time.January, 5}
	in := Incident{Cause: "shop.invoices", Date: date, Affected: []DatasetName{"revenue", "shop.invoices"}}
	board := func(invoices, revenue DayStatus) *Board {
		return &Board{Days: map[DayKey]DayStatus{{"shop.invoices", date}: invoices, {"revenue", date}: revenue}}
	}
	ready := DayStatus{State: DayReady}
	for name, c := range map[string]struct {
		board *Board
		want  bool
	}{
		"all ready":          {board(ready, ready), true},
		"one still runs":     {board(ready, DayStatus{State: DayRunning}), false},
		"one is unknown":     {board(ready, DayStatus{State: DayUnknown}), false},
		"one is withdrawn":   {board(ready, DayStatus{State: DayReady, Withdrawn: "wrong prices"}), false},
		"one is given up":    {board(ready, DayStatus{State: DayNotExpected}), true},
		"the board is empty": {&Board{}, false},
	} {
		if got := in.Healed(c.board); got != c.want {
			t.Errorf("%s: healed is %v, want %v", name, got, c.want)
		}
	}
}
