package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/ledgers"
	"github.com/daybreak-data/daybreak/status"
	"github.com/daybreak-data/daybreak/status/api"
)

// story is a random history of a ledger, and two services that follow it.
type story struct {
	*testing.T
	*rand.Rand
	book      *ledger.Ledger
	service   *status.Service
	datasets  []elt.Dataset
	first     elt.Date
	hour      int // of the deadlines: half a day from now, so that none passes while a test compares two answers
	runs      []elt.Run
	steps     map[elt.RunID][]elt.Step
	leases    []elt.Lease
	incidents []elt.IncidentID
	remarks   []elt.RemarkID
	windows   []elt.MaintenanceID
	versions  []elt.Version
}

const storyDates = 4

func newStory(t *testing.T, seed uint64) *story {
	book, err := ledger.Open(t.Context(), ledgers.SQLite(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	if err := book.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	st := &story{
		T: t, Rand: rand.New(rand.NewPCG(seed, 0)), book: book, steps: make(map[elt.RunID][]elt.Step),
		first: elt.DateOf(now).AddDays(-storyDates), hour: (now.Hour() + 12) % 24,
	}
	st.datasets = []elt.Dataset{
		{Name: "shop.users", Kind: elt.TableDataset, Schedule: "nightly"},
		{Name: "shop.orders", Kind: elt.TableDataset, Schedule: "nightly"},
		{Name: "daily", Kind: elt.ModelDataset, Schedule: "nightly", Materialized: "incremental", Inputs: []elt.DatasetName{"shop.orders"}},
		{Name: "seen", Kind: elt.ModelDataset, Schedule: "nightly", Materialized: "view", Inputs: []elt.DatasetName{"daily"}},
		{Name: "totals", Kind: elt.ModelDataset, Schedule: "nightly", Materialized: "table", Inputs: []elt.DatasetName{"seen", "shop.users"}},
	}
	st.must(book.SyncDatasets(t.Context(), st.datasets))
	st.service = st.serve()
	return st
}

func (st *story) serve() *status.Service {
	s, err := status.New(status.Options{
		Ledger: st.book, Acts: st.book, Controls: st.book, Public: true,
		Schedules: func(time.Time) []api.Schedule {
			return []api.Schedule{{Name: "nightly", When: "daily at 02:00", Zone: "UTC", Datasets: len(st.datasets), CatchUp: "each date"}}
		},
		Past: func(ctx context.Context, moment time.Time) (status.PastLedger, error) {
			return st.book.AsOf(ctx, moment)
		},
	})
	st.must(err)
	return s
}

func (st *story) must(err error) {
	st.Helper()
	if err != nil {
		st.Fatal(err)
	}
}

// may lets pass what the ledger refuses for a reason that it names.
func (st *story) may(err error) {
	st.Helper()
	if _, named := errors.AsType[*elt.Error](err); err != nil && !named {
		st.Fatal(err)
	}
}

func pick[T any](st *story, list []T) (one T, ok bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[st.IntN(len(list))], true
}

func (st *story) date() elt.Date { return st.first.AddDays(st.IntN(storyDates)) }

func (st *story) dataset() elt.DatasetName { return st.datasets[st.IntN(len(st.datasets))].Name }

func (st *story) days(date elt.Date) (days []elt.Day) {
	for _, d := range st.datasets {
		day := elt.Day{Dataset: d.Name, Date: date, Deadline: date.AddDays(1+9*st.IntN(2)).At(st.hour, 0, time.UTC)}
		if st.IntN(8) == 0 {
			day.NotExpected = "a holiday"
		}
		days = append(days, day)
	}
	return days
}

// act has one thing happen.
func (st *story) act() {
	ctx := st.Context()
	switch st.IntN(23) {
	case 0, 1:
		date, n := st.date(), len(st.runs)
		run := elt.Run{ID: elt.RunID(fmt.Sprintf("nightly-%s-%d", date, n)), Schedule: "nightly", Date: date, Kind: elt.ManualRun, Sequence: n, Reason: "again"}
		var steps []elt.Step
		for _, d := range st.datasets {
			steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.LoadStep, d.Name), Run: run.ID, Kind: elt.LoadStep, Dataset: d.Name})
		}
		steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.PublishStep, ""), Run: run.ID, Kind: elt.PublishStep})
		_, _, err := st.book.CreateRun(ctx, run, steps, st.days(date))
		st.must(err)
		st.runs, st.steps[run.ID] = append(st.runs, run), steps
	case 2, 3, 4:
		if run, ok := pick(st, st.runs); ok {
			step, _ := pick(st, st.steps[run.ID])
			lease, err := st.book.Claim(ctx, step.ID, "w", time.Duration(st.IntN(2))*time.Hour)
			st.may(err)
			if err == nil {
				st.leases = append(st.leases, lease)
			}
		}
	case 5:
		if lease, ok := pick(st, st.leases); ok {
			_, err := st.book.Heartbeat(ctx, lease, time.Hour, elt.Progress{}) // of progress history tells to the minute
			st.may(err)
		}
	case 6, 7, 8:
		if lease, ok := pick(st, st.leases); ok {
			failure := &elt.Failure{Code: "source_unreachable", Class: elt.Transient, Message: "cut", Do: "wait"}
			o := []elt.Outcome{
				{State: elt.StepSucceeded, Result: elt.Result{Rows: int64(st.IntN(100))}}, {State: elt.StepFailed, Error: failure},
				{State: elt.StepRetrying, NextAttemptAt: st.first.AddDays(30).Start(time.UTC), Error: failure}, {State: elt.StepSucceeded},
			}[st.IntN(4)]
			st.may(st.book.Finish(ctx, lease, o))
		}
	case 9:
		if run, ok := pick(st, st.runs); ok {
			step, _ := pick(st, st.steps[run.ID])
			st.must(st.book.BlockSteps(ctx, []elt.StepID{step.ID}))
		}
	case 10:
		if run, ok := pick(st, st.runs); ok {
			switch st.IntN(4) {
			case 0:
				st.may(st.book.CancelRun(ctx, run.ID, "ops@example.com", "wrong prices"))
			case 1:
				st.may(st.book.FinishRun(ctx, run.ID, elt.RunPartial))
			default:
				_, err := st.book.RetryRun(ctx, run.ID, "ops@example.com")
				st.may(err)
			}
		}
	case 11, 12, 13:
		st.publish()
	case 14:
		if st.IntN(2) == 0 {
			_, err := st.book.Withdraw(ctx, st.dataset(), st.date(), "ops@example.com", "wrong prices")
			st.may(err)
		} else {
			_, err := st.book.Reinstate(ctx, st.dataset(), st.date(), "ops@example.com", "they were right")
			st.may(err)
		}
	case 15, 16:
		st.say()
	case 17:
		st.trouble()
	case 18:
		st.must(st.book.ExpectDays(ctx, st.days(st.date())))
	case 19:
		if st.IntN(3) == 0 {
			_, err := st.book.ReleaseLeases(ctx)
			st.must(err)
			return
		}
		some := append([]elt.Dataset(nil), st.datasets...)
		some[st.IntN(len(some))].Description = fmt.Sprint("in other words ", st.IntN(9))
		st.must(st.book.SyncDatasets(ctx, some[:len(some)-st.IntN(2)]))
	case 20, 21, 22:
		st.schedule()
	}
}

// schedule has a tick held or decided, the schedule rest or start again, or maintenance announced or ended.
func (st *story) schedule() {
	ctx := st.Context()
	now, err := st.book.Now(ctx)
	st.must(err)
	switch st.IntN(6) {
	case 0, 1:
		date := st.date()
		tick := elt.Tick{Schedule: "nightly", Date: date, DueAt: date.AddDays(1).Start(time.UTC)}
		switch st.IntN(3) {
		case 0:
			tick.Hold = &elt.Hold{Kind: elt.HoldPaused, Reason: fmt.Sprint("paused for reason ", st.IntN(3))}
		case 1:
			tick.Skipped = "too late"
		default:
			tick.Run = "nightly-1"
		}
		_, err = st.book.RecordTick(ctx, tick)
	case 2:
		_, err = st.book.PauseSchedule(ctx, elt.Pause{Schedule: "nightly", By: "ops@example.com", Reason: fmt.Sprint("the disk is full, ", st.IntN(9)), Until: now.Add(time.Hour)})
	case 3:
		_, err = st.book.ResumeSchedule(ctx, "nightly", "ops@example.com", "mended")
	case 4:
		var m elt.Maintenance
		m, err = st.book.AddMaintenance(ctx, elt.Maintenance{From: now.Add(-time.Hour), To: now.Add(time.Hour), Zone: "UTC", Datasets: []elt.DatasetName{st.dataset()}, By: "ops@example.com", Reason: "the server moves"})
		st.windows = append(st.windows, m.ID)
	default:
		if id, ok := pick(st, st.windows); ok {
			_, _, err = st.book.EndMaintenance(ctx, id, "ops@example.com", "it was quicker")
		}
	}
	st.must(err)
}

// publish records versions of a run, or one that restores another.
func (st *story) publish() {
	run, ok := pick(st, st.runs)
	if !ok {
		return
	}
	var versions []elt.Version
	for _, d := range st.datasets {
		if st.IntN(2) == 0 {
			continue
		}
		v := elt.Version{ID: elt.NewVersionID(d.Name, run.ID), Dataset: d.Name, Date: run.Date, Run: run.ID, Fence: int64(len(st.versions)), Rows: int64(st.IntN(1000)), Checks: elt.ChecksPassed, Inputs: map[elt.DatasetName]elt.VersionID{}}
		for _, in := range d.Inputs {
			v.Inputs[in] = elt.NewVersionID(in, run.ID)
		}
		if old, ok := pick(st, st.versions); ok && old.Dataset == d.Name && st.IntN(3) == 0 {
			v.Restores = old.ID
		}
		versions = append(versions, v)
	}
	st.must(st.book.RecordVersions(st.Context(), versions))
	st.versions = append(st.versions, versions...)
}

// say has somebody say something, or take it back.
func (st *story) say() {
	if remark, ok := pick(st, st.remarks); ok && st.IntN(3) == 0 {
		st.must(st.book.RemoveRemark(st.Context(), remark, "ops@example.com"))
		return
	}
	r := elt.Remark{Actor: "ops@example.com", Text: "we are looking at it", Dataset: st.dataset()}
	if in, ok := pick(st, st.incidents); ok && st.IntN(2) == 0 {
		r.Incident = in
	}
	kept, err := st.book.Remark(st.Context(), r)
	st.must(err)
	st.remarks = append(st.remarks, kept.ID)
}

// trouble opens an incident, or has one acknowledged, changed or resolved.
func (st *story) trouble() {
	ctx := st.Context()
	id, known := pick(st, st.incidents)
	switch n := st.IntN(5); {
	case n < 2 || !known:
		in, opened, err := st.book.OpenIncident(ctx, elt.Incident{Cause: st.dataset(), Date: st.date(), Title: "it failed", Affected: []elt.DatasetName{st.dataset()}})
		st.must(err)
		if opened {
			st.incidents = append(st.incidents, in.ID)
		}
	case n == 2:
		_, err := st.book.AcknowledgeIncident(ctx, id, "ops@example.com")
		st.may(err)
	case n == 3:
		st.may(st.book.UpdateIncident(ctx, elt.Incident{ID: id, Title: "it failed again", Affected: []elt.DatasetName{st.dataset()}}))
	default:
		st.may(st.book.ResolveIncident(ctx, id))
	}
}

// clock waits until the ledger's clock has moved on: what happens next happens later.
func (st *story) clock() {
	then, err := st.book.Now(st.Context())
	for now := then; err == nil && !now.After(then); {
		now, err = st.book.Now(st.Context())
	}
	st.must(err)
}

// paths are everything that can be asked as of a moment.
func (st *story) paths() []string {
	paths := []string{"/v1/summary", "/v1/datasets", "/v1/lineage", "/v1/runs", "/v1/incidents", "/v1/schedules", "/v1/schedules/nightly/ticks", "/v1/maintenance"}
	for _, d := range st.datasets {
		at := "/v1/datasets/" + string(d.Name)
		paths = append(paths, at, at+"/days", at+"/lineage", at+"/notes")
		for n := range storyDates {
			paths = append(paths, at+"/days/"+st.first.AddDays(n).String())
		}
	}
	for _, r := range st.runs {
		paths = append(paths, "/v1/runs/"+string(r.ID), "/v1/runs/"+string(r.ID)+"/steps")
	}
	for _, in := range st.incidents {
		paths = append(paths, "/v1/incidents/"+string(in)+"/updates")
	}
	return paths
}

// said is what a service answers, without its age.
func said(t *testing.T, s *status.Service, path string, moment time.Time) (answer string, asOf time.Time) {
	t.Helper()
	if !moment.IsZero() {
		path += "?as_of=" + url.QueryEscape(moment.Format(time.RFC3339Nano))
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	if text, ok := body["as_of"].(string); ok {
		asOf, _ = time.Parse(time.RFC3339Nano, text)
	}
	delete(body, "as_of")
	delete(body, "evaluator_lag_s")
	forgetLeases(body) // of heartbeats history tells to the minute
	b, err := json.MarshalIndent(body, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(rec.Code, " ", string(b)), asOf
}

// forgetLeases takes out of a body until when leases last.
func forgetLeases(body any) {
	switch body := body.(type) {
	case map[string]any:
		delete(body, "lease_until")
		for _, part := range body {
			forgetLeases(part)
		}
	case []any:
		for _, part := range body {
			forgetLeases(part)
		}
	}
}

// look has the service see everything that has happened, and what can be expected of it.
func (st *story) look() time.Time {
	st.seen()
	st.must(st.service.Estimate(st.Context()))
	st.clock()
	return st.seen()
}

func (st *story) seen() (asOf time.Time) {
	now, err := st.book.Now(st.Context())
	st.must(err)
	// Something that nothing follows from: the service reads the ledger again, and says of when it is to the millisecond. It
	// rests after a reading, for longer the longer that took.
	st.must(st.book.Audit(st.Context(), elt.AuditEntry{Actor: "ops@example.com", Action: "look"}))
	testenv.Eventually(st.T, "the service has read what was done last", func() bool {
		st.must(st.service.Refresh(st.Context()))
		_, asOf = said(st.T, st.service, "/v1/summary", time.Time{})
		return !asOf.Before(now)
	})
	return asOf
}
