package schedules

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

var (
	users    = elt.Dataset{Name: "shop.users", Kind: elt.TableDataset}
	orders   = elt.Dataset{Name: "shop.orders", Kind: elt.TableDataset}
	revenue  = elt.Dataset{Name: "revenue", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"shop.orders", "elsewhere"}}
	activity = elt.Dataset{Name: "activity", Kind: elt.ModelDataset, Inputs: []elt.DatasetName{"shop.users", "revenue"}}
)

func planned() []elt.Step {
	run := elt.Run{ID: "r1", Schedule: "nightly", Date: elt.Date{Year: 2026, Month: 1, Day: 5}}
	return Plan(run, []elt.Dataset{activity, revenue, orders, users}, func(d elt.DatasetName) ([]elt.DatasetName, bool) {
		return map[elt.DatasetName][]elt.DatasetName{"revenue": {"shop.users", "elsewhere"}}[d], d == "revenue"
	})
}

func TestPlanOrdersStepsByWhatTheyNeed(t *testing.T) {
	got := make(map[elt.StepID][]elt.StepID)
	var order []elt.StepID
	for _, s := range planned() {
		got[s.ID] = s.Needs
		order = append(order, s.ID)
		if s.State != elt.StepPending || s.Date.String() != "2026-01-05" || s.Run != "r1" {
			t.Errorf("step %s begins as %+v", s.ID, s)
		}
	}
	want := map[elt.StepID][]elt.StepID{
		"r1/extract/shop.orders": nil,
		"r1/load/shop.orders":    {"r1/extract/shop.orders"},
		"r1/verify/shop.orders":  {"r1/load/shop.orders"},
		"r1/extract/shop.users":  nil,
		"r1/load/shop.users":     {"r1/extract/shop.users"},
		"r1/verify/shop.users":   {"r1/load/shop.users"},
		"r1/transform/revenue":   {"r1/verify/shop.orders"},
		"r1/test/revenue":        {"r1/transform/revenue", "r1/verify/shop.users"},
		"r1/transform/activity":  {"r1/verify/shop.users", "r1/test/revenue"},
		"r1/publish":             {"r1/verify/shop.orders", "r1/test/revenue", "r1/verify/shop.users", "r1/transform/activity"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	seen := make(map[elt.StepID]bool)
	for _, id := range order {
		for _, need := range got[id] {
			if !seen[need] {
				t.Errorf("%s comes before %s, which it needs", id, need)
			}
		}
		seen[id] = true
	}
}

func TestAdviseBlocksDescendantsAndPublishesTheRest(t *testing.T) {
	steps := planned()
	set := func(state elt.StepState, ids ...elt.StepID) {
		for _, id := range ids {
			for i := range steps {
				if steps[i].ID == id {
					steps[i].State = state
				}
			}
		}
	}
	never := func(elt.Step) bool { return false }
	ready := func(a Advice) (ids []elt.StepID) {
		for _, s := range a.Ready {
			ids = append(ids, s.ID)
		}
		return ids
	}

	a := Advise(steps, never)
	if diff := cmp.Diff([]elt.StepID{"r1/extract/shop.orders", "r1/extract/shop.users"}, ready(a)); diff != "" {
		t.Fatalf("at first (-want +got):\n%s", diff)
	}
	set(elt.StepFailed, "r1/extract/shop.orders")
	set(elt.StepSucceeded, "r1/extract/shop.users", "r1/load/shop.users")
	a = Advise(steps, never)
	want := []elt.StepID{"r1/load/shop.orders", "r1/verify/shop.orders", "r1/transform/revenue", "r1/test/revenue", "r1/transform/activity"}
	if diff := cmp.Diff(want, a.Block); diff != "" {
		t.Errorf("blocked by a failed extract (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]elt.StepID{"r1/verify/shop.users"}, ready(a)); diff != "" {
		t.Errorf("users go on (-want +got):\n%s", diff)
	}
	set(elt.StepBlocked, want...)
	set(elt.StepSucceeded, "r1/verify/shop.users")
	a = Advise(steps, never)
	if diff := cmp.Diff([]elt.StepID{"r1/publish"}, ready(a)); diff != "" {
		t.Errorf("what passed is published (-want +got):\n%s", diff)
	}
	set(elt.StepSucceeded, "r1/publish")
	if a = Advise(steps, never); a.State != elt.RunPartial {
		t.Errorf("the run is %s, want partial", a.State)
	}
}

func TestAdvisePublishesNothingWhenNothingPassed(t *testing.T) {
	steps := planned()
	for i := range steps {
		if steps[i].Kind == elt.ExtractStep {
			steps[i].State = elt.StepFailed
		}
	}
	a := Advise(steps, func(elt.Step) bool { return false })
	if len(a.Ready) != 0 || a.State != elt.RunFailed {
		t.Errorf("got %d ready steps and state %s, want none and failed", len(a.Ready), a.State)
	}
}

// Whatever the steps end as, a run driven by Advise ends, never starts a step before its needs, and publishes
// exactly when something passed.
func TestAdviseAlwaysEnds(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		steps := planned()
		state := func(id elt.StepID) elt.StepState {
			for _, s := range steps {
				if s.ID == id {
					return s.State
				}
			}
			return ""
		}
		index := func(id elt.StepID) int {
			for i := range steps {
				if steps[i].ID == id {
					return i
				}
			}
			return -1
		}
		for range 6 * len(steps) {
			a := Advise(steps, func(elt.Step) bool { return true })
			for _, id := range a.Block {
				steps[index(id)].State = elt.StepBlocked
			}
			if len(a.Ready) == 0 {
				if !a.State.Terminal() {
					t.Fatalf("nothing is ready in a run that is %s: %+v", a.State, steps)
				}
				return
			}
			s := rapid.SampledFrom(a.Ready).Draw(t, "step")
			for _, need := range s.Needs {
				if s.Kind != elt.PublishStep && state(need) != elt.StepSucceeded {
					t.Fatalf("%s is ready before %s succeeded", s.ID, need)
				}
			}
			steps[index(s.ID)].State = rapid.SampledFrom([]elt.StepState{
				elt.StepSucceeded, elt.StepSucceeded, elt.StepFailed, elt.StepRetrying,
			}).Draw(t, "end")
			if n := index(s.ID); steps[n].State == elt.StepRetrying {
				steps[n].Attempt++
				if steps[n].Attempt > 3 {
					steps[n].State = elt.StepFailed
				}
			}
		}
		t.Fatal("the run does not end")
	})
}
