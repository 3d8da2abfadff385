package elt

import (
	"fmt"
	"time"
)

// Date is a civil calendar date, without zone or time of day. The zero Date is no date.
// Dates compare with ==; order them with Before and After.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads "2026-01-05".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is not a date: write it as 2026-01-05", s)
	}
	return DateOf(t), nil
}

// ParseMoment reads an instant as people write it: "2026-01-05 22:00" on a clock in loc, "2026-01-05" for the first instant
// of the date there, or 2026-01-05T22:00:00Z with its own zone.
func ParseMoment(s string, loc *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := ParseDate(s); err == nil {
		return d.Start(loc), nil
	}
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a moment: write it as 2026-01-05 22:00", s)
	}
	return DateOf(t).At(t.Hour(), t.Minute(), loc), nil
}

// DateOf returns t's calendar date in t's own location.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// String returns the date as 2026-01-05, and "" for the zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}

// IsZero reports whether d is no date.
func (d Date) IsZero() bool { return d == Date{} }

// AddDays returns the date n days later (earlier for a negative n).
func (d Date) AddDays(n int) Date {
	return DateOf(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC))
}

// Compare returns -1, 0 or +1 as d is before, equal to or after e.
func (d Date) Compare(e Date) int { return d.utc().Compare(e.utc()) }

// Before reports whether d is earlier than e.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// After reports whether d is later than e.
func (d Date) After(e Date) bool { return d.Compare(e) > 0 }

// DaysSince returns the number of days from e to d.
func (d Date) DaysSince(e Date) int {
	const day = 24 * 60 * 60
	return int((d.utc().Unix() - e.utc().Unix()) / day) // a time.Duration ends after 292 years
}

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// Exists reports whether clocks in loc ever show the date: where a zone moved over the date line, one was left out.
func (d Date) Exists(loc *time.Location) bool { return d.Start(loc).Before(d.AddDays(1).Start(loc)) }

// Start returns the first instant of the date in loc. Where a zone skips midnight, or the whole
// date, that is the first instant after the gap.
func (d Date) Start(loc *time.Location) time.Time { return d.At(0, 0, loc) }

// At returns the instant at which a clock in loc first shows hour:minute on the date; in a gap, the
// first instant after the gap; in an overlap, the first of the two.
func (d Date) At(hour, minute int, loc *time.Location) time.Time {
	wall := time.Date(d.Year, d.Month, d.Day, hour, minute, 0, 0, time.UTC)
	// Every offset that loc uses around that wall time is one candidate.
	var offsets [3]int
	for i, shift := range []time.Duration{-36 * time.Hour, 0, 36 * time.Hour} {
		_, offsets[i] = wall.Add(shift).In(loc).Zone()
	}
	var best time.Time
	for _, off := range offsets {
		t := wall.Add(-time.Duration(off) * time.Second).In(loc)
		_, at := t.Zone()
		if at == off && (best.IsZero() || t.Before(best)) {
			best = t
		}
	}
	if !best.IsZero() {
		return best
	}
	return firstInstantAfter(wall, loc)
}

// firstInstantAfter returns the instant of the transition that skipped the given wall time in loc.
func firstInstantAfter(wall time.Time, loc *time.Location) time.Time {
	shown := func(t time.Time) time.Time {
		_, off := t.In(loc).Zone()
		return t.Add(time.Duration(off) * time.Second)
	}
	lo, hi := wall.Add(-36*time.Hour), wall.Add(36*time.Hour)
	for hi.Sub(lo) > time.Nanosecond {
		mid := lo.Add(hi.Sub(lo) / 2)
		if shown(mid).Before(wall) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi.In(loc)
}

// Window returns the date's window in loc: its first instant, and the first instant of the next date.
func (d Date) Window(loc *time.Location) Window {
	return Window{From: d.Start(loc).UTC(), To: d.AddDays(1).Start(loc).UTC()}
}

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// MarshalText writes the date as 2026-01-05.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 2026-01-05; the empty text is the zero Date.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Date{}
		return nil
	}
	p, err := ParseDate(string(b))
	if err == nil {
		*d = p
	}
	return err
}

// Window is a half-open range of instants, [From, To). A zero From means "from the beginning".
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}
