package eta

import (
	"math"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// How the durations of a play are drawn; chosen on the tuning seeds of the replay test.
const (
	sameWeekday     = 2.0 // how much likelier a night of the same weekday is taken than another
	sameMonthEnd    = 3.0
	sameTrigger     = 5.0
	weightHalfNight = 80  // nights after which a night is half as likely to be taken
	jitter          = 0.3 // of a step's usual error is added at random, so that two plays of one night differ
	inCommon        = 0.8 // of the variance of steps of few runs is that of the night as a whole
)

// chooser returns the shelved night that each play takes: each as often as it is comparable with tonight. -1 is no
// night, while too few are shelved.
func (pl *player) chooser(simulations int) func(int) int {
	shelf := pl.m.shelf
	if len(shelf) < enoughRuns {
		return func(int) int { return -1 }
	}
	on := places(pl.s.Date)
	upTo, sum := make([]float64, len(shelf)), 0.0
	for k := range shelf {
		there := places(shelf[k].date)
		w := math.Exp2(float64(k-len(shelf)) / weightHalfNight)
		if there[0] == on[0] {
			w *= sameWeekday
		}
		if on[1] >= 0 && there[1] == on[1] {
			w *= sameMonthEnd
		}
		if shelf[k].trigger == pl.s.Trigger {
			w *= sameTrigger
		}
		sum += w
		upTo[k] = sum
	}
	return func(k int) int { // evenly spread, so that few plays do as well as many
		x := sum * (float64(k) + pl.random.Float64()) / float64(simulations)
		i, _ := slices.BinarySearch(upTo, x)
		return min(i, len(shelf)-1)
	}
}

// beginning draws how many seconds it takes until the night starts.
func (pl *player) beginning() float64 {
	if !pl.s.Started.IsZero() {
		return 0
	}
	if pl.taken < 0 || pl.s.Due.IsZero() {
		return pl.begin
	}
	if d := pl.m.shelf[pl.taken].delay; !math.IsNaN(d) {
		return max(0, at(pl.s.Due, pl.s.Now)+d)
	}
	return pl.begin
}

// seconds draws how long a step lasts that begins now, and whether it fails.
func (pl *player) seconds(i int) float64 {
	from := pl.taken
	if pl.spread[i] == 0 {
		e := pl.m.shelf[from].err(pl.column[i])
		if math.IsInf(e, 1) {
			pl.failed[i] = true
		}
		if math.IsNaN(e) || pl.failed[i] { // blocked that night, or new since: as on another
			from = pl.another(pl.usable[i])
		}
	}
	return math.Exp(pl.draw(i, from))
}

// secondsLeft draws how much longer a running step lasts: the whole of it is longer than what has passed.
func (pl *player) secondsLeft(i int) float64 {
	passed := max(pl.passed[i], shortest)
	if pl.spread[i] > 0 {
		mean := pl.usually(i)
		above := normalTail((math.Log(passed) - mean) / pl.spread[i])
		z := tailQuantile(above * pl.random.Float64())
		return max(math.Exp(mean+pl.spread[i]*z)-passed, 0)
	}
	from := pl.taken
	e := pl.m.shelf[from].err(pl.column[i])
	pl.failed[i] = math.IsInf(e, 1)
	for range 4 {
		if !math.IsNaN(e) && !math.IsInf(e, 0) {
			if left := math.Exp(pl.draw(i, from)) - passed; left > 0 {
				return left
			}
		}
		if len(pl.later[i]) == 0 {
			break
		}
		from = pl.another(pl.later[i])
		e = pl.m.shelf[from].err(pl.column[i])
	}
	// No shelved night lasted as long, yet older ones did: as long again as it usually errs.
	return passed * math.Expm1(math.Abs(pl.random.NormFloat64())*pl.tracker(i).sized*1.5)
}

// draw returns the logarithm of the seconds of a step as on the shelved night from.
func (pl *player) draw(i, from int) float64 {
	t := pl.tracker(i)
	y := pl.mean[i] + pl.byRows[i]*pl.more(i, t)
	if pl.spread[i] > 0 {
		return y + pl.spread[i]*(math.Sqrt(inCommon)*pl.slow+math.Sqrt(1-inCommon)*pl.random.NormFloat64())
	}
	e := pl.m.shelf[from].err(pl.column[i])
	if math.IsNaN(e) || math.IsInf(e, 0) { // it left the nights that are still shelved
		return y + 1.5*t.sized*pl.random.NormFloat64()
	}
	return y + e + pl.leanBy[i]*pl.lean[from] + jitter*t.sized*pl.random.NormFloat64()
}

// more returns by how much the step's volume is above its usual one in this play, in logarithms.
func (pl *player) more(i int, t *tracker) float64 {
	s := pl.s.Steps[i]
	if math.IsNaN(pl.volume[i]) || s.Kind != elt.ExtractStep {
		pl.rows[i] = math.NaN()
		if s.Kind == elt.ExtractStep {
			pl.rows[i] = pl.drawRows(i, t)
		}
		for _, need := range s.Needs {
			if v := pl.rows[need]; math.IsNaN(pl.rows[i]) || v > pl.rows[i] {
				pl.rows[i] = v
			}
		}
	}
	if math.IsNaN(pl.rows[i]) || t.volume.n == 0 {
		return 0
	}
	return pl.rows[i] - t.volume.level
}

// drawRows returns the logarithm of the rows of an extract that nobody knows yet.
func (pl *player) drawRows(i int, t *tracker) float64 {
	if t.volume.n == 0 || pl.taken < 0 {
		return math.NaN()
	}
	v := t.volume.level + t.rows.at(places(pl.s.Date))
	if rows := pl.m.shelf[pl.taken].rows; pl.column[i] < len(rows) && !math.IsNaN(float64(rows[pl.column[i]])) {
		v += float64(rows[pl.column[i]])
	}
	return v
}

func (pl *player) another(of []int32) int {
	if len(of) == 0 {
		return pl.taken
	}
	return int(of[pl.random.IntN(len(of))])
}

// normalTail returns the probability that a standard normal variable exceeds z.
func normalTail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// tailQuantile returns the z that a standard normal variable exceeds with probability p.
func tailQuantile(p float64) float64 {
	return math.Sqrt2 * math.Erfcinv(2*min(max(p, 1e-300), 1))
}
