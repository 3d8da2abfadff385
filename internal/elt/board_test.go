package elt_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// drawFacts draws the facts of one date over up to eight datasets that form no cycle: any mix of versions, steps in any
// state, withdrawn and unexpected days, whether or not a run could have led there.
func drawFacts(t *rapid.T) elt.Facts {
	f := elt.Facts{Now: now}
	states := []elt.StepState{pending, running, retrying, succeeded, failed, blocked, cancelled}
	n := rapid.IntRange(1, 8).Draw(t, "datasets")
	for i := range n {
		d := elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("d%d", i))}
		for j := range i {
			if rapid.Bool().Draw(t, "feeds") {
				d.Inputs = append(d.Inputs, f.Datasets[j].Name)
			}
		}
		f.Datasets = append(f.Datasets, d)
		day := elt.Day{Dataset: d.Name, Date: theDate, Deadline: now.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "deadline")) * time.Hour)}
		if rapid.IntRange(0, 9).Draw(t, "unexpected") == 0 {
			day.NotExpected = "a Sunday"
		}
		if rapid.IntRange(0, 3).Draw(t, "started") > 0 {
			day.Run = "r1"
			last := elt.StepID("")
			for _, kind := range []elt.StepKind{elt.ExtractStep, elt.LoadStep} {
				s := step(kind, rapid.SampledFrom(states).Draw(t, "state"))
				s.ID, s.Run, s.Dataset, s.Date = elt.NewStepID("r1", kind, d.Name), "r1", d.Name, theDate
				if rapid.Bool().Draw(t, "lost") && s.State == running {
					s.LeaseUntil = now.Add(-time.Second)
				}
				if last != "" {
					s.Needs = []elt.StepID{last}
				}
				last = s.ID
				f.Steps = append(f.Steps, s)
			}
		}
		if rapid.IntRange(0, 2).Draw(t, "published") == 0 {
			f.Versions = append(f.Versions, elt.Version{ID: elt.NewVersionID(d.Name, "r0"), Dataset: d.Name, Date: theDate, Run: "r0", PublishedAt: now.Add(-time.Minute)})
		}
		f.Days = append(f.Days, day)
	}
	p := step(elt.PublishStep, rapid.SampledFrom(states).Draw(t, "publish"))
	p.ID, p.Run, p.Date = "r1/publish", "r1", theDate
	f.Steps = append(f.Steps, p)
	return f
}

// What a board may never say, whatever the ledger holds.
func TestBoardInvariants(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		b := elt.NewBoard(f)
		published := map[elt.DatasetName]bool{}
		for _, v := range f.Versions {
			published[v.Dataset] = true
		}
		if len(b.Days) != len(f.Days) {
			t.Fatalf("%d of %d days", len(b.Days), len(f.Days))
		}
		for key, s := range b.Days {
			if (s.State == elt.DayReady) != published[key.Dataset] {
				t.Fatalf("%s is %s, published %t: a version alone makes a day ready", key.Dataset, s.State, published[key.Dataset])
			}
			switch s.State {
			case elt.DayBlocked:
				if s.Cause == nil || len(s.BlockedBy) == 0 {
					t.Fatalf("%s is blocked and names no cause: %+v", key.Dataset, s)
				}
				if root := b.Days[elt.DayKey{Dataset: s.Cause.Dataset, Date: theDate}]; root.State != elt.DayFailed && !hasStopped(f.Steps, s.Cause.Dataset) {
					t.Fatalf("%s names %s as its root cause, which is %s", key.Dataset, s.Cause.Dataset, root.State)
				}
			case elt.DayFailed:
				if s.Cause == nil || s.Cause.Dataset != key.Dataset || s.Step == "" {
					t.Fatalf("%s failed and does not say where: %+v", key.Dataset, s)
				}
			case elt.DayWaiting:
				for _, in := range s.BlockedBy {
					if b.Days[elt.DayKey{Dataset: in, Date: theDate}].State == elt.DayReady {
						t.Fatalf("%s waits for %s, which is ready", key.Dataset, in)
					}
				}
				if len(s.BlockedBy) == 0 && s.Cause == nil {
					t.Fatalf("%s waits for nothing", key.Dataset)
				}
			case elt.DayUnknown:
				if s.Good() || s.Severity() < 4 || s.Step == "" && len(s.BlockedBy) == 0 {
					t.Fatalf("%s is unknown: %+v", key.Dataset, s)
				}
			case elt.DayRetrying:
				if s.NextAttemptAt.IsZero() || s.Cause == nil {
					t.Fatalf("%s is retrying and does not say when or why: %+v", key.Dataset, s)
				}
			case elt.DayReady, elt.DayRunning, elt.DayScheduled, elt.DayNotExpected:
			default:
				t.Fatalf("%s is in no state: %q", key.Dataset, s.State)
			}
			if late := now.After(s.DeadlineAt); late != (s.Deadline == elt.DeadlineBreached) && s.State != elt.DayReady && s.State != elt.DayNotExpected {
				t.Fatalf("%s is %s at %s with a deadline at %s", key.Dataset, s.Deadline, now, s.DeadlineAt)
			}
		}
	})
}

// hasStopped reports whether some step of the dataset ended without success.
func hasStopped(steps []elt.Step, d elt.DatasetName) bool {
	return slices.ContainsFunc(steps, func(s elt.Step) bool { return s.Dataset == d && s.State.Terminal() && s.State != succeeded })
}

// A ready day stays as it is when everything upstream of it goes wrong.
func TestReadyIsNeverRevoked(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		before := elt.NewBoard(f)
		for i := range f.Steps {
			f.Steps[i] = step(f.Steps[i].Kind, rapid.SampledFrom([]elt.StepState{failed, blocked, cancelled}).Draw(t, "end"))
		}
		f.Now = f.Now.Add(24 * time.Hour)
		after := elt.NewBoard(f)
		for key, s := range before.Days {
			if s.State != elt.DayReady {
				continue
			}
			if now := after.Days[key]; now.State != elt.DayReady || now.Version != s.Version || now.Deadline != s.Deadline {
				t.Fatalf("%s was %+v and is %+v", key.Dataset, s, now)
			}
		}
	})
}

// The order in which the ledger returns its rows changes nothing.
func TestBoardIgnoresOrder(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		want := elt.NewBoard(f)
		f.Datasets = rapid.Permutation(f.Datasets).Draw(t, "datasets")
		f.Days = rapid.Permutation(f.Days).Draw(t, "days")
		f.Versions = append([]elt.Version(nil), f.Versions...)
		if len(f.Versions) > 1 {
			f.Versions = rapid.Permutation(f.Versions).Draw(t, "versions")
		}
		if diff := cmp.Diff(want, elt.NewBoard(f)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// An input that is ready from an earlier run and fails in this one is named as the cause of what it blocks.
func TestBlockerIsFoundThroughTheRun(t *testing.T) {
	id := func(kind elt.StepKind, d elt.DatasetName) elt.StepID { return elt.NewStepID("r1", kind, d) }
	f := elt.Facts{
		Now:      now,
		Datasets: []elt.Dataset{{Name: "a"}, {Name: "b", Inputs: []elt.DatasetName{"a"}}, {Name: "c", Inputs: []elt.DatasetName{"b"}}},
		Days:     []elt.Day{{Dataset: "a", Date: theDate, Run: "r1"}, {Dataset: "b", Date: theDate, Run: "r1"}, {Dataset: "c", Date: theDate, Run: "r1"}},
		Versions: []elt.Version{{ID: "a@r0", Dataset: "a", Date: theDate, Run: "r0"}, {ID: "b@r0", Dataset: "b", Date: theDate, Run: "r0"}},
		Steps: []elt.Step{
			{ID: id(elt.ExtractStep, "a"), Run: "r1", Dataset: "a", Kind: elt.ExtractStep, State: failed, Error: broken},
			{ID: id(elt.TransformStep, "b"), Run: "r1", Dataset: "b", Kind: elt.TransformStep, State: blocked, Needs: []elt.StepID{id(elt.ExtractStep, "a")}},
			{ID: id(elt.TransformStep, "c"), Run: "r1", Dataset: "c", Kind: elt.TransformStep, State: blocked, Needs: []elt.StepID{id(elt.TransformStep, "b")}},
			{ID: "r1/publish", Run: "r1", Kind: elt.PublishStep, State: blocked},
		},
	}
	got := elt.NewBoard(f).Days[elt.DayKey{Dataset: "c", Date: theDate}]
	want := elt.DayStatus{Dataset: "c", Date: theDate, Run: "r1", State: elt.DayBlocked, Deadline: elt.DeadlineNone, BlockedBy: []elt.DatasetName{"a"},
		Cause: &elt.Cause{Dataset: "a", Step: elt.ExtractStep, Failure: broken}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHistory(t *testing.T) {
	f := elt.Facts{Datasets: []elt.Dataset{{Name: "a"}}}
	for _, n := range []int{0, 1, 3} {
		f.Days = append(f.Days, elt.Day{Dataset: "a", Date: theDate.AddDays(n)})
	}
	var got []string
	for _, s := range elt.NewBoard(f).History("a", theDate, theDate.AddDays(2)) {
		got = append(got, s.Date.String())
	}
	if diff := cmp.Diff([]string{"2026-01-05", "2026-01-06"}, got); diff != "" {
		t.Error(diff)
	}
}

// In a graph without cycles, every dataset comes after its inputs, whatever the order they are given in; with cycles,
// nothing is lost.
func TestInOrder(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		cyclic := rapid.Bool().Draw(t, "cyclic")
		var datasets []elt.Dataset
		for i := range n {
			d := elt.Dataset{Name: elt.DatasetName(fmt.Sprintf("d%02d", (i*7)%13))}
			for j := range n {
				if (j < i || cyclic) && rapid.IntRange(0, 3).Draw(t, "edge") == 0 {
					d.Inputs = append(d.Inputs, elt.DatasetName(fmt.Sprintf("d%02d", (j*7)%13)))
				}
			}
			if rapid.IntRange(0, 5).Draw(t, "foreign") == 0 {
				d.Inputs = append(d.Inputs, "elsewhere")
			}
			datasets = append(datasets, d)
		}
		got := elt.InOrder(datasets)
		place := map[elt.DatasetName]int{}
		for i, d := range got {
			place[d.Name] = i
		}
		if len(got) != n || len(place) != n {
			t.Fatalf("%d datasets became %d", n, len(got))
		}
		if !cyclic {
			for _, d := range got {
				for _, in := range d.Inputs {
					if p, known := place[in]; known && p > place[d.Name] {
						t.Fatalf("%s comes before its input %s", d.Name, in)
					}
				}
			}
		}
		if n > 0 {
			if diff := cmp.Diff(got, elt.InOrder(rapid.Permutation(datasets).Draw(t, "order"))); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestInOrderNames(t *testing.T) {
	order := func(datasets ...elt.Dataset) (names []elt.DatasetName) {
		for _, d := range elt.InOrder(datasets) {
			names = append(names, d.Name)
		}
		return names
	}
	in := func(names ...elt.DatasetName) []elt.DatasetName { return names }
	for name, tc := range map[string]struct{ got, want []elt.DatasetName }{
		"names break ties":      {order(elt.Dataset{Name: "c"}, elt.Dataset{Name: "a"}, elt.Dataset{Name: "b"}), in("a", "b", "c")},
		"inputs come first":     {order(elt.Dataset{Name: "a", Inputs: in("c")}, elt.Dataset{Name: "b"}, elt.Dataset{Name: "c"}), in("b", "c", "a")},
		"a freed one is sorted": {order(elt.Dataset{Name: "a", Inputs: in("b")}, elt.Dataset{Name: "b"}, elt.Dataset{Name: "z"}), in("b", "a", "z")},
		"itself":                {order(elt.Dataset{Name: "a", Inputs: in("a")}), in("a")},
		"an input twice":        {order(elt.Dataset{Name: "a", Inputs: in("b", "b")}, elt.Dataset{Name: "b"}), in("b", "a")},
		"a cycle comes last":    {order(elt.Dataset{Name: "a", Inputs: in("b")}, elt.Dataset{Name: "b", Inputs: in("a")}, elt.Dataset{Name: "c"}), in("c", "a", "b")},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
