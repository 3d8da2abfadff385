package ics

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	ical "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Repeating events are followed between these dates.
var (
	firstDate = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	lastDate  = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)
)

const (
	maxSize   = 4 << 20
	maxEvents = 10_000
	maxDays   = 400 // of one event
)

// Parse returns the dates of the file's events that last all day, each with the event's name. Events with a time of day are
// meetings and no holidays: they are left out, as are cancelled ones.
func Parse(r io.Reader) (map[elt.Date]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSize:
		return nil, fmt.Errorf("it has more than %d MB", maxSize>>20)
	}
	cal, err := ical.ParseCalendar(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("it is not an iCalendar file: %w", err)
	}
	events := cal.Events()
	if len(events) > maxEvents {
		return nil, fmt.Errorf("it has %d events, and %d are the most", len(events), maxEvents)
	}
	dates := make(map[elt.Date]string)
	for _, e := range events {
		if err := add(dates, e); err != nil {
			return nil, fmt.Errorf("event %q: %w", value(e, ical.ComponentPropertySummary), err)
		}
	}
	if len(dates) == 0 {
		return nil, errors.New("it has no event that lasts all day")
	}
	return dates, nil
}

func value(e *ical.VEvent, p ical.ComponentProperty) string {
	if found := e.GetProperty(p); found != nil {
		return strings.TrimSpace(found.Value)
	}
	return ""
}

// add adds the dates of one event.
func add(dates map[elt.Date]string, e *ical.VEvent) error {
	first, allDay := dateOf(value(e, ical.ComponentPropertyDtStart))
	if !allDay || strings.EqualFold(value(e, ical.ComponentPropertyStatus), "CANCELLED") {
		return nil
	}
	days := 1
	if end, ok := dateOf(value(e, ical.ComponentPropertyDtEnd)); ok { // the first date after it
		days = max(1, elt.DateOf(end).DaysSince(elt.DateOf(first)))
	}
	if days > maxDays {
		return fmt.Errorf("it lasts %d days", days)
	}
	begins, err := occurrences(e, first)
	if err != nil {
		return err
	}
	name := value(e, ical.ComponentPropertySummary)
	for _, begin := range begins {
		for n := range days {
			if d := elt.DateOf(begin).AddDays(n); dates[d] == "" {
				dates[d] = name
			}
		}
	}
	return nil
}

// occurrences returns when the event begins: once, or as its rule repeats it.
func occurrences(e *ical.VEvent, first time.Time) ([]time.Time, error) {
	rule := value(e, ical.ComponentPropertyRrule)
	var begins []time.Time
	if rule == "" {
		begins = []time.Time{first}
	} else {
		o, err := rrule.StrToROption(rule)
		if err != nil {
			return nil, fmt.Errorf("its rule %q cannot be read: %w", rule, err)
		}
		if o.Freq > rrule.DAILY || len(o.Byhour)+len(o.Byminute)+len(o.Bysecond)+len(o.Byeaster) > 0 {
			return nil, fmt.Errorf("its rule %q is not one of whole days", rule)
		}
		o.Dtstart = first
		r, err := rrule.NewRRule(*o)
		if err != nil {
			return nil, fmt.Errorf("its rule %q cannot be followed: %w", rule, err)
		}
		if begins, err = follow(r); err != nil {
			return nil, fmt.Errorf("its rule %q cannot be followed: %w", rule, err)
		}
	}
	for _, extra := range e.GetProperties(ical.ComponentPropertyRdate) {
		for text := range strings.SplitSeq(extra.Value, ",") {
			if d, ok := dateOf(text); ok {
				begins = append(begins, d)
			}
		}
	}
	except := make(map[elt.Date]bool)
	for _, left := range e.GetProperties(ical.ComponentPropertyExdate) {
		for text := range strings.SplitSeq(left.Value, ",") {
			if d, ok := dateOf(text); ok {
				except[elt.DateOf(d)] = true
			}
		}
	}
	kept := begins[:0]
	for _, b := range begins {
		if !except[elt.DateOf(b)] {
			kept = append(kept, b)
		}
	}
	return kept, nil
}

// follow returns what the rule gives. The library panics at rules that nobody in their senses writes.
func follow(r *rrule.RRule) (begins []time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return r.Between(firstDate, lastDate, true), nil
}

// dateOf reads 20261225; what has a time of day is none.
func dateOf(text string) (time.Time, bool) {
	t, err := time.Parse("20060102", strings.TrimSpace(text))
	return t, err == nil && t.Year() >= 1900 && t.Year() < 2200
}
