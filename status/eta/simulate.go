package eta

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// work bounds a forecast: the simulations that it plays times the steps that they play.
const (
	work            = 1_600_000
	fewestPlays     = 200
	jitter          = 0.3 // of a step's usual error is added at random, so that two plays of one night differ
	sameWeekday     = 2.0 // how much likelier a night of the same weekday is taken than another
	sameMonthEnd    = 3.0
	sameTrigger     = 5.0
	weightHalfNight = 80 // nights after which a night is half as likely to be taken
)

// plays is what the simulations gave.
type plays struct {
	p        *prepared
	count    int
	arrivals map[int][]float64 // by index of the forecast: seconds after now, +Inf for never
	base     []int             // by step: where its needs begin in last
	last     []int32           // by need: how often it was the last one to end
}

// player plays one simulated night after the other.
type player struct {
	*prepared
	random *rand.Rand
	*plays
	usable  [][]int32 // by step: the shelved nights that saw it end well
	later   [][]int32 // running steps: those in which it lasts longer than it has tonight
	unmet   []int32   // needs not ended yet, at the beginning of each play
	workers int

	// Of the play going on:
	taken  int // the shelved night
	open   []int32
	failed []bool
	ends   []float64
	rows   []float64
	queue  []int32
	events heap
}

// play plays the rest of the night and returns when each asked dataset arrived in each simulation.
func (p *prepared) play(simulations int, random *rand.Rand, forecasts []Forecast, ask []int) *plays {
	left := 0
	for _, ph := range p.phase {
		if ph != done && ph != dead {
			left++
		}
	}
	simulations = min(simulations, max(fewestPlays, work/max(left, 1)))
	pl := &player{prepared: p, random: random, plays: newPlays(p, simulations), workers: p.workers()}
	for _, i := range ask {
		pl.arrivals[i] = make([]float64, simulations)
	}
	pl.ready()
	choose := pl.chooser(simulations)
	for k := range simulations {
		pl.taken = choose(k)
		pl.once()
		for _, i := range ask {
			d := forecasts[i].Dataset
			end, by := p.night.last[d], p.night.delivers[d]
			pl.arrivals[i][k] = pl.ends[by]
			if pl.failed[end] || pl.failed[by] {
				pl.arrivals[i][k] = math.Inf(1)
			}
		}
	}
	return pl.plays
}

func newPlays(p *prepared, simulations int) *plays {
	out := &plays{p: p, count: simulations, arrivals: make(map[int][]float64), base: make([]int, len(p.s.Steps))}
	n := 0
	for i, s := range p.s.Steps {
		out.base[i] = n
		n += len(s.Needs)
	}
	out.last = make([]int32, n)
	return out
}

// workers returns how many steps run at once, never fewer than do.
func (p *prepared) workers() int {
	now := 0
	for _, ph := range p.phase {
		if ph == running {
			now++
		}
	}
	if p.s.Workers > 0 {
		return max(p.s.Workers, now)
	}
	return max(p.m.workers(), now)
}

// ready settles what every play begins with.
func (pl *player) ready() {
	n := len(pl.s.Steps)
	pl.usable, pl.later, pl.unmet = make([][]int32, n), make([][]int32, n), make([]int32, n)
	pl.open, pl.failed, pl.ends, pl.rows = make([]int32, n), make([]bool, n), make([]float64, n), make([]float64, n)
	for i, s := range pl.s.Steps {
		if pl.phase[i] == done || pl.phase[i] == dead {
			continue
		}
		for _, need := range s.Needs {
			if pl.phase[need] != done && pl.phase[need] != dead {
				pl.unmet[i]++
			}
		}
		if pl.spread[i] > 0 {
			continue
		}
		for k := range pl.m.shelf {
			if e := pl.m.shelf[k].err(pl.column[i]); !math.IsNaN(e) && !math.IsInf(e, 0) {
				pl.usable[i] = append(pl.usable[i], int32(k))
				if pl.phase[i] == running && pl.usually(i)+e+pl.leanBy[i]*pl.lean[k] > math.Log(max(pl.passed[i], shortest)) {
					pl.later[i] = append(pl.later[i], int32(k))
				}
			}
		}
	}
}

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

// once plays the rest of the night.
func (pl *player) once() {
	copy(pl.open, pl.unmet)
	clear(pl.failed)
	copy(pl.rows, pl.volume)
	pl.queue, pl.events = pl.queue[:0], pl.events[:0]
	free := pl.workers
	begin := pl.beginning()
	for i, ph := range pl.phase {
		switch {
		case ph == done:
			pl.ends[i] = 0
		case ph == dead:
			pl.failed[i] = true
		case ph == running:
			free--
			pl.ends[i] = pl.secondsLeft(i)
			pl.events.push(event{pl.ends[i], int32(i)})
		case ph == retrying:
			pl.events.push(event{pl.wait[i], ^int32(i)})
		case pl.unmet[i] == 0:
			pl.queue = append(pl.queue, int32(i))
		}
	}
	now, head := begin, 0
	for {
		for ; free > 0 && head < len(pl.queue); head++ {
			i := pl.queue[head]
			free--
			pl.ends[i] = now + pl.seconds(int(i))
			pl.events.push(event{pl.ends[i], i})
		}
		if len(pl.events) == 0 {
			return
		}
		e := pl.events.pop()
		now = e.at
		if e.step < 0 {
			pl.queue = append(pl.queue, ^e.step)
			continue
		}
		free++
		pl.ended(int(e.step), now)
	}
}

// ended tells the steps that need step i of its end. What needs a step that failed fails with it, at once; a publish
// step goes on as long as anything succeeded.
func (pl *player) ended(i int, now float64) {
	for _, to := range pl.night.feeds[i] {
		if pl.phase[to] == done || pl.phase[to] == dead {
			continue
		}
		pl.open[to]--
		if pl.open[to] > 0 {
			continue
		}
		needs := pl.s.Steps[to].Needs
		bad := 0
		for k, need := range needs {
			if pl.failed[need] {
				bad++
			} else if need == i {
				pl.last[pl.base[to]+k]++
			}
		}
		if bad == len(needs) || bad > 0 && pl.s.Steps[to].Kind != elt.PublishStep {
			pl.failed[to] = true
			pl.ends[to] = now
			pl.ended(to, now)
			continue
		}
		pl.queue = append(pl.queue, int32(to))
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
		return y + pl.spread[i]*pl.random.NormFloat64()
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

// path walks back from a step through what it waited for last most often.
func (r *plays) path(step int) []Link {
	s := r.p.s.Steps
	out := []Link{{s[step].Kind, s[step].Dataset, 1}}
	for {
		best, times := -1, int32(0)
		for k, need := range s[step].Needs {
			if n := r.last[r.base[step]+k]; n > times {
				best, times = need, n
			}
		}
		if best < 0 {
			slices.Reverse(out)
			return out
		}
		step = best
		out = append(out, Link{s[step].Kind, s[step].Dataset, float64(times) / float64(r.count)})
	}
}
