package eta_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// A world is a made-up company whose nights are played out second by second. It knows nothing of how the engine
// thinks: work is rows to be moved at a rate, the rate falls with what else runs and wanders through the night, and
// what goes wrong goes wrong by itself. Durations are what comes out; no distribution is put in for them.
type world struct {
	rng       *rand.Rand
	workers   int
	each      bool // every dataset appears by itself when its last step is done; otherwise all in one publish
	steps     []work
	tables    []sourceTable
	shares    [2]float64 // how many steps the source and the warehouse serve at full speed
	slow      [2]bool    // whether the source, the warehouse is in one of its slow spells
	slowBy    [2]float64
	weekday   time.Weekday // of the data date whose nights are slow in the warehouse
	weekdayBy float64
	movedOn   int // the night of the migration, after which the warehouse is
	movedBy   float64
}

const (
	source = iota
	warehouse
)

// sourceTable is a production table.
type sourceTable struct {
	rows, growth      float64 // on the first night; more each night
	weekend, monthEnd float64 // factors
}

// work is a step: seconds that do not depend on rows, then rows at a rate.
type work struct {
	kind    elt.StepKind
	dataset elt.DatasetName
	needs   []int
	where   int // source or warehouse
	fixed   float64
	reads   map[int]float64 // seconds per row of each table
	table   int             // extract only
}

// between draws evenly from [lo, hi).
func (w *world) between(lo, hi float64) float64 { return lo + (hi-lo)*w.rng.Float64() }

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x77656c74))}
	w.workers = 2 + w.rng.IntN(5)
	w.each = w.rng.IntN(2) == 0
	w.shares = [2]float64{w.between(1.5, 4), w.between(1.5, 4)}
	w.slowBy = [2]float64{w.between(1.4, 2.5), w.between(1.3, 2.2)}
	w.weekday, w.weekdayBy = time.Weekday(w.rng.IntN(7)), w.between(1.2, 1.8)
	w.movedOn, w.movedBy = 80+w.rng.IntN(240), math.Exp(w.between(-0.5, 0.5))
	var ends []int         // the last step of each dataset
	var closes [][]float64 // of each dataset: how much of each table is in it
	nTables := 6 + w.rng.IntN(12)
	for i := range nTables {
		t := sourceTable{rows: math.Exp(w.between(10, 17)), weekend: w.between(0.4, 1), monthEnd: 1}
		t.growth = t.rows * w.between(0, 0.003)
		if w.rng.Float64() < 0.4 {
			t.monthEnd = w.between(1.5, 4)
		}
		w.tables = append(w.tables, t)
		name := elt.DatasetName("shop.t" + string(rune('a'+i)))
		extract := w.add(work{kind: elt.ExtractStep, dataset: name, where: source, fixed: w.between(3, 20), reads: map[int]float64{i: 1 / w.between(8e3, 5e4)}, table: i})
		load := w.add(work{kind: elt.LoadStep, dataset: name, needs: []int{extract}, where: warehouse, fixed: w.between(2, 15), reads: map[int]float64{i: 1 / w.between(3e4, 1e5)}})
		ends = append(ends, w.add(work{kind: elt.VerifyStep, dataset: name, needs: []int{load}, where: warehouse, fixed: w.between(1, 4), reads: map[int]float64{i: 1 / w.between(4e5, 1e6)}}))
		content := make([]float64, nTables)
		content[i] = 1
		closes = append(closes, content)
	}
	for i := range 5 + w.rng.IntN(15) {
		name := elt.DatasetName("model_" + string(rune('a'+i)))
		m := work{kind: elt.TransformStep, dataset: name, where: warehouse, fixed: w.between(2, 60), reads: map[int]float64{}}
		content := make([]float64, nTables)
		for range 1 + w.rng.IntN(4) {
			in := w.rng.IntN(len(ends))
			if slices.Contains(m.needs, ends[in]) {
				continue
			}
			m.needs = append(m.needs, ends[in])
			cost := 1 / w.between(2e4, 2e5)
			for t, much := range closes[in] {
				if much > 0 {
					m.reads[t] += cost * much
					content[t] += much * w.between(0.2, 0.8)
				}
			}
		}
		end := w.add(m)
		if w.rng.IntN(2) == 0 {
			test := work{kind: elt.TestStep, dataset: name, needs: []int{end}, where: warehouse, fixed: w.between(1, 10), reads: map[int]float64{}}
			for t, cost := range m.reads {
				test.reads[t] = cost * 0.1
			}
			end = w.add(test)
		}
		ends, closes = append(ends, end), append(closes, content)
	}
	if !w.each {
		w.add(work{kind: elt.PublishStep, needs: ends, where: warehouse, fixed: w.between(2, 20)})
	}
	return w
}

func (w *world) add(s work) int {
	w.steps = append(w.steps, s)
	return len(w.steps) - 1
}

// job is a step of the night being played.
type job struct {
	left     float64 // seconds of work of this attempt, at full speed
	stall    float64 // seconds that it will hang, whatever the speed
	breaks   float64 // the work left at which this attempt breaks; negative for never
	attempts int
	again    float64 // when a broken one is due again
	state    elt.StepState
	at, end  float64
	rows     float64 // read
}

// weather is what a night is like.
type weather struct {
	rows     []float64
	slowness [2]float64
	wander   [2][]float64 // the logarithm of the slowness of each five minutes
	outage   [2]float64   // when the source is away: extracts that begin, break
}

func (w *world) weatherOf(n int, date elt.Date) weather {
	var a weather
	triple, half := w.rng.Float64() < 0.02, w.rng.IntN(2) == 0
	for _, t := range w.tables {
		r := (t.rows + t.growth*float64(n)) * w.between(0.9, 1.1)
		if wd := date.Weekday(); wd == time.Saturday || wd == time.Sunday {
			r *= t.weekend
		}
		if date.AddDays(1).Day == 1 {
			r *= t.monthEnd
		}
		if triple && (!half || w.rng.IntN(2) == 0) {
			r *= 3
		}
		a.rows = append(a.rows, math.Round(r))
	}
	for i := range a.slowness {
		if w.slow[i] = w.rng.Float64() < map[bool]float64{false: 0.05, true: 0.6}[w.slow[i]]; w.slow[i] {
			a.slowness[i] = w.slowBy[i] * w.between(0.8, 1.2)
		} else {
			a.slowness[i] = w.between(0.9, 1.1)
		}
		x := 0.0
		for range 12 * 24 {
			x = 0.95*x + 0.06*w.rng.NormFloat64()
			a.wander[i] = append(a.wander[i], x)
		}
	}
	if date.Weekday() == w.weekday {
		a.slowness[warehouse] *= w.weekdayBy
	}
	if n >= w.movedOn {
		a.slowness[warehouse] *= w.movedBy
	}
	a.outage[0] = math.Inf(1)
	if w.rng.Float64() < 0.01 {
		a.outage[0] = w.between(0, 3600)
		a.outage[1] = a.outage[0] + w.between(300, 2400)
	}
	return a
}

// firstDate is the data date of a world's first night.
var firstDate = elt.Date{Year: 2025, Month: 1, Day: 7}

// play plays the nth night and returns its record.
func (w *world) play(n int) eta.Night {
	date := firstDate.AddDays(n)
	due := date.AddDays(1).At(2, 0, time.UTC)
	delay := w.between(0, 60)
	if w.rng.Float64() < 0.03 {
		delay = w.between(300, 3600)
	}
	started := due.Add(seconds(delay))
	jobs := w.run(w.weatherOf(n, date))
	night := eta.Night{Date: date, Trigger: elt.ScheduledRun, Due: due, Started: started}
	for i, s := range w.steps {
		j := jobs[i]
		step := eta.Step{Kind: s.kind, Dataset: s.dataset, Needs: s.needs, State: j.state, Attempt: j.attempts}
		if j.attempts > 0 {
			step.Start, step.End = started.Add(seconds(j.at)), started.Add(seconds(j.end))
		}
		if s.kind == elt.ExtractStep && j.state == elt.StepSucceeded {
			step.Rows = int64(j.rows)
		}
		night.Steps = append(night.Steps, step)
	}
	return night
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// run plays the steps from second 0 until none can go on.
func (w *world) run(a weather) []job {
	jobs := make([]job, len(w.steps))
	for i := range jobs {
		jobs[i].state = elt.StepPending
	}
	var queue, running, waiting []int
	queued := make([]bool, len(jobs))
	now := 0.0
	for {
		queue = w.enqueue(jobs, queue, queued)
		waiting = slices.DeleteFunc(waiting, func(i int) bool {
			if jobs[i].again <= now+1e-6 {
				queue = append(queue, i)
				return true
			}
			return false
		})
		for len(running) < w.workers && len(queue) > 0 {
			w.begin(&jobs[queue[0]], w.steps[queue[0]], a, now)
			running, queue = append(running, queue[0]), queue[1:]
		}
		if len(running) == 0 && len(waiting) == 0 {
			break
		}
		// Until the next thing happens, every running step goes on at its rate.
		next := (math.Floor(now/300+1e-9) + 1) * 300
		rates := w.rates(jobs, running, a, now)
		for k, i := range running {
			j := &jobs[i]
			if j.stall > 0 {
				next = min(next, now+j.stall)
			} else {
				next = min(next, now+(j.left-max(j.breaks, 0))/rates[k])
			}
		}
		for _, i := range waiting {
			next = min(next, jobs[i].again)
		}
		passed := max(next-now, 1e-6)
		now += passed
		still := running[:0]
		for k, i := range running {
			j := &jobs[i]
			if j.stall > 0 {
				j.stall = max(0, j.stall-passed)
				if j.stall < 1e-6 {
					j.stall = 0
				}
				still = append(still, i)
				continue
			}
			j.left -= passed * rates[k]
			switch {
			case j.left > max(j.breaks, 0)+1e-6:
				still = append(still, i)
			case j.breaks < 0:
				j.state, j.end = elt.StepSucceeded, now
				if w.steps[i].kind == elt.ExtractStep {
					j.rows = a.rows[w.steps[i].table]
				}
			case j.attempts < 3:
				j.state, j.again = elt.StepRetrying, now+60*math.Exp2(float64(j.attempts-1))*w.between(0.5, 1)
				waiting = append(waiting, i)
			default:
				j.state, j.end = elt.StepFailed, now
			}
		}
		running = still
	}
	return jobs
}

// enqueue adds to the queue what can start now, and blocks what never can.
func (w *world) enqueue(jobs []job, queue []int, queued []bool) []int {
	for i, s := range w.steps {
		if queued[i] || jobs[i].state != elt.StepPending {
			continue
		}
		open, bad := 0, 0
		for _, need := range s.needs {
			switch jobs[need].state {
			case elt.StepSucceeded:
			case elt.StepFailed, elt.StepBlocked:
				bad++
			default:
				open++
			}
		}
		switch {
		case s.kind == elt.PublishStep && open > 0:
		case s.kind == elt.PublishStep && bad < len(s.needs), bad == 0 && open == 0:
			queue, queued[i] = append(queue, i), true
		case bad > 0:
			jobs[i].state = elt.StepBlocked
		}
	}
	return queue
}

func (w *world) begin(j *job, s work, a weather, now float64) {
	if j.attempts == 0 {
		j.at = now
	}
	j.attempts++
	j.state, j.breaks = elt.StepRunning, -1
	j.left = s.fixed * w.between(0.8, 1.3)
	for t, cost := range s.reads {
		j.left += a.rows[t] * cost
	}
	if w.rng.Float64() < 0.008 { // locks, a worker that swaps: a tail without a mean to speak of
		j.stall = min(2*3600, 60*math.Pow(1-w.rng.Float64(), -1/1.3))
	}
	if w.rng.Float64() < 0.006 || s.where == source && now >= a.outage[0] && now < a.outage[1] {
		j.breaks = j.left * w.rng.Float64()
	}
}

// rates returns how many seconds of work each running step does in a second.
func (w *world) rates(jobs []job, running []int, a weather, now float64) []float64 {
	var busy [2]float64
	for _, i := range running {
		if jobs[i].stall == 0 {
			busy[w.steps[i].where]++
		}
	}
	bucket := min(int(now/300+1e-9), len(a.wander[0])-1)
	out := make([]float64, len(running))
	for k, i := range running {
		at := w.steps[i].where
		out[k] = min(1, w.shares[at]/max(1, busy[at])) / a.slowness[at] / math.Exp(a.wander[at][bucket])
	}
	return out
}

// arrivals returns when each dataset of a night arrived; one that never did is left out.
func (w *world) arrivals(n eta.Night) map[elt.DatasetName]time.Time {
	out := make(map[elt.DatasetName]time.Time)
	for _, s := range n.Steps { // in plan order: the last step of a dataset decides
		if s.Dataset == "" {
			continue
		}
		delete(out, s.Dataset)
		if s.State == elt.StepSucceeded {
			out[s.Dataset] = s.End
		}
	}
	if publish := n.Steps[len(n.Steps)-1]; !w.each {
		if publish.State != elt.StepSucceeded {
			return nil
		}
		for d := range out {
			out[d] = publish.End
		}
	}
	return out
}
