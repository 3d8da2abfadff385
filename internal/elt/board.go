package elt

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// Facts are what the ledger knows of a range of dates, enough to derive the status of each day in it.
type Facts struct {
	Revision int64     // rises with every change of the ledger
	Now      time.Time // the ledger's clock
	Datasets []Dataset
	Days     []Day
	Versions []Version // the newest of each (dataset, date)
	// Steps of the days that have no version, or whose run is not their version's, with those runs' publish steps.
	Steps []Step
	// Maintenance are the windows that touch the range.
	Maintenance []Maintenance
	// Rebuilt are the versions of incremental models that a full refresh built whole, the last of each.
	Rebuilt []Version
}

// DayKey names a day.
type DayKey struct {
	Dataset DatasetName
	Date    Date
}

// Board is the derived status of every day of a range, with what it was derived from.
type Board struct {
	Revision int64
	AsOf     time.Time
	Datasets []Dataset // in dependency order, inputs first; names break ties
	Days     map[DayKey]DayStatus
}

// NewBoard derives every day of the facts. A dataset whose inputs form a cycle is derived as if it had none.
func NewBoard(f Facts) *Board {
	f.Datasets = InOrder(f.Datasets)
	return newBoard(f, newHistory(f, f.Datasets))
}

// newBoard derives the days of facts, whose datasets are in order, with what the versions of all dates say: the facts may
// be those of one date alone.
func newBoard(f Facts, history *history) *Board {
	b := &Board{Revision: f.Revision, AsOf: f.Now, Datasets: f.Datasets, Days: make(map[DayKey]DayStatus, len(f.Days))}
	version := make(map[DayKey]*Version, len(f.Versions))
	for i := range f.Versions {
		v := &f.Versions[i]
		version[DayKey{v.Dataset, v.Date}] = v
	}
	through := make(seenThrough)
	inputs := make(map[DatasetName][]DatasetName, len(f.Datasets))
	for _, d := range f.Datasets {
		inputs[d.Name] = d.Inputs
	}
	type runDataset struct {
		run     RunID
		dataset DatasetName
	}
	steps := make(map[runDataset][]Step)
	byID := make(map[StepID]Step, len(f.Steps))
	for _, s := range f.Steps {
		k := runDataset{s.Run, s.Dataset}
		steps[k] = append(steps[k], s)
		byID[s.ID] = s
	}
	days := make(map[DatasetName][]Day)
	for _, d := range f.Days {
		days[d.Dataset] = append(days[d.Dataset], d)
	}
	maintained := Maintained(f.Datasets, f.Maintenance)
	for _, ds := range inTurn(b.Datasets, f.Days) {
		ds.Inputs = inputs[ds.Name]
		for _, d := range days[ds.Name] {
			facts := DayFacts{Day: d, Now: f.Now, Version: version[DayKey{d.Dataset, d.Date}], Maintenance: maintained[ds.Name]}
			own := steps[runDataset{d.Run, d.Dataset}]
			facts.Steps = append(slices.Clone(own), steps[runDataset{d.Run, ""}]...)
			facts.Blocker = blocker(own, byID)
			facts.RebuiltAt = history.rebuiltAt(d)
			for _, in := range waitsFor(ds, d) {
				key := DayKey{in, d.Date}
				st, known := b.Days[key]
				if !known {
					continue // the input has no day of that date: nothing to wait for
				}
				input := InputFacts{Status: st}
				if v := version[key]; v != nil {
					input.Current, input.Restores, input.CurrentAt = v.ID, v.Restores, v.PublishedAt
				}
				input.Late = history.late(ds, in, facts.Version)
				input.Through = through.reasons(ds, key)
				facts.Inputs = append(facts.Inputs, input)
			}
			status := Derive(facts)
			through.note(&status, history, ds)
			b.Days[DayKey{d.Dataset, d.Date}] = status
		}
	}
	return b
}

// inTurn returns the datasets in the order in which their days can be derived: what a schedule waits for comes before what
// it brings.
func inTurn(datasets []Dataset, days []Day) []Dataset {
	waits := make(map[DatasetName][]DatasetName)
	for _, d := range days {
		if d.Hold != nil && len(d.Hold.Waits) > 0 {
			waits[d.Dataset] = append(waits[d.Dataset], d.Hold.Waits...)
		}
	}
	if len(waits) == 0 {
		return datasets
	}
	out := slices.Clone(datasets)
	for i, d := range out {
		if more := waits[d.Name]; len(more) > 0 {
			slices.Sort(more)
			out[i].Inputs = slices.Concat(d.Inputs, slices.Compact(more))
		}
	}
	return InOrder(out)
}

// waitsFor returns what a day cannot come before: the dataset's inputs, and what its schedule waits for.
func waitsFor(ds Dataset, d Day) []DatasetName {
	if d.Hold == nil || d.Run != "" {
		return ds.Inputs
	}
	return slices.Concat(ds.Inputs, d.Hold.Waits)
}

// blocker returns the failure for which one of the steps is blocked, or nil: the first failed step on the way back
// through what they need.
func blocker(steps []Step, byID map[StepID]Step) *Cause {
	var queue []StepID
	for _, s := range steps {
		if s.State == StepBlocked {
			queue = append(queue, s.Needs...)
		}
	}
	seen := make(map[StepID]bool)
	for len(queue) > 0 {
		s, known := byID[queue[0]]
		queue = queue[1:]
		if !known || seen[s.ID] {
			continue
		}
		seen[s.ID] = true
		switch s.State {
		case StepFailed, StepCancelled:
			return &Cause{s.Dataset, s.Kind, s.Error}
		case StepBlocked:
			queue = append(queue, s.Needs...)
		}
	}
	return nil
}

// History returns the dataset's days from the first date to the last, in date order; dates of which the
// ledger knows nothing are left out.
func (b *Board) History(d DatasetName, from, to Date) []DayStatus {
	var out []DayStatus
	for date := from; !date.After(to); date = date.AddDays(1) {
		if s, ok := b.Days[DayKey{d, date}]; ok {
			out = append(out, s)
		}
	}
	return out
}

// Severity orders day statuses for a roll-up, worst highest: breached, failed, blocked; unknown; at
// risk; warned, outdated; waiting, running; ready.
func (s DayStatus) Severity() int {
	switch {
	case s.Deadline == DeadlineBreached || s.State == DayFailed || s.State == DayBlocked || s.Withdrawn != "":
		return 5
	case s.State == DayUnknown:
		return 4
	case s.Deadline == DeadlineAtRisk:
		return 3
	case s.Checks == ChecksWarned || len(s.Outdated) > 0:
		return 2
	case s.State == DayReady || s.State == DayNotExpected:
		return 0
	}
	return 1
}

// InOrder returns the datasets with every dataset after its inputs; names break ties. Datasets in a
// cycle come last, in name order.
func InOrder(datasets []Dataset) []Dataset {
	byName := make(map[DatasetName]Dataset, len(datasets))
	waits := make(map[DatasetName]int, len(datasets))
	feeds := make(map[DatasetName][]DatasetName)
	for _, d := range datasets {
		byName[d.Name] = d
	}
	for _, d := range datasets {
		for _, in := range d.Inputs {
			if _, ok := byName[in]; ok && in != d.Name {
				waits[d.Name]++
				feeds[in] = append(feeds[in], d.Name)
			}
		}
	}
	free := &nameHeap{}
	for name := range byName {
		if waits[name] == 0 {
			heap.Push(free, name)
		}
	}
	out := make([]Dataset, 0, len(byName))
	for free.Len() > 0 {
		next := heap.Pop(free).(DatasetName)
		out = append(out, byName[next])
		delete(byName, next)
		for _, to := range feeds[next] {
			if waits[to]--; waits[to] == 0 {
				heap.Push(free, to)
			}
		}
	}
	rest := make([]Dataset, 0, len(byName))
	for _, d := range byName {
		rest = append(rest, d)
	}
	slices.SortFunc(rest, func(a, b Dataset) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return append(out, rest...)
}

// nameHeap gives the least name first.
type nameHeap []DatasetName

func (h nameHeap) Len() int           { return len(h) }
func (h nameHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h nameHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nameHeap) Push(x any)        { *h = append(*h, x.(DatasetName)) }
func (h *nameHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
