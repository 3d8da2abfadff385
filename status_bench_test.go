package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/status"
)

// BenchmarkStatus asks the status service about 2,000 datasets × 90 days in a SQLite ledger: what a change of the
// ledger costs, and what its readers cost.
func BenchmarkStatus(b *testing.B) {
	const datasets, nights = 2000, 90
	l, err := ledger.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "ledger.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	if err := l.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	last := elt.DateOf(time.Now().UTC()).AddDays(-1)
	history(b, l, datasets, nights, last)
	s, err := status.New(status.Options{Ledger: l, Public: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("facts", func(b *testing.B) {
		for b.Loop() {
			if f, err := l.Facts(b.Context(), last.AddDays(1-nights), last); err != nil || len(f.Versions) != datasets*nights-1 {
				b.Fatalf("%d versions, %v", len(f.Versions), err)
			}
		}
	})
	b.Run("first snapshot", func(b *testing.B) {
		for b.Loop() {
			fresh, err := status.New(status.Options{Ledger: l, Public: true})
			if err != nil {
				b.Fatal(err)
			}
			if err := fresh.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("poll without a change", func(b *testing.B) {
		for b.Loop() {
			if err := s.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, path := range []string{"/v1/summary", "/v1/datasets?limit=1000", "/v1/datasets/shop.table_0007", "/v1/datasets/shop.table_0007/days", "/v1/ready?need=shop.table_0007@" + last.String(), "/", "/datasets/shop.table_0007"} {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		first := httptest.NewRecorder()
		s.Handler().ServeHTTP(first, request)
		b.Run("200 "+path, func(b *testing.B) { asked(b, s, request, http.StatusOK) })
		if tag := first.Header().Get("ETag"); tag != "" {
			again := request.Clone(b.Context())
			again.Header.Set("If-None-Match", tag)
			b.Run("304 "+path, func(b *testing.B) { asked(b, s, again, http.StatusNotModified) })
		}
	}
}

func asked(b *testing.B, s *status.Service, r *http.Request, want int) {
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, r)
		if answer.Code != want {
			b.Fatalf("%s: %d", r.URL, answer.Code)
		}
	}
}

// history fills a ledger with nights in which every other dataset is a model of three inputs. The last night lacks one
// dataset, as if it were still under way.
func history(b *testing.B, l *ledger.Ledger, datasets, nights int, last elt.Date) {
	b.Helper()
	name := func(i int) elt.DatasetName { return elt.DatasetName(fmt.Sprintf("shop.table_%04d", i%datasets)) }
	var catalogue []elt.Dataset
	for i := range datasets {
		d := elt.Dataset{Name: name(i), Kind: elt.TableDataset, Schedule: "nightly", Owners: []string{"growth@example.com", "data@example.com"}}
		if i%2 == 1 {
			d.Kind = elt.ModelDataset
			d.Inputs = []elt.DatasetName{name(i - 1)}
		}
		catalogue = append(catalogue, d)
	}
	if err := l.SyncDatasets(b.Context(), catalogue); err != nil {
		b.Fatal(err)
	}
	for n := range nights {
		date := last.AddDays(n + 1 - nights)
		run := elt.Run{ID: elt.RunID("nightly-" + date.String()), Schedule: "nightly", Date: date, Kind: elt.ScheduledRun}
		var steps []elt.Step
		var days []elt.Day
		var versions []elt.Version
		for i, d := range catalogue {
			days = append(days, elt.Day{Dataset: d.Name, Date: date, Deadline: date.AddDays(1).At(7, 0, time.UTC)})
			steps = append(steps, elt.Step{ID: elt.NewStepID(run.ID, elt.ExtractStep, d.Name), Kind: elt.ExtractStep, Dataset: d.Name})
			if n == nights-1 && i == datasets-1 {
				continue
			}
			v := elt.Version{ID: elt.NewVersionID(d.Name, run.ID), Dataset: d.Name, Date: date, Run: run.ID, Rows: 1000, Checks: elt.ChecksPassed, PublishedAt: date.AddDays(1).At(5, 0, time.UTC)}
			for _, in := range d.Inputs {
				v.Inputs = map[elt.DatasetName]elt.VersionID{in: elt.NewVersionID(in, run.ID)}
			}
			versions = append(versions, v)
		}
		if _, _, err := l.CreateRun(b.Context(), run, steps, days); err != nil {
			b.Fatal(err)
		}
		if err := l.RecordVersions(b.Context(), versions); err != nil {
			b.Fatal(err)
		}
	}
}
