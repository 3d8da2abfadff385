package bigquery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
	"github.com/daybreak-data/daybreak/internal/warehouse/warehousetest"
)

const (
	firstNight  elt.RunID = "nightly-2026-01-05"
	secondNight elt.RunID = "nightly-2026-01-06"
)

// bench is a warehouse in which a first night is published.
type bench struct {
	*Warehouse
	server *bigquerytest.Server
	before int // requests for the first night
}

func newBench(t *testing.T, o Options) bench {
	t.Helper()
	server := bigquerytest.New(t)
	b := bench{Warehouse: open(t, server, o), server: server}
	b.stageDay(t, day(t, firstNight, elt.Full, 3, "old"))
	b.publishDay(t, firstNight, 1, "")
	b.before = len(server.Requests())
	return b
}

// day is a dataset-day of n rows in two parts, large enough for an upload in several chunks where big is wanted.
func day(t testing.TB, run elt.RunID, mode elt.Mode, n int, name string) warehousetest.Day {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1}) // so that Parquet cannot make it small
	rows := make([]warehousetest.Row, n)
	for i := range rows {
		var noise []byte
		if n > 100 {
			noise = make([]byte, 1000)
			if _, err := random.Read(noise); err != nil {
				t.Fatal(err)
			}
		}
		rows[i] = warehousetest.Row{int64(i), fmt.Sprintf("%s %d", name, i), noise}
	}
	return warehousetest.NewDay(t, t.TempDir(), elt.Manifest{
		Dataset: "shop.users", Run: run, Date: elt.Date{Year: 2026, Month: 1, Day: 6}, Attempt: 1, Mode: mode, Key: []string{"id"},
		Schema: elt.Schema{
			{Name: "id", Type: elt.Type{Kind: elt.Int64}}, {Name: "name", Type: elt.Type{Kind: elt.String}}, {Name: "noise", Type: elt.Type{Kind: elt.Bytes}},
		},
	}, rows[:n/2], rows[n/2:])
}

func (b bench) stageDay(t testing.TB, d warehousetest.Day) {
	t.Helper()
	rows, err := b.Stage(t.Context(), d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
	if err != nil || rows != d.Rows() {
		t.Fatalf("staged %d of %d rows, %v", rows, d.Rows(), err)
	}
	stats, err := b.Measure(t.Context(), d.Run, "shop.users", d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := d.Stats.Compare(stats); len(wrong) > 0 {
		t.Fatalf("what is staged is not what the manifest says: %v", wrong)
	}
}

func publication(run elt.RunID, fence int64, strategy elt.Strategy) elt.Publication {
	return elt.Publication{Run: run, Fence: fence, Items: []elt.PublicationItem{{
		Version:  elt.Version{ID: elt.NewVersionID("shop.users", run), Dataset: "shop.users", Date: elt.Date{Year: 2026, Month: 1, Day: 6}, Run: run, Checks: elt.ChecksPassed},
		Relation: "shop.users", Strategy: strategy, Key: []string{"id"},
	}}}
}

func (b bench) publishDay(t testing.TB, run elt.RunID, fence int64, strategy elt.Strategy) {
	t.Helper()
	versions, err := b.Publish(t.Context(), publication(run, fence, strategy))
	if err != nil || len(versions) != 1 {
		t.Fatalf("publish %s: %v, %v", run, versions, err)
	}
}

// wantVisible fails the test unless these runs have published, each once, and the table shows the last one's rows.
func (b bench) wantVisible(t testing.TB, rows int, name string, runs ...elt.RunID) {
	t.Helper()
	versions, err := b.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []elt.RunID
	for _, v := range versions {
		got = append(got, v.Run)
	}
	if !slices.Equal(got, runs) {
		t.Errorf("versions of %v are recorded, want %v", got, runs)
	}
	want := fmt.Sprintf("%d|%d|%d", rows, rows, rows)
	query := fmt.Sprintf("SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE name LIKE '%s %%') FROM %s", name, b.Published("shop.users"))
	if got := b.server.Rows(t, query); !slices.Equal(got, []string{want}) {
		t.Errorf("the published table has %v (rows, ids, rows called %q), want %s", got, name, want)
	}
}

const (
	insert = "bigquery.jobs.insert"
	loads  = "daybreak_load"
	puts   = "daybreak_publish"
)

// TestFaults: whatever happens to a request, an answer or a job, the night is published once, with every row once.
func TestFaults(t *testing.T) {
	const chunk = 256 << 10
	for name, faults := range map[string][]bigquerytest.Fault{
		"503 on insert":                        {{Method: insert, Job: loads, Status: 503, Reason: "backendError"}},
		"503 on insert, again and again":       {{Method: insert, Job: loads, Status: 503, Reason: "backendError", Times: 4}},
		"the answer to the insert is lost":     {{Method: insert, Job: loads, Lost: true}},
		"the upload's last answer is lost":     {{Method: "upload", Final: true, Lost: true}},
		"every upload's last answer is lost":   {{Method: "upload", Final: true, Lost: true, Times: 2}},
		"410 on the session":                   {{Method: "upload", Status: http.StatusGone, Reason: "gone"}},
		"410 on the last chunk, then lost":     {{Method: "upload", Final: true, Status: http.StatusGone}, {Method: "upload", Final: true, Lost: true}},
		"503 on a chunk":                       {{Method: "upload", Status: 503}},
		"a load fails after acceptance":        {{Method: insert, Job: loads, Fails: true, Reason: "backendError"}},
		"loads fail, and fail again":           {{Method: insert, Job: loads, Fails: true, Reason: "jobInternalError", Times: 4}},
		"rate limit on insert":                 {{Method: insert, Job: loads, Status: 403, Reason: "rateLimitExceeded"}},
		"a copy fails after acceptance":        {{Method: insert, Job: puts, Fails: true, Reason: "jobBackendError"}},
		"the answer to the copy is lost":       {{Method: insert, Job: puts, Lost: true}},
		"the answer to every publish job lost": {{Method: insert, Job: puts, Lost: true, Times: 3}},
		"503 on everything once":               {{Method: insert, Job: loads, Status: 503}, {Method: insert, Job: puts, Status: 503}, {Method: "bigquery.jobs.get", Status: 503}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/together=%v", name, together), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{ChunkBytes: chunk, Together: together})
				b.server.Inject(faults...)
				rows := 3
				if slices.ContainsFunc(faults, func(f bigquerytest.Fault) bool { return f.Method == "upload" }) {
					rows = 1200 // two parts of more than one chunk
				}
				b.stageDay(t, day(t, secondNight, elt.Full, rows, "new"))
				b.publishDay(t, secondNight, 2, "")
				if n := b.server.Pending(); n != 0 {
					t.Errorf("%d faults were not met", n)
				}
				b.wantVisible(t, rows, "new", firstNight, secondNight)
			})
		}
	}
}

// TestMergeFaults: a delta is merged once, whatever happens to the transaction.
func TestMergeFaults(t *testing.T) {
	for name, fault := range map[string]bigquerytest.Fault{
		"none":                   {Method: insert, Job: "none"},
		"the answer is lost":     {Method: insert, Job: puts, Lost: true},
		"503":                    {Method: insert, Job: puts, Status: 503},
		"fails after acceptance": {Method: insert, Job: puts, Fails: true, Reason: "backendError"},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/together=%v", name, together), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{Together: together})
				b.server.Inject(fault)
				b.stageDay(t, day(t, secondNight, elt.Incremental, 2, "new"))
				b.publishDay(t, secondNight, 2, elt.Append) // twice would show
				want := []string{"0|new 0", "0|old 0", "1|new 1", "1|old 1", "2|old 2"}
				if got := b.server.Rows(t, "SELECT id, name FROM "+b.Published("shop.users")+" ORDER BY id, name"); !slices.Equal(got, want) {
					t.Errorf("published rows %v, want %v", got, want)
				}
			})
		}
	}
}

// TestTerminal: what no repetition mends ends at once, with a sentence; nothing changes for readers, and the next
// attempt goes on under a new ID.
func TestTerminal(t *testing.T) {
	for reason, want := range map[string]elt.Code{
		"quotaExceeded": "warehouse_quota", "accessDenied": "warehouse_denied", "resourcesExceeded": "resources_exceeded",
		"bytesBilledLimitExceeded": "bytes_limit", "invalid": "part_unreadable", "stopped": "job_stopped",
	} {
		for _, fault := range []bigquerytest.Fault{
			{Method: insert, Job: loads, Fails: true, Reason: reason},
			{Method: insert, Job: loads, Status: 403, Reason: reason},
		} {
			t.Run(fmt.Sprintf("%s/accepted=%v", reason, fault.Fails), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, Options{})
				b.server.Inject(fault)
				d := day(t, secondNight, elt.Full, 4, "new")
				_, err := b.Stage(t.Context(), d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
				if f := elt.NewFailure(err); f == nil || f.Code != want && !(fault.Status == 403 && want == "part_unreadable") || f.Do == "" {
					t.Fatalf("error %+v, want the code %s", f, want)
				}
				b.wantVisible(t, 3, "old", firstNight)
				b.stageDay(t, d)
				b.publishDay(t, secondNight, 2, "")
				b.wantVisible(t, 4, "new", firstNight, secondNight)
			})
		}
	}
}

// TestGiveUp: a service that does not come back is an error that passes by itself, and the next attempt finds what
// the first one did.
func TestGiveUp(t *testing.T) {
	b := newBench(t, Options{})
	b.server.Inject(bigquerytest.Fault{Method: insert, Job: loads, Status: 503, Times: 1000})
	d := day(t, secondNight, elt.Full, 4, "new")
	_, err := b.Stage(t.Context(), d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
	if f := elt.NewFailure(err); f == nil || f.Class != elt.Transient || f.Code != "warehouse_unreachable" {
		t.Fatalf("error %+v", f)
	}
	b.wantVisible(t, 3, "old", firstNight)
}

// TestCancel: a cancelled context cancels the job, of which BigQuery would otherwise know nothing; the next attempt
// loads under a new ID.
func TestCancel(t *testing.T) {
	b := newBench(t, Options{})
	b.server.Inject(bigquerytest.Fault{Method: insert, Job: loads, Hangs: true, Times: 2})
	d := day(t, secondNight, elt.Full, 4, "new")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Stage(ctx, d.Run, d.Manifest, "shop.users", d.Files, func(int64) {})
		done <- err
	}()
	testenv.Eventually(t, "both jobs run and somebody looks at them", func() bool { return b.jobsAsked("bigquery.jobs.get") == 2 })
	cancel()
	if f := elt.NewFailure(testenv.Receive(t, "staging ends with its context", done)); f == nil || f.Code != elt.Interrupted {
		t.Fatalf("error %+v", f)
	}
	if n := b.jobsAsked("bigquery.jobs.cancel"); n != 2 {
		t.Errorf("%d jobs were cancelled, want 2", n)
	}
	b.wantVisible(t, 3, "old", firstNight)
	b.stageDay(t, d)
	b.publishDay(t, secondNight, 2, "")
	b.wantVisible(t, 4, "new", firstNight, secondNight)
}

// jobsAsked returns how many of the second night's load jobs the method was asked about.
func (b bench) jobsAsked(method string) int {
	jobs := make(map[string]bool)
	for i, r := range b.server.Requests() {
		if i >= b.before && r.Method == method && strings.HasPrefix(r.Job, loads) {
			jobs[r.Job] = true
		}
	}
	return len(jobs)
}

// TestAnotherProcess: a worker that takes over finds the jobs of the one before, and loads nothing twice.
func TestAnotherProcess(t *testing.T) {
	b := newBench(t, Options{})
	d := day(t, secondNight, elt.Full, 4, "new")
	b.stageDay(t, d)
	other := bench{Warehouse: open(t, b.server, Options{}), server: b.server}
	other.stageDay(t, d)
	ids := make(map[string]bool)
	for _, r := range b.server.Requests() {
		if r.Method == insert && strings.HasPrefix(r.Job, loads) {
			ids[r.Job] = true
		}
	}
	if len(ids) != 4 { // two parts of two nights
		t.Errorf("load jobs %v, want one for each part", ids)
	}
	other.publishDay(t, secondNight, 2, "")
	other.wantVisible(t, 4, "new", firstNight, secondNight)
}

// TestStagingExpired: jobs of the same IDs that filled a table which is gone are no reason to load nothing.
func TestStagingExpired(t *testing.T) {
	b := newBench(t, Options{})
	d := day(t, secondNight, elt.Full, 4, "new")
	b.stageDay(t, d)
	if err := b.Discard(t.Context(), secondNight); err != nil {
		t.Fatal(err)
	}
	b.stageDay(t, d)
	b.publishDay(t, secondNight, 2, "")
	b.wantVisible(t, 4, "new", firstNight, secondNight)
}

// TestCrashAfterCopy: a process that dies between a copy and its record publishes again; one whose lease is gone by
// then does not, even though its table was copied once.
func TestCrashAfterCopy(t *testing.T) {
	b := newBench(t, Options{})
	b.stageDay(t, day(t, secondNight, elt.Full, 4, "new"))
	b.server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Times: 1}) // the copy passes
	b.server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Status: 400, Reason: "invalid"})
	if _, err := b.Publish(t.Context(), publication(secondNight, 2, "")); err == nil {
		t.Fatal("the record was refused, and nobody says so")
	}
	third := elt.RunID("nightly-2026-01-07")
	b.stageDay(t, day(t, third, elt.Full, 5, "newer"))
	b.publishDay(t, third, 3, "")
	if _, err := b.Publish(t.Context(), publication(secondNight, 2, "")); elt.CodeOf(err) != "stale_fence" {
		t.Errorf("error %v, want stale_fence", err)
	}
	b.wantVisible(t, 5, "newer", firstNight, third)
	b.publishDay(t, secondNight, 4, "") // under a new lease it may, and copies again
	b.wantVisible(t, 4, "new", firstNight, third, secondNight)
}

// TestFirstPublicationCrash: the table of a first publication that died before its record is not a stranger's.
func TestFirstPublicationCrash(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprint(together), func(t *testing.T) {
			server := bigquerytest.New(t)
			b := bench{Warehouse: open(t, server, Options{Together: together}), server: server}
			b.stageDay(t, day(t, firstNight, elt.Full, 3, "old"))
			skip := 2 // the claim and the copy
			if together {
				skip = 1
			}
			server.Inject(bigquerytest.Fault{Method: insert, Job: puts, Times: skip}, bigquerytest.Fault{Method: insert, Job: puts, Status: 400, Reason: "invalid"})
			if _, err := b.Publish(t.Context(), publication(firstNight, 1, "")); err == nil {
				t.Fatal("the record was refused, and nobody says so")
			}
			if _, exists, err := b.PublishedRows(t.Context(), "shop.users"); exists || err != nil {
				t.Errorf("a version that is not recorded is published (%v)", err)
			}
			b.publishDay(t, firstNight, 1, "")
			b.wantVisible(t, 3, "old", firstNight)
		})
	}
}

// TestViewBecomesTableCrash: what was a view becomes a table, and the process dies at any of the steps; the same lease
// publishes again.
func TestViewBecomesTableCrash(t *testing.T) {
	for _, died := range [][]bigquerytest.Fault{
		{{Method: "bigquery.tables.delete", Status: 400, Reason: "invalid"}},
		{{Method: insert, Job: puts, Status: 400, Reason: "invalid"}},                              // the copy
		{{Method: insert, Job: puts}, {Method: insert, Job: puts, Status: 400, Reason: "invalid"}}, // the record
	} {
		b := newBench(t, Options{})
		revenue := func(run elt.RunID, as elt.Materialization, query string) elt.Publication {
			t.Helper()
			if _, err := b.Build(t.Context(), elt.Build{Run: run, Dataset: "revenue", Relation: "analytics.revenue", Materialized: as, SQL: query}); err != nil {
				t.Fatal(err)
			}
			p := publication(run, 2, "")
			p.Items[0].Version.ID, p.Items[0].Version.Dataset, p.Items[0].Relation = elt.NewVersionID("revenue", run), "revenue", "analytics.revenue"
			if as == elt.AsView {
				p.Items[0].ViewSQL = query
			}
			return p
		}
		if _, err := b.Publish(t.Context(), revenue(firstNight, elt.AsView, "SELECT 1 AS n")); err != nil {
			t.Fatal(err)
		}
		again := revenue(secondNight, elt.AsTable, "SELECT 2 AS n")
		b.server.Inject(died...)
		if _, err := b.Publish(t.Context(), again); err == nil {
			t.Fatal("a request was refused, and nobody says so")
		}
		if _, err := b.Publish(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if got := b.server.Rows(t, "SELECT * FROM "+b.Published("analytics.revenue")); !slices.Equal(got, []string{"2"}) {
			t.Errorf("rows %v", got)
		}
	}
}
