package bigquery

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// TestTerminalPublish: a publish job that BigQuery refuses for good changes nothing that people read, in both ways, and
// the next attempt, under a newer fence, publishes once.
func TestTerminalPublish(t *testing.T) {
	for reason, want := range map[string]elt.Code{
		"quotaExceeded": "warehouse_quota", "accessDenied": "warehouse_denied", "resourcesExceeded": "resources_exceeded", "stopped": "job_stopped",
	} {
		for _, together := range []bool{false, true} {
			for _, fault := range []bigquerytest.Fault{
				{Method: insert, Job: puts, Fails: true, Reason: reason}, {Method: insert, Job: puts, Status: 403, Reason: reason},
			} {
				t.Run(fmt.Sprintf("%s/together=%v/accepted=%v", reason, together, fault.Fails), func(t *testing.T) {
					t.Parallel()
					b := newBench(t, Options{Together: together})
					b.stageDay(t, day(t, secondNight, elt.Full, 4, "new"))
					b.server.Inject(fault)
					_, err := b.Publish(t.Context(), publication(secondNight, 2, ""))
					if f := elt.NewFailure(err); f == nil || f.Code != want || f.Do == "" {
						t.Fatalf("error %+v, want the code %s", f, want)
					}
					b.wantVisible(t, 3, "old", firstNight)
					b.publishDay(t, secondNight, 3, "")
					b.wantVisible(t, 4, "new", firstNight, secondNight)
				})
			}
		}
	}
}

// TestCancelPublish: a publish that is cancelled while BigQuery is at work cancels the job; the old night still serves,
// and the next attempt publishes once.
func TestCancelPublish(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprint(together), func(t *testing.T) {
			b := newBench(t, Options{Together: together})
			b.stageDay(t, day(t, secondNight, elt.Full, 4, "new"))
			n := len(b.server.Requests())
			b.server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Hangs: true})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := b.Publish(ctx, publication(secondNight, 2, ""))
				done <- err
			}()
			asked := func(method string) bool {
				return slices.ContainsFunc(b.server.Requests()[n:], func(r bigquerytest.Request) bool {
					return r.Method == method && strings.HasPrefix(r.Job, puts)
				})
			}
			for !asked("bigquery.jobs.get") {
				runtime.Gosched()
			}
			cancel()
			if f := elt.NewFailure(<-done); f == nil || f.Code != elt.Interrupted {
				t.Fatalf("error %+v", f)
			}
			if !asked("bigquery.jobs.cancel") {
				t.Error("the job was not cancelled")
			}
			b.wantVisible(t, 3, "old", firstNight)
			b.publishDay(t, secondNight, 3, "")
			b.wantVisible(t, 4, "new", firstNight, secondNight)
		})
	}
}
