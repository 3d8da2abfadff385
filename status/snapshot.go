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
	revision  int64     // of the ledger: at least what it had changed by then is in here
	at        time.Time // by the ledger's clock, when the facts were read
	board     *elt.Almanac
	fetched   time.Time     // by the service's clock, when the reading of the facts began
	cost      time.Duration // how long it took to read and derive
	turns     time.Time     // by the ledger's clock, when the same facts give another board: a lease or deadline passes, a day begins
	incidents []elt.Incident
	estimates *eta.Estimates // the latest when the snapshot was made; nil while there were none
	ticks     map[elt.ScheduleName]elt.Tick
	location  *time.Location
	sets      []*dataset // in dependency order, the retired ones too
	named     []*dataset // those that are not retired, by name
	byName    map[elt.DatasetName]*dataset
	dates     []elt.Date // of which anything is known, in order
	steps     map[stepKey][]elt.Step
	night     night
	answers   answers // of resources that follow from the snapshot alone
}

type stepKey struct {
	run     elt.RunID
	dataset elt.DatasetName
}

// dataset is a dataset with what the board says about it.
type dataset struct {
	elt.Dataset
	zone     *time.Location
	first    elt.Date // of the days that have come; zero while there are none
	through  elt.Date // the last of them: the headline's
	headline elt.Headline
	ahead    []elt.DayStatus // expected, but their time has not come
	usual    string          // "05:31": the median of the last ready times; empty when too few
	feeds    []elt.DatasetName
	gaps     []elt.Date // expected days before the headline's that are not good
	step     *elt.Step  // the step at work on the headline's day
}

// reading is what was read of the ledger at one moment.
type reading struct {
	revision  int64
	at        time.Time // by the ledger's clock
	board     *elt.Almanac
	incidents []elt.Incident
	fetched   time.Time // by the service's clock, when it began
}

func newSnapshot(r reading, estimates *eta.Estimates, ticks map[elt.ScheduleName]elt.Tick, loc *time.Location) *snapshot {
	s := &snapshot{
		revision: r.revision, at: r.at, board: r.board, fetched: r.fetched, incidents: r.incidents, estimates: estimates, ticks: ticks, location: loc,
		byName: make(map[elt.DatasetName]*dataset, len(r.board.Datasets)), dates: r.board.Dates(), steps: make(map[stepKey][]elt.Step),
	}
	for st := range s.board.Steps() {
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
		if !d.Retired {
			s.named = append(s.named, set)
		}
	}
	slices.SortFunc(s.named, func(a, b *dataset) int { return strings.Compare(string(a.Name), string(b.Name)) })
	for _, set := range s.sets {
		for _, in := range set.Inputs {
			if input := s.byName[in]; input != nil && !set.Retired {
				input.feeds = append(input.feeds, set.Name)
			}
		}
	}
	s.placeDays()
	s.findTurn(zones)
	s.night = newNight(s)
	return s
}

// placeDays parts each dataset's days into those whose time has come and those ahead.
func (s *snapshot) placeDays() {
	var days []elt.DayStatus
	for _, set := range s.sets {
		days = s.known(days[:0], set)
		come := len(days)
		for come > 0 && !s.hasCome(set, days[come-1]) {
			come-- // a day may have begun before its time: everything before it has come too
		}
		set.ahead = slices.Clone(days[come:])
		if come > 0 {
			set.first, set.through = days[0].Date, days[come-1].Date
		}
		set.headline = elt.NewHeadline(days[:come])
		for _, d := range days[:come] {
			if d.State != elt.DayNotExpected && !d.Good() && d.Date != set.headline.Latest.Date {
				set.gaps = append(set.gaps, d.Date)
			}
		}
		set.usual = usualTime(days[:come], set.zone)
		set.step = s.stepAtWork(set.headline.Latest)
	}
}

// known returns every day of a dataset that is known, in date order.
func (s *snapshot) known(into []elt.DayStatus, set *dataset) []elt.DayStatus {
	days := s.board.Days(into, set.Name, s.dates)
	for i := range days {
		s.risk(&days[i])
	}
	return days
}

// days returns a dataset's days that have come, in date order; the last one is the headline's.
func (s *snapshot) days(set *dataset) []elt.DayStatus {
	days := s.known(nil, set)
	return days[:len(days)-len(set.ahead)]
}

// history returns a dataset's days from the first date to the last, in date order.
func (s *snapshot) history(set *dataset, from, to elt.Date) []elt.DayStatus {
	days := s.board.History(set.Name, from, to)
	for i := range days {
		s.risk(&days[i])
	}
	return days
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
	return !s.at.Before(d.Date.AddDays(1).Start(set.zone))
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
	s.turns = s.board.Turn(s.at)
	consider := func(t time.Time) {
		if !t.Before(s.at) && (s.turns.IsZero() || t.Before(s.turns)) {
			s.turns = t
		}
	}
	for _, t := range s.ticks {
		consider(t.DueAt)
	}
	consider(tomorrow(s.at, s.location))
	for _, zone := range zones {
		consider(tomorrow(s.at, zone))
	}
}

// tomorrow is when the next day begins in a zone: "today" and the range of the board move on.
func tomorrow(now time.Time, zone *time.Location) time.Time {
	return elt.DateOf(now.In(zone)).AddDays(1).Start(zone)
}

// outlived reports whether the snapshot may differ from the ledger of that revision at that moment.
func (s *snapshot) outlived(revision int64, now time.Time) bool {
	return revision != s.revision || s.clockAt(now).After(s.turns)
}

// clockAt is what the ledger's clock showed at a moment of the service's own.
func (s *snapshot) clockAt(now time.Time) time.Time { return s.at.Add(now.Sub(s.fetched)) }

// live returns the datasets that are not retired, by name.
func (s *snapshot) live() []*dataset { return s.named }

// day returns what the snapshot knows of a day.
func (s *snapshot) day(d elt.DatasetName, date elt.Date) (elt.DayStatus, bool) {
	status, ok := s.board.Day(elt.DayKey{Dataset: d, Date: date})
	if ok {
		s.risk(&status)
	}
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
