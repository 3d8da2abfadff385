package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv/ledgers"
)

// marquez is a ledger whose runs are told to an endpoint on loopback.
type marquez struct {
	*office
	*endpoint
}

// listen opens a ledger and starts a sender that tells its runs to an endpoint with the given answers.
func listen(t *testing.T, answer http.HandlerFunc) marquez {
	t.Helper()
	e := newEndpoint(t, answer)
	d := OpenLineage(Lineage{
		URL: e.url(), Key: secret, Namespace: "shop", Version: "1.2.3", Dialect: "duckdb",
		Sources:   map[elt.SourceName]Place{"shop": {"postgres://db.example.com:5432", "prod."}},
		Tables:    map[elt.DatasetName]string{"shop.users": "public.users"},
		Lake:      Place{"s3://lake", ""},
		Warehouse: Place{"duckdb:///warehouse.duckdb", "warehouse."},
		Code:      func(elt.DatasetName) (string, string) { return "select {{ var('x') }}", "select 1" },
	})
	o := &office{}
	log := slog.New(slog.NewTextHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := ledger.Open(t.Context(), ledgers.SQLite(t), log)
	ok(t, err)
	t.Cleanup(func() { l.Close() })
	ok(t, l.Migrate(t.Context()))
	ok(t, l.Lineage().Sync(t.Context(), []elt.DestinationName{LineageName}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	sender := New(Options{
		Destinations: []Destination{d}, Outbox: l, Lineage: l.Lineage(), AllowPrivate: true, Log: log, Now: time.Now,
		Look: 2 * time.Millisecond, Timeout: patience, FirstRetry: time.Millisecond, MaxRetry: 5 * time.Millisecond,
	})
	go func() { sender.Run(ctx); close(done) }()
	o.Ledger = l
	t.Cleanup(func() { cancel(); <-done; o.leaksNothing(t) })
	return marquez{o, e}
}

var friday = elt.Date{Year: 2026, Month: 11, Day: 20}

// night brings one table and a model of it, whose test fails in one of its two checks.
func (m marquez) night(t *testing.T, id elt.RunID) {
	t.Helper()
	ctx := t.Context()
	ok(t, m.SyncDatasets(ctx, []elt.Dataset{
		{Name: "shop.users", Kind: elt.TableDataset, Schedule: "nightly", Relation: "shop.users", Zone: "Europe/Dublin", Columns: []elt.ColumnDoc{{Name: "id", Description: "who it is"}}},
		{Name: "crowd", Kind: elt.ModelDataset, Schedule: "nightly", Relation: "analytics.crowd", Zone: "Europe/Dublin", Description: "how many there are",
			Owners: []string{"a@example.com"}, Inputs: []elt.DatasetName{"shop.users"}, Columns: []elt.ColumnDoc{{Name: "people", Type: "int64"}}},
	}))
	run := elt.Run{ID: id, Schedule: "nightly", Date: friday, Kind: elt.ManualRun}
	var steps []elt.Step
	for _, s := range []struct {
		kind elt.StepKind
		of   elt.DatasetName
	}{{elt.ExtractStep, "shop.users"}, {elt.LoadStep, "shop.users"}, {elt.TransformStep, "crowd"}, {elt.TestStep, "crowd"}, {elt.PublishStep, ""}} {
		steps = append(steps, elt.Step{ID: elt.NewStepID(id, s.kind, s.of), Run: id, Kind: s.kind, Dataset: s.of, Date: friday})
	}
	_, _, err := m.CreateRun(ctx, run, steps, nil)
	ok(t, err)
	for _, s := range steps {
		lease, err := m.Claim(ctx, s.ID, "w", time.Hour)
		ok(t, err)
		out := elt.Outcome{State: elt.StepSucceeded, Result: elt.Result{Rows: 3}}
		switch s.Kind {
		case elt.ExtractStep:
			manifest := &elt.Manifest{
				Format: 1, Dataset: s.Dataset, Date: friday, Run: id, Attempt: 1, Mode: elt.Full,
				Schema: elt.Schema{{Name: "id", Type: elt.Type{Kind: elt.Int64}, SourceType: "bigint"}},
				Parts:  []elt.Part{{Key: "part-0", Rows: 3, Bytes: 120, SHA256: strings.Repeat("0", 64)}}, Stats: elt.TableStats{Rows: 3},
			}
			ok(t, m.SaveManifest(ctx, lease, manifest))
			out.Result.Manifest = manifest.ObjectKey()
		case elt.TestStep:
			out.State, out.Error = elt.StepFailed, &elt.Failure{Code: "test_failed", Class: elt.Data, Message: "hunter2 is there twice"}
			out.Result.Notes = []elt.Check{{Name: "not_null(people)", Severity: "error", Passed: true}, {Name: "unique(people)", Severity: "error", Failures: 2}}
		}
		ok(t, m.Finish(ctx, lease, out))
	}
	ok(t, m.FinishRun(ctx, id, elt.RunFailed))
}

// events returns that many events, each once: what comes again under the same key must say the same.
func (m marquez) events(t *testing.T, n int) (out []lineageEvent) {
	t.Helper()
	for _, body := range m.bodies(t, n) {
		var e lineageEvent
		ok(t, json.Unmarshal(body, &e))
		out = append(out, e)
	}
	return out
}

// bodies returns that many events as they were sent, each once.
func (m marquez) bodies(t *testing.T, n int) (out [][]byte) {
	t.Helper()
	seen := make(map[string]string)
	for len(out) < n {
		p := m.next(t)
		if body, again := seen[p.key]; again {
			if body != string(p.body) {
				t.Errorf("%s was told as\n%s\nand then as\n%s", p.key, body, p.body)
			}
			continue
		}
		seen[p.key] = string(p.body)
		validate(t, p.body)
		out = append(out, p.body)
	}
	return out
}

// validate holds an event to what the specification requires.
func validate(t *testing.T, body []byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/openlineage.schema.json")
	ok(t, err)
	var schema openapi3.Schema
	ok(t, json.Unmarshal(text, &schema))
	var value any
	ok(t, json.Unmarshal(body, &value))
	if err := schema.VisitJSON(value, openapi3.EnableFormatValidation()); err != nil {
		t.Errorf("%v\n%s", err, body)
	}
	if strings.Contains(string(body), "hunter2") {
		t.Errorf("it quotes what an error says: %s", body)
	}
}

const ofANight = 12 // two of the run, two of each step

func TestANightIsToldInOrder(t *testing.T) {
	m := listen(t, status(201))
	m.night(t, "run-1")
	events := m.events(t, ofANight)
	var told []string
	for _, e := range events {
		s := fmt.Sprint(e.EventType, " ", e.Job.Name)
		for _, d := range e.Inputs {
			s += " < " + d.Namespace + " " + d.Name
		}
		for _, d := range e.Outputs {
			s += " > " + d.Namespace + " " + d.Name
		}
		told = append(told, s)
	}
	extract := " < postgres://db.example.com:5432 prod.public.users > s3://lake shop.users"
	load := " < s3://lake shop.users > duckdb:///warehouse.duckdb warehouse.shop.users"
	crowd := "duckdb:///warehouse.duckdb warehouse.analytics.crowd"
	transform := " < duckdb:///warehouse.duckdb warehouse.shop.users > " + crowd
	want := []string{
		"START nightly", "START nightly.extract.shop.users" + extract, "COMPLETE nightly.extract.shop.users" + extract,
		"START nightly.load.shop.users" + load, "COMPLETE nightly.load.shop.users" + load,
		"START nightly.transform.crowd" + transform, "COMPLETE nightly.transform.crowd" + transform,
		"START nightly.test.crowd < " + crowd, "FAIL nightly.test.crowd < " + crowd, "START nightly.publish", "COMPLETE nightly.publish", "FAIL nightly",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for i := 1; i < ofANight-1; i += 2 { // a step's two are of one run, whose parent is the night's
		if a, b := events[i].Run, events[i+1].Run; a.RunID != b.RunID || a.RunID == events[0].Run.RunID || cmp.Diff(a.Facets["parent"]["run"], any(map[string]any{"runId": events[0].Run.RunID})) != "" {
			t.Errorf("runs %+v and %+v", a, b)
		}
	}
	if events[0].Run.RunID != events[ofANight-1].Run.RunID {
		t.Errorf("the run is %s, and then %s", events[0].Run.RunID, events[ofANight-1].Run.RunID)
	}
	extracted, built, tested := events[2], events[6], events[8]
	for what, c := range map[string]struct{ got, want any }{
		"the data date":      {events[0].Run.Facets["nominalTime"]["nominalStartTime"], "2026-11-20T00:00:00Z"},
		"what was extracted": {extracted.Outputs[0].Output["outputStatistics"]["rowCount"], 3.0},
		"its size":           {extracted.Outputs[0].Output["outputStatistics"]["size"], 120.0},
		"the source's types": {extracted.Inputs[0].Facets["schema"]["fields"], []any{map[string]any{"name": "id", "type": "bigint"}}},
		"the lake's":         {extracted.Outputs[0].Facets["schema"]["fields"], []any{map[string]any{"name": "id", "type": "int64", "description": "who it is"}}},
		"the SQL":            {built.Job.Facets["sql"]["query"], "select 1"},
		"as written":         {built.Job.Facets["sourceCode"]["sourceCode"], "select {{ var('x') }}"},
		"a model's columns":  {built.Outputs[0].Facets["schema"]["fields"], []any{map[string]any{"name": "people", "type": "int64"}}},
		"a model's kind":     {built.Job.Facets["jobType"]["jobType"], "TRANSFORM"},
		"why it failed":      {tested.Run.Facets["errorMessage"]["message"], "attempt 1 to test crowd failed: test_failed (data)"},
		"a test that failed": {tested.Inputs[0].Input["dataQualityAssertions"]["assertions"].([]any)[1].(map[string]any)["success"], false},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

// What was verified is told with how many values and NULLs each column has, and with no value.
func TestAVerificationTellsItsMetrics(t *testing.T) {
	l := Lineage{Namespace: "shop", Version: "1.2.3", Warehouse: Place{"duckdb:///warehouse.duckdb", "warehouse."}}
	run := elt.Run{ID: "run-1", Schedule: "nightly", Date: friday}
	step := elt.Step{ID: elt.NewStepID("run-1", elt.VerifyStep, "shop.users"), Run: "run-1", Kind: elt.VerifyStep, Dataset: "shop.users", Attempt: 1, Result: elt.Result{Rows: 3}}
	stats := elt.TableStats{Rows: 3, Columns: []elt.ColumnStats{{Column: "id", NonNull: 3, Sum: "6", Min: "1", Max: "3"}, {Column: "name", NonNull: 2, Min: "hunter2"}}}
	body, err := l.body(elt.Message{Lineage: &elt.Lineage{
		Kind: elt.LineageComplete, At: friday.Start(time.UTC), Run: run, Round: 1, Step: &step, Attempt: 1,
		Dataset: &elt.Dataset{Name: "shop.users", Relation: "shop.users"}, Manifest: &elt.Manifest{Schema: elt.Schema{{Name: "id"}, {Name: "name"}}, Stats: stats},
	}})
	ok(t, err)
	validate(t, body)
	if wrong := client(t, body); wrong != "" {
		t.Error(wrong)
	}
	var e lineageEvent
	ok(t, json.Unmarshal(body, &e))
	want := map[string]any{"id": map[string]any{"count": 3.0, "nullCount": 0.0}, "name": map[string]any{"count": 2.0, "nullCount": 1.0}}
	if diff := cmp.Diff(want, e.Inputs[0].Input["dataQualityMetrics"]["columnMetrics"]); diff != "" {
		t.Error(diff)
	}
}

// Each answer that a night may get: whatever would befall every event keeps them waiting, in their order, and none is lost.
func TestTroubleOfTheEndpointLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		answer int
		code   elt.Code
	}{
		"away": {503, "destination_failed"}, "busy": {429, "destination_busy"}, "a wrong key": {401, "lineage_unauthorized"},
		"a wrong path": {404, "lineage_misdirected"}, "moved": {308, "lineage_misdirected"},
	} {
		t.Run(name, func(t *testing.T) {
			var healthy atomic.Bool
			m := listen(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+secret {
					t.Errorf("its key is %q", r.Header.Get("Authorization"))
				}
				if !healthy.Load() {
					w.WriteHeader(c.answer)
				}
			})
			m.night(t, "run-1") // all of it ends while nobody listens
			for range 3 {
				m.next(t)
			}
			s := m.state(t, func(s elt.LineageState) bool { return s.Error != nil && s.Attempt > 1 })
			if s.Error.Code != c.code || s.Behind != ofANight || s.Delivered != 0 {
				t.Errorf("while it is away: %+v %+v", s, s.Error)
			}
			healthy.Store(true)
			if events := m.events(t, ofANight); events[0].EventType != elt.LineageStart || events[ofANight-1].Job.Name != "nightly" {
				t.Errorf("the first is %+v, the last %+v", events[0], events[ofANight-1])
			}
			s = m.state(t, func(s elt.LineageState) bool { return s.Behind == 0 || s.Delivered == ofANight })
			if s.Delivered != ofANight || s.GivenUp != 0 || s.Error != nil {
				t.Errorf("at last: %+v", s)
			}
		})
	}
}

// state waits until the ledger says how far the endpoint is.
func (m marquez) state(t *testing.T, done func(elt.LineageState) bool) elt.LineageState {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		states, err := m.LineageStates(t.Context())
		ok(t, err)
		if done(states[0]) {
			return states[0]
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still %+v", states[0])
		}
	}
}

// An event that the endpoint will not have is given up alone.
func TestARefusedEventHoldsUpNoOther(t *testing.T) {
	var n atomic.Int64
	m := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 2 {
			w.WriteHeader(422)
		}
	})
	m.night(t, "run-1")
	m.events(t, ofANight)
	if s := m.state(t, func(s elt.LineageState) bool { return s.Delivered+s.GivenUp == ofANight }); s.GivenUp != 1 {
		t.Errorf("%+v", s)
	}
	if log := m.log.String(); !strings.Contains(log, "lineage_refused") {
		t.Errorf("the log says nothing of it: %s", log)
	}
}

// The same run has the same UUID wherever it is computed; another round, attempt or namespace has another one.
func TestUUIDs(t *testing.T) {
	l := &Lineage{Namespace: "shop"}
	if got := l.runID("run-1", 1); got != "b8379b04-be49-57a8-811d-4cc6fb031439" {
		t.Errorf("run-1 is %s", got)
	}
	seen := make(map[string]bool)
	for _, id := range []string{l.runID("run-1", 1), l.runID("run-1", 2), l.runID("run-1/extract/shop.users", 1), (&Lineage{Namespace: "other"}).runID("run-1", 1)} {
		if seen[id] || id[14] != '5' {
			t.Errorf("%s is no UUID of its own, or of another version", id)
		}
		seen[id] = true
	}
}

func TestTheEndpointsPath(t *testing.T) {
	for url, want := range map[string]string{
		"https://marquez.example.com":                                    "https://marquez.example.com/api/v1/lineage",
		"https://marquez.example.com:5000/":                              "https://marquez.example.com:5000/api/v1/lineage",
		"https://datahub.example.com/openapi/openlineage/api/v1/lineage": "https://datahub.example.com/openapi/openlineage/api/v1/lineage",
	} {
		if got := lineageURL(url); got != want {
			t.Errorf("%s leads to %s", url, got)
		}
	}
}
