package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/transform"
)

// checkColumns finds out which columns the models have, by the columns of the tables that they are made from, and reads
// the project once more with that knowledge: a test of a column that nothing has is a problem before any night. tables
// are those of production; where one is known only as it was published last, older is true and nothing is certain.
func (ws *workspace) checkColumns(ctx context.Context, tables map[elt.DatasetName]elt.Schema, older bool, log *slog.Logger) elt.Problems {
	native, ok := ws.project.(*transform.Project)
	if !ok {
		return nil
	}
	learn := ws.rehearse
	if ws.config.Warehouse.BigQuery != nil {
		learn = ws.dryRuns
	}
	models, problems, err := learn(ctx, native, tables)
	if err != nil {
		log.Warn("the columns of the models are not known, so those that tests name are not checked", "error", err)
	}
	ws.columns = models
	for name, schema := range tables {
		ws.columns[name] = schema.Names()
	}
	_, found := ws.parseProject(ctx, nil)
	for _, p := range found {
		if p.Warning || !slices.Contains([]elt.Code{transform.CodeSchema, transform.CodeTest}, p.Code) {
			continue
		}
		if older {
			p.Warning = true
			p.What += ", as it was published last"
		}
		problems = append(problems, p)
	}
	return problems
}

// rehearsing is the scope in which every dataset is there.
func (ws *workspace) rehearsing() transform.Scope {
	zone := ws.location()
	date := elt.DateOf(time.Now().In(zone)).AddDays(-1)
	return transform.Scope{Run: "check", Date: date, Window: date.Window(zone), Staged: make(map[elt.DatasetName]bool)}
}

// rehearse builds every model whose inputs are known over empty tables in memory. What DuckDB refuses is a warning, not
// more: the warehouse may hold what a model reads beside its refs.
func (ws *workspace) rehearse(ctx context.Context, native *transform.Project, tables map[elt.DatasetName]elt.Schema) (_ map[elt.DatasetName][]string, problems elt.Problems, err error) {
	columns := make(map[elt.DatasetName][]string)
	r, err := duckdb.NewRehearsal(ctx)
	if err != nil {
		return columns, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	scope := ws.rehearsing()
	for name, schema := range tables {
		if err := r.Table(ctx, name, schema); err != nil {
			return columns, nil, err
		}
		scope.Staged[name] = true
	}
	engine := transform.New(transform.EngineOptions{Project: native, Warehouse: r, Dir: ws.config.Models.Dir, Columns: r})
	for _, d := range native.Datasets() {
		if slices.ContainsFunc(engine.Inputs(d.Name), func(in elt.DatasetName) bool { return !scope.Staged[in] }) {
			continue
		}
		if _, err := engine.Transform(ctx, scope, d.Name); err != nil {
			problems = append(problems, ws.unbuilt(err))
			continue
		}
		docs, err := r.Columns(ctx, r.Staged(scope.Run, d.Name))
		if err != nil {
			return columns, problems, err
		}
		for _, c := range docs {
			columns[d.Name] = append(columns[d.Name], c.Name)
		}
		scope.Staged[d.Name] = true
	}
	return columns, problems, ctx.Err()
}

// unbuilt is the problem of a model that cannot be built over empty tables. Its message begins with its place.
func (ws *workspace) unbuilt(err error) elt.Problem {
	f := elt.NewFailure(err)
	p := elt.Problem{File: ws.modelsFolder(), Code: f.Code, What: f.Message, Do: f.Do, Warning: true}
	place, what, ok := strings.Cut(f.Message, ": ")
	if file, placed := strings.CutPrefix(place, "sql/"); ok && placed {
		p.File, p.What = ws.modelsFolder()+"/"+file, what
		if at := strings.LastIndexByte(p.File, ':'); at > 0 {
			if line, err := strconv.Atoi(p.File[at+1:]); err == nil {
				p.File, p.Line = p.File[:at], line
			}
		}
	}
	p.What += " (tried over empty tables of production's columns)"
	return p
}

// dryRuns asks BigQuery for the columns of every model, by dry runs that read nothing and cost nothing. A model is asked
// for with all that it is made from in one query, down to published tables; what is not published yet is not known.
func (ws *workspace) dryRuns(ctx context.Context, native *transform.Project, _ map[elt.DatasetName]elt.Schema) (_ map[elt.DatasetName][]string, _ elt.Problems, err error) {
	columns := make(map[elt.DatasetName][]string)
	o := bigqueryOptions(ws, slog.New(slog.DiscardHandler))
	o.ReadOnly = true
	w, err := bigquery.Open(ctx, o)
	if err != nil {
		return columns, nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	scope := ws.rehearsing()
	scope.Inline = true
	engine := transform.New(transform.EngineOptions{Project: native, Warehouse: w, Dir: ws.config.Models.Dir})
	for _, d := range native.Datasets() {
		if d.Kind != elt.ModelDataset {
			continue
		}
		sql, err := engine.Compile(scope, d.Name)
		if err != nil {
			continue // the night itself says what is wrong
		}
		names, err := w.QueryColumns(ctx, sql)
		switch {
		case elt.CodeOf(err) == "sql_refused":
		case err != nil:
			return columns, nil, fmt.Errorf("ask for the columns of %s: %w", d.Name, err)
		default:
			columns[d.Name] = names
		}
	}
	return columns, nil, nil
}
