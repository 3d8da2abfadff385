package eta

import (
	"math"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// usual follows what is usual of a quantity that is looked at once a night, in logarithms: a level that moves a
// little with each night and quickly when it keeps being wrong on the same side, after Trigg and Leach. What lies
// far out moves it no further than three times the usual error does.
type usual struct {
	n           int
	level       float64
	side, sized float64 // smoothed error, and smoothed absolute error
}

func (u *usual) learn(value, err float64) {
	u.n++
	if u.n == 1 {
		u.level, u.sized = value, firstError
		return
	}
	err = u.clip(err)
	u.side += errorGain * (err - u.side)
	u.sized += errorGain * (math.Abs(err) - u.sized)
	gain := calmGain + chaseGain*max(0, math.Abs(u.side)/max(u.sized, 1e-6)-chaseFrom)
	u.level += max(1/float64(u.n), gain) * err
}

func (u *usual) clip(err float64) float64 {
	limit := 3 * max(u.sized, 0.01)
	return min(max(err, -limit), limit)
}

// The gains were chosen on the tuning seeds of the replay test.
const (
	firstError = 0.3
	errorGain  = 0.12
	calmGain   = 0.1
	chaseGain  = 0.3
	chaseFrom  = 0.5
)

// calendar is by how much some nights differ from the level, in logarithms: the seven weekdays of the data
// date, the last date of a month, and the first. Each begins at nothing, and is believed as it is seen again.
type calendar struct {
	effect [9]float64
	seen   [9]int
}

// places returns the calendar's entries that a date belongs to.
func places(d elt.Date) [2]int {
	out := [2]int{int(d.Weekday()), -1}
	switch {
	case d.AddDays(1).Day == 1:
		out[1] = 7
	case d.Day == 1:
		out[1] = 8
	}
	return out
}

func (c *calendar) at(p [2]int) float64 {
	sum := c.effect[p[0]]
	if p[1] >= 0 {
		sum += c.effect[p[1]]
	}
	return sum
}

func (c *calendar) learn(p [2]int, err float64) {
	at := p[0]
	if p[1] >= 0 { // a month's end says little of the weekday that it fell on
		at = p[1]
	}
	c.seen[at]++
	c.effect[at] += max(1/float64(c.seen[at]+calendarDoubt), calendarGain) * err
}

const (
	calendarDoubt = 1
	calendarGain  = 0.05
)

// tracker is what the model knows of one step.
type tracker struct {
	usual                  // of its seconds, at its usual volume
	calendar calendar      // of its seconds
	volume   usual         // of its rows
	rows     calendar      // of its rows
	xy, xx   float64       // how its seconds follow its rows
	longest  float64       // seconds that any of its attempts was seen to last
	recent   [ring]float64 // logarithms of its last durations: for the pooled law while they are few
}

const ring = 20

// elasticity is by how many per cent the step's seconds rise with one per cent of rows.
func (t *tracker) elasticity() float64 {
	return min(max((firstElasticity*elasticityDoubt+t.xy)/(elasticityDoubt+t.xx), 0), 1.2)
}

const (
	firstElasticity = 0.6
	elasticityDoubt = 0.3
)

// expected returns the logarithm of the seconds that are usual for the step on such a date at its usual volume.
func (t *tracker) expected(shared *calendar, p [2]int) float64 {
	return t.level + shared.at(p) + t.calendar.at(p)
}

// observe learns a night of the step and returns by how much its seconds and its rows missed what was expected.
// rows is the logarithm of its volume, NaN when unknown.
func (t *tracker) observe(secs, rows float64, shared *calendar, p [2]int) (err, rowsErr float64) {
	y := math.Log(secs)
	t.recent[t.n%ring] = y
	t.longest = max(t.longest, secs)
	x := 0.0
	if !math.IsNaN(rows) {
		if t.volume.n > 0 {
			x = rows - t.volume.level
			rowsErr = x - t.rows.at(p)
		}
		t.volume.learn(rows, rowsErr)
		t.rows.learn(p, t.volume.clip(rowsErr))
	}
	if t.n == 0 {
		t.learn(y, 0)
		return 0, 0
	}
	byRows := t.elasticity() * x
	err = y - t.expected(shared, p) - byRows
	t.xx = memory*t.xx + x*x
	t.xy = memory*t.xy + x*(byRows+t.clip(err))
	t.learn(y, err)
	return err, rowsErr
}

const memory = 0.995

// at is a moment in seconds after another.
func at(t, from time.Time) float64 { return t.Sub(from).Seconds() }
