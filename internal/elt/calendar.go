package elt

import (
	"slices"
	"time"
)

// CalendarName names a calendar of daybreak.yaml.
type CalendarName string

// Calendar says on which dates no data is due. Its zero value is none of them.
type Calendar struct {
	Name   CalendarName
	Dates  map[Date]string // what the date is: "Christmas Day"; may be empty
	Spans  []DateSpan
	Weekly []time.Weekday
}

// DateSpan is a range of dates, both inclusive.
type DateSpan struct {
	From, To Date
	What     string
}

// On returns what the date is by the calendar, and false for a date like any other.
func (c *Calendar) On(d Date) (what string, holiday bool) {
	if c == nil {
		return "", false
	}
	if what, holiday = c.Dates[d]; holiday {
		return orHoliday(what), true
	}
	for _, s := range c.Spans {
		if !d.Before(s.From) && !d.After(s.To) {
			return orHoliday(s.What), true
		}
	}
	if slices.Contains(c.Weekly, d.Weekday()) {
		return d.Weekday().String(), true
	}
	return "", false
}

func orHoliday(what string) string {
	if what == "" {
		return "a holiday"
	}
	return what
}
