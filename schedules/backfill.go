package schedules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// BackfillFacts is everything that the plan of a backfill follows from.
type BackfillFacts struct {
	Board       *elt.Board
	Datasets    []elt.Dataset // of every schedule
	Extractions map[elt.DatasetName]elt.Extraction
	Dates       map[elt.DatasetName]PublishedDates
	Lake        map[elt.DayKey]string          // the key of the newest manifest of each day
	Going       map[elt.RunID]bool             // the runs that have not ended
	Held        map[elt.DayKey]string          // the backfill that has the day in hand
	Efforts     map[elt.DatasetName]elt.Effort // what a day of it took before
	// Last returns the last date that has ended in the dataset's zone.
	Last func(elt.Dataset) elt.Date
	// NotExpected returns why nothing is expected of a dataset's date, "" when something is.
	NotExpected func(elt.Dataset, elt.Date) string
	Threads     int // steps at work at the same time
}

// PublishedDates are the first and the newest date of which a dataset has a version.
type PublishedDates struct{ First, Newest elt.Date }

// PlanBackfill returns what a backfill of the chosen datasets does with each day of the range, and why: a pure function
// of the facts. Within a date each dataset comes after what it is made from.
//
// An incremental table's window is read from its source again. A table that is read whole has one past day that its
// source still has, the last; others come from the lake, and never over a newer one. An incremental model is built for
// each date; one that is built whole for its newest alone, once, whatever dates of its inputs come again.
func PlanBackfill(f BackfillFacts, r elt.BackfillRequest, chosen []elt.DatasetName) elt.BackfillPlan {
	p := backfillPlan{
		BackfillFacts: f, request: r,
		wanted: make(map[elt.DatasetName]bool, len(chosen)), kind: make(map[elt.DatasetName]elt.Dataset, len(f.Datasets)),
	}
	for _, name := range chosen {
		p.wanted[name] = true
	}
	within := maps.Clone(p.wanted) // what the plan looks at
	var datasets []elt.Dataset
	for _, d := range elt.InOrder(f.Datasets) {
		p.kind[d.Name] = d
		if r.Downstream && slices.ContainsFunc(d.Inputs, func(in elt.DatasetName) bool { return within[in] }) {
			within[d.Name] = true
		}
		if within[d.Name] && !d.Retired {
			datasets = append(datasets, d)
		}
	}
	p.phases(datasets)
	for date := r.From; !date.After(r.To); date = date.AddDays(1) {
		p.date(date, datasets)
	}
	p.rest(datasets)
	return elt.BackfillPlan{Request: r, Days: p.days, Estimate: p.estimate()}
}

type backfillPlan struct {
	BackfillFacts
	request elt.BackfillRequest
	wanted  map[elt.DatasetName]bool
	kind    map[elt.DatasetName]elt.Dataset
	phase   map[elt.DatasetName]int
	days    []elt.BackfillDay
	again   map[elt.DatasetName]bool // brought on the date that is being planned
}

// date plans one date of the range.
func (p *backfillPlan) date(date elt.Date, datasets []elt.Dataset) {
	p.again = make(map[elt.DatasetName]bool)
	for _, d := range datasets {
		var day elt.BackfillDay
		if p.wanted[d.Name] {
			day = p.asked(d, date)
		} else if from := p.from(d); from != "" {
			day = p.follows(d, date, from)
		}
		p.add(d, day)
	}
}

// add keeps the day, and that its dataset is brought.
func (p *backfillPlan) add(d elt.Dataset, day elt.BackfillDay) {
	if day.Action == "" {
		return
	}
	if v := p.Board.Days[elt.DayKey{Dataset: day.Dataset, Date: day.Date}]; v.Version != "" {
		day.Seen = v.Version
	}
	day.Phase = p.phase[d.Name]
	p.days = append(p.days, day)
	if day.Action.Acts() {
		p.again[d.Name] = true
	}
}

// from returns the input that is brought again on this date, itself or through views and what is built whole; "" when none
// is.
func (p *backfillPlan) from(d elt.Dataset) elt.DatasetName {
	for _, in := range d.Inputs {
		if p.again[in] {
			return in
		}
		if input := p.kind[in]; wholly(input) {
			if from := p.from(input); from != "" {
				return from
			}
		}
	}
	return ""
}

// wholly reports whether a model is built whole, or is a view.
func wholly(d elt.Dataset) bool {
	return d.Kind != elt.TableDataset && d.Materialized != string(elt.AsIncremental)
}

// phases gives each dataset its phase: that of what it is made from, and one more where an incremental model reads what is
// built whole.
func (p *backfillPlan) phases(datasets []elt.Dataset) {
	p.phase = make(map[elt.DatasetName]int, len(datasets))
	for _, d := range datasets {
		p.phase[d.Name] = 0
		for _, in := range d.Inputs {
			phase, within := p.phase[in]
			input := p.kind[in]
			if within && !wholly(d) && wholly(input) && input.Materialized != string(elt.AsView) && len(input.Inputs) > 0 {
				phase++
			}
			p.phase[d.Name] = max(p.phase[d.Name], phase)
		}
	}
}

// asked plans a day of a dataset that was asked for.
func (p *backfillPlan) asked(d elt.Dataset, date elt.Date) elt.BackfillDay {
	day, known := p.Board.Days[elt.DayKey{Dataset: d.Name, Date: date}]
	if action, why := p.hindered(d, date, day, known); action != "" {
		return elt.BackfillDay{Dataset: d.Name, Date: date, Action: action, Reason: why}
	}
	why, meant := p.meant(d, date, day, known)
	if from := p.from(d); !meant && from != "" {
		why, meant = fmt.Sprintf("%s is brought again", from), true
	}
	if !meant {
		return elt.BackfillDay{Dataset: d.Name, Date: date, Action: elt.SkipDay, Reason: why}
	}
	return p.brought(d, date, why)
}

// hindered says why nothing can be done about a day now, whatever the mode.
func (p *backfillPlan) hindered(d elt.Dataset, date elt.Date, day elt.DayStatus, known bool) (elt.BackfillAction, string) {
	key := elt.DayKey{Dataset: d.Name, Date: date}
	switch {
	case date.After(p.Last(d)):
		return elt.RefuseDay, "the date has not ended"
	case known && day.State == elt.DayNotExpected:
		return elt.SkipDay, "nothing is expected of that date"
	case !known && p.NotExpected(d, date) != "":
		return elt.SkipDay, "nothing is expected of that date"
	case p.Held[key] != "":
		return elt.SkipDay, p.Held[key] + " has it in hand"
	case known && p.Going[day.Run]:
		return elt.SkipDay, fmt.Sprintf("run %s has it in hand", day.Run)
	}
	return "", ""
}

// meant reports whether the mode means the day, and why or why not.
func (p *backfillPlan) meant(d elt.Dataset, date elt.Date, day elt.DayStatus, known bool) (why string, meant bool) {
	switch p.request.Mode {
	case elt.FailedDays:
		switch {
		case known && day.State == elt.DayFailed:
			return "it failed", true
		case known && day.State == elt.DayBlocked:
			return "it was held up by " + holder(day), true
		}
		return "it has not failed", false
	case elt.OutdatedDays:
		if known && len(day.OutdatedBy) > 0 {
			by := day.OutdatedBy[0]
			return fmt.Sprintf("%s has a newer version than it was made from", by.Dataset), true
		}
		return "it is not outdated", false
	case elt.AllDays:
		return "every day was asked for", true
	}
	switch first := p.Dates[d.Name].First; {
	case known && day.Withdrawn != "":
		return "it is withdrawn: " + day.Withdrawn, true
	case known && day.State == elt.DayReady:
		return "it is ready", false
	case !known && !first.IsZero() && date.Before(first) && d.Materialized == string(elt.Incremental):
		return fmt.Sprintf("its first version, of %s, brought everything until then", first), false
	}
	return "nothing of it is published", true
}

// last returns the last date of the range that the dataset can have.
func (p *backfillPlan) last(d elt.Dataset) elt.Date {
	if last := p.Last(d); last.Before(p.request.To) {
		return last
	}
	return p.request.To
}

func holder(day elt.DayStatus) string {
	if day.Cause != nil {
		return string(day.Cause.Dataset)
	}
	return "what it is made from"
}

// brought plans how a day is brought, or says why it cannot be.
func (p *backfillPlan) brought(d elt.Dataset, date elt.Date, why string) elt.BackfillDay {
	day := elt.BackfillDay{Dataset: d.Name, Date: date, Reason: why}
	refuse := func(format string, args ...any) elt.BackfillDay {
		day.Action, day.Reason = elt.RefuseDay, fmt.Sprintf(format, args...)
		return day
	}
	if d.Kind == elt.TableDataset {
		return p.table(d, day, refuse)
	}
	newest := p.Dates[d.Name].Newest
	if wholly(d) && date.Before(newest) {
		return refuse("it is built whole, and its newest day is %s: an older one cannot be built any more", newest)
	}
	if only := p.last(d); wholly(d) && newest.IsZero() && date != only {
		day.Action, day.Reason = elt.SkipDay, fmt.Sprintf("it is built whole, once, for %s", only)
		return day
	}
	for _, in := range d.Inputs {
		input, known := p.Board.Days[elt.DayKey{Dataset: in, Date: date}]
		if known && !input.Good() && !p.again[in] && input.State != elt.DayNotExpected {
			return refuse("%s of that date, which it is made from, is not there", in)
		}
	}
	day.Action = elt.BuildDay
	return day
}

// table plans a day of a table that is extracted.
func (p *backfillPlan) table(d elt.Dataset, day elt.BackfillDay, refuse func(string, ...any) elt.BackfillDay) elt.BackfillDay {
	x := p.Extractions[d.Name]
	newest := p.Dates[d.Name].Newest
	if x.Mode == elt.Incremental && x.OverlapNumbers == nil {
		if day.Date.Before(x.Start) {
			return refuse("its history begins on %s", x.Start)
		}
		day.Action = elt.ExtractDay
		return day
	}
	what := "it is read whole"
	if x.Mode == elt.Incremental {
		what = "its cursor is a number, and tells no date"
	}
	if day.Date.Before(newest) {
		return refuse("%s, and %s is published: an older day is never published over a newer one", what, newest)
	}
	key := p.Lake[elt.DayKey{Dataset: d.Name, Date: day.Date}]
	switch {
	case day.Date == p.Last(d) && (key == "" || day.Date == newest):
		day.Action = elt.ExtractDay
	case key != "" && day.Date.After(newest) && x.Mode != elt.Incremental:
		day.Action, day.Manifest = elt.ReloadDay, key
		day.Reason += "; the lake has what was extracted of it"
	default:
		return refuse("%s, and production has moved on since: the lake has nothing of that date", what)
	}
	return day
}

// follows plans a day of a dataset that is made from what is brought again.
func (p *backfillPlan) follows(d elt.Dataset, date elt.Date, from elt.DatasetName) elt.BackfillDay {
	if wholly(d) && !date.After(p.Dates[d.Name].Newest) {
		return elt.BackfillDay{} // a view shows it by itself; what is built whole is built once, at the end
	}
	day, known := p.Board.Days[elt.DayKey{Dataset: d.Name, Date: date}]
	if action, why := p.hindered(d, date, day, known); action != "" {
		return elt.BackfillDay{Dataset: d.Name, Date: date, Action: action, Reason: why}
	}
	return p.brought(d, date, fmt.Sprintf("%s is brought again", from))
}

// rest plans what is built whole and made from what the plan brings, directly or further on: once, for its newest day,
// unless the plan brings that or a later one anyway. An incremental model is built again for that day where it reads one of
// these.
func (p *backfillPlan) rest(datasets []elt.Dataset) {
	touched := make(map[elt.DatasetName]bool)     // some date of it is brought
	last := make(map[elt.DatasetName]elt.Date)    // the last of them
	wholeAt := make(map[elt.DatasetName]elt.Date) // built here
	for _, d := range p.days {
		if d.Action.Acts() {
			touched[d.Dataset] = true
			if d.Date.After(last[d.Dataset]) {
				last[d.Dataset] = d.Date
			}
		}
	}
	for _, d := range datasets {
		i := slices.IndexFunc(d.Inputs, func(in elt.DatasetName) bool { return touched[in] })
		if i < 0 || d.Kind == elt.TableDataset {
			continue
		}
		date, why := p.Dates[d.Name].Newest, fmt.Sprintf("it is built whole, once, after all of %s that is brought again", d.Inputs[i])
		if !wholly(d) {
			date, why = elt.Date{}, ""
			for _, in := range d.Inputs {
				if at, built := wholeAt[in]; built {
					date, why = at, fmt.Sprintf("%s is brought again", in)
				}
			}
			if _, known := p.Board.Days[elt.DayKey{Dataset: d.Name, Date: date}]; !known {
				continue
			}
		} else {
			touched[d.Name] = true
		}
		if date.IsZero() || !last[d.Name].Before(date) {
			continue
		}
		if p.once(d, date, why) && wholly(d) {
			wholeAt[d.Name] = date
		}
	}
	order := make(map[elt.DatasetName]int, len(datasets))
	for i, d := range datasets {
		order[d.Name] = i
	}
	slices.SortStableFunc(p.days, func(a, b elt.BackfillDay) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), a.Date.Compare(b.Date), cmp.Compare(order[a.Dataset], order[b.Dataset]))
	})
}

// once plans one more day of a model, and reports whether it is built. What was said of the day before is replaced.
func (p *backfillPlan) once(d elt.Dataset, date elt.Date, why string) bool {
	day, known := p.Board.Days[elt.DayKey{Dataset: d.Name, Date: date}]
	out := elt.BackfillDay{Dataset: d.Name, Date: date, Action: elt.BuildDay, Reason: why, Seen: day.Version, Phase: p.phase[d.Name]}
	if action, why := p.hindered(d, date, day, known); action != "" {
		out.Action, out.Reason = action, why
	}
	p.days = slices.DeleteFunc(p.days, func(o elt.BackfillDay) bool { return o.Dataset == d.Name && o.Date == date })
	p.days = append(p.days, out)
	return out.Action.Acts()
}

// estimate adds up what the plan's days took before. The dates follow each other; the datasets of a date share the
// threads.
func (p *backfillPlan) estimate() elt.Estimate {
	var e elt.Estimate
	unknown := make(map[elt.DatasetName]bool)
	var date elt.Date
	var phase int
	var longest, together time.Duration
	end := func() {
		e.Duration += max(longest, together/time.Duration(max(1, p.Threads)))
		longest, together = 0, 0
	}
	for _, d := range p.days {
		if !d.Action.Acts() {
			continue
		}
		if d.Date != date || d.Phase != phase {
			end()
			date, phase = d.Date, d.Phase
		}
		effort, known := p.Efforts[d.Dataset]
		if !known {
			unknown[d.Dataset] = true
			continue
		}
		e.Rows, e.Bytes, e.BytesBilled = e.Rows+effort.Rows, e.Bytes+effort.Bytes, e.BytesBilled+effort.BytesBilled
		longest, together = max(longest, effort.Duration), together+effort.Duration
	}
	end()
	e.Unknown = slices.Sorted(maps.Keys(unknown))
	return e
}
