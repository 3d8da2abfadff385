package status

import (
	"context"
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/eta"
)

const (
	// estimateEvery is how often arrivals are estimated while days are on their way.
	estimateEvery = 5 * time.Second
	// estimateHolds is the age at which an estimate is not shown any more.
	estimateHolds = 2 * time.Minute
)

// estimator says when days will be there. The service that says what was said in the past, made of this one while it
// goes on, has another.
type estimator struct {
	*eta.Estimator
	revision int64 // that was estimated last
}

// keepEstimating estimates arrivals until ctx ends. A ledger that cannot be read is told of once.
func (s *Service) keepEstimating(ctx context.Context) {
	ticker := time.NewTicker(estimateEvery)
	defer ticker.Stop()
	failing := false
	for {
		err := s.Estimate(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.log.Warn("arrivals cannot be estimated; pages show deadlines and usual times", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Estimate estimates once when the days that are on their way will be there; the next snapshot shows it. Run does it by
// itself, and nobody else may at the same time.
func (s *Service) Estimate(ctx context.Context) error {
	v, ok := s.current()
	if !ok || v.stale {
		return nil // what is not known is not estimated
	}
	asks, pending := v.asks()
	if !pending && v.estimates != nil && v.revision == s.estimator.revision {
		return nil
	}
	estimates, err := s.estimator.Estimate(ctx, v.asOf, asks)
	if err != nil {
		return err
	}
	idle := len(estimates.Days) == 0 && v.estimates != nil && len(v.estimates.Days) == 0
	if !idle || v.revision != s.estimator.revision {
		s.feed.show(estimates)
	}
	s.estimator.revision = v.revision
	return nil
}

// asks are what to estimate: each schedule that brings something. pending is true when a day is on its way.
func (v view) asks() (asks []eta.Ask, pending bool) {
	at := make(map[elt.ScheduleName]int)
	for _, set := range v.sets {
		if set.Retired || set.Schedule == "" {
			continue
		}
		i, ok := at[set.Schedule]
		if !ok {
			i = len(asks)
			at[set.Schedule] = i
			asks = append(asks, eta.Ask{Schedule: set.Schedule, Due: v.dueOf(set), Deadlines: make(map[elt.DayKey]time.Time)})
		}
		for _, d := range v.days(set) {
			if !awaitedStill(d) {
				continue
			}
			pending = true
			if !d.DeadlineAt.IsZero() {
				asks[i].Deadlines[elt.DayKey{Dataset: d.Dataset, Date: d.Date}] = d.DeadlineAt
			}
			if d.Run == "" && d.Date == set.headline.Latest.Date {
				asks[i].Next = d.Date
			}
		}
	}
	return asks, pending
}

// awaitedStill reports whether it makes sense to ask when a day will be there.
func awaitedStill(d elt.DayStatus) bool {
	switch d.State {
	case elt.DayScheduled, elt.DayWaiting, elt.DayRunning, elt.DayRetrying:
		return true
	}
	return false
}

// dueOf tells when a dataset's schedule begins the night of a date: at the clock time of its next tick.
func (v view) dueOf(set *dataset) func(elt.Date) time.Time {
	tick, ok := v.ticks[set.Schedule]
	if !ok {
		return nil
	}
	local := tick.DueAt.In(set.zone)
	later := elt.DateOf(local).DaysSince(tick.Date)
	return func(d elt.Date) time.Time {
		if d.IsZero() {
			return time.Time{}
		}
		return d.AddDays(later).At(local.Hour(), local.Minute(), set.zone)
	}
}

// risk marks a day that is likely to miss a deadline that it has not missed yet.
func (s *snapshot) risk(d *elt.DayStatus) {
	if d.Deadline != elt.DeadlineOnTrack {
		return
	}
	if e, holds := s.estimateOf(*d); holds && e.AtRisk {
		d.Deadline = elt.DeadlineAtRisk
	}
}

// AtRisk returns the days that will probably miss their deadline, by the current estimates. A snapshot that is too old
// to vouch for anything warns of nothing.
func (s *Service) AtRisk() []elt.DayKey {
	v, ok := s.current()
	if !ok || v.stale || v.estimates == nil {
		return nil
	}
	var keys []elt.DayKey
	for key, e := range v.estimates.Days {
		d, known := v.board.Day(key)
		if _, holds := v.estimateOf(d); known && holds && e.AtRisk {
			keys = append(keys, key)
		}
	}
	return keys
}

// estimateOf returns what is estimated of a day, while it is on its way and the estimate is fresh.
func (s *snapshot) estimateOf(d elt.DayStatus) (eta.Estimate, bool) {
	if s.estimates == nil || !awaitedStill(d) || s.at.Sub(s.estimates.At) > estimateHolds {
		return eta.Estimate{}, false
	}
	e, ok := s.estimates.Days[elt.DayKey{Dataset: d.Dataset, Date: d.Date}]
	return e, ok
}

// expectation says when a day is expected, or why nobody can tell: "Expected 06:10, likely by 06:40." It is empty where
// there is nothing to say.
func (s *snapshot) expectation(set *dataset, d elt.DayStatus) string {
	e, ok := s.estimateOf(d)
	switch {
	case !ok:
		return ""
	case e.Known():
		today := elt.DateOf(s.at.In(set.zone))
		expected, likely := moment(eta.WholeMinute(e.Expected), set.zone, today), moment(eta.WholeMinute(e.LikelyBy), set.zone, today)
		if expected == likely {
			return "Expected " + expected + "."
		}
		return fmt.Sprintf("Expected %s, likely by %s.", expected, likely)
	case e.Reason == eta.LongerThanAny:
		return "Nobody can tell when it comes: the " + e.Why + "."
	case e.Reason == eta.TooUnreliable:
		return "Nobody can tell when it comes: " + e.Why + "."
	}
	return "" // the day's own state says it, or there is no history yet
}

// estimateBody is what the API says of a day's arrival.
func (s *snapshot) estimateBody(d elt.DayStatus) api.Estimate {
	e, ok := s.estimateOf(d)
	if !ok {
		return api.Estimate{}
	}
	if !e.Known() {
		return api.Estimate{NoEstimate: string(e.Reason), NoEstimateWhy: e.Why}
	}
	body := api.Estimate{ExpectedAt: eta.WholeMinute(e.Expected).UTC(), LikelyBy: eta.WholeMinute(e.LikelyBy).UTC()}
	if !d.DeadlineAt.IsZero() {
		risk := float64(int(100*e.Miss+0.5)) / 100
		body.DeadlineRisk = &risk
	}
	for _, l := range e.Path {
		body.CriticalPath = append(body.CriticalPath, api.PathStep{Step: l.Kind, Dataset: l.Dataset})
	}
	return body
}

// record tells how the estimates of a dataset have done, nil before there were any.
func (s *snapshot) record(d elt.DatasetName) *api.EstimateRecord {
	if s.estimates == nil {
		return nil
	}
	r := s.estimates.Records[d]
	if r.Nights == 0 {
		return nil
	}
	return &api.EstimateRecord{Nights: r.Nights, Kept: r.Kept, Silent: r.Silent, PinballSeconds: r.Pinball.Round(time.Second).Seconds()}
}

// expectedFact is the estimate on a dataset's page, and what it hangs on; ok is false when there is none.
func (s *snapshot) expectedFact(set *dataset, d elt.DayStatus) (fact, bool) {
	e, ok := s.estimateOf(d)
	if !ok || !e.Known() {
		return fact{}, false
	}
	today := elt.DateOf(s.at.In(set.zone))
	return fact{Term: "Expected", Text: moment(eta.WholeMinute(e.Expected), set.zone, today), Small: "likely by " + moment(eta.WholeMinute(e.LikelyBy), set.zone, today)}, true
}
