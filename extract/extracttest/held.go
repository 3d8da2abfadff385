package extracttest

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

// Held returns by how many megabytes the memory that this process holds grew at most while do ran: what is alive after one of
// many collections. How much garbage lies about beside it says how busy the machine is.
func Held(t testing.TB, do func()) int64 {
	t.Helper()
	alive := func() int64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	before := alive()
	most, stop := before, make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				looked := time.Now()
				most = max(most, alive())
				tick.Reset(max(50*time.Millisecond, 4*time.Since(looked))) // what is looked at has the machine for most of the time
			}
		}
	})
	func() {
		defer watcher.Wait()
		defer close(stop)
		do()
	}()
	grown := (most - before) >> 20
	t.Logf("%d MB more were held", grown)
	return grown
}
