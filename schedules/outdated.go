package schedules

import (
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Rebuild is one date on which models are to be built again, and why each of them is.
type Rebuild struct {
	Date   elt.Date
	Models []Outdated // inputs first
}

// Outdated is one model of a date that is to be built again.
type Outdated struct {
	Dataset elt.DatasetName
	Why     string
}

// Names returns the models of the date.
func (r Rebuild) Names() []string {
	out := make([]string, len(r.Models))
	for i, m := range r.Models {
		out[i] = string(m.Dataset)
	}
	return out
}

// PlanOutdated returns the dates whose models should be built again, oldest first, and the models of each, inputs
// first: what was made from versions of its inputs that have newer ones by now, days of incremental models that are
// missing between others though their inputs are there, and everything that is made from these. It asks nobody: a
// backfill of the same board gives the same plan.
//
// A model that is built whole has one day that can be built again, its newest; its older days are what they were.
func PlanOutdated(board *elt.Board, datasets []elt.Dataset, from, to elt.Date) []Rebuild {
	p := outdatedPlan{board: board, newest: make(map[elt.DatasetName]elt.Date), oldest: make(map[elt.DatasetName]elt.Date), touched: make(map[elt.DatasetName]bool)}
	for key, day := range board.Days {
		if day.State != elt.DayReady {
			continue
		}
		if key.Date.After(p.newest[key.Dataset]) {
			p.newest[key.Dataset] = key.Date
		}
		if first, known := p.oldest[key.Dataset]; !known || key.Date.Before(first) {
			p.oldest[key.Dataset] = key.Date
		}
	}
	datasets = slices.DeleteFunc(elt.InOrder(datasets), func(d elt.Dataset) bool { return d.Kind != elt.ModelDataset || d.Retired })
	var out []Rebuild
	for date := from; !date.After(to); date = date.AddDays(1) {
		r := Rebuild{Date: date}
		again := make(map[elt.DatasetName]bool)
		for _, d := range datasets {
			if why := p.why(d, date, again); why != "" {
				again[d.Name] = true
				p.touched[d.Name] = p.touched[d.Name] || d.Materialized == string(elt.AsIncremental)
				r.Models = append(r.Models, Outdated{d.Name, why})
			}
		}
		if len(r.Models) > 0 {
			out = append(out, r)
		}
	}
	return out
}

type outdatedPlan struct {
	board          *elt.Board
	newest, oldest map[elt.DatasetName]elt.Date // of the days that are ready
	touched        map[elt.DatasetName]bool     // incremental models of which the plan builds some date again
}

// why says why a model's day is to be built again; "" when it is not, or cannot be.
func (p *outdatedPlan) why(d elt.Dataset, date elt.Date, again map[elt.DatasetName]bool) string {
	day, known := p.board.Days[elt.DayKey{Dataset: d.Name, Date: date}]
	incremental := d.Materialized == string(elt.AsIncremental)
	if !known || !incremental && date != p.newest[d.Name] || day.State == elt.DayNotExpected || day.Restating {
		return ""
	}
	if day.State != elt.DayReady {
		if incremental && p.between(d.Name, date) && !moving(day.State) && p.inputsThere(d, date, again) {
			return "the day is missing, and its inputs are there"
		}
		return ""
	}
	if len(day.OutdatedBy) > 0 {
		by := day.OutdatedBy[0]
		return fmt.Sprintf("%s of %s has a newer version, %s", by.Dataset, by.Date, by.Current)
	}
	for _, in := range d.Inputs {
		if again[in] {
			return fmt.Sprintf("%s is built again", in)
		}
		if p.touched[in] && d.Materialized == string(elt.AsTable) {
			return fmt.Sprintf("older dates of %s are built again", in)
		}
	}
	return ""
}

// between reports whether a date lies between two dates of the dataset that are ready.
func (p *outdatedPlan) between(d elt.DatasetName, date elt.Date) bool {
	first, known := p.oldest[d]
	return known && first.Before(date) && date.Before(p.newest[d])
}

// inputsThere reports whether a model can be built for the date: each input that has a day of it is ready, or will be.
func (p *outdatedPlan) inputsThere(d elt.Dataset, date elt.Date, again map[elt.DatasetName]bool) bool {
	for _, in := range d.Inputs {
		day, known := p.board.Days[elt.DayKey{Dataset: in, Date: date}]
		if known && !day.Good() && !again[in] && day.State != elt.DayNotExpected {
			return false
		}
	}
	return true
}

// moving reports whether a run has the day in its hands.
func moving(s elt.DayState) bool {
	return s == elt.DayRunning || s == elt.DayRetrying || s == elt.DayUnknown
}
