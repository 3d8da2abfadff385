package transform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// Warehouse is what building and testing models needs of one.
type Warehouse interface {
	// Staged returns the SQL name under which a run stages a dataset; Published that of a published relation.
	Staged(run elt.RunID, d elt.DatasetName) string
	Published(relation string) string
	// Build makes a model's staging relation.
	Build(ctx context.Context, b elt.Build) (elt.BuiltModel, error)
	// SeedCSV stages a CSV file with a header; types are SQL types by column, the others are guessed.
	SeedCSV(ctx context.Context, run elt.RunID, d elt.DatasetName, path string, types map[string]string) (int64, error)
	// Count returns how many rows a SELECT returns.
	Count(ctx context.Context, sql string) (int64, error)
}

// Failures is what showing the rows that fail a test needs of a warehouse.
type Failures interface {
	// Sample returns at most most rows of a SELECT as text, without the hidden columns.
	Sample(ctx context.Context, sql string, hide []string, most int) (elt.Sample, error)
	// KeepFailures replaces the table of a test's failing rows, and returns how people name it.
	KeepFailures(ctx context.Context, name, sql string, hide []string, most int) (table string, err error)
}

// Describer tells a relation's columns.
type Describer interface {
	Columns(ctx context.Context, relation string) ([]elt.ColumnDoc, error)
}

// EngineOptions are what an Engine works with.
type EngineOptions struct {
	Project   *Project
	Warehouse Warehouse
	Dir       string // the sql folder that Parse read, on this machine's disk: seeds are loaded from it
	Log       *slog.Logger
	// Failures is where rows that fail a test are read and kept; nil shows and keeps none.
	Failures Failures
	// Keep takes the rows that are shown to operators, at most Rows of each test; 0 shows none.
	Keep func(context.Context, elt.FailingRows) error
	Rows int
	// Guard is asked before a model is built, and may refuse; nil lets every model pass.
	Guard func(context.Context, elt.Build) error
	// Columns checks contracts; nil leaves them unchecked.
	Columns Describer
}

// Engine builds and tests one dataset at a time. It may be used by many goroutines at once.
type Engine struct {
	project   *Project
	warehouse Warehouse
	dir       string
	log       *slog.Logger
	failures  Failures
	keep      func(context.Context, elt.FailingRows) error
	rows      int
	columns   Describer
	guard     func(context.Context, elt.Build) error
}

// New returns an engine over a project without problems.
func New(o EngineOptions) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{o.Project, o.Warehouse, o.Dir, o.Log, o.Failures, o.Keep, o.Rows, o.Columns, o.Guard}
}

// Transform builds the staging relation of a model or a seed. Doing it again replaces it.
func (e *Engine) Transform(ctx context.Context, s Scope, d elt.DatasetName) (elt.Result, error) {
	log := e.log.With("run", s.Run, "dataset", d)
	if seed, ok := e.project.seeds[d]; ok {
		rows, err := e.warehouse.SeedCSV(ctx, s.Run, d, filepath.Join(e.dir, filepath.FromSlash(seed.path)), seed.types)
		if err != nil {
			return elt.Result{}, fmt.Errorf("%s: %w", seed.file, err)
		}
		log.InfoContext(ctx, "seed staged", "rows", rows)
		return elt.Result{Rows: rows}, nil
	}
	m, err := e.model(d)
	if err != nil {
		return elt.Result{}, err
	}
	b, err := e.build(s, m)
	if err != nil {
		return elt.Result{}, err
	}
	if m.config.materialized == elt.AsEphemeral {
		return elt.Result{}, nil // it is built within the models that refer to it
	}
	built, err := e.guarded(ctx, b)
	if err != nil {
		return elt.Result{}, e.refused(s, m, err)
	}
	failpoint.Here("transform.built")
	if err := e.holdToContract(ctx, s, m); err != nil {
		return elt.Result{}, err
	}
	log.InfoContext(ctx, "model staged", "rows", built.Rows, "materialized", m.config.materialized, "strategy", b.Strategy)
	return elt.Result{Rows: built.Rows, Changes: built.Changes}, nil
}

// guarded builds a model if nobody objects.
func (e *Engine) guarded(ctx context.Context, b elt.Build) (elt.BuiltModel, error) {
	if e.guard != nil {
		if err := e.guard(ctx, b); err != nil {
			return elt.BuiltModel{}, err
		}
	}
	failpoint.Here("transform.build")
	return e.warehouse.Build(ctx, b)
}

// build is what Transform asks of the warehouse.
func (e *Engine) build(s Scope, m *model) (elt.Build, error) {
	sql, err := e.compile(s, m, false)
	if err != nil {
		return elt.Build{}, err
	}
	b := elt.Build{Run: s.Run, Dataset: m.name, Relation: e.project.relation(m.name), Materialized: m.config.materialized, SQL: sql}
	if m.config.materialized == elt.AsIncremental {
		b.Key = m.config.key
		if s.incremental(m) {
			b.Strategy, b.OnSchemaChange = m.config.strategy, m.config.onChange
		}
	}
	return b, nil
}

// Build returns what Transform would ask of the warehouse for a model; a seed is asked for in another way.
func (e *Engine) Build(s Scope, d elt.DatasetName) (b elt.Build, ok bool, err error) {
	if _, seed := e.project.seeds[d]; seed {
		return b, false, nil
	}
	m, err := e.model(d)
	if err != nil {
		return b, false, err
	}
	b, err = e.build(s, m)
	return b, err == nil, err
}

// Item returns how what Transform staged is to be published. The scope must be the one of Transform: what
// is published must not have changed in between.
func (e *Engine) Item(s Scope, d elt.DatasetName) (elt.PublicationItem, error) {
	item := elt.PublicationItem{Relation: e.project.relation(d)}
	if _, ok := e.project.seeds[d]; ok {
		return item, nil
	}
	m, err := e.model(d)
	if err != nil {
		return elt.PublicationItem{}, err
	}
	switch m.config.materialized {
	case elt.AsEphemeral:
		return elt.PublicationItem{}, &elt.Error{Code: CodeUnknownModel, Class: elt.Config, What: fmt.Sprintf("the model %s is ephemeral and never published", d), Do: "publish what refers to it"}
	case elt.AsView:
		item.ViewSQL, err = e.compile(s, m, true)
	case elt.AsIncremental:
		item.Key = m.config.key
		if s.incremental(m) {
			item.Strategy = m.config.strategy
		}
	}
	return item, err
}

// refused places an error of the warehouse in the model's file. What the model's text is not to blame
// for (a full disk, a lost connection) keeps its own code.
func (e *Engine) refused(s Scope, m *model, err error) error {
	var cause *elt.Error
	if errors.As(err, &cause) && cause.Class != elt.Data && cause.Class != elt.Config {
		return fmt.Errorf("model %s: %w", m.name, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("model %s: %w", m.name, err)
	}
	place := m.file
	if line := e.sourceLine(s, m, err.Error()); line > 0 {
		place = fmt.Sprintf("%s:%d", m.file, line)
	}
	out := &elt.Error{
		Code: CodeModelRefused, Class: elt.Config, What: place + ": " + err.Error(),
		Do: "correct the model", Err: err,
	}
	if cause != nil {
		out.Class = cause.Class
		if cause.Class == elt.Data && cause.Do != "" && cause.Code != "sql_refused" {
			out.Do = cause.Do
		}
	}
	return out
}

// Inputs returns the datasets that a model is made from; none for a seed or a table.
func (e *Engine) Inputs(d elt.DatasetName) []elt.DatasetName {
	if m, ok := e.project.models[d]; ok {
		return e.project.inputs(m)
	}
	return nil
}

// Reads returns every dataset that building and testing one reads, itself among them.
func (e *Engine) Reads(d elt.DatasetName) []elt.DatasetName {
	return slices.Concat([]elt.DatasetName{d}, e.Inputs(d), e.project.TestNeeds(d))
}

// Source returns a model's file, relative to the workspace, and its text as it is written.
func (e *Engine) Source(d elt.DatasetName) (file, text string, ok bool) {
	m, ok := e.project.models[d]
	if !ok {
		return "", "", false
	}
	return m.file, m.source, true
}
