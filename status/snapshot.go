package status

import (
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// snapshot is everything that pages and routes read, derived once from one set of facts. It is never
// changed after it was made.
type snapshot struct {
	facts     elt.Facts
	board     *elt.Board
	fetched   time.Time     // by the service's clock, when the reading of the facts began
	cost      time.Duration // how long it took to read and derive
	turns     time.Time     // by the ledger's clock, when the same facts give another board: a lease or deadline passes, a day begins
	incidents []elt.Incident
	estimates *eta.Estimates // the latest when the snapshot was made; nil while there were none
	ticks     map[elt.ScheduleName]elt.Tick
	location  *time.Location
	sets      []*dataset // in dependency order, the retired ones too
	byName    map[elt.DatasetName]*dataset
	versions  map[elt.DayKey]elt.Version
	steps     map[stepKey][]elt.Step
	night     night
	etags     tags // of resources that follow from the snapshot alone
}

type stepKey struct {
	run     elt.RunID
	dataset elt.DatasetName
}

// dataset is a dataset with what the board says about it.
type dataset struct {
	elt.Dataset
	zone     *time.Location
	days     []elt.DayStatus // in date order, those that have come; the last one is the headline's
	headline elt.Headline
	ahead    []elt.DayStatus // expected, but their time has not come
	usual    string          // "05:31": the median of the last ready times; empty when too few
	feeds    []elt.DatasetName
	gaps     []elt.Date // expected days before the headline's that are not good
	step     *elt.Step  // the step at work on the headline's day
}

func newSnapshot(f elt.Facts, incidents []elt.Incident, estimates *eta.Estimates, ticks map[elt.ScheduleName]elt.Tick, fetched time.Time, loc *time.Location) *snapshot {
	s := &snapshot{
		facts: f, board: elt.NewBoard(f), fetched: fetched, incidents: incidents, estimates: estimates, ticks: ticks, location: loc,
		byName:   make(map[elt.DatasetName]*dataset, len(f.Datasets)),
		versions: make(map[elt.DayKey]elt.Version, len(f.Versions)), steps: make(map[stepKey][]elt.Step),
	}
	for _, v := range f.Versions {
		s.versions[elt.DayKey{Dataset: v.Dataset, Date: v.Date}] = v
	}
	for _, st := range f.Steps {
		k := stepKey{st.Run, st.Dataset}
		s.steps[k] = append(s.steps[k], st)
	}
	zones := make(map[string]*time.Location)
	for _, d := range s.board.Datasets {
		if zones[d.Zone] == nil {
			zones[d.Zone] = zoneOf(d.Zone, loc)
		}
		set := &dataset{Dataset: d, zone: zones[d.Zone]}
		s.sets = append(s.sets, set)
		s.byName[d.Name] = set
	}
	for _, set := range s.sets {
		for _, in := range set.Inputs {
			if input := s.byName[in]; input != nil && !set.Retired {
				input.feeds = append(input.feeds, set.Name)
			}
		}
	}
	s.applyRisk()
	s.placeDays()
	s.findTurn(zones)
	s.night = newNight(s)
	return s
}

// placeDays gives each dataset its days, in date order, parted into those whose time has come and
// those ahead.
func (s *snapshot) placeDays() {
	for _, status := range s.board.Days {
		set := s.byName[status.Dataset]
		if set == nil {
			continue
		}
		if s.hasCome(set, status) {
			set.days = append(set.days, status)
		} else {
			set.ahead = append(set.ahead, status)
		}
	}
	byDate := func(a, b elt.DayStatus) int { return a.Date.Compare(b.Date) }
	for _, set := range s.sets {
		slices.SortFunc(set.days, byDate)
		slices.SortFunc(set.ahead, byDate)
		// A day may have begun before its time (a person ran it): everything before it has come too.
		if len(set.days) > 0 {
			last := set.days[len(set.days)-1].Date
			for len(set.ahead) > 0 && set.ahead[0].Date.Before(last) {
				set.days = append(set.days, set.ahead[0])
				set.ahead = set.ahead[1:]
			}
			slices.SortFunc(set.days, byDate)
		}
		set.headline = elt.NewHeadline(set.days)
		for _, d := range set.days {
			if d.State != elt.DayNotExpected && !d.Good() && d.Date != set.headline.Latest.Date {
				set.gaps = append(set.gaps, d.Date)
			}
		}
		set.usual = usualTime(set.days, set.zone)
		set.step = s.stepAtWork(set.headline.Latest)
	}
}

// hasCome reports whether a day counts for today's picture: it has begun, or the schedule has no tick
// left to fire for it. A day that merely lies ahead must not turn a page of ready data into one that waits.
func (s *snapshot) hasCome(set *dataset, d elt.DayStatus) bool {
	if d.State != elt.DayScheduled && d.State != elt.DayWaiting && d.State != elt.DayNotExpected || d.Run != "" {
		return true
	}
	if d.Deadline == elt.DeadlineBreached {
		return true
	}
	if tick, ok := s.ticks[set.Schedule]; ok {
		return d.Date.Before(tick.Date)
	}
	return !s.facts.Now.Before(d.Date.AddDays(1).Start(set.zone))
}

// stepAtWork returns the step that a day's state is about.
func (s *snapshot) stepAtWork(d elt.DayStatus) *elt.Step {
	if d.Step == "" {
		return nil
	}
	own := s.steps[stepKey{d.Run, d.Dataset}]
	for _, list := range [][]elt.Step{own, s.steps[stepKey{d.Run, ""}]} {
		for i := range list {
			if list[i].Kind == d.Step {
				return &list[i]
			}
		}
	}
	return nil
}

// findTurn finds the moment after which the same facts give another board. A lease that ends at this very moment still
// holds, and is lost the next.
func (s *snapshot) findTurn(zones map[string]*time.Location) {
	consider := func(t time.Time) {
		if !t.Before(s.facts.Now) && (s.turns.IsZero() || t.Before(s.turns)) {
			s.turns = t
		}
	}
	for _, st := range s.facts.Steps {
		if st.State == elt.StepRunning {
			consider(st.LeaseUntil)
		}
	}
	for _, d := range s.facts.Days {
		consider(d.Deadline)
	}
	for _, t := range s.ticks {
		consider(t.DueAt)
	}
	consider(tomorrow(s.facts.Now, s.location))
	for _, zone := range zones {
		consider(tomorrow(s.facts.Now, zone))
	}
}

// tomorrow is when the next day begins in a zone: "today" and the range of the board move on.
func tomorrow(now time.Time, zone *time.Location) time.Time {
	return elt.DateOf(now.In(zone)).AddDays(1).Start(zone)
}

// outlived reports whether the snapshot may differ from the ledger of that revision at that moment.
func (s *snapshot) outlived(revision int64, now time.Time) bool {
	passed := s.facts.Now.Add(now.Sub(s.fetched)).After(s.turns)
	return revision != s.facts.Revision || passed
}

// live returns the datasets that are not retired, by name.
func (s *snapshot) live() []*dataset {
	var out []*dataset
	for _, set := range s.sets {
		if !set.Retired {
			out = append(out, set)
		}
	}
	slices.SortFunc(out, func(a, b *dataset) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// day returns what the snapshot knows of a day.
func (s *snapshot) day(d elt.DatasetName, date elt.Date) (elt.DayStatus, bool) {
	status, ok := s.board.Days[elt.DayKey{Dataset: d, Date: date}]
	return status, ok
}

// covers reports whether the snapshot's range holds the date.
func (s *snapshot) covers(date elt.Date) bool {
	today := elt.DateOf(s.fetched.In(s.location))
	return !date.Before(today.AddDays(-historyDays)) && !date.After(today.AddDays(2))
}

// usualTime is the median wall-clock time of the last thirty ready days, "" for fewer than three. A day
// that came more than a day late says nothing of the usual time and is left out.
func usualTime(days []elt.DayStatus, zone *time.Location) string {
	var minutes []int
	for _, d := range slices.Backward(days) {
		if d.State != elt.DayReady || len(minutes) == 30 {
			continue
		}
		midnight := d.Date.AddDays(1)
		at := d.ReadyAt.In(zone)
		if elt.DateOf(at) == midnight {
			minutes = append(minutes, at.Hour()*60+at.Minute())
		}
	}
	if len(minutes) < 3 {
		return ""
	}
	slices.Sort(minutes)
	m := minutes[len(minutes)/2]
	return time.Date(2000, 1, 1, m/60, m%60, 0, 0, time.UTC).Format("15:04")
}

func zoneOf(name string, fallback *time.Location) *time.Location {
	if name == "" {
		return fallback
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return fallback // check refuses unknown zones: only a ledger from another machine can hold one
	}
	return loc
}
