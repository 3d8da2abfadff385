package eta

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
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
	historyNights     = 160     // that are read from the ledger for each schedule
	historySteps      = 200_000 // about how many steps are read of them; of a large schedule fewer nights
	fewestNights      = 40
	recordNights      = 14 // that the calibration record tells of
	recordSimulations = 400
	sustained         = 2 * time.Minute
	likelyMissed      = 0.5
)

// Estimator keeps a model of each schedule, which learns each run when it has ended, and estimates from it. It is
// for one goroutine.
type Estimator struct {
	ledger    Ledger
	schedules map[elt.ScheduleName]*learned
	risky     map[elt.DayKey]time.Time // since when each day is likely to miss its deadline
	sustained time.Duration            // for how long it has to be before it is at risk
}

// learned is what is known of a schedule.
type learned struct {
	newest      elt.Run // of those that have ended and were learned from
	last        Night   // what newest was
	model       *Model
	predictions map[elt.DatasetName][]Prediction // the latest of each dataset, oldest first
}

// NewEstimator returns an estimator that has read nothing yet.
func NewEstimator(l Ledger) *Estimator {
	return &Estimator{ledger: l, schedules: make(map[elt.ScheduleName]*learned), risky: make(map[elt.DayKey]time.Time), sustained: sustained}
}

// NewGlance returns an estimator that is asked once, of a ledger as it was at a moment: nobody knows for how long a day
// had been likely to miss its deadline, so that it is at risk at once.
func NewGlance(l Ledger) *Estimator {
	e := NewEstimator(l)
	e.sustained = 0
	return e
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
	for d, predictions := range known.predictions {
		out.Records[d] = NewRecord(predictions)
	}
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
	return now.Sub(since) >= e.sustained
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
		return known.last.ahead(a.Next, due), true, nil
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
	ended := comparableRuns(runs)
	known := e.schedules[a.Schedule]
	at := -1
	if known != nil { // one that a person had run again has another end: then everything is read again
		at = slices.IndexFunc(ended, func(r elt.Run) bool {
			return r.ID == known.newest.ID && r.FinishedAt.Equal(known.newest.FinishedAt)
		})
	}
	if at < 0 {
		known = &learned{model: NewModel(), predictions: make(map[elt.DatasetName][]Prediction)}
		most, err := e.reach(ctx, ended)
		if err != nil {
			return nil, err
		}
		at = min(most, len(ended))
	}
	delete(e.schedules, a.Schedule) // until it is whole again
	for left := at; left > 0; left-- {
		run := ended[left-1]
		n, err := readNight(ctx, e.ledger, run, a.due(run.Date), now)
		if err != nil {
			return nil, err
		}
		known.take(run, n, left <= recordNights, randomOf(a.Schedule, run.Date))
	}
	e.schedules[a.Schedule] = known
	return known, nil
}

// comparableRuns returns the runs that have ended and that a scheduled night can be compared with: those of the schedule's
// own, unless they are too few.
func comparableRuns(runs []elt.Run) []elt.Run {
	ended := slices.DeleteFunc(slices.Clone(runs), func(r elt.Run) bool { return !r.State.Terminal() })
	own := slices.DeleteFunc(slices.Clone(ended), func(r elt.Run) bool { return r.Kind != elt.ScheduledRun })
	if len(own) < enoughRuns {
		return ended
	}
	return own
}

// reach returns how many of the runs, the newest first, are worth reading.
func (e *Estimator) reach(ctx context.Context, ended []elt.Run) (int, error) {
	if len(ended) == 0 {
		return 0, nil
	}
	steps, err := e.ledger.Steps(ctx, ended[0].ID)
	if err != nil {
		return 0, fmt.Errorf("read the steps of run %s: %w", ended[0].ID, err)
	}
	return min(max(historySteps/max(len(steps), 1), fewestNights), historyNights), nil
}

// take learns from a night that has ended. Its calibration record is made first: what would have been predicted at its
// start.
func (l *learned) take(run elt.Run, n Night, record bool, random *rand.Rand) {
	if record {
		for _, p := range l.model.predict(n, recordSimulations, random) {
			l.predictions[p.Dataset] = last(append(l.predictions[p.Dataset], p), recordNights)
		}
	}
	l.model.Learn(n)
	l.newest, l.last = run, n
}

// randomOf returns the same random numbers for every estimate of a night, so that an estimate moves when the night
// does and not by itself.
func randomOf(schedule elt.ScheduleName, date elt.Date) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, schedule, "/", date)
	return rand.New(rand.NewPCG(h.Sum64(), 0))
}
