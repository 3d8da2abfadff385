package status

import (
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// arrival draws when a day is expected: from now to its deadline, with the band between the time that half of such nights
// keep and the one that nine in ten do, and beside it how often that held.
type arrival struct {
	Band     bar
	Now, Due *mark
	Text     string // the same in words
	Record   string
	Cells    []string // of the record's nights: those that kept it, those that did not, those without a number
}

// drawArrival returns nil where nothing is expected and no record is kept.
func (v view) drawArrival(set *dataset) *arrival {
	d, a := set.headline.Latest, &arrival{}
	if r := v.record(set.Name); r != nil {
		a.Record = fmt.Sprintf("Of the last %s, %d arrived by the likely-by time: %d%%, and 90%% should.", counted(r.Nights, "night"), r.Kept, 100*r.Kept/r.Nights)
		if r.Silent > 0 {
			a.Record += fmt.Sprintf(" %s no number, which counts as not kept.", map[bool]string{true: "1 had", false: fmt.Sprintf("%d had", r.Silent)}[r.Silent == 1])
		}
		for i := range r.Nights {
			class := "r"
			if i >= r.Kept {
				class = "l"
			}
			if i >= r.Nights-r.Silent {
				class = "n"
			}
			a.Cells = append(a.Cells, class)
		}
	}
	if e, ok := v.estimateOf(d); ok && e.Known() {
		a.place(v, set, d, eta.WholeMinute(e.Expected), eta.WholeMinute(e.LikelyBy))
	}
	if a.Text == "" && a.Record == "" {
		return nil
	}
	return a
}

// place puts the band on an axis from now to whatever comes last.
func (a *arrival) place(v view, set *dataset, d elt.DayStatus, expected, likely time.Time) {
	to := likely
	if d.DeadlineAt.After(to) && d.DeadlineAt.Sub(v.at) < 4*likely.Sub(v.at) {
		to = d.DeadlineAt
	}
	length := max(to.Sub(v.at), time.Minute) * 108 / 100
	axis := axis{from: v.at, length: length}
	width := max(likely.Sub(expected), length/100)
	a.Band = bar{X: percentage(max(0, expected.Sub(v.at)), length), Width: percentage(width, length)}
	a.Now = &mark{X: "0%", Text: "now " + clock(v.at, set.zone), Anchor: "start"}
	if axis.holds(d.DeadlineAt) {
		a.Due = axis.mark(d.DeadlineAt, "due "+clock(d.DeadlineAt, set.zone))
	}
	a.Text = fmt.Sprintf("Half of such nights are there by %s, nine in ten by %s.", clock(expected, set.zone), clock(likely, set.zone))
}
