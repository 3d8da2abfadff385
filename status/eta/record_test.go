package eta_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/status/eta"
)

func TestRecord(t *testing.T) {
	start := time.Date(2026, 1, 6, 2, 0, 0, 0, time.UTC)
	after := func(m float64) time.Time { return start.Add(minutes(m)) }
	never := time.Time{}
	for name, tc := range map[string]struct {
		predictions []eta.Prediction
		want        eta.Record
		text        string
	}{
		"nothing": {nil, eta.Record{}, ""},
		"kept and broken": {
			[]eta.Prediction{
				{Expected: after(30), LikelyBy: after(40), Arrived: after(40)},
				{Expected: after(30), LikelyBy: after(40), Arrived: after(50)},
			},
			eta.Record{Nights: 2, Kept: 1, Pinball: minutes(((0.5*10 + 0) + (0.5*20 + 0.9*10)) / 2)}, "1 of the last 2 arrived by the likely-by time",
		},
		"without a number": {[]eta.Prediction{{Arrived: after(40)}}, eta.Record{Nights: 1, Silent: 1}, "0 of the last 1 arrived by the likely-by time"},
		"never arrived":    {[]eta.Prediction{{Expected: after(30), LikelyBy: after(40), Arrived: never}}, eta.Record{Nights: 1}, "0 of the last 1 arrived by the likely-by time"},
	} {
		t.Run(name, func(t *testing.T) {
			got := eta.NewRecord(tc.predictions)
			if diff := cmp.Diff(tc.want, got); diff != "" || got.String() != tc.text {
				t.Errorf("%q (-want +got):\n%s", got, diff)
			}
		})
	}
}

// A replay predicts each night from those before it, and keeps nine in ten.
func TestReplayOfRecordedNights(t *testing.T) {
	w := newWorld(501)
	var nights []eta.Night
	for n := range 100 {
		nights = append(nights, w.play(n))
	}
	replayed := eta.Replay(nights, 30, 500, rand.New(rand.NewPCG(1, 1)))
	arrived := w.arrivals(nights[99])
	kept, all := 0, 0
	for d, predictions := range replayed {
		r := eta.NewRecord(predictions)
		kept, all = kept+r.Kept, all+r.Nights
		if r.Nights != 30 || predictions[29].Date != nights[99].Date || !predictions[29].Arrived.Equal(arrived[d]) {
			t.Errorf("%s: %d predictions, the last of %s arrived at %s", d, r.Nights, predictions[29].Date, predictions[29].Arrived)
		}
	}
	if share := float64(kept) / float64(all); share < 0.75 || all == 0 {
		t.Errorf("%.2f of %d predictions were kept", share, all)
	}
	// What came on the last night changes nothing of what was predicted for it.
	for i := range nights[99].Steps {
		nights[99].Steps[i].End = nights[99].Steps[i].End.Add(time.Hour)
	}
	again := eta.Replay(nights, 30, 500, rand.New(rand.NewPCG(1, 1)))
	for d, predictions := range replayed {
		if a, b := predictions[29], again[d][29]; a.Expected != b.Expected || a.LikelyBy != b.LikelyBy {
			t.Fatalf("%s: predicted %s, and %s when the night went on longer", d, a.Expected, b.Expected)
		}
	}
}
