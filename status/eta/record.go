package eta

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Prediction is a forecast that was made, with what came of it.
type Prediction struct {
	Dataset  elt.DatasetName `json:"dataset"`
	Date     elt.Date        `json:"date"`
	MadeAt   time.Time       `json:"made_at"`
	Expected time.Time       `json:"expected_at,omitzero"` // zero when there was no number
	LikelyBy time.Time       `json:"likely_by,omitzero"`
	Arrived  time.Time       `json:"arrived_at,omitzero"` // zero when it did not
}

// Kept reports whether the dataset arrived by the likely-by time. A night without a number, or without an arrival, kept
// nothing.
func (p Prediction) Kept() bool {
	return !p.LikelyBy.IsZero() && !p.Arrived.IsZero() && !p.Arrived.After(p.LikelyBy)
}

// Record is how a dataset's predictions have done: what the page shows beside the next one.
type Record struct {
	Nights  int           `json:"nights"`
	Kept    int           `json:"kept"`    // arrived by the likely-by time; nine in ten should
	Silent  int           `json:"silent"`  // nights without a number, which count as not kept
	Pinball time.Duration `json:"pinball"` // mean pinball loss of both times over the nights with number and arrival
}

// NewRecord sums up predictions.
func NewRecord(predictions []Prediction) Record {
	var r Record
	judged := 0
	var loss time.Duration
	for _, p := range predictions {
		r.Nights++
		if p.Kept() {
			r.Kept++
		}
		switch {
		case p.LikelyBy.IsZero():
			r.Silent++
		case !p.Arrived.IsZero():
			judged++
			loss += pinball(0.5, p.Expected, p.Arrived) + pinball(0.9, p.LikelyBy, p.Arrived)
		}
	}
	if judged > 0 {
		r.Pinball = loss / time.Duration(judged)
	}
	return r
}

// WholeMinute is the minute by whose beginning t has passed, which is how a time is shown: more is not known of it. No
// time stays none.
func WholeMinute(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(time.Minute - 1).Truncate(time.Minute)
}

// pinball is the loss of predicting the q-quantile: what is late costs q, what is early 1-q. Only the true quantile
// has the least loss in the long run.
func pinball(q float64, predicted, came time.Time) time.Duration {
	late := came.Sub(predicted)
	return time.Duration(max(q*float64(late), (q-1)*float64(late)))
}

// String returns "12 of the last 14 arrived by the likely-by time", and "" for a record of nothing.
func (r Record) String() string {
	if r.Nights == 0 {
		return ""
	}
	return fmt.Sprintf("%d of the last %d arrived by the likely-by time", r.Kept, r.Nights)
}

// predict predicts a recorded night at the moment at which it started, and says what came of it. The model must not have
// learned from that night or a later one: so a calibration record needs no memory of its own, and cannot have been
// written after the fact. Of a night that was too early for the model it says nothing.
func (m *Model) predict(n Night, simulations int, random *rand.Rand) []Prediction {
	if m.nights < enoughNights || n.Started.IsZero() {
		return nil
	}
	arrived := n.Arrivals()
	var out []Prediction
	for _, f := range m.Forecast(State{Night: n.Rewind(n.Started), Now: n.Started}, simulations, random) {
		out = append(out, Prediction{
			Dataset: f.Dataset, Date: n.Date, MadeAt: n.Started,
			Expected: WholeMinute(f.Expected), LikelyBy: WholeMinute(f.LikelyBy), Arrived: arrived[f.Dataset],
		})
	}
	return out
}
