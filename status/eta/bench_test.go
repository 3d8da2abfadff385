package eta_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/eta"
)

// wide returns nights of a company of so many datasets, half of them tables of three steps, half models of two.
func wide(datasets, nights int) []eta.Night {
	random := rand.New(rand.NewPCG(1, 2))
	var out []eta.Night
	for n := range nights {
		date := firstDate.AddDays(n)
		start := date.AddDays(1).At(2, 0, time.UTC)
		night := eta.Night{Date: date, Trigger: elt.ScheduledRun, Due: start, Started: start}
		slow := math.Exp(0.2 * random.NormFloat64())
		var ends []int
		free := make([]time.Time, 8)
		add := func(kind elt.StepKind, d elt.DatasetName, usual float64, needs ...int) int {
			w := len(night.Steps) % len(free)
			from := start
			if free[w].After(from) {
				from = free[w]
			}
			for _, need := range needs {
				if e := night.Steps[need].End; e.After(from) {
					from = e
				}
			}
			end := from.Add(seconds(usual * slow * math.Exp(0.2*random.NormFloat64())))
			free[w] = end
			night.Steps = append(night.Steps, eta.Step{Kind: kind, Dataset: d, Needs: needs, State: elt.StepSucceeded, Attempt: 1, Start: from, End: end, Rows: 1e5})
			return len(night.Steps) - 1
		}
		for i := range datasets {
			name := elt.DatasetName(fmt.Sprintf("d%04d", i))
			if i%2 == 0 || len(ends) < 3 {
				ends = append(ends, add(elt.VerifyStep, name, 2, add(elt.LoadStep, name, 20, add(elt.ExtractStep, name, 40))))
				continue
			}
			needs := []int{ends[i/2], ends[(i*7)%len(ends)]}
			if needs[0] == needs[1] {
				needs = needs[:1]
			}
			ends = append(ends, add(elt.TestStep, name, 3, add(elt.TransformStep, name, 30, needs...)))
		}
		add(elt.PublishStep, "", 5, ends...)
		out = append(out, night)
	}
	return out
}

func BenchmarkForecast(b *testing.B) {
	for _, datasets := range []int{10, 100, 500, 2000} {
		b.Run(fmt.Sprintf("datasets=%d", datasets), func(b *testing.B) {
			nights := wide(datasets, 161)
			m := model(160, func(n int) eta.Night { return nights[n] })
			tonight := nights[160]
			now := tonight.Started.Add(time.Minute)
			state := eta.State{Night: tonight.Rewind(now), Now: now}
			for b.Loop() {
				if f := m.Forecast(state, eta.Simulations, rand.New(rand.NewPCG(1, 1))); !f[0].Known() {
					b.Fatal(f[0])
				}
			}
		})
	}
}

func BenchmarkLearn(b *testing.B) {
	for _, datasets := range []int{100, 2000} {
		b.Run(fmt.Sprintf("datasets=%d", datasets), func(b *testing.B) {
			nights := wide(datasets, 50)
			m := eta.NewModel()
			n := 0
			for b.Loop() {
				m.Learn(nights[n%len(nights)])
				n++
			}
		})
	}
}
