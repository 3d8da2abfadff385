package bigquery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
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
			done := make(chan error, 1)
			go func() {
				_, err := b.Publish(ctx, publication(secondNight, 2, ""))
				done <- err
			}()
			asked := func(method string) bool {
				return slices.ContainsFunc(b.server.Requests()[n:], func(r bigquerytest.Request) bool {
					return r.Method == method && strings.HasPrefix(r.Job, puts)
				})
			}
			testenv.Eventually(t, "the job runs and somebody looks at it", func() bool { return asked("bigquery.jobs.get") })
			cancel()
			if f := elt.NewFailure(testenv.Receive(t, "publishing ends with its context", done)); f == nil || f.Code != elt.Interrupted {
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

// TestRestoreFaults: whatever happens to a request, an answer or a job, a version is kept once and brought back once.
func TestRestoreFaults(t *testing.T) {
	backs := elt.Restoration{Relation: "shop.users", Fence: 3, Version: elt.Version{
		ID: "shop.users@back", Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 1, Day: 6}, Run: "rollback-2026-01-07",
		Restores: elt.NewVersionID("shop.users", firstNight), Checks: elt.ChecksPassed,
	}}
	for name, faults := range map[string][]bigquerytest.Fault{
		"503 on the clone":                   {{Method: insert, Job: puts, Status: 503, Reason: "backendError"}},
		"the answer to the clone is lost":    {{Method: insert, Job: puts, Lost: true}},
		"every answer is lost":               {{Method: insert, Job: puts, Lost: true, Times: 4}},
		"the clone fails after acceptance":   {{Method: insert, Job: puts, Fails: true, Reason: "jobBackendError"}},
		"jobs fail, and fail again":          {{Method: insert, Job: puts, Fails: true, Reason: "jobInternalError", Times: 3}},
		"rate limit":                         {{Method: insert, Job: puts, Status: 403, Reason: "rateLimitExceeded"}},
		"503 on what is asked about a table": {{Method: "bigquery.tables.get", Status: 503, Reason: "backendError"}},
		"503 on what is asked about a job":   {{Method: "bigquery.jobs.get", Status: 503, Reason: "backendError"}},
		"the record's answer is lost":        {{Method: insert, Job: puts, Times: 2}, {Method: insert, Job: puts, Lost: true}},
		"the record fails after acceptance":  {{Method: insert, Job: puts, Times: 2}, {Method: insert, Job: puts, Fails: true, Reason: "backendError"}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/together=%v", name, together), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{Together: together})
				b.stageDay(t, day(t, secondNight, elt.Full, 4, "new"))
				b.publishDay(t, secondNight, 2, "")
				b.server.Inject(faults...)
				if v, err := b.Restore(t.Context(), backs); err != nil || v.Restores != backs.Version.Restores {
					t.Fatalf("%+v, %v", v, err)
				}
				if n := b.server.Pending(); n != 0 {
					t.Errorf("%d faults were not met", n)
				}
				b.wantVisible(t, 3, "old", firstNight, secondNight, backs.Version.Run)
				if v, err := b.Restore(t.Context(), backs); err != nil || v.ID != backs.Version.ID { // asked for again
					t.Errorf("%+v, %v", v, err)
				}
				b.wantVisible(t, 3, "old", firstNight, secondNight, backs.Version.Run)
				forward := backs
				forward.Fence, forward.Version.ID, forward.Version.Run, forward.Version.Restores = 4, "shop.users@forward", "rollback-2026-01-08", elt.NewVersionID("shop.users", secondNight)
				if _, err := b.Restore(t.Context(), forward); err != nil {
					t.Fatal(err)
				}
				b.wantVisible(t, 4, "new", firstNight, secondNight, backs.Version.Run, forward.Version.Run)
			})
		}
	}
}

// TestTerminalRestore: a restoration that BigQuery refuses for good changes nothing that people read, and the next one
// brings the version back.
func TestTerminalRestore(t *testing.T) {
	for reason, want := range map[string]elt.Code{"quotaExceeded": "warehouse_quota", "accessDenied": "warehouse_denied", "stopped": "job_stopped"} {
		for nth, what := range []string{"the clone", "the record"} {
			t.Run(reason+"/"+what, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{})
				b.stageDay(t, day(t, secondNight, elt.Full, 4, "new"))
				b.publishDay(t, secondNight, 2, "")
				back := elt.Restoration{Relation: "shop.users", Fence: 3, Version: elt.Version{
					ID: "shop.users@back", Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 1, Day: 6}, Run: "rollback-2026-01-07",
					Restores: elt.NewVersionID("shop.users", firstNight), Checks: elt.ChecksPassed,
				}}
				if nth > 0 {
					b.server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Times: nth})
				}
				b.server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Fails: true, Reason: reason})
				_, err := b.Restore(t.Context(), back)
				if f := elt.NewFailure(err); f == nil || f.Code != want || f.Do == "" {
					t.Fatalf("error %+v, want the code %s", f, want)
				}
				versions, err := b.Versions(t.Context())
				if err != nil || len(versions) != 2 {
					t.Errorf("versions %v, %v", versions, err)
				}
				if nth == 0 { // a clone that is not recorded is what the next attempt finds
					b.wantVisible(t, 4, "new", firstNight, secondNight)
				}
				back.Fence = 4
				if _, err := b.Restore(t.Context(), back); err != nil {
					t.Fatal(err)
				}
				b.wantVisible(t, 3, "old", firstNight, secondNight, back.Version.Run)
			})
		}
	}
}
