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
)

// estimates returns what building each of the schedule's models would read by what is published now, nil where nothing
// is billed. A model that cannot be estimated yet, because what it is made from is not there, is left out.
func estimates(ctx context.Context, ws *workspace, s *schedules.Schedule, log *slog.Logger) (_ map[elt.DatasetName]int64, err error) {
	native, ok := ws.project.(*transform.Project)
	if !ok || ws.config.Warehouse.BigQuery == nil {
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
	engine := transform.New(transform.EngineOptions{Project: native, Warehouse: w, Dir: ws.config.Models.Dir, Log: log})
	scope := transform.Scope{
		Run: "plan", Date: elt.DateOf(time.Now().In(s.Zone)).AddDays(-1), Staged: map[elt.DatasetName]bool{},
		Published: func(d elt.DatasetName) bool { return published[d] },
	}
	scope.Window = scope.Date.Window(s.Zone)
	out := make(map[elt.DatasetName]int64)
	for _, d := range ws.catalog.of(s.Name) {
		if d.Kind == elt.TableDataset {
			continue
		}
		b, builds, err := engine.Build(scope, d.Name)
		if err != nil || !builds {
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
