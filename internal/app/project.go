package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// project is what the files of the models say, whichever engine builds them.
type project interface {
	// Datasets returns what the models make, inputs first; TableDocs what is said of the extracted tables.
	Datasets() []elt.Dataset
	TableDocs() map[elt.DatasetName]transform.TableDoc
	coded
	selectable
	tested
}

// coded tells how a model is made.
type coded interface {
	// Layout returns how a model's published table is arranged.
	Layout(d elt.DatasetName) elt.Layout
	// Code returns a model's SQL as it was written, and as the warehouse would take it where that is known.
	Code(d elt.DatasetName) (source, query string)
}

// selectable finds datasets as people name them, inputs first.
type selectable interface {
	// Select returns models and seeds; no selector means all. Pick returns extracted tables, too.
	Select(selectors []string) ([]elt.DatasetName, error)
	Pick(s transform.Selection) ([]elt.DatasetName, error)
}

// tested tells of the tests of a dataset.
type tested interface {
	// Tests returns their names; TestNeeds the other datasets that they read.
	Tests(d elt.DatasetName) []string
	TestNeeds(d elt.DatasetName) []elt.DatasetName
}

// parseProject reads the models of the workspace, by the engine that builds them. A workspace without the folder has
// none. With problems that are not warnings, the project must not be run.
func (ws *workspace) parseProject(ctx context.Context, vars map[string]any) (project, elt.Problems) {
	if ws.config.Models.DBT != "" {
		return ws.parseDBT(ctx, vars)
	}
	o := transform.Options{
		Vars: ws.varsWith(vars), Target: ws.config.Models.Target, Schema: ws.config.Models.Schema, Env: os.LookupEnv, Tables: ws.tables(),
		Masked: ws.masked(), Excluded: make(map[elt.DatasetName][]string),
		Columns: ws.columns,
	}
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			o.Excluded[t.Dataset] = t.Exclude
		}
	}
	parsed, problems := transform.Parse(os.DirFS(ws.config.Models.Dir), o)
	for i := range problems {
		problems[i].File = filepath.Join(ws.modelsFolder(), strings.TrimPrefix(problems[i].File, "sql/"))
	}
	return parsed, problems
}

// masked returns the columns of the extracted tables that are masked or marked as personal.
func (ws *workspace) masked() map[elt.DatasetName][]string {
	out := make(map[elt.DatasetName][]string)
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			d := t.Defaults
			out[t.Dataset] = slices.Concat(t.Hash, t.Redact, t.PII, t.Keep, d.Hash, d.Redact, d.PII, d.Keep)
		}
	}
	return out
}

// varsWith returns the variables of the SQL, those of daybreak.yaml under the given ones.
func (ws *workspace) varsWith(vars map[string]any) map[string]any {
	out := make(map[string]any, len(ws.config.Models.Vars)+len(vars))
	maps.Copy(out, ws.config.Models.Vars)
	maps.Copy(out, vars)
	return out
}

// modelsFolder is the folder of the models as people write it.
func (ws *workspace) modelsFolder() string {
	at := ws.config.Models.Dir
	if ws.config.Models.DBT != "" {
		at = ws.config.Models.DBT
	}
	folder, err := filepath.Rel(ws.dir, at)
	if err != nil {
		return at
	}
	return folder
}

// tables returns the extracted datasets, which the models' sources may name.
func (ws *workspace) tables() []elt.Dataset {
	var tables []elt.Dataset
	for _, s := range ws.schedules {
		for _, t := range s.Tables {
			tables = append(tables, elt.Dataset{Name: t.Dataset, Kind: elt.TableDataset, Relation: string(t.Dataset)})
		}
	}
	return tables
}

func (ws *workspace) parseDBT(ctx context.Context, vars map[string]any) (project, elt.Problems) {
	o, err := ws.dbtOptions(vars, slog.New(slog.DiscardHandler))
	if err != nil {
		f := elt.NewFailure(err)
		return nil, elt.Problems{{File: ws.modelsFolder(), Code: f.Code, What: f.Message, Do: f.Do}}
	}
	p, problems := dbt.Load(ctx, o)
	if p == nil {
		return nil, problems
	}
	return p, problems
}

// dbtOptions says how the team's own dbt is called.
func (ws *workspace) dbtOptions(vars map[string]any, log *slog.Logger) (dbt.Options, error) {
	cfg := ws.config
	folder, err := filepath.Abs(cfg.Models.DBT)
	if err != nil {
		return dbt.Options{}, fmt.Errorf("find the dbt project: %w", err)
	}
	state, err := filepath.Abs(filepath.Join(filepath.Dir(cfg.Warehouse.DuckDB), "dbt"))
	if err != nil {
		return dbt.Options{}, fmt.Errorf("find the folder for dbt's files: %w", err)
	}
	more := make(map[string]string, len(cfg.Models.DBTEnv))
	for name, value := range cfg.Models.DBTEnv {
		more[name] = value.Reveal()
	}
	return dbt.Options{
		Command: dbt.Command{Program: cfg.Models.DBTCommand, Project: folder, Env: dbt.Environment(os.Environ(), cfg.Env, more), Log: log},
		Folder:  ws.modelsFolder(), State: state, Builder: ws.dbtBuilder(nil), Target: cfg.Models.Target, Schema: cfg.Models.Schema,
		Vars: ws.varsWith(vars), OneRun: len(vars) > 0, Profile: cfg.Models.DBTProfile, Threads: cfg.Threads, Tables: ws.tables(), Masked: ws.masked(), Now: time.Now,
	}, nil
}

// dbtBuilder is where dbt builds; without a warehouse it builds nothing.
func (ws *workspace) dbtBuilder(w warehouse) dbt.Builder {
	cfg := ws.config
	if b := cfg.Warehouse.BigQuery; b != nil {
		place, _ := w.(*bigquery.Warehouse)
		return dbt.InDatasets{
			Warehouse: place, Failures: place, Project: b.Project, Location: b.Location, Prefix: b.DatasetPrefix, Schema: cfg.Models.Schema,
			Impersonate: b.Impersonate, Endpoint: b.Endpoint, MaxBytesBilled: b.MaxBytesBilled(),
		}
	}
	file, _ := w.(*duckdb.Warehouse)
	return dbt.InFile{Warehouse: file, Schema: cfg.Models.Schema}
}

// dbt returns the engine of a dbt project.
func (m *models) dbt(p *dbt.Project, vars map[string]any) (engine, error) {
	o, err := m.ws.dbtOptions(vars, m.log)
	if err != nil {
		return nil, err
	}
	w, ok := m.warehouse.(dbt.Warehouse)
	if !ok {
		return nil, errors.New("no dbt builds in this warehouse")
	}
	o.Builder = m.ws.dbtBuilder(m.warehouse)
	o.Left, o.ByTables = m.budget.left, m.budget.byTables
	o.Samples = m.warehouse
	o.Failing = dbt.Failing{Keep: m.ledger.SaveFailingRows, Rows: m.ws.config.Models.FailingRows}
	e := dbt.New(o, p, w)
	m.closers = append(m.closers, e.Close)
	return e, nil
}
