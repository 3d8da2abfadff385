package eta

import (
	"math"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Night is one run of a schedule: recorded, or going on.
type Night struct {
	Date    elt.Date // the data date
	Trigger elt.RunKind
	Due     time.Time // when the schedule was to start it; zero when nobody planned it
	Started time.Time // zero while it has not
	Steps   []Step    // each after what it needs
}

// Step is a step of a night.
type Step struct {
	Kind          elt.StepKind
	Dataset       elt.DatasetName // empty for the night's own publish step
	Needs         []int           // indexes into the night's steps, all smaller than the step's own
	State         elt.StepState
	Attempt       int       // attempts begun
	Start         time.Time // of the first attempt
	AttemptStart  time.Time // of the latest attempt; zero where nobody knows
	End           time.Time // when it became terminal
	NextAttemptAt time.Time // retrying only
	// Rows are what an extract has read, 0 until it has: the source's own estimate beforehand may be far off. Other
	// steps need none, their volume is that of the extracts behind them.
	Rows int64
	Lost bool // running, and nobody vouches for it
}

// name is what the steps of different nights are the same step by.
type name struct {
	kind    elt.StepKind
	dataset elt.DatasetName
}

func (s Step) name() name { return name{s.Kind, s.Dataset} }

// took returns the seconds from the step's first start to its success, and false when it had none. Attempts
// that failed on the way, and the waits between them, are part of it.
func (s Step) took() (float64, bool) {
	if s.State != elt.StepSucceeded || s.Start.IsZero() || s.End.Before(s.Start) {
		return 0, false
	}
	return max(s.End.Sub(s.Start).Seconds(), shortest), true
}

// shortest is the least time, in seconds, that a step is taken to have needed: below it only noise is measured.
const shortest = 0.05

// tonight is the night that a forecast is for, with what the forecast asks of its graph.
type tonight struct {
	Night
	feeds    [][]int                 // the steps that need each step
	delivers map[elt.DatasetName]int // the step with which each dataset arrives
	last     map[elt.DatasetName]int // its own last step
	order    []elt.DatasetName       // in plan order
}

func newTonight(n Night) tonight {
	t := tonight{Night: n, feeds: make([][]int, len(n.Steps)), delivers: make(map[elt.DatasetName]int), last: make(map[elt.DatasetName]int)}
	for i, s := range n.Steps {
		for _, need := range s.Needs {
			t.feeds[need] = append(t.feeds[need], i)
		}
		if s.Dataset == "" {
			continue
		}
		if _, seen := t.last[s.Dataset]; !seen {
			t.order = append(t.order, s.Dataset)
		}
		t.last[s.Dataset], t.delivers[s.Dataset] = i, i
	}
	for i, s := range n.Steps {
		if s.Kind == elt.PublishStep && s.Dataset == "" {
			for _, need := range s.Needs {
				t.delivers[n.Steps[need].Dataset] = i
			}
		}
	}
	return t
}

// Arrivals returns when each dataset of a recorded night arrived. One that was held back is left out.
func (n Night) Arrivals() map[elt.DatasetName]time.Time {
	t := newTonight(n)
	out := make(map[elt.DatasetName]time.Time, len(t.order))
	for _, d := range t.order {
		if by := n.Steps[t.delivers[d]]; n.Steps[t.last[d]].State == elt.StepSucceeded && by.State == elt.StepSucceeded {
			out[d] = by.End
		}
	}
	return out
}

// volumes returns the logarithm of each step's volume, NaN where it is unknown: the rows of an extract, and for any
// other step the most that is behind one of its needs.
func volumes(steps []Step) []float64 {
	out := make([]float64, len(steps))
	for i, s := range steps {
		out[i] = math.NaN()
		switch {
		case s.Kind == elt.ExtractStep && s.Rows > 0:
			out[i] = math.Log(float64(s.Rows))
		case s.Kind != elt.ExtractStep:
			for _, need := range s.Needs {
				if v := out[need]; math.IsNaN(out[i]) || v > out[i] {
					out[i] = v
				}
			}
		}
	}
	return out
}
