package eta

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// work bounds a forecast: the simulations that it plays times the steps that they play. A graph of many steps is played
// less often, and never less than fewestPlays times.
const (
	work        = 1_600_000
	fewestPlays = 200
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
	taken  int     // the shelved night
	slow   float64 // how slow the night is as a whole, in standard deviations: for steps of few runs
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

// once plays the rest of the night.
func (pl *player) once() {
	copy(pl.open, pl.unmet)
	clear(pl.failed)
	copy(pl.rows, pl.volume)
	pl.queue, pl.events = pl.queue[:0], pl.events[:0]
	pl.slow = pl.random.NormFloat64()
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
