package elt

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Almanac is the board of many dates, kept by date: a date of which something changed is derived anew, and the others
// stay as they are. It says what [NewBoard] says of the same facts. It is never changed once it was made.
type Almanac struct {
	Datasets []Dataset // in dependency order, inputs first; names break ties
	place    map[DatasetName]int
	readers  map[DatasetName][]Dataset // models that are built whole, or are views, by what they read
	pages    map[Date]*page
	history  *history
}

// page is what is known of one date.
type page struct {
	cells       []cell         // of each dataset, in the almanac's order
	notExpected map[int]string // why, where nothing is expected
	steps       []Step         // of the days that they still matter to
	turns       []time.Time    // when the same facts say something else: a lease ends, a deadline passes
}

// NewAlmanac derives every day of the facts.
func NewAlmanac(f Facts) *Almanac {
	a := &Almanac{Datasets: InOrder(f.Datasets), place: make(map[DatasetName]int, len(f.Datasets)), readers: make(map[DatasetName][]Dataset), pages: make(map[Date]*page)}
	for i, d := range a.Datasets {
		a.place[d.Name] = i
		for _, in := range d.Inputs {
			if d.Materialized != string(AsIncremental) {
				a.readers[in] = append(a.readers[in], d)
			}
		}
	}
	a.history = newHistory(f, a.Datasets)
	for date, part := range byDate(f) {
		a.derive(date, part)
	}
	return a
}

// byDate parts facts by their dates.
func byDate(f Facts) map[Date]*Facts {
	parts := make(map[Date]*Facts)
	of := func(d Date) *Facts {
		if parts[d] == nil {
			parts[d] = &Facts{Revision: f.Revision, Now: f.Now, Maintenance: f.Maintenance}
		}
		return parts[d]
	}
	for _, d := range f.Days {
		p := of(d.Date)
		p.Days = append(p.Days, d)
	}
	for _, v := range f.Versions {
		p := of(v.Date)
		p.Versions = append(p.Versions, v)
	}
	dates := make(map[RunID][]Date) // that the run brings, and that its steps matter to
	for _, d := range f.Days {
		if list := dates[d.Run]; len(list) == 0 || list[len(list)-1] != d.Date && !slices.Contains(list, d.Date) {
			dates[d.Run] = append(list, d.Date)
		}
	}
	for _, s := range f.Steps {
		for _, date := range dates[s.Run] {
			parts[date].Steps = append(parts[date].Steps, s)
		}
	}
	return parts
}

// Merge returns the almanac in which the dates are as the facts, read anew, say. again are other dates that have to be
// read because of it: what is the newest version, or came late, has changed for them. whole means that nothing less than
// all facts will do.
func (a *Almanac) Merge(f Facts, dates []Date) (next *Almanac, again []Date, whole bool) {
	if !maps.EqualFunc(a.history.rebuilt, rebuiltOf(f), publication.equal) {
		return nil, nil, true
	}
	next = &Almanac{a.Datasets, a.place, a.readers, maps.Clone(a.pages), a.history}
	parts := byDate(f)
	for _, date := range dates {
		part := parts[date]
		if part == nil {
			part = &Facts{Revision: f.Revision, Now: f.Now, Maintenance: f.Maintenance}
			parts[date] = part
		}
		again = append(again, next.learn(date, part.Versions)...)
	}
	for _, date := range dates {
		next.derive(date, parts[date])
	}
	again = slices.DeleteFunc(again, func(d Date) bool { return d.IsZero() || slices.Contains(dates, d) })
	slices.SortFunc(again, Date.Compare)
	return next, slices.Compact(again), false
}

// learn brings the history up to what the versions of a date are now, and returns the other dates for which that
// matters.
func (a *Almanac) learn(date Date, versions []Version) (again []Date) {
	now := make([]*Version, len(a.Datasets))
	for i := range versions {
		if at, known := a.place[versions[i].Dataset]; known {
			now[at] = &versions[i]
		}
	}
	newest := maps.Clone(a.history.newest)
	h := &history{newest, a.history.byTime, a.history.rebuilt}
	before := a.pages[date]
	for i, d := range a.Datasets {
		had := before != nil && before.cells[i].published()
		switch at := newest[d.Name]; {
		case now[i] != nil && date.After(at):
			newest[d.Name] = date
			if len(d.Inputs) > 0 {
				again = append(again, at)
			}
		case now[i] == nil && had && date == at:
			delete(newest, d.Name)
			if at := a.newestBut(i, date); !at.IsZero() {
				newest[d.Name] = at
				again = append(again, at)
			}
		}
		if d.Materialized != string(AsIncremental) {
			continue
		}
		var list []publication
		if now[i] != nil {
			list = []publication{{now[i].ID, date, now[i].PublishedAt}}
		}
		old := slices.DeleteFunc(slices.Clone(h.byTime[d.Name]), func(p publication) bool { return p.date != date })
		if slices.EqualFunc(old, list, publication.equal) {
			continue
		}
		h = h.with(d.Name, date, list)
		for _, reader := range a.readers[d.Name] {
			again = append(again, newest[reader.Name])
		}
	}
	a.history = h
	return again
}

// newestBut returns the newest date, other than one, that has a version of the dataset.
func (a *Almanac) newestBut(place int, but Date) (newest Date) {
	for date, p := range a.pages {
		if date != but && p.cells[place].published() && date.After(newest) {
			newest = date
		}
	}
	return newest
}

// derive makes a date's page.
func (a *Almanac) derive(date Date, f *Facts) {
	f.Datasets = a.Datasets
	p := &page{cells: make([]cell, len(a.Datasets)), notExpected: make(map[int]string), steps: f.Steps}
	runs := make(map[RunID]RunID) // one text for each, however often the ledger gave it
	for key, status := range newBoard(*f, a.history).Days {
		if _, seen := runs[status.Run]; !seen {
			runs[status.Run] = status.Run
		}
		status.Run = runs[status.Run]
		p.cells[a.place[key.Dataset]] = newCell(status)
	}
	for _, st := range f.Steps {
		if st.State == StepRunning {
			p.turns = append(p.turns, st.LeaseUntil)
		}
	}
	open := false
	for _, d := range f.Days {
		i, known := a.place[d.Dataset]
		if !known {
			continue
		}
		if d.NotExpected != "" {
			p.notExpected[i] = d.NotExpected
		}
		if p.cells[i].published() {
			continue
		}
		if s, ok := p.cells[i].status(DayKey{d.Dataset, date}); ok && !s.DeadlineAt.Before(f.Now) {
			p.turns = append(p.turns, s.DeadlineAt)
		}
		open = true
	}
	for _, m := range f.Maintenance {
		if open {
			p.turns = append(p.turns, m.From, m.Until())
		}
	}
	a.pages[date] = p
}

// Day returns what is known of a day.
func (a *Almanac) Day(key DayKey) (DayStatus, bool) {
	p, i := a.pages[key.Date], a.placeOf(key.Dataset)
	if p == nil || i < 0 {
		return DayStatus{}, false
	}
	return p.cells[i].status(key)
}

func (a *Almanac) placeOf(d DatasetName) int {
	if i, known := a.place[d]; known {
		return i
	}
	return -1
}

// Days returns what is known of a dataset, in the order of the dates given, which are added to into.
func (a *Almanac) Days(into []DayStatus, d DatasetName, dates []Date) []DayStatus {
	i := a.placeOf(d)
	if i < 0 {
		return into
	}
	for _, date := range dates {
		if p := a.pages[date]; p != nil {
			if s, ok := p.cells[i].status(DayKey{d, date}); ok {
				into = append(into, s)
			}
		}
	}
	return into
}

// Dates returns the dates of which anything is known, in order.
func (a *Almanac) Dates() []Date { return slices.SortedFunc(maps.Keys(a.pages), Date.Compare) }

// History returns the dataset's days from the first date to the last, in date order; dates of which the
// ledger knows nothing are left out.
func (a *Almanac) History(d DatasetName, from, to Date) []DayStatus {
	var out []DayStatus
	for date := from; !date.After(to); date = date.AddDays(1) {
		if s, ok := a.Day(DayKey{d, date}); ok {
			out = append(out, s)
		}
	}
	return out
}

// All yields every day, in no order.
func (a *Almanac) All() iter.Seq2[DayKey, DayStatus] {
	return func(yield func(DayKey, DayStatus) bool) {
		for date, p := range a.pages {
			for i := range p.cells {
				key := DayKey{a.Datasets[i].Name, date}
				if s, ok := p.cells[i].status(key); ok && !yield(key, s) {
					return
				}
			}
		}
	}
}

// NotExpected returns why nothing is expected on a day, "" where something is.
func (a *Almanac) NotExpected(key DayKey) string {
	if p, i := a.pages[key.Date], a.placeOf(key.Dataset); p != nil && i >= 0 {
		return p.notExpected[i]
	}
	return ""
}

// Steps yields the steps that some day's status still depends on, those of a run in their order.
func (a *Almanac) Steps() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for date, p := range a.pages {
			for _, s := range p.steps {
				if date != s.Date && a.pages[s.Date].has(s.ID) {
					continue // the run brings several dates
				}
				if !yield(s) {
					return
				}
			}
		}
	}
}

func (p *page) has(step StepID) bool {
	return p != nil && slices.ContainsFunc(p.steps, func(s Step) bool { return s.ID == step })
}

// Moving returns the dates on which a step runs: its progress and its lease change without an event.
func (a *Almanac) Moving() (dates []Date) {
	for date, p := range a.pages {
		if slices.ContainsFunc(p.steps, func(s Step) bool { return s.State == StepRunning }) {
			dates = append(dates, date)
		}
	}
	return dates
}

// Turned returns the dates of which the same facts may say something else at now than they did at then.
func (a *Almanac) Turned(then, now time.Time) (dates []Date) {
	for date, p := range a.pages {
		if slices.ContainsFunc(p.turns, func(t time.Time) bool { return !t.Before(then) && t.Before(now) }) {
			dates = append(dates, date)
		}
	}
	return dates
}

// Turn returns the first moment from now on at which the same facts may say something else, zero if there is none.
func (a *Almanac) Turn(now time.Time) (first time.Time) {
	for _, p := range a.pages {
		for _, t := range p.turns {
			if !t.Before(now) && (first.IsZero() || t.Before(first)) {
				first = t
			}
		}
	}
	return first
}
