package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// engine builds and tests what SQL makes.
type engine interface {
	// Transform builds the staging relation of a dataset; doing it again replaces it.
	Transform(ctx context.Context, s transform.Scope, d elt.DatasetName) (elt.Result, error)
	// Test runs the tests of a dataset; one of severity error that fails is the error test_failed.
	Test(ctx context.Context, s transform.Scope, d elt.DatasetName) (elt.Result, error)
	// Item returns how what Transform made is to be published.
	Item(s transform.Scope, d elt.DatasetName) (elt.PublicationItem, error)
	// Inputs returns what a dataset is made from.
	Inputs(d elt.DatasetName) []elt.DatasetName
}

// reader is an engine that builds one dataset at a time, and needs to know what is staged of those that it reads.
type reader interface {
	Reads(d elt.DatasetName) []elt.DatasetName
}

// settler is an engine that builds several datasets at once, and elsewhere: its scope has the run's steps, and its
// work must be brought into the run's staging before it is published.
type settler interface {
	// Settle does that, and returns the rows of each dataset.
	Settle(ctx context.Context, s transform.Scope) (map[elt.DatasetName]int64, error)
}

// models gives each run the engine for what was asked of it: a run with variables of its own has its SQL parsed with
// them, by whichever process goes on with it.
type models struct {
	ws        *workspace
	ledger    *ledger.Ledger
	warehouse warehouse
	budget    *budget // is asked before a model is built
	log       *slog.Logger
	nightly   engine

	mu      sync.Mutex
	runs    map[elt.RunID]runModels
	closers []func() error
}

// runModels is what one run asks of the models.
type runModels struct {
	engine  engine
	options elt.RunOptions
}

// mostRuns bounds how many runs are remembered; what is forgotten is read again.
const mostRuns = 100

func newModels(ctx context.Context, ws *workspace, book *ledger.Ledger, w warehouse, budget *budget, log *slog.Logger) (*models, error) {
	m := &models{ws: ws, ledger: book, warehouse: w, budget: budget, log: log, runs: make(map[elt.RunID]runModels)}
	parsed := ws.project
	if len(ws.vars) > 0 { // they are one run's; others may be unfinished
		var problems elt.Problems
		if parsed, problems = ws.parseProject(ctx, nil); problems.Err() != nil {
			return nil, problems.Err()
		}
	}
	var err error
	m.nightly, err = m.engine(parsed, nil)
	return m, err
}

// engine is the registry of engines: each builds a project of its own kind.
func (m *models) engine(p project, vars map[string]any) (engine, error) {
	native, ok := p.(*transform.Project)
	if !ok {
		return m.dbt(p.(*dbt.Project), vars)
	}
	return transform.New(transform.EngineOptions{
		Project: native, Warehouse: m.warehouse, Dir: m.ws.config.Models.Dir, Guard: m.budget.admit, Log: m.log,
		Failures: m.warehouse, Keep: m.ledger.SaveFailingRows, Rows: m.ws.config.Models.FailingRows, Columns: m.warehouse,
	}), nil
}

// close stops what engines have running.
func (m *models) close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// of returns the engine and the options of a run. Both never change.
func (m *models) of(ctx context.Context, id elt.RunID) (runModels, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, known := m.runs[id]; known {
		return r, nil
	}
	run, err := m.ledger.Run(ctx, id)
	if err != nil {
		return runModels{}, err
	}
	r := runModels{m.nightly, run.Options}
	if len(run.Options.Vars) > 0 {
		parsed, problems := m.ws.parseProject(ctx, run.Options.Vars)
		if err := problems.Err(); err != nil {
			return runModels{}, err
		}
		if r.engine, err = m.engine(parsed, run.Options.Vars); err != nil {
			return runModels{}, err
		}
	}
	if len(m.runs) >= mostRuns {
		clear(m.runs)
	}
	m.runs[id] = r
	return r, nil
}

// scope says with which engine and over which relations the SQL of a step runs: what the run has built and not
// published yet is read from staging, everything else as it is published.
func (s *stages) scope(ctx context.Context, step elt.Step) (engine, transform.Scope, error) {
	models, err := s.models.of(ctx, step.Run)
	if err != nil {
		return nil, transform.Scope{}, err
	}
	scope := transform.Scope{
		Run: step.Run, Date: step.Date, Window: step.Date.Window(s.catalog.zone(step.Dataset)),
		Staged: make(map[elt.DatasetName]bool), Published: s.isPublished, FullRefresh: models.options.FullRefresh,
	}
	var built []elt.DatasetName
	switch e := models.engine.(type) {
	case settler:
		// One read says what is staged and what remains: other steps of the run end meanwhile.
		scope.Steps, err = s.ledger.Steps(ctx, step.Run)
		built = elt.Built(scope.Steps)
	case reader:
		built, err = s.ledger.Built(ctx, step.Run, e.Reads(step.Dataset))
	}
	if err != nil {
		return nil, scope, err
	}
	if step.Kind == elt.TestStep && s.catalog.byName[step.Dataset].Kind == elt.TableDataset {
		if scope.ReadAt, err = s.readAt(ctx, step); err != nil {
			return nil, scope, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range built {
		day := elt.DayKey{Dataset: d, Date: step.Date} // newer dates may be published by now
		if s.published[d].Run != step.Run && s.dates[day].Run != step.Run {
			scope.Staged[d] = true
		}
	}
	return models.engine, scope, nil
}

// readAt returns when the run read the table from its source.
func (s *stages) readAt(ctx context.Context, step elt.Step) (at time.Time, err error) {
	key, err := s.manifestOf(ctx, step)
	if err != nil {
		return at, err
	}
	m, err := s.ledger.Manifest(ctx, key)
	if err != nil {
		return at, err
	}
	return m.Source.TakenAt, nil
}
