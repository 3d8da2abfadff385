package eta

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// phase is where a step stands for a forecast.
type phase uint8

const (
	waiting phase = iota
	running
	retrying // its next attempt has a time
	done
	dead // it will not succeed tonight
)

// prepared is everything about tonight that its simulations share.
type prepared struct {
	m      *Model
	s      State
	night  tonight
	column []int
	phase  []phase
	reason []Reason // why nothing that needs the step has a number
	why    []string
	mean   []float64 // logarithm of the seconds that are usual tonight at the usual volume
	spread []float64 // of the pooled law, for a step of few runs; 0 for others
	byRows []float64 // elasticity
	volume []float64 // logarithm of the known volume, NaN where it is unknown
	passed []float64 // running: seconds since the attempt started
	wait   []float64 // retrying: seconds until the next attempt
	leanBy []float64 // how much of what tonight has shown so far the step takes on
	lean   []float64 // by shelved night: how much slower tonight has been than that night, on the steps seen
	begin  float64   // seconds until the night starts, unless it has
}

func (m *Model) prepare(s State, night tonight) *prepared {
	n := len(s.Steps)
	p := &prepared{
		m: m, s: s, night: night, column: make([]int, n), phase: make([]phase, n), reason: make([]Reason, n), why: make([]string, n),
		mean: make([]float64, n), spread: make([]float64, n), byRows: make([]float64, n), volume: volumes(s.Steps),
		passed: make([]float64, n), wait: make([]float64, n), leanBy: make([]float64, n), lean: make([]float64, len(m.shelf)),
	}
	on := places(s.Date)
	for i, st := range s.Steps {
		c, known := m.columns[st.name()]
		if !known {
			c = -1
		}
		p.column[i] = c
		p.law(i, on)
		p.place(i)
	}
	if s.Started.IsZero() {
		p.begin = max(0, at(s.Due, s.Now))
	}
	p.leanOnTonight()
	return p
}

// law settles what is usual of a step tonight, and how it varies when its own runs are too few to tell.
func (p *prepared) law(i int, on [2]int) {
	t := p.tracker(i)
	if t.n >= enoughRuns {
		p.mean[i], p.byRows[i] = t.expected(&p.m.shared, on), t.elasticity()
		return
	}
	kind := p.s.Steps[i].Kind
	if pool := p.m.pools[kind]; pool == nil || pool.n < enoughNights {
		p.reason[i], p.why[i] = TooFewNights, fmt.Sprintf("no %s has run often enough to tell how long it takes", kind)
		return
	}
	p.mean[i], p.spread[i] = p.m.pooled(kind, t)
}

// tracker returns what the model knows of a step: nothing when it has never run.
func (p *prepared) tracker(i int) *tracker {
	if c := p.column[i]; c >= 0 {
		return &p.m.steps[c]
	}
	return &tracker{}
}

// place settles where a step stands, after those that it needs.
func (p *prepared) place(i int) {
	st := p.s.Steps[i]
	switch st.State {
	case elt.StepSucceeded:
		p.phase[i] = done
		p.reason[i] = ""
		return
	case elt.StepFailed, elt.StepBlocked, elt.StepCancelled:
		p.die(i, describe(st)+" "+string(st.State))
		return
	case elt.StepRunning:
		p.phase[i] = running
		if began := latest(st.Start, st.AttemptStart); !began.IsZero() {
			p.passed[i] = max(0, at(p.s.Now, began))
		}
		if st.Lost {
			p.reason[i], p.why[i] = NobodyVouches, "the worker of "+describe(st)+" went silent"
			return
		}
		if limit := p.longest(i); p.reason[i] == "" && p.passed[i] > limit {
			p.reason[i] = LongerThanAny
			p.why[i] = fmt.Sprintf("%s has run for %s, longer than it ever did", describe(st), lasting(duration(p.passed[i])))
			return
		}
	case elt.StepRetrying:
		p.phase[i], p.wait[i] = retrying, max(0, at(st.NextAttemptAt, p.s.Now))
	}
	p.inherit(i)
}

// inherit takes over from the step's needs what keeps it from having a number, or from succeeding at all. A publish
// step waits until every need has ended, and goes on with what succeeded.
func (p *prepared) inherit(i int) {
	st := p.s.Steps[i]
	stopped := 0
	for _, need := range st.Needs {
		if p.phase[need] == dead {
			stopped++
			if st.Kind != elt.PublishStep {
				p.die(i, p.why[need])
				return
			}
		} else if p.reason[i] == "" && p.reason[need] != "" {
			p.reason[i], p.why[i] = p.reason[need], p.why[need]
		}
	}
	if stopped > 0 && stopped == len(st.Needs) {
		p.die(i, p.why[st.Needs[0]])
	}
}

func (p *prepared) die(i int, why string) {
	p.phase[i], p.reason[i], p.why[i] = dead, WillNotArrive, why
}

// longest returns the most seconds that the step was seen to last. While it has few runs, what its pooled law
// gives once in a hundred counts as seen.
func (p *prepared) longest(i int) float64 {
	if p.spread[i] > 0 {
		return max(p.tracker(i).longest, math.Exp(p.mean[i]+2.33*p.spread[i]))
	}
	return p.tracker(i).longest
}

// leanOnTonight compares the steps that tonight has finished, or that are overdue, with what was expected of them, and the
// same steps of each shelved night. How much of the difference a step yet to come takes on is how much it did on
// the shelved nights: a regression of each on what those steps missed by, drawn towards that of all steps together.
func (p *prepared) leanOnTonight() {
	type sight struct {
		column      int
		err, weight float64
	}
	var seen []sight
	for i, st := range p.s.Steps {
		t := p.tracker(i)
		if t.n < enoughRuns {
			continue
		}
		err := math.NaN()
		if secs, ok := st.took(); ok {
			err = math.Log(secs) - p.usually(i)
		} else if p.phase[i] == running && p.passed[i] > 0 {
			if late := math.Log(p.passed[i]) - p.usually(i); late > 0 {
				err = late
			}
		}
		if !math.IsNaN(err) {
			size := max(t.sized, 0.05)
			seen = append(seen, sight{p.column[i], t.clip(err), 1 / (size * size)})
		}
	}
	if len(seen) == 0 || len(p.m.shelf) < enoughRuns {
		return
	}
	missed := make([]float64, len(p.m.shelf)) // by each shelved night, on the steps seen
	for n, old := range p.m.shelf {
		var sum, theirs, weight float64
		for _, s := range seen {
			if e := old.err(s.column); !math.IsNaN(e) && !math.IsInf(e, 0) {
				sum += s.weight * s.err
				theirs += s.weight * p.m.steps[s.column].clip(e)
				weight += s.weight
			}
		}
		if weight > 0 {
			missed[n], p.lean[n] = theirs/weight, (sum-theirs)/weight
		}
	}
	p.regress(missed)
}

// usually returns the logarithm of the seconds that are usual for a step tonight at the volume that it has, as far
// as that is known.
func (p *prepared) usually(i int) float64 {
	if v := p.volume[i]; !math.IsNaN(v) && p.tracker(i).volume.n > 0 {
		return p.mean[i] + p.byRows[i]*(v-p.tracker(i).volume.level)
	}
	return p.mean[i]
}

// regress sets leanBy: the slope of each step's errors over the shelved nights on what those nights missed by.
func (p *prepared) regress(missed []float64) {
	xx := 0.0
	for _, x := range missed {
		xx += x * x
	}
	if xx < 1e-9 {
		return
	}
	xy, count := make([]float64, len(p.s.Steps)), 0
	all := 0.0
	for i := range p.s.Steps {
		if p.phase[i] == done || p.phase[i] == dead || p.spread[i] > 0 || p.column[i] < 0 {
			continue
		}
		t := p.tracker(i)
		for n, old := range p.m.shelf {
			if e := old.err(p.column[i]); !math.IsNaN(e) {
				xy[i] += t.clip(e) * missed[n]
			}
		}
		all += xy[i] / xx
		count++
	}
	const doubt = 0.5 // of a shelf: how many nights' worth the slope of all steps together counts
	for i := range xy {
		together := all / float64(max(count, 1))
		p.leanBy[i] = min(max((xy[i]/xx+doubt*together)/(1+doubt), 0), 1.2)
	}
}

// err returns by how much a column missed on the night: NaN when it was not seen.
func (s *shelved) err(column int) float64 {
	if column < 0 || column >= len(s.errs) {
		return math.NaN()
	}
	return float64(s.errs[column])
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// describe names a step in a sentence: "load of shop.orders".
func describe(s Step) string {
	return string(s.Kind) + " of " + cmp.Or(string(s.Dataset), "the night")
}
