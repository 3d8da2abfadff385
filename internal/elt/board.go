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
	b := &Board{Revision: f.Revision, AsOf: f.Now, Datasets: InOrder(f.Datasets), Days: make(map[DayKey]DayStatus, len(f.Days))}
	version := make(map[DayKey]*Version, len(f.Versions))
	for i := range f.Versions {
		v := &f.Versions[i]
		version[DayKey{v.Dataset, v.Date}] = v
	}
	history := newHistory(f, b.Datasets)
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
	for _, ds := range b.Datasets {
		for _, d := range days[ds.Name] {
			facts := DayFacts{Day: d, Now: f.Now, Version: version[DayKey{d.Dataset, d.Date}]}
			own := steps[runDataset{d.Run, d.Dataset}]
			facts.Steps = append(slices.Clone(own), steps[runDataset{d.Run, ""}]...)
			facts.Blocker = blocker(own, byID)
			facts.RebuiltAt = history.rebuiltAt(d)
			for _, in := range ds.Inputs {
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
				input.Through = history.seenThrough(ds, key)
				facts.Inputs = append(facts.Inputs, input)
			}
			status := Derive(facts)
			history.lookThrough(&status)
			b.Days[DayKey{d.Dataset, d.Date}] = status
		}
	}
	return b
}

// history is what the versions of all dates say about one of them.
type history struct {
	materialized map[DatasetName]string
	newest       map[DatasetName]Date       // of the versions
	byTime       map[DatasetName][]*Version // of incremental datasets, in the order of publication
	rebuilt      map[DatasetName]Version
	through      map[DayKey][]OutdatedInput // of views: why they show other rows than they did
}

func newHistory(f Facts, datasets []Dataset) history {
	h := history{make(map[DatasetName]string, len(datasets)), make(map[DatasetName]Date), make(map[DatasetName][]*Version), make(map[DatasetName]Version), make(map[DayKey][]OutdatedInput)}
	for _, d := range datasets {
		h.materialized[d.Name] = d.Materialized
	}
	for i := range f.Versions {
		v := &f.Versions[i]
		if v.Date.After(h.newest[v.Dataset]) {
			h.newest[v.Dataset] = v.Date
		}
		if h.materialized[v.Dataset] == string(AsIncremental) {
			h.byTime[v.Dataset] = append(h.byTime[v.Dataset], v)
		}
	}
	for _, list := range h.byTime {
		slices.SortFunc(list, func(a, b *Version) int { return a.PublishedAt.Compare(b.PublishedAt) })
	}
	for _, v := range f.Rebuilt {
		h.rebuilt[v.Dataset] = v
	}
	return h
}

// rebuiltAt returns when a later version of the day's dataset was built whole, zero if none was.
func (h history) rebuiltAt(d Day) time.Time {
	if v, ok := h.rebuilt[d.Dataset]; ok && !v.Date.Before(d.Date) {
		return v.PublishedAt
	}
	return time.Time{}
}

// lookThrough notes why a view shows other rows than it did, for what reads it. A view's older day is not outdated
// itself: it has no rows of its own, and nothing could be built again.
func (h history) lookThrough(s *DayStatus) {
	if h.materialized[s.Dataset] != string(AsView) || len(s.OutdatedBy) == 0 {
		return
	}
	h.through[DayKey{s.Dataset, s.Date}] = s.OutdatedBy
	if s.Date != h.newest[s.Dataset] {
		s.Outdated, s.OutdatedBy = nil, nil
	}
}

// seenThrough returns why a model's input, if it is a view, shows other rows than it did: to a model that is built whole
// any of them, to an incremental one those of the date alone.
func (h history) seenThrough(model Dataset, input DayKey) []OutdatedInput {
	reasons := h.through[input]
	if model.Materialized != string(AsIncremental) {
		return reasons
	}
	return slices.DeleteFunc(slices.Clone(reasons), func(o OutdatedInput) bool { return o.Date != input.Date })
}

// late returns the last version of an older date of the input that was published after the given version of a model
// that is built whole, or is a view, and so reads every date of the input; nil if there is none. It concerns the
// model's newest date alone: of the others nothing is left to read.
func (h history) late(model Dataset, input DatasetName, v *Version) *Version {
	if v == nil || model.Materialized == string(AsIncremental) || v.Date != h.newest[model.Name] {
		return nil
	}
	for _, in := range slices.Backward(h.byTime[input]) {
		if !in.PublishedAt.After(v.PublishedAt) {
			return nil
		}
		if in.Date.Before(v.Date) {
			return in
		}
	}
	return nil
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
