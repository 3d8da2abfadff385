package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// night is what the overview says: the latest data date that has come, over all datasets.
type night struct {
	date     elt.Date
	sentence string
	detail   string
	datasets int // that are not retired
	counts   map[elt.DayState]int
	trouble  []api.Trouble
	next     *elt.Tick // the next tick of any schedule
}

// tally sorts the datasets of the night's date by what a reader wants to know of them.
type tally struct {
	total                                 int
	ready, held, unknown, late, moving    []elt.DatasetName
	cameLate, warned, outdated, restating int
	withdrawn                             int // of those that are held
	begun                                 bool
	dueBy                                 time.Time // the last deadline of those that are moving
}

func newNight(s *snapshot) night {
	sets := s.live()
	n := night{datasets: len(sets), counts: make(map[elt.DayState]int)}
	for _, set := range sets {
		if d := set.headline.Latest.Date; d.After(n.date) {
			n.date = d
		}
	}
	for name := range s.ticks {
		if t := s.ticks[name]; n.next == nil || t.DueAt.Before(n.next.DueAt) {
			n.next = &t
		}
	}
	n.trouble = s.findTrouble(sets)
	t := s.tallyOf(n.date, slices.DeleteFunc(slices.Clone(s.sets), func(d *dataset) bool { return d.Retired }), n.counts)
	n.sentence = s.headSentence(n, t)
	n.detail = s.headDetail(n, t, sets)
	return n
}

func (s *snapshot) tallyOf(date elt.Date, sets []*dataset, counts map[elt.DayState]int) tally {
	var t tally
	for _, set := range sets { // in dependency order, so that a cause is named before what it holds up
		d, ok := s.day(set.Name, date)
		if !ok {
			continue
		}
		counts[d.State]++
		if d.State == elt.DayNotExpected {
			continue
		}
		t.total++
		t.begun = t.begun || d.Run != "" || d.State == elt.DayRunning || d.State == elt.DayRetrying
		switch {
		case d.Impossible():
			t.held = append(t.held, set.Name)
			if d.Withdrawn != "" {
				t.withdrawn++
			}
		case d.Good():
			t.ready = append(t.ready, set.Name)
			if d.Deadline == elt.DeadlineMissed {
				t.cameLate++
			}
			if d.Checks == elt.ChecksWarned {
				t.warned++
			}
			if len(d.Outdated) > 0 {
				t.outdated++
			}
			if d.Restating {
				t.restating++
			}
		case d.State == elt.DayUnknown:
			t.unknown = append(t.unknown, set.Name)
		case d.Deadline == elt.DeadlineBreached:
			t.late = append(t.late, set.Name)
		default:
			t.moving = append(t.moving, set.Name)
			if d.DeadlineAt.After(t.dueBy) {
				t.dueBy = d.DeadlineAt
			}
		}
	}
	return t
}

// headSentence is the one sentence that most readers need.
func (s *snapshot) headSentence(n night, t tally) string {
	today := elt.DateOf(s.at.In(s.location))
	day := dayName(n.date, today)
	subject := day + "’s data"
	if strings.Contains(day, " ") {
		subject = "the data of " + day
	}
	switch {
	case n.datasets == 0:
		return "There are no datasets yet."
	case n.date.IsZero():
		return s.beforeFirst()
	case t.total == 0:
		return "No data is expected for " + day + "."
	case len(t.ready) == t.total:
		return capital(subject) + " is ready."
	}
	bad := len(t.held) + len(t.unknown) + len(t.late)
	if bad == 0 {
		return goodSentence(subject, t)
	}
	if bad == t.total {
		return s.allBad(subject, t)
	}
	return mostOf(subject, t) + " " + s.exceptions(t)
}

func (s *snapshot) beforeFirst() string {
	for _, set := range s.live() {
		if !set.first.IsZero() {
			return "No data is expected right now."
		}
	}
	return "The first night has not run yet."
}

func goodSentence(subject string, t tally) string {
	switch {
	case len(t.ready) == 0 && !t.begun:
		return capital(subject) + " has not started to arrive."
	case len(t.ready) == 0:
		return capital(subject) + " is on its way."
	case len(t.ready)*2 >= t.total:
		return "Most of " + subject + " is ready. The rest is on its way."
	}
	return "Some of " + subject + " is ready. The rest is on its way."
}

func (s *snapshot) allBad(subject string, t tally) string {
	switch t.total {
	case len(t.held):
		return capital(subject) + " did not arrive."
	case len(t.late):
		return capital(subject) + " is late."
	case len(t.unknown):
		return "Nobody can vouch for " + subject + "."
	}
	return "None of " + subject + " is ready."
}

func mostOf(subject string, t tally) string {
	ready, fine := len(t.ready), len(t.ready)+len(t.moving)
	switch {
	case ready*2 >= t.total:
		return "Most of " + subject + " is ready."
	case fine*2 >= t.total:
		return "Most of " + subject + " is on its way."
	case ready > 0:
		return "Some of " + subject + " is ready."
	}
	return "Some of " + subject + " is on its way."
}

// exceptions is the second half of the sentence: the worst kind of trouble, by name while there are few.
func (s *snapshot) exceptions(t tally) string {
	who := func(ds []elt.DatasetName) string {
		if len(ds) > 3 {
			return counted(len(ds), "dataset")
		}
		return listed(ds, 3)
	}
	switch {
	case len(t.held) > 0:
		return who(t.held) + " " + be(len(t.held)) + " not."
	case len(t.unknown) > 0:
		return who(t.unknown) + " " + be(len(t.unknown)) + " unknown."
	}
	return who(t.late) + " " + be(len(t.late)) + " late."
}

// headDetail says the same in numbers, and what comes next.
func (s *snapshot) headDetail(n night, t tally, sets []*dataset) string {
	now := s.at
	today := elt.DateOf(now.In(s.location))
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case n.datasets == 0:
		return "Name a table in schedules/ or write a model in sql/models, then run daybreak check: they appear here with their first night."
	case n.date.IsZero():
		add("%s %s declared.", counted(n.datasets, "dataset"), be(n.datasets))
	case t.total == 0:
	case len(t.ready) == t.total && t.total == 1:
		add("Its dataset is complete: it arrived at %s.", s.lastArrival(t.ready, n.date))
	case len(t.ready) == t.total:
		add("All %s are ready for %s. The last arrived at %s.", counted(t.total, "dataset"), shortDate(n.date, today), s.lastArrival(t.ready, n.date))
	case len(t.ready) == 0:
		add("None of %s is ready for %s yet.", counted(t.total, "dataset"), shortDate(n.date, today))
	default:
		add("%d of %s %s ready for %s.", len(t.ready), counted(t.total, "dataset"), be(len(t.ready)), shortDate(n.date, today))
	}
	if len(t.moving) > 0 {
		if t.dueBy.IsZero() {
			add("%d %s on %s way.", len(t.moving), be(len(t.moving)), its(len(t.moving)))
		} else {
			add("%d %s on %s way, due by %s.", len(t.moving), be(len(t.moving)), its(len(t.moving)), clock(t.dueBy, s.location))
		}
	}
	for _, c := range []struct {
		n    int
		text string
	}{{len(t.held) - t.withdrawn, "held up"}, {t.withdrawn, "withdrawn"}, {len(t.late), "late"}, {len(t.unknown), "unknown"}} {
		if c.n > 0 {
			add("%d %s %s.", c.n, be(c.n), c.text)
		}
	}
	if t.cameLate > 0 {
		add("%d came late.", t.cameLate)
	}
	if t.warned > 0 {
		add("%d passed with a warning.", t.warned)
	}
	if t.outdated > 0 {
		add("%d %s made from an input that has changed since.", t.outdated, was(t.outdated))
	}
	if t.restating > 0 {
		add("%d %s being restated.", t.restating, be(t.restating))
	}
	if gaps := slices.DeleteFunc(slices.Clone(sets), func(d *dataset) bool { return len(d.gaps) == 0 }); len(gaps) > 0 {
		add("Older days are missing in %s.", listed(namesOf(gaps), 2))
	}
	if n.next != nil && (len(t.moving) == 0 || !t.begun) {
		add("The next night starts %s.", moment(n.next.DueAt, s.location, today))
	}
	return strings.Join(parts, " ")
}

func namesOf(sets []*dataset) []elt.DatasetName {
	out := make([]elt.DatasetName, len(sets))
	for i, s := range sets {
		out[i] = s.Name
	}
	return out
}

func (s *snapshot) lastArrival(ready []elt.DatasetName, date elt.Date) string {
	var last time.Time
	for _, name := range ready {
		if d, ok := s.day(name, date); ok && d.ReadyAt.After(last) {
			last = d.ReadyAt
		}
	}
	return clock(last, s.location)
}

func its(n int) string {
	if n == 1 {
		return "its"
	}
	return "their"
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
