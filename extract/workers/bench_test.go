package workers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// rounds is how often each number of workers reads the night; they take turns, and the median counts.
const rounds = 3

// BenchmarkWorkers reads nights of 48 tables with one worker process and with two, through a network that carries so much
// per connection and no more: what counts is how many tables are on their way at the same time. Each worker reads four, and
// the source allows sixteen connections in all. It reports the seconds of both and their ratio.
func BenchmarkWorkers(b *testing.B) {
	server := testenv.Postgres(b)
	var took [3][]time.Duration
	for b.Loop() {
		for range rounds {
			for workers := 1; workers <= 2; workers++ {
				took[workers] = append(took[workers], nightOf(b, server.Database(b), workers))
			}
		}
	}
	var median [3]float64
	for workers := 1; workers <= 2; workers++ {
		slices.Sort(took[workers])
		median[workers] = took[workers][len(took[workers])/2].Seconds()
		b.ReportMetric(median[workers], fmt.Sprintf("s/%d-workers", workers))
	}
	b.ReportMetric(median[1]/median[2], "times-faster")
}

// nightOf returns how long the workers took, from the first one's start to the end of the run.
func nightOf(b *testing.B, source string, workers int) time.Duration {
	b.Helper()
	n := newNightOf(b, source, slices.Repeat([]int{1600}, 48), 128)
	n.worker.Threads, n.worker.Connections, n.worker.Level = 4, 16, elt.LevelColumns
	n.goOn()
	began := time.Now()
	for i := range workers {
		n.start(elt.WorkerID(rune('a' + i)))
	}
	awaitOn(b, n.books, wholeNight, "the run has ended", ended, string(runID))
	took := time.Since(began)
	n.oneMoment(n.manifests())
	b.Logf("%d workers: %s, tables brought by %v", workers, took.Round(time.Millisecond), n.workers())
	return took
}
