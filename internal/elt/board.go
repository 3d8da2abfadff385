package elt

import (
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
	// Steps of the runs that bring a day which has no version, or a newer one than its version's run.
	Steps []Step
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
	type runDataset struct {
		run     RunID
		dataset DatasetName
	}
	steps := make(map[runDataset][]Step)
	for _, s := range f.Steps {
		k := runDataset{s.Run, s.Dataset}
		steps[k] = append(steps[k], s)
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
			for _, in := range ds.Inputs {
				key := DayKey{in, d.Date}
				st, known := b.Days[key]
				if !known {
					continue // the input has no day of that date: nothing to wait for
				}
				input := InputFacts{Status: st}
				if v := version[key]; v != nil {
					input.Current = v.ID
				}
				facts.Inputs = append(facts.Inputs, input)
			}
			b.Days[DayKey{d.Dataset, d.Date}] = Derive(facts)
		}
	}
	return b
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
	var free []DatasetName
	for name := range byName {
		if waits[name] == 0 {
			free = append(free, name)
		}
	}
	out := make([]Dataset, 0, len(byName))
	for len(free) > 0 {
		slices.Sort(free)
		next := free[0]
		free = free[1:]
		out = append(out, byName[next])
		delete(byName, next)
		for _, to := range feeds[next] {
			if waits[to]--; waits[to] == 0 {
				free = append(free, to)
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
