package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// publishedTests runs tests on what is published, each dataset's for the date that it was last published for.
type publishedTests struct {
	ws      *workspace
	data    testable
	current map[elt.DatasetName]elt.Version
	now     time.Time
	log     *slog.Logger
	rows    int // failing rows to show of each test
	vars    map[string]any
	keep    func(context.Context, elt.FailingRows) error // takes them
}

// run returns the tests of each dataset with what they found, by the engine that builds the models.
func (t publishedTests) run(ctx context.Context, names []elt.DatasetName) (map[elt.DatasetName][]elt.Check, error) {
	if p, ok := t.ws.project.(*dbt.Project); ok {
		return t.byDBT(ctx, p, names)
	}
	engine := transform.New(transform.EngineOptions{
		Project: t.ws.project.(*transform.Project), Warehouse: t.data, Dir: t.ws.config.Models.Dir, Log: t.log, Failures: t.data, Rows: t.rows, Keep: t.keep,
	})
	out := make(map[elt.DatasetName][]elt.Check, len(names))
	for _, name := range names {
		result, err := engine.Test(ctx, t.scope(name), name)
		if err != nil && elt.CodeOf(err) != transform.CodeTestFailed {
			return nil, err
		}
		out[name] = result.Notes
	}
	return out, nil
}

func (t publishedTests) scope(name elt.DatasetName) transform.Scope {
	return t.ws.catalog.publishedScope(name, t.current[name].Date, datesOf(t.current), t.now)
}

// byDBT has the team's dbt run the tests: one process for each night that they are of, because its variables are the
// night's.
func (t publishedTests) byDBT(ctx context.Context, p *dbt.Project, names []elt.DatasetName) (out map[elt.DatasetName][]elt.Check, err error) {
	o, err := t.ws.dbtOptions(t.vars, t.log)
	if err != nil {
		return nil, err
	}
	if o.Builder, err = t.dbtPlace(); err != nil {
		return nil, err
	}
	o.Samples, o.Failing = t.data, dbt.Failing{Keep: t.keep, Rows: t.rows}
	engine := dbt.New(o, p, nothingStaged{t.data})
	var nights []elt.Window
	of := make(map[elt.Window][]elt.DatasetName)
	for _, name := range names {
		w := t.scope(name).Window
		if of[w] == nil {
			nights = append(nights, w)
		}
		of[w] = append(of[w], name)
	}
	out = make(map[elt.DatasetName][]elt.Check, len(names))
	for _, w := range nights {
		found, err := engine.TestPublished(ctx, t.scope(of[w][0]), of[w])
		if err != nil {
			return nil, err
		}
		maps.Copy(out, found)
	}
	return out, engine.Close()
}

// dbtPlace is where dbt tests what is published: datasets of its own on BigQuery, and a file of views beside the copy
// that people read of the embedded warehouse.
func (t publishedTests) dbtPlace() (dbt.Builder, error) {
	switch data := t.data.(type) {
	case keepsNothing:
		return t.ws.dbtBuilder(data.warehouse.(*bigquery.Warehouse)), nil
	case publishedData:
		path, err := filepath.Abs(t.ws.config.Warehouse.ReadCopy)
		if err != nil {
			return nil, fmt.Errorf("find the copy of the warehouse: %w", err)
		}
		return dbt.InViews{InFile: dbt.InFile{Schema: t.ws.config.Models.Schema}, Copy: data.reader, Path: path, Alias: duckdb.CopyAlias}, nil
	}
	return nil, fmt.Errorf("no dbt tests what is published in %T", t.data)
}

// nothingStaged is what is published, as the engine of dbt asks for it.
type nothingStaged struct{ testable }

// HasStaged reports that nothing is.
func (nothingStaged) HasStaged(context.Context, elt.RunID, elt.DatasetName) (bool, error) {
	return false, nil
}

// Unstage finds nothing to drop.
func (nothingStaged) Unstage(context.Context, elt.RunID, []elt.DatasetName) error { return nil }
