package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status"
)

const (
	benchDatasets = 2000
	benchNights   = 400
	benchClients  = 16
	benchCrowd    = 1000
	benchRounds   = 5
)

// BenchmarkStatus asks the status service about 2,000 datasets × 400 nights: what its start costs, a change of the ledger,
// and its readers over loopback, who share the machine with it. make bench-status.
func BenchmarkStatus(b *testing.B) {
	for name, engine := range map[string]func() (driver, address, dsn string){
		"sqlite": func() (string, string, string) {
			path := filepath.Join(b.TempDir(), "ledger.db")
			return "sqlite", path, "sqlite:" + path
		},
		"postgres": func() (string, string, string) {
			dsn := testenv.Postgres(b).Database(b)
			return "pgx", dsn, dsn
		},
	} {
		b.Run(name, func(b *testing.B) {
			driver, address, dsn := engine()
			l, err := ledger.Open(b.Context(), dsn, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { l.Close() })
			if err := l.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			night := elt.DateOf(time.Now().UTC()).AddDays(-1)
			fillNights(b, l, driver, address, night)
			benchStatus(b, l, night)
		})
	}
}

func newBenchService(b *testing.B, l *ledger.Ledger) *status.Service {
	s, err := status.New(status.Options{Ledger: l, Public: true})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchStatus(b *testing.B, l *ledger.Ledger, night elt.Date) {
	refresh := func(s *status.Service) {
		if err := s.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	before := heapMB()
	began := time.Now()
	s := newBenchService(b, l)
	refresh(s)
	whole := time.Since(began)
	b.Logf("start: %.2f s, and the snapshot holds %.0f MB", whole.Seconds(), heapMB()-before)

	run := elt.RunID("nightly-" + night.String())
	var merged []time.Duration
	for n := range 9 {
		lease, err := l.Claim(b.Context(), elt.NewStepID(run, elt.ExtractStep, benchDataset(n)), "w", time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for now := began; ; { // the feed may rest after a reading
			refresh(s)
			if body := answerOf(b, s, "/v1/datasets/"+string(benchDataset(n))+"/days/"+night.String()); strings.Contains(body, `"state":"running"`) {
				merged = append(merged, time.Since(now))
				break
			}
			now = time.Now()
		}
		if err := l.Finish(b.Context(), lease, elt.Outcome{State: elt.StepSucceeded}); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(merged)
	b.Logf("a change: %.0f ms to read and merge, %.0f times as fast as reading everything", ms(merged[len(merged)/2]), float64(whole)/float64(merged[len(merged)/2]))

	if err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var looking sync.WaitGroup
	looking.Go(func() { _ = s.Run(ctx) })
	defer looking.Wait()
	defer stop()
	server := httptest.NewUnstartedServer(s.Handler())
	server.Config = status.NewServer("", s.Handler())
	server.Start()
	defer server.Close()
	address := server.Listener.Addr().String()

	var tags [benchDatasets]string
	for i := range tags {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/datasets/"+string(benchDataset(i)), nil))
		tags[i] = rec.Header().Get("ETag")
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/same" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(make([]byte, 750))
	}))
	defer bare.Close()
	asks := func(of func(i int) string) (all []string) {
		for i := range benchDatasets {
			all = append(all, of(i))
		}
		return all
	}
	get := asks(func(i int) string { return request("/v1/datasets/"+string(benchDataset(i)), "") })
	poll := asks(func(i int) string {
		return request("/v1/datasets/"+string(benchDataset(i)), "If-None-Match: "+tags[i]+"\r\n")
	})
	ready := asks(func(i int) string {
		return request("/v1/ready?need="+string(benchDataset(i))+"@"+night.AddDays(-1).String(), "")
	})
	var least, nothing, full, same, gate pace
	for range benchRounds { // in turns, because the machine may have other work; the best round of each counts
		least = least.better(askAll(b, bare.Listener.Addr().String(), http.StatusOK, []string{request("/", "")}))
		nothing = nothing.better(askAll(b, bare.Listener.Addr().String(), http.StatusNotModified, []string{request("/same", "If-None-Match: "+tags[0]+"\r\n")}))
		full = full.better(askAll(b, address, http.StatusOK, get))
		same = same.better(askAll(b, address, http.StatusNotModified, poll))
		gate = gate.better(askAll(b, address, http.StatusOK, ready))
	}
	b.Logf("a server that answers 750 bytes and nothing else: %s", least)
	b.Logf("a server that answers 304 and nothing else: %s", nothing)
	b.Logf("GET /v1/datasets/{d}: %s, %.2f of that", full, full.PerSecond/least.PerSecond)
	b.Logf("the same, not modified: %s, %.2f times as many for %.2f of the processor", same, same.PerSecond/full.PerSecond, float64(same.CPU)/float64(full.CPU))
	b.Logf("GET /v1/ready: %s", gate)
	for _, path := range []string{"/", "/datasets/" + string(benchDataset(7)), "/v1/datasets?limit=1000"} {
		var took []time.Duration
		for range 15 {
			began := time.Now()
			answerOf(b, s, path)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.Logf("%s: %.1f ms, at worst %.1f", path, ms(took[len(took)/2]), ms(took[len(took)-1]))
	}
	crowd(b, l, address, night)
	stop() // streams end with the service
	b.ReportMetric(full.PerSecond, "200/s")
	b.ReportMetric(same.PerSecond, "304/s")
	b.ReportMetric(ms(full.P99), "p99-ms")
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func heapMB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// residentMB is what the process holds, clients included.
func residentMB(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}

func answerOf(b *testing.B, s *status.Service, path string) string {
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	if rec.Code != http.StatusOK {
		b.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func request(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: status\r\nAccept-Encoding: gzip\r\n" + header + "\r\n"
}

// crowd has a thousand listen to the stream and a thousand wait for a day, and measures until the day's publication has
// reached them all.
func crowd(b *testing.B, l *ledger.Ledger, address string, night elt.Date) {
	last := benchDataset(benchDatasets - 1)
	dial := func(ask string) *bufio.Reader {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, ask); err != nil {
			b.Fatal(err)
		}
		return bufio.NewReaderSize(conn, 512)
	}
	before := residentMB(b)
	var listening, reached sync.WaitGroup
	late := make(chan time.Time, 2*benchCrowd)
	until := func(in *bufio.Reader, word string) bool {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				b.Error(err)
				return false
			}
			if strings.Contains(line, word) {
				return true
			}
		}
	}
	for range benchCrowd {
		stream := dial(request("/v1/events", ""))
		listening.Add(1)
		reached.Go(func() {
			heard := until(stream, "retry:")
			listening.Done()
			if heard && until(stream, `"version.published"`) {
				late <- time.Now()
			}
		})
		wait := dial(request("/v1/wait?timeout=5m&need="+string(last)+"@"+night.String(), ""))
		reached.Go(func() {
			if until(wait, "200 OK") {
				late <- time.Now()
			}
		})
	}
	listening.Wait()
	for waiting := 0; waiting < benchCrowd; {
		answer, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "daybreak_waiters "); ok {
				waiting, _ = strconv.Atoi(strings.TrimSpace(n))
			}
		}
	}
	with := residentMB(b)
	began := time.Now()
	run := elt.RunID("nightly-" + night.String())
	if err := l.RecordVersions(b.Context(), []elt.Version{{ID: elt.NewVersionID(last, run), Dataset: last, Date: night, Run: run, Rows: 7, Checks: elt.ChecksPassed}}); err != nil {
		b.Fatal(err)
	}
	committed := time.Since(began)
	reached.Wait()
	close(late)
	var slowest time.Duration
	for at := range late {
		slowest = max(slowest, at.Sub(began))
	}
	b.Logf("%d subscribers and %d waiters: an event reaches all within %.0f ms, of which %.0f to commit it; the process, with its clients, holds %.0f MB, %.0f more than before them",
		benchCrowd, benchCrowd, ms(slowest), ms(committed), with, with-before)
}

func benchDataset(i int) elt.DatasetName { return elt.DatasetName(fmt.Sprintf("shop.table_%04d", i)) }

// fillNights fills a ledger with nights in which every other dataset is a model of the one before. The last night is
// under way: its steps are there, and no version.
func fillNights(b *testing.B, l *ledger.Ledger, driver, address string, last elt.Date) {
	b.Helper()
	var catalogue []elt.Dataset
	for i := range benchDatasets {
		d := elt.Dataset{Name: benchDataset(i), Kind: elt.TableDataset, Schedule: "nightly", Owners: []string{"growth@example.com", "data@example.com"}}
		if i%2 == 1 {
			d.Kind, d.Inputs = elt.ModelDataset, []elt.DatasetName{benchDataset(i - 1)}
		}
		catalogue = append(catalogue, d)
	}
	if err := l.SyncDatasets(b.Context(), catalogue); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(text string, args ...any) {
		if _, err := db.ExecContext(b.Context(), text, args...); err != nil {
			b.Fatalf("%s: %v", text, err)
		}
	}
	exec(`CREATE TEMPORARY TABLE nights (date TEXT, at TEXT, due TEXT)`)
	exec(`CREATE TEMPORARY TABLE sets (name TEXT, input TEXT)`)
	for n := 1; n < benchNights; n++ {
		date := last.AddDays(-n)
		at := date.AddDays(1).String()
		exec(`INSERT INTO nights VALUES ($1, $2, $3)`, date.String(), at+"T05:00:00.000000Z", at+"T07:00:00.000000Z")
		exec(`INSERT INTO runs (id, schedule, date, kind, sequence, reason, state, created_at, created_seq, finished_at) VALUES ($1, 'nightly', $2, 'scheduled', 0, '', 'succeeded', $3, $4, $3)`,
			"nightly-"+date.String(), date.String(), at+"T02:00:00.000000Z", -n)
	}
	for _, d := range catalogue {
		input := ""
		if len(d.Inputs) > 0 {
			input = string(d.Inputs[0])
		}
		exec(`INSERT INTO sets VALUES ($1, $2)`, string(d.Name), input)
	}
	exec(`INSERT INTO days (dataset, date, run, deadline) SELECT name, date, 'nightly-' || date, due FROM sets CROSS JOIN nights`)
	exec(`INSERT INTO versions (id, dataset, date, run, fence, manifest, rows, checks, inputs, published_at, is_newest)
		SELECT name || '@nightly-' || date, name, date, 'nightly-' || date, 1, '', 1000, 'passed',
			CASE WHEN input <> '' THEN '{"' || input || '":"' || input || '@nightly-' || date || '"}' END, at, 1 FROM sets CROSS JOIN nights`)
	exec(`ANALYZE`)
	run := elt.Run{ID: elt.RunID("nightly-" + last.String()), Schedule: "nightly", Date: last, Kind: elt.ScheduledRun}
	var steps []elt.Step
	var days []elt.Day
	for _, d := range catalogue {
		days = append(days, elt.Day{Dataset: d.Name, Date: last, Deadline: last.AddDays(2).At(7, 0, time.UTC)})
		steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.ExtractStep, d.Name), Kind: elt.ExtractStep, Dataset: d.Name})
	}
	if _, _, err := l.CreateRun(b.Context(), run, steps, days); err != nil {
		b.Fatal(err)
	}
}
