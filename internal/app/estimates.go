package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/schedules"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// estimates returns what building each of the schedule's models would read by what is published now, nil where nothing
// is billed. A model that cannot be estimated yet, because what it is made from is not there, is left out.
func estimates(ctx context.Context, ws *workspace, s *schedules.Schedule, log *slog.Logger) (_ map[elt.DatasetName]int64, err error) {
	if ws.project == nil || ws.config.Warehouse.BigQuery == nil {
		return nil, nil
	}
	o := bigqueryOptions(ws, log)
	o.ReadOnly = true
	w, err := bigquery.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	published := make(map[elt.DatasetName]bool)
	versions, err := w.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		published[v.Dataset] = true
	}
	scope := transform.Scope{
		Run: "plan", Date: elt.DateOf(time.Now().In(s.Zone)).AddDays(-1), Staged: map[elt.DatasetName]bool{},
		Published: func(d elt.DatasetName) bool { return published[d] },
	}
	scope.Window = scope.Date.Window(s.Zone)
	build, err := builds(ctx, ws, w, scope, log)
	if err != nil {
		return nil, err
	}
	out := make(map[elt.DatasetName]int64)
	for _, d := range ws.catalog.of(s.Name) {
		if d.Kind == elt.TableDataset {
			continue
		}
		b, ok := build(d.Name)
		if !ok {
			continue // the night itself says what is wrong
		}
		bytes, err := w.Estimate(ctx, b)
		switch {
		case err == nil:
			out[d.Name] = bytes
		case elt.CodeOf(err) != "sql_refused":
			return nil, err
		default:
			log.Info("cannot be estimated yet", "model", d.Name, "reason", err)
		}
	}
	return out, nil
}

// builds returns how each model would be built, by the engine that builds it.
func builds(ctx context.Context, ws *workspace, w *bigquery.Warehouse, scope transform.Scope, log *slog.Logger) (func(elt.DatasetName) (elt.Build, bool), error) {
	switch p := ws.project.(type) {
	case *transform.Project:
		engine := transform.New(transform.EngineOptions{Project: p, Warehouse: w, Dir: ws.config.Models.Dir, Log: log})
		return func(d elt.DatasetName) (elt.Build, bool) {
			b, ok, err := engine.Build(scope, d)
			return b, ok && err == nil
		}, nil
	case *dbt.Project:
		o, err := ws.dbtOptions(nil, log)
		if err != nil {
			return nil, err
		}
		compiled, err := dbt.CompileAll(ctx, o, p, scope)
		if err != nil {
			log.Info("nothing can be estimated yet", "reason", err)
		}
		return func(d elt.DatasetName) (elt.Build, bool) {
			sql, ok := compiled[d]
			return elt.Build{Run: scope.Run, Dataset: d, SQL: sql}, ok
		}, nil
	}
	return func(elt.DatasetName) (elt.Build, bool) { return elt.Build{}, false }, nil
}
