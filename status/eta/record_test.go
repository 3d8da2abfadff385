package eta_test

import (
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

// A calibration record is made of predictions that know nothing of their night, and keeps about nine in ten.
func TestRecordsAreReplayed(t *testing.T) {
	b, w := newBooks(), newWorld(501)
	kept, all := 0, 0
	e := eta.NewEstimator(b)
	for n := range 120 {
		night := w.play(n)
		now := night.Due.Add(20 * time.Hour)
		b.record(night, now)
		if n < 60 || n%14 != 0 {
			continue
		}
		for d, r := range estimate(t, e, now, eta.Ask{}).Records {
			kept, all = kept+r.Kept, all+r.Nights
			if r.Nights != 14 {
				t.Errorf("%s has a record of %d nights", d, r.Nights)
			}
		}
	}
	if share := float64(kept) / float64(all); share < 0.8 || all == 0 {
		t.Errorf("%.2f of %d predictions were kept", share, all)
	}
}
