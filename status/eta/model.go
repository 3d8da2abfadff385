package eta

import (
	"math"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Model is what recorded nights teach. It is learned from one night at a time, oldest first, and asked for any number
// of forecasts in between; it must not be changed while it is asked.
type Model struct {
	columns map[name]int
	steps   []tracker // by column
	shared  calendar  // what the calendar does to all steps of a night
	shelf   []shelved // the last shelfSize nights, oldest first
	nights  int
	pools   map[elt.StepKind]*pool
	overlap []int // the most steps that ran at once in each of the last nights
}

// shelved is a night by how much it missed what was expected of it the evening before, by column: logarithms; NaN
// where nothing was seen, +Inf where the step failed for good.
type shelved struct {
	date    elt.Date
	trigger elt.RunKind
	delay   float64 // seconds from due to started; NaN when it was not planned
	common  float64 // the median of errs: how slow the night was as a whole
	errs    []float32
	rows    []float32
}

// pool is what the steps of one kind have in common, of the logarithm of their seconds: where their mean lies, and how
// far the steps lie from it (between) and each step from what was expected of it (within), both squared.
type pool struct {
	n, judged             int
	mean, between, within float64
}

const (
	shelfSize    = 160 // nights: a third of a year, and no more than a slow change of habits
	enoughNights = 5   // below it there is no number
	enoughRuns   = 20  // of a step; below it the pooled log-normal speaks for it
	busyNights   = 30  // whose overlap tells how many workers there are
)

// NewModel returns a model that knows nothing.
func NewModel() *Model {
	return &Model{columns: make(map[name]int), pools: make(map[elt.StepKind]*pool)}
}

// Learn adds a recorded night, newer than all before. Steps that did not end are not learned from.
func (m *Model) Learn(n Night) {
	p := places(n.Date)
	vols := volumes(n.Steps)
	night := shelved{date: n.Date, trigger: n.Trigger, delay: math.NaN()}
	if !n.Due.IsZero() && !n.Started.IsZero() {
		night.delay = at(n.Started, n.Due)
	}
	var errs []float64
	var seen []int
	for i, s := range n.Steps {
		c := m.column(s.name())
		for len(night.errs) <= c {
			night.errs = append(night.errs, float32(math.NaN()))
			night.rows = append(night.rows, float32(math.NaN()))
		}
		t := &m.steps[c]
		secs, ok := s.took()
		if !ok {
			if s.State == elt.StepFailed {
				night.errs[c] = float32(math.Inf(1))
				t.longest = max(t.longest, at(s.End, s.Start))
			}
			continue
		}
		known := t.n > 0
		err, rowsErr := t.observe(secs, vols[i], &m.shared, p)
		m.pool(s.Kind, math.Log(secs), err, known)
		if known {
			night.errs[c] = float32(err)
			errs, seen = append(errs, t.clip(err)), append(seen, c)
			if !math.IsNaN(vols[i]) {
				night.rows[c] = float32(rowsErr)
			}
		}
	}
	night.common = median(errs)
	m.shared.learn(p, night.common)
	for k, c := range seen {
		m.steps[c].calendar.learn(p, errs[k]-night.common)
	}
	m.nights++
	m.overlap = last(append(m.overlap, overlap(n.Steps)), busyNights)
	m.shelf = last(append(m.shelf, night), shelfSize)
}

func (m *Model) column(n name) int {
	c, ok := m.columns[n]
	if !ok {
		c = len(m.steps)
		m.columns[n] = c
		m.steps = append(m.steps, tracker{})
	}
	return c
}

// pool learns what a step's success says about its kind.
func (m *Model) pool(kind elt.StepKind, y, err float64, known bool) {
	p := m.pools[kind]
	if p == nil {
		p = &pool{}
		m.pools[kind] = p
	}
	const slow = 0.005
	p.n++
	gain := max(1/float64(p.n), slow)
	p.mean += gain * (y - p.mean)
	p.between += gain * ((y-p.mean)*(y-p.mean) - p.between)
	if known {
		p.judged++
		p.within += max(1/float64(p.judged), slow) * (err*err - p.within)
	}
}

// pooled returns the log-normal law of a step that has run few times: the mean of its own runs drawn towards its
// kind's, the kind's own spread, and the doubt about the mean.
func (m *Model) pooled(kind elt.StepKind, t *tracker) (mean, sd float64) {
	p := m.pools[kind]
	within, between := max(p.within, 0.02), max(p.between, 0.02)
	n := float64(min(t.n, ring))
	own := 0.0
	for _, y := range t.recent[:min(t.n, ring)] {
		own += y / n
	}
	trust := n * between / (n*between + within)
	return trust*own + (1-trust)*p.mean, math.Sqrt(within + between*within/(n*between+within))
}

// workers returns how many steps run at once at most: as the last nights showed.
func (m *Model) workers() int {
	if len(m.overlap) == 0 {
		return 1
	}
	return max(1, slices.Max(m.overlap))
}

// overlap returns the most steps of a night that ran at once.
func overlap(steps []Step) int {
	type turn struct {
		at time.Time
		by int
	}
	var turns []turn
	for _, s := range steps {
		if s.Start.IsZero() || s.End.IsZero() || s.Attempt > 1 { // one that waits for its next attempt holds no worker
			continue
		}
		turns = append(turns, turn{s.Start, 1}, turn{s.End, -1})
	}
	slices.SortFunc(turns, func(a, b turn) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.by - b.by // one ends before the next begins
	})
	most, now := 0, 0
	for _, t := range turns {
		now += t.by
		most = max(most, now)
	}
	return most
}

func last[T any](s []T, n int) []T {
	if len(s) > n {
		return slices.Delete(s, 0, len(s)-n)
	}
	return s
}

// median returns the middle of the values, 0 for none, and leaves them as they are.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
