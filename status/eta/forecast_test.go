package eta_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
	"github.com/daybreak-data/daybreak/status/eta"
)

// part is a step of a made-up night, in minutes after its start.
type part struct {
	kind     elt.StepKind
	dataset  elt.DatasetName
	from, to float64
	needs    []int
	rows     int64
}

func nightOf(n int, parts ...part) eta.Night {
	date := firstDate.AddDays(n)
	start := date.AddDays(1).At(2, 0, time.UTC)
	out := eta.Night{Date: date, Trigger: elt.ScheduledRun, Due: start, Started: start}
	for _, p := range parts {
		out.Steps = append(out.Steps, eta.Step{
			Kind: p.kind, Dataset: p.dataset, Needs: p.needs, State: elt.StepSucceeded, Attempt: 1,
			Start: start.Add(minutes(p.from)), End: start.Add(minutes(p.to)), Rows: p.rows,
		})
	}
	return out
}

func minutes(m float64) time.Duration { return time.Duration(m * float64(time.Minute)) }

// model learns so many nights.
func model(nights int, night func(n int) eta.Night) *eta.Model {
	m := eta.NewModel()
	for n := range nights {
		m.Learn(night(n))
	}
	return m
}

// forecasts are what the model says of a night at a moment, in minutes after its start.
func forecasts(m *eta.Model, night eta.Night, minute float64, change func(*eta.State)) map[elt.DatasetName]eta.Forecast {
	now := night.Due.Add(minutes(minute))
	s := eta.State{Night: night.Rewind(now), Now: now}
	if change != nil {
		change(&s)
	}
	out := make(map[elt.DatasetName]eta.Forecast)
	for _, f := range m.Forecast(s, eta.Simulations, rand.New(rand.NewPCG(1, 1))) {
		out[f.Dataset] = f
	}
	return out
}

// around fails unless a time is within a tenth of so many minutes after the night's start.
func around(t *testing.T, what string, night eta.Night, got time.Time, want float64) {
	t.Helper()
	if m := got.Sub(night.Due).Minutes(); math.Abs(m-want) > 0.1*want {
		t.Errorf("%s is %.1f minutes after the start, want about %.1f", what, m, want)
	}
}

func chain(n int) eta.Night {
	return nightOf(n,
		part{elt.ExtractStep, "shop.a", 0, 10, nil, 1000}, part{elt.LoadStep, "shop.a", 10, 30, []int{0}, 0},
		part{elt.TransformStep, "b", 30, 60, []int{1}, 0}, part{elt.PublishStep, "", 60, 61, []int{1, 2}, 0})
}

func TestNightsThatAreAllAlike(t *testing.T) {
	m := model(100, chain)
	tonight := chain(100)
	for _, minute := range []float64{-20, 0, 5, 10, 29, 45} {
		got := forecasts(m, tonight, minute, func(s *eta.State) {
			s.Deadlines = map[elt.DatasetName]time.Time{"b": s.Due.Add(2 * time.Hour), "shop.a": s.Due.Add(30 * time.Minute)}
		})
		around(t, "the expected time", tonight, got["b"].Expected, 61)
		around(t, "the likely-by time", tonight, got["b"].LikelyBy, 61)
		if got["b"].Miss > 0.01 || got["shop.a"].Miss < 0.99 {
			t.Errorf("at minute %v deadlines of 120 and 30 minutes are missed with %v and %v", minute, got["b"].Miss, got["shop.a"].Miss)
		}
	}
	if got := forecasts(m, tonight, 61, nil); len(got) != 0 {
		t.Errorf("everything has arrived, and yet %v", got)
	}
	path := forecasts(m, tonight, 11, nil)["b"].Path
	want := []eta.Link{{Kind: elt.LoadStep, Dataset: "shop.a", Share: 1}, {Kind: elt.TransformStep, Dataset: "b", Share: 1}, {Kind: elt.PublishStep, Share: 1}}
	if diff := cmp.Diff(want, path); diff != "" {
		t.Errorf("critical path (-want +got):\n%s", diff)
	}
}

func TestWorkersAreBounded(t *testing.T) {
	night := func(n int) eta.Night {
		return nightOf(n, part{elt.ExtractStep, "s.a", 0, 10, nil, 0}, part{elt.ExtractStep, "s.b", 0, 10, nil, 0},
			part{elt.ExtractStep, "s.c", 10, 20, nil, 0}, part{elt.ExtractStep, "s.d", 10, 20, nil, 0})
	}
	m := model(60, night)
	for workers, want := range map[int]float64{0: 20, 1: 40, 2: 20, 4: 10} { // 0: as the nights showed
		got := forecasts(m, night(60), -1, func(s *eta.State) { s.Workers = workers })
		around(t, "the last of four", night(60), got["s.d"].Expected, want)
		around(t, "the first of four", night(60), got["s.a"].Expected, 10)
	}
}

func TestRowsAreKnownBeforeTheLoad(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	night := func(n int, rows float64) eta.Night {
		if rows == 0 {
			rows = 1e6 * math.Exp(0.2*random.NormFloat64())
		}
		end := 10 + 20*rows/1e6
		return nightOf(n, part{elt.ExtractStep, "s.a", 0, 10, nil, int64(rows)}, part{elt.LoadStep, "s.a", 10, end, []int{0}, 0})
	}
	m := model(100, func(n int) eta.Night { return night(n, 0) })
	around(t, "a usual load", night(100, 1e6), forecasts(m, night(100, 1e6), 10, nil)["s.a"].Expected, 30)
	around(t, "a load of three times the rows", night(100, 3e6), forecasts(m, night(100, 3e6), 10, nil)["s.a"].Expected, 70)
}

func TestWeekdaysAndDriftAreFollowed(t *testing.T) {
	night := func(n int) eta.Night {
		took := 20.0
		if firstDate.AddDays(n).Weekday() == time.Monday {
			took = 40
		}
		if n >= 100 {
			took *= 1.5
		}
		return nightOf(n, part{elt.ExtractStep, "s.a", 0, took, nil, 0})
	}
	m := model(140, night)
	for n := 140; n < 147; n++ {
		around(t, firstDate.AddDays(n).Weekday().String(), night(n), forecasts(m, night(n), 0, nil)["s.a"].Expected, night(n).Steps[0].End.Sub(night(n).Due).Minutes())
		m.Learn(night(n))
	}
}

// Two steps after each other that are slow on the same nights make a wider night than two that are slow by themselves.
func TestSlownessStaysCorrelated(t *testing.T) {
	width := func(together bool) float64 {
		random := rand.New(rand.NewPCG(5, 5))
		m := model(160, func(n int) eta.Night {
			a, b := random.NormFloat64(), random.NormFloat64()
			if together {
				b = a
			}
			first := 30 * math.Exp(0.3*a)
			return nightOf(n, part{elt.ExtractStep, "s.a", 0, first, nil, 0}, part{elt.LoadStep, "s.a", first, first + 30*math.Exp(0.3*b), []int{0}, 0})
		})
		f := forecasts(m, chain(160), -1, func(s *eta.State) { s.Steps = s.Steps[:2]; s.Steps[0].Dataset, s.Steps[1].Dataset = "s.a", "s.a" })["s.a"]
		return f.LikelyBy.Sub(f.Expected).Minutes()
	}
	if apart, together := width(false), width(true); together < 1.2*apart {
		t.Errorf("from expected to likely-by it is %.1f minutes when slow together, %.1f when not", together, apart)
	}
}

// A night that has been slow so far will be slow, where nights are slow as a whole.
func TestTonightLeansOnWhatItHasShown(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	night := func(n int, slow float64) eta.Night {
		if slow == 0 {
			slow = math.Exp(0.3 * random.NormFloat64())
		}
		return nightOf(n, part{elt.ExtractStep, "s.a", 0, 20 * slow, nil, 0}, part{elt.LoadStep, "s.a", 20 * slow, 60 * slow, []int{0}, 0})
	}
	m := model(160, func(n int) eta.Night { return night(n, 0) })
	around(t, "a usual night", night(160, 1), forecasts(m, night(160, 1), 20.1, nil)["s.a"].Expected, 60)
	around(t, "a slow night", night(160, 1.5), forecasts(m, night(160, 1.5), 30.1, nil)["s.a"].Expected, 90)
}

func TestRetryingWaitsAndBeginsAgain(t *testing.T) {
	m := model(60, chain)
	got := forecasts(m, chain(60), 15, func(s *eta.State) {
		s.Steps[1].State, s.Steps[1].NextAttemptAt, s.Steps[1].Attempt = elt.StepRetrying, s.Now.Add(5*time.Minute), 1
	})
	around(t, "what was tried again", chain(60), got["b"].Expected, 15+5+20+30+1)
	got = forecasts(m, chain(60), 28, func(s *eta.State) { // its second attempt has begun a minute ago
		s.Steps[1].Attempt, s.Steps[1].AttemptStart = 2, s.Now.Add(-time.Minute)
	})
	around(t, "what runs again", chain(60), got["b"].Expected, 27+20+30+1)
}

func TestReasons(t *testing.T) {
	m := model(60, chain)
	each := func(n int) eta.Night { night := chain(n); night.Steps = night.Steps[:3]; return night }
	unreliable := model(60, func(n int) eta.Night {
		night := each(n)
		if n%4 == 0 {
			night.Steps[2].State = elt.StepFailed
		}
		return night
	})
	state := func(i int, to elt.StepState) func(*eta.State) {
		return func(s *eta.State) { s.Steps[i].State = to }
	}
	for name, tc := range map[string]struct {
		m      *eta.Model
		night  eta.Night
		minute float64
		change func(*eta.State)
		want   map[elt.DatasetName]eta.Reason
		why    string
	}{
		"too few nights":          {model(4, chain), chain(4), 0, nil, map[elt.DatasetName]eta.Reason{"shop.a": eta.TooFewNights, "b": eta.TooFewNights}, "only 4 of the 5 nights"},
		"few nights":              {model(5, chain), chain(5), 0, nil, map[elt.DatasetName]eta.Reason{"shop.a": "", "b": ""}, ""},
		"longer than ever":        {m, chain(60), 29, func(s *eta.State) { s.Now = s.Now.Add(10 * time.Minute) }, map[elt.DatasetName]eta.Reason{"shop.a": eta.LongerThanAny, "b": eta.LongerThanAny}, "load of shop.a has run for 29 min, longer than it ever did"},
		"a longer one of another": {m, each(60), 59, func(s *eta.State) { s.Now = s.Now.Add(time.Hour) }, map[elt.DatasetName]eta.Reason{"b": eta.LongerThanAny}, "transform of b"},
		"failed":                  {m, chain(60), 40, state(2, elt.StepFailed), map[elt.DatasetName]eta.Reason{"shop.a": "", "b": eta.WillNotArrive}, "transform of b failed"},
		"its input failed":        {m, each(60), 20, state(1, elt.StepFailed), map[elt.DatasetName]eta.Reason{"shop.a": eta.WillNotArrive, "b": eta.WillNotArrive}, "load of shop.a failed"},
		"lost":                    {m, each(60), 40, func(s *eta.State) { s.Steps[2].Lost = true }, map[elt.DatasetName]eta.Reason{"b": eta.NobodyVouches}, "went silent"},
		"fails too often":         {unreliable, each(60), 0, nil, map[elt.DatasetName]eta.Reason{"shop.a": "", "b": eta.TooUnreliable}, "more than one night of ten"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(map[elt.DatasetName]eta.Reason)
			why := ""
			for d, f := range forecasts(tc.m, tc.night, tc.minute, tc.change) {
				got[d] = f.Reason
				if f.Reason != "" {
					why = f.Why
				}
				if f.Known() == (f.Reason != "") || f.Known() == f.LikelyBy.IsZero() {
					t.Errorf("%s has a number %t and the reason %q", d, f.Known(), f.Reason)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if !strings.Contains(why, tc.why) {
				t.Errorf("it says %q, want %q", why, tc.why)
			}
		})
	}
}

// Below twenty runs the pooled log-normal speaks: wider than what the few runs show.
func TestAStepOfFewRuns(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	m := model(40, func(n int) eta.Night {
		night := nightOf(n, part{elt.TransformStep, "old", 0, 20 * math.Exp(0.3*random.NormFloat64()), nil, 0})
		if n >= 37 {
			night.Steps = append(night.Steps, nightOf(n, part{elt.TransformStep, "new", 0, 40, nil, 0}).Steps...)
		}
		return night
	})
	tonight := nightOf(40, part{elt.TransformStep, "old", 0, 20, nil, 0}, part{elt.TransformStep, "new", 0, 40, nil, 0}, part{elt.TransformStep, "first", 0, 20, nil, 0})
	got := forecasts(m, tonight, -1, func(s *eta.State) { s.Workers = 3 })
	f := got["new"]
	if e, l := f.Expected.Sub(tonight.Due).Minutes(), f.LikelyBy.Sub(tonight.Due).Minutes(); e < 20 || e > 45 || l < 1.3*e {
		t.Errorf("a step of three runs of 40 minutes is expected after %.0f, likely by %.0f", e, l)
	}
	if f := got["first"]; !f.Known() || f.LikelyBy.Sub(tonight.Due) < got["old"].LikelyBy.Sub(tonight.Due) {
		t.Errorf("a step that never ran: %+v", f)
	}
}

// drawnNight plays nights of a drawn world, and returns them with the next one.
func drawnNights(t *rapid.T, nights int) ([]eta.Night, eta.Night) {
	w := newWorld(rapid.Uint64Range(1000, 1020).Draw(t, "world"))
	var out []eta.Night
	for n := range nights {
		out = append(out, w.play(n))
	}
	return out[:nights-1], out[nights-1]
}

// What a forecast may never do, whatever the night.
func TestForecastInvariants(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		nights, tonight := drawnNights(t, rapid.IntRange(1, 60).Draw(t, "nights"))
		m := model(len(nights), func(n int) eta.Night { return nights[n] })
		now := tonight.Due.Add(minutes(rapid.Float64Range(-30, 200).Draw(t, "minute")))
		s := eta.State{Night: tonight.Rewind(now), Now: now, Workers: rapid.IntRange(0, 5).Draw(t, "workers"), Deadlines: map[elt.DatasetName]time.Time{}}
		for i, st := range s.Steps {
			s.Deadlines[st.Dataset] = now.Add(minutes(rapid.Float64Range(-10, 300).Draw(t, "deadline")))
			if rapid.IntRange(0, 40).Draw(t, "disturbed") == 0 {
				s.Steps[i].State = rapid.SampledFrom([]elt.StepState{elt.StepPending, elt.StepRunning, elt.StepRetrying, elt.StepSucceeded, elt.StepFailed, elt.StepBlocked, elt.StepCancelled}).Draw(t, "state")
			}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		first := m.Forecast(s, 100, rand.New(rand.NewPCG(seed, 1)))
		if diff := cmp.Diff(first, m.Forecast(s, 100, rand.New(rand.NewPCG(seed, 1)))); diff != "" {
			t.Fatalf("the same seed forecasts differently:\n%s", diff)
		}
		for _, f := range first {
			if f.Known() == (f.Reason != "") || f.Known() && (f.Expected.Before(now) || f.LikelyBy.Before(f.Expected) || f.LikelyBy.Sub(now) > 30*24*time.Hour) {
				t.Fatalf("at %s: %+v", now, f)
			}
			if f.Miss < 0 || f.Miss > 1 || f.Known() && len(f.Path) == 0 {
				t.Fatalf("%+v", f)
			}
			if due := s.Deadlines[f.Dataset]; f.Known() && (due.Before(now) && f.Miss < 1 || due.After(f.LikelyBy.Add(time.Second)) && f.Miss > 0.11 || due.Before(f.Expected) && f.Miss < 0.49) {
				t.Fatalf("due %s: %+v", due, f)
			}
		}
	})
}

// What happens after a moment changes nothing of what Rewind shows at that moment.
func TestRewindShowsNothingOfTheFuture(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		_, night := drawnNights(t, 3)
		now := night.Due.Add(minutes(rapid.Float64Range(-5, 150).Draw(t, "minute")))
		other := night
		other.Steps = append([]eta.Step(nil), night.Steps...)
		later := minutes(rapid.Float64Range(1, 100).Draw(t, "later"))
		if other.Started.After(now) {
			other.Started = other.Started.Add(later)
		}
		for i := range other.Steps {
			s := &other.Steps[i]
			if s.Start.After(now) {
				s.Start = s.Start.Add(later)
			}
			if s.End.After(now) {
				s.End, s.Rows, s.Attempt = s.End.Add(later), s.Rows*7, s.Attempt+1
				if s.State == elt.StepFailed {
					s.State = elt.StepSucceeded
				}
			}
		}
		if diff := cmp.Diff(night.Rewind(now), other.Rewind(now)); diff != "" {
			t.Fatalf("the future shows:\n%s", diff)
		}
	})
}
