//go:build long

package schedules

import (
	"runtime"
	"sync"
	"testing"
)

// Every zone of tzdb, ten years, one run for each local date that it has: about three thousand million readings of a
// clock.
func TestEveryZoneAgainstAnOracle(t *testing.T) {
	names := zoneNames(t)
	if len(names) < 400 {
		t.Fatalf("only %d zones", len(names))
	}
	work := make(chan int)
	var walkers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		walkers.Go(func() {
			for i := range work {
				t.Run(names[i], func(t *testing.T) { compareWithOracle(t, names[i], i) })
			}
		})
	}
	for i := range names {
		work <- i
	}
	close(work)
	walkers.Wait()
}
