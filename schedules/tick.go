package schedules

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// tickOf returns the tick that brings the data date: it is due on the date after it.
func (s *Schedule) tickOf(date elt.Date) elt.Tick {
	return elt.Tick{Schedule: s.Name, Date: date, DueAt: date.AddDays(1).At(s.Hour, s.Minute, s.Zone).UTC()}
}

// Due returns the ticks that are due by now for the data dates after the last one that was decided, oldest first:
// one for each date on which the schedule fires, however the clocks were changed and however long nobody
// was there. With catch_up: latest all but the newest come back as skipped, with the reason, and a holiday does wherever
// holidays are skipped. With a zero date, nothing was ever decided and only the newest tick is due.
func (s *Schedule) Due(after elt.Date, now time.Time) []elt.Tick {
	first := after.AddDays(1)
	if after.IsZero() {
		newest, ok := s.newest(now)
		if !ok {
			return nil
		}
		first = newest
	}
	var due []elt.Tick
	newest := -1
	for date := first; ; date = date.AddDays(1) {
		tick := s.tickOf(date)
		if tick.DueAt.After(now) {
			break
		}
		if !s.fires(date) {
			continue
		}
		if tick.Skipped = s.holiday(date); tick.Skipped == "" {
			newest = len(due)
		}
		due = append(due, tick)
	}
	for i := range max(newest, 0) {
		if s.CatchUp != CatchUpAll && due[i].Skipped == "" {
			due[i].Skipped = fmt.Sprintf("missed while no scheduler was running; catch_up: latest runs %s only", due[newest].Date)
		}
	}
	return due
}

// DueAt returns when the run of the data date is to start.
func (s *Schedule) DueAt(date elt.Date) time.Time { return s.tickOf(date).DueAt }

// Newest returns the newest data date that the schedule brings and that is over by now; false when there is none.
func (s *Schedule) Newest(now time.Time) (elt.Date, bool) { return s.newest(now) }

// newest returns the newest data date that is due by now.
func (s *Schedule) newest(now time.Time) (elt.Date, bool) {
	date := elt.DateOf(now.In(s.Zone))
	for range searchDays {
		if s.Expected(date) && !s.tickOf(date).DueAt.After(now) {
			return date, true
		}
		date = date.AddDays(-1)
	}
	return elt.Date{}, false
}

// Next returns the next n ticks that are due after now.
func (s *Schedule) Next(now time.Time, n int) []elt.Tick {
	var next []elt.Tick
	// Where a clock is put back over midnight, its date can be one behind one that it has already shown.
	date := elt.DateOf(now.In(s.Zone)).AddDays(-3)
	for searched := 0; len(next) < n && searched < searchDays; searched++ {
		if tick := s.tickOf(date); s.Expected(date) && tick.DueAt.After(now) {
			next, searched = append(next, tick), 0
		}
		date = date.AddDays(1)
	}
	return next
}

// fires reports whether there is a tick for the data date, be it skipped as a holiday. A date that the zone left out had
// no data.
func (s *Schedule) fires(date elt.Date) bool {
	return s.calendar.fires(date.AddDays(1)) && date.Exists(s.Zone)
}

// holiday returns why the data date is skipped, "" for one that is not.
func (s *Schedule) holiday(date elt.Date) string {
	what, ok := s.Holidays.On(date)
	if !ok || s.OnHoliday == RunHolidays {
		return ""
	}
	return fmt.Sprintf("%s (calendar %s)", what, s.Holidays.Name)
}

// Expected reports whether the schedule brings the data date at all.
func (s *Schedule) Expected(date elt.Date) bool { return s.fires(date) && s.holiday(date) == "" }

// NotExpected returns why the schedule does not bring the data date, as elt.Day keeps it, and an empty reason for a date
// that it brings.
func (s *Schedule) NotExpected(date elt.Date) (elt.NotExpectedKind, string) {
	switch {
	case s.Expected(date):
		return "", ""
	case !date.Exists(s.Zone):
		return elt.BySchedule, fmt.Sprintf("no clock in %s ever showed %s", s.Zone, date)
	case s.fires(date):
		return elt.ByCalendar, s.holiday(date)
	}
	tick := date.AddDays(1)
	return elt.BySchedule, fmt.Sprintf("schedule %s does not run on %s %s (%s)", s.Name, tick.Weekday(), tick, s.calendar.text)
}

// DeadlineAt returns the instant by which the data date must be ready when its deadline is the given
// wall-clock time: that time on the date after it. It is the zero time for an empty or unreadable clock, and for a
// holiday, of which nobody was promised anything.
func (s *Schedule) DeadlineAt(date elt.Date, clock string) time.Time {
	hour, minute, ok := parseClock(clock)
	if _, holiday := s.Holidays.On(date); !ok || holiday {
		return time.Time{}
	}
	return date.AddDays(1).At(hour, minute, s.Zone).UTC()
}

// CheckDeadline returns what is wrong with a deadline of one of the schedule's datasets, or nil.
func (s *Schedule) CheckDeadline(clock string) *elt.Error {
	hour, minute, ok := parseClock(clock)
	switch {
	case !ok:
		return &elt.Error{Code: codeBadTime, Class: elt.Config,
			What: fmt.Sprintf("the deadline %q is not a time of day", clock), Do: `write it as "07:00"`}
	case hour*60+minute <= s.Hour*60+s.Minute:
		return &elt.Error{Code: codeDeadlineBeforeTick, Class: elt.Config,
			What: fmt.Sprintf("the deadline %s is not after %02d:%02d, when schedule %s starts on the same date", clock, s.Hour, s.Minute, s.Name),
			Do:   "set a later deadline, or start the schedule earlier"}
	}
	return nil
}

var clockTime = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

// parseClock reads "07:00".
func parseClock(s string) (hour, minute int, ok bool) {
	m := clockTime.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, false
	}
	hour, herr := strconv.Atoi(m[1])
	minute, merr := strconv.Atoi(m[2])
	return hour, minute, herr == nil && merr == nil
}
