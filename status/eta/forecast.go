package eta

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// State is tonight as it is now.
type State struct {
	Night
	Now       time.Time
	Workers   int // how many steps run at once; 0 for as many as the last nights showed
	Deadlines map[elt.DatasetName]time.Time
}

// Forecast is when a dataset will arrive. Expected and LikelyBy are zero where Reason says why.
type Forecast struct {
	Dataset  elt.DatasetName
	Expected time.Time // half of the simulated nights bring it by then
	LikelyBy time.Time // nine in ten do
	Miss     float64   // the share of simulated nights in which it misses its deadline; 0 without deadline or number
	Path     []Link    // what it hangs on, the step at work first
	Reason   Reason
	Why      string // the reason in a clause: "load of shop.orders has run for 2 h 10 min, longer than it ever did"
}

// Known reports whether there is a number.
func (f Forecast) Known() bool { return !f.Expected.IsZero() }

// Link is a step of the critical path.
type Link struct {
	Kind    elt.StepKind
	Dataset elt.DatasetName
	Share   float64 // in how many of the simulations the next step of the path waited for this one last
}

// Reason says why there is no number.
type Reason string

// The reasons.
const (
	TooFewNights  Reason = "too_few_nights"   // there is too little to compare with
	LongerThanAny Reason = "longer_than_ever" // a step has run longer than it was ever seen to
	WillNotArrive Reason = "will_not_arrive"  // a step that it needs failed, is blocked or was cancelled
	NobodyVouches Reason = "nobody_vouches"   // the worker of a step that it needs went silent
	TooUnreliable Reason = "too_unreliable"   // it fails in more than one night of ten: no time is likely kept
)

// Simulations is how many nights a forecast plays; a graph of many steps is played less often (see work).
const Simulations = 2000

// Forecast returns a forecast for every dataset of the night that has not arrived, in plan order. The same
// arguments and the same random numbers give the same forecast.
func (m *Model) Forecast(s State, simulations int, random *rand.Rand) []Forecast {
	night := newTonight(s.Night)
	p := m.prepare(s, night)
	var out []Forecast
	var ask []int // indexes into out
	for _, d := range night.order {
		f := Forecast{Dataset: d}
		end, by := night.last[d], night.delivers[d]
		if p.phase[by] == done && p.phase[end] == done {
			continue
		}
		switch {
		case p.phase[end] == dead || p.phase[by] == dead:
			f.Reason, f.Why = WillNotArrive, p.why[end]
			if f.Why == "" {
				f.Why = p.why[by]
			}
		case m.nights < enoughNights:
			f.Reason, f.Why = TooFewNights, fmt.Sprintf("only %d of the %d nights that it takes are recorded", m.nights, enoughNights)
		case p.reason[by] != "":
			f.Reason, f.Why = p.reason[by], p.why[by]
		default:
			ask = append(ask, len(out))
		}
		out = append(out, f)
	}
	if len(ask) == 0 {
		return out
	}
	played := p.play(simulations, random, out, ask)
	for _, i := range ask {
		f := &out[i]
		f.read(played.arrivals[i], s.Now, s.Deadlines[f.Dataset])
		f.Path = played.path(night.delivers[f.Dataset])
	}
	return out
}

// read concludes from the simulated arrivals, in seconds after now.
func (f *Forecast) read(arrivals []float64, now, deadline time.Time) {
	slices.Sort(arrivals)
	if !deadline.IsZero() {
		by, _ := slices.BinarySearch(arrivals, math.Nextafter(at(deadline, now), math.Inf(1)))
		f.Miss = 1 - float64(by)/float64(len(arrivals))
	}
	likely := quantile(arrivals, 0.9)
	if math.IsInf(likely, 1) {
		f.Reason, f.Why = TooUnreliable, "in more than one night of ten it did not arrive at all"
		return
	}
	f.Expected, f.LikelyBy = now.Add(duration(quantile(arrivals, 0.5))), now.Add(duration(likely))
}

// lasting is a duration as people say it.
func lasting(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

func duration(secs float64) time.Duration { return time.Duration(secs * float64(time.Second)) }

// quantile returns the q-quantile of sorted values.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
