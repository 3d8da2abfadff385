package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// stopwatch measures for how long at least one call is in the warehouse.
type stopwatch struct {
	warehouse
	mu    sync.Mutex
	calls int
	began time.Time
	busy  time.Duration
}

func (s *stopwatch) enter() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls == 1 {
		s.began = time.Now()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.calls--; s.calls == 0 {
			s.busy += time.Since(s.began)
		}
	}
}

func (s *stopwatch) Build(ctx context.Context, b elt.Build) (elt.BuiltModel, error) {
	defer s.enter()()
	return s.warehouse.Build(ctx, b)
}

func (s *stopwatch) Count(ctx context.Context, query string) (int64, error) {
	defer s.enter()()
	return s.warehouse.Count(ctx, query)
}

func (s *stopwatch) Publish(ctx context.Context, p elt.Publication) ([]elt.Version, error) {
	defer s.enter()()
	return s.warehouse.Publish(ctx, p)
}

func (s *stopwatch) Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error) {
	defer s.enter()()
	return s.warehouse.Columns(ctx, relation)
}

// thousandModels writes a workspace of a thousand trivial models in ten layers.
func thousandModels(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write("daybreak.yaml", "sources: {app: {sqlite: app.db}}\nthreads: 4\nstatus: {public: true}\n")
	write("schedules/nightly.yaml", "timezone: UTC\nat: \"02:00\"\nowners: [a@example.com, b@example.com]\nmodels: [\"*\"]\n")
	for i := range 1000 {
		from := "(select 1 as id)"
		if i >= 100 {
			from = fmt.Sprintf("{{ ref('m%d') }}", i-100)
		}
		write(fmt.Sprintf("sql/models/layer%d/m%d.sql", i/100, i), "{{ config(materialized='table') }}select id + 1 as id from "+from+"\n")
	}
	return dir
}

// BenchmarkNightOfAThousandModels reports how much of a night's time goes by while DuckDB has nothing to do.
func BenchmarkNightOfAThousandModels(b *testing.B) {
	dir := thousandModels(b)
	log := slog.New(slog.DiscardHandler)
	ws, err := loadWorkspace(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	p, err := ws.open(b.Context(), log, logLines{log})
	if err != nil {
		b.Fatal(err)
	}
	defer p.close(log)
	watch := &stopwatch{warehouse: p.warehouse}
	p.stages.warehouse = watch
	p.stages.models.warehouse = watch
	if p.stages.models.nightly, err = p.stages.models.engine(ws.project, nil); err != nil {
		b.Fatal(err)
	}
	date := elt.Date{Year: 2026, Month: 1, Day: 5}
	for b.Loop() {
		run, err := p.nights.ByHand(b.Context(), ws.schedules[0], date, "benchmark", false, elt.RunOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if run, _, err = p.nights.finish(b.Context(), run); err != nil || run.State != elt.RunSucceeded {
			b.Fatal(run.State, err)
		}
		date = date.AddDays(1)
	}
	whole := b.Elapsed()
	b.ReportMetric(float64(whole-watch.busy)*100/float64(whole), "%outside")
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N*1000), "ms/model")
}
