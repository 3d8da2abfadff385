package schedules

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// holidays reads the calendar, and what happens on its dates.
func (r *reading) holidays() {
	s, name := r.schedule, r.text.Calendar
	switch {
	case name != "" && r.Calendars != nil && r.Calendars[name] == nil:
		var known []string
		for _, c := range slices.Sorted(maps.Keys(r.Calendars)) {
			known = append(known, string(c))
		}
		r.problem(codeUnknownCalendar, fmt.Sprintf("daybreak.yaml has no calendar %q", name), yamlfile.Suggest(string(name), known), "calendar")
	case name != "":
		s.Holidays = r.Calendars[name]
	}
	switch r.text.Holiday {
	case SkipHolidays, RunHolidays:
		s.OnHoliday = r.text.Holiday
		if name == "" {
			r.problem(codeBadHoliday, "on_holiday says nothing without a calendar", "add calendar:, or remove it", "on_holiday")
		}
	case "":
	default:
		r.problem(codeBadHoliday, fmt.Sprintf("on_holiday cannot be %q", r.text.Holiday), "write skip (nothing runs) or run (it is brought, and its deadlines rest)", "on_holiday")
	}
}

func (r *reading) overlap() {
	switch r.text.Overlap {
	case OverlapQueue, OverlapSkip, OverlapCancel:
		r.schedule.Overlap = r.text.Overlap
	case "":
		return
	default:
		r.problem(codeBadOverlapRule, fmt.Sprintf("overlap cannot be %q", r.text.Overlap),
			"write queue (wait for the earlier date), skip (leave the later one out) or cancel (end the earlier one)", "overlap")
		return
	}
	if r.schedule.CatchUp == CatchUpAll && r.schedule.Overlap != OverlapQueue {
		r.problem(codeBadOverlapRule, fmt.Sprintf("overlap: %s leaves dates out, and catch_up: all promises each of them", r.schedule.Overlap), "write overlap: queue, or catch_up: latest", "overlap")
	}
}

// longestWait is how long a schedule may wait for others: its next tick should not find it waiting.
const longestWait = 22 * time.Hour

func (r *reading) waitFor() {
	w := r.text.WaitFor
	if !r.given("wait_for") {
		return
	}
	if w.AtMost == 0 {
		w.AtMost = 4 * time.Hour
	}
	switch {
	case len(w.Datasets) == 0:
		r.problem(codeBadWaitFor, "wait_for names no dataset", "list datasets of other schedules under wait_for.datasets", "wait_for")
		return
	case w.AtMost < time.Minute || w.AtMost > longestWait:
		r.problem(codeBadWaitFor, fmt.Sprintf("it cannot wait for %s", w.AtMost), "give a time from 1m to 22h, such as 4h", "wait_for", "at_most")
		return
	}
	for i, d := range w.Datasets {
		if _, err := elt.ParseDatasetName(string(d)); err != nil || slices.Contains(w.Datasets[:i], d) {
			r.problem(codeBadWaitFor, fmt.Sprintf("%q is not a dataset's name, or is named twice", d), "name each dataset once, as the page does", "wait_for", "datasets", i)
		}
	}
	r.schedule.WaitFor = WaitFor(w)
}
