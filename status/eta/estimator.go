package eta

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Ask is what is to be estimated: one schedule's days that are not there yet.
type Ask struct {
	Schedule elt.ScheduleName
	// Due tells when the run of a data date is to start; nil, or a zero time, when nobody knows.
	Due func(elt.Date) time.Time
	// Next is the date that was due to start and has not; zero when there is none.
	Next      elt.Date
	Deadlines map[elt.DayKey]time.Time
}

// Estimate is a forecast of a day as it is published.
type Estimate struct {
	Forecast
	// AtRisk is true while the day is likelier than not to miss its deadline and has been for a while: a step that hangs
	// for a moment alarms nobody.
	AtRisk bool
}

// Estimates are everything that is estimated at a moment. They are not changed once they are made.
type Estimates struct {
	At      time.Time
	Days    map[elt.DayKey]Estimate
	Records map[elt.DatasetName]Record
}

const (
	historyNights     = 160 // that are read from the ledger for each schedule
	recordNights      = 14  // that the calibration record replays
	recordSimulations = 400
	sustained         = 2 * time.Minute
	likelyMissed      = 0.5
)

// Estimator keeps a model of each schedule, learned anew when a run has ended, and estimates from it. It is for one
// goroutine.
type Estimator struct {
	ledger    Ledger
	schedules map[elt.ScheduleName]*learned
	risky     map[elt.DayKey]time.Time // since when each day is likely to miss its deadline
}

// learned is what is known of a schedule.
type learned struct {
	newest  elt.Run // of those that have ended
	nights  []Night // oldest first
	model   *Model
	records map[elt.DatasetName]Record
}

// NewEstimator returns an estimator that has read nothing yet.
func NewEstimator(l Ledger) *Estimator {
	return &Estimator{ledger: l, schedules: make(map[elt.ScheduleName]*learned), risky: make(map[elt.DayKey]time.Time)}
}

// Estimate reads what the ledger knows now and estimates what was asked for. now is the ledger's clock.
func (e *Estimator) Estimate(ctx context.Context, now time.Time, asks []Ask) (*Estimates, error) {
	out := &Estimates{At: now, Days: make(map[elt.DayKey]Estimate), Records: make(map[elt.DatasetName]Record)}
	for _, a := range asks {
		if err := e.estimate(ctx, now, a, out); err != nil {
			return nil, fmt.Errorf("estimate the arrivals of schedule %s: %w", a.Schedule, err)
		}
	}
	for key := range e.risky {
		if d, asked := out.Days[key]; !asked || d.Miss <= likelyMissed {
			delete(e.risky, key)
		}
	}
	return out, nil
}

func (e *Estimator) estimate(ctx context.Context, now time.Time, a Ask, out *Estimates) error {
	runs, err := e.ledger.Runs(ctx, elt.RunFilter{Schedule: a.Schedule, Limit: historyNights + 40})
	if err != nil {
		return err
	}
	known, err := e.learn(ctx, now, a, runs)
	if err != nil {
		return err
	}
	maps.Copy(out.Records, known.records)
	tonight, ok, err := e.tonight(ctx, now, a, runs, known)
	if err != nil || !ok {
		return err
	}
	s := State{Night: tonight, Now: now, Deadlines: make(map[elt.DatasetName]time.Time)}
	for key, at := range a.Deadlines {
		if key.Date == tonight.Date {
			s.Deadlines[key.Dataset] = at
		}
	}
	for _, f := range known.model.Forecast(s, Simulations, randomOf(a.Schedule, tonight.Date)) {
		key := elt.DayKey{Dataset: f.Dataset, Date: tonight.Date}
		out.Days[key] = Estimate{Forecast: f, AtRisk: e.atRisk(key, f, now)}
	}
	return nil
}

// atRisk reports whether a day has been likely to miss its deadline for long enough to say so.
func (e *Estimator) atRisk(key elt.DayKey, f Forecast, now time.Time) bool {
	if f.Miss <= likelyMissed {
		return false
	}
	since, ok := e.risky[key]
	if !ok {
		since = now
		e.risky[key] = now
	}
	return now.Sub(since) >= sustained
}

// tonight returns the night that a schedule is at: its oldest run under way, else the one that is due to start, with
// the steps that its last night had. The runs of one schedule go one after the other.
func (e *Estimator) tonight(ctx context.Context, now time.Time, a Ask, runs []elt.Run, known *learned) (Night, bool, error) {
	var at *elt.Run
	for i := range runs {
		if r := &runs[i]; !r.State.Terminal() && (at == nil || cmp.Or(r.Date.Compare(at.Date), cmp.Compare(r.ID, at.ID)) < 0) {
			at = r
		}
	}
	if at != nil {
		n, err := readNight(ctx, e.ledger, *at, a.due(at.Date), now)
		return n, err == nil, err
	}
	if due := a.due(a.Next); !a.Next.IsZero() && !due.IsZero() {
		for _, n := range slices.Backward(known.nights) {
			if n.Trigger == elt.ScheduledRun {
				return n.ahead(a.Next, due), true, nil
			}
		}
	}
	return Night{}, false, nil
}

func (a Ask) due(d elt.Date) time.Time {
	if a.Due == nil {
		return time.Time{}
	}
	return a.Due(d)
}

// learn returns what is known of a schedule, after reading the runs that ended since. runs are the newest first.
func (e *Estimator) learn(ctx context.Context, now time.Time, a Ask, runs []elt.Run) (*learned, error) {
	ended := slices.DeleteFunc(slices.Clone(runs), func(r elt.Run) bool { return !r.State.Terminal() })
	ended = ended[:min(len(ended), historyNights)]
	fresh := &learned{records: make(map[elt.DatasetName]Record)}
	if known := e.schedules[a.Schedule]; known != nil {
		// One that a person had run again has another end: then everything is read again.
		i := slices.IndexFunc(ended, func(r elt.Run) bool { return r.ID == known.newest.ID && r.FinishedAt.Equal(known.newest.FinishedAt) })
		if i == 0 {
			return known, nil
		}
		if i > 0 {
			ended, fresh.nights = ended[:i], slices.Clone(known.nights)
		}
	}
	for _, r := range slices.Backward(ended) {
		n, err := readNight(ctx, e.ledger, r, a.due(r.Date), now)
		if err != nil {
			return nil, err
		}
		fresh.nights, fresh.newest = append(fresh.nights, n), r
	}
	fresh.nights = last(fresh.nights, historyNights)
	fresh.model = Fit(fresh.nights, elt.ScheduledRun)
	var scheduled []Night
	for _, n := range fresh.nights {
		if n.Trigger == elt.ScheduledRun {
			scheduled = append(scheduled, n)
		}
	}
	for d, predictions := range Replay(scheduled, recordNights, recordSimulations, randomOf(a.Schedule, elt.Date{})) {
		fresh.records[d] = NewRecord(predictions)
	}
	e.schedules[a.Schedule] = fresh
	return fresh, nil
}

// randomOf returns the same random numbers for every estimate of a night, so that an estimate moves when the night
// does and not by itself.
func randomOf(schedule elt.ScheduleName, date elt.Date) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, schedule, "/", date)
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}
