package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// Compile prints a model's SQL.
type Compile struct {
	Model       string `arg:"" help:"The model; with --test also a table or a seed."`
	Date        string `placeholder:"DATE" help:"The data date; by default the last one that has ended."`
	Test        string `placeholder:"NAME" help:"Print the query of this test of the model instead: its rows are the failing ones."`
	FullRefresh bool   `help:"As a full refresh would run it."`
	Vars        string `placeholder:"YAML" help:"Variables of the SQL, over those of daybreak.yaml: '{since: 2026-01-01}'."`
}

// Help is the long help of the command.
func (Compile) Help() string {
	return `Prints the SQL of a model as it will run for a data date: macros and variables filled in, ephemeral models in place, the incremental branch if the model has been published. Relations are given by their published names, so that the SQL can be pasted into daybreak query; in the night itself, inputs that the same run brings are read from its staging.

  daybreak compile revenue
  daybreak compile daily_orders --date 2026-01-05
  daybreak compile daily_orders --full-refresh
  daybreak compile revenue --test "unique(country)"`
}

// Run runs the command.
func (k *Compile) Run(ctx context.Context, g *Globals, c *Console) error {
	vars, err := parseVars(k.Vars)
	if err != nil {
		return err
	}
	ws, err := loadWorkspaceWith(ctx, g.workspace(), vars)
	if err != nil {
		return err
	}
	name := elt.DatasetName(k.Model)
	current, now, err := ws.current(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	date := elt.DateOf(now.In(ws.catalog.zone(name))).AddDays(-1)
	if k.Date != "" {
		if date, err = elt.ParseDate(k.Date); err != nil {
			return &elt.Error{Code: "bad_date", Class: elt.Config, What: err.Error(), Do: "write the date as 2026-01-05"}
		}
	}
	scope := ws.catalog.publishedScope(name, date, datesOf(current), now)
	scope.FullRefresh = k.FullRefresh
	sql, err := ws.compile(ctx, vars, scope, name, k.Test)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s\n", strings.TrimRight(sql, "\n"))
	return nil
}

// compile returns a model's SQL, or that of its test, by the engine that builds it.
func (ws *workspace) compile(ctx context.Context, vars map[string]any, scope transform.Scope, name elt.DatasetName, test string) (string, error) {
	if p, ok := ws.project.(*dbt.Project); ok {
		if f := p.Freshness(name); f != nil && f.Name() == test {
			return f.SQL(publishedNames{config: ws.config.Warehouse}.Published(ws.catalog.relation(name)), scope.ReadTime()), nil
		}
		o, err := ws.dbtOptions(vars, slog.New(slog.DiscardHandler))
		if err != nil {
			return "", err
		}
		return dbt.Compile(ctx, o, p, scope, name, test)
	}
	engine := transform.New(transform.EngineOptions{Project: ws.project.(*transform.Project), Warehouse: publishedNames{config: ws.config.Warehouse}, Dir: ws.config.Models.Dir})
	if test != "" {
		return engine.TestSQL(scope, name, test)
	}
	return engine.Compile(scope, name)
}

// current returns the published version of each dataset by the ledger, and its time; a workspace without a ledger yet
// has published nothing.
func (ws *workspace) current(ctx context.Context, log *slog.Logger) (current map[elt.DatasetName]elt.Version, now time.Time, err error) {
	if path, ok := strings.CutPrefix(ws.config.Ledger.Reveal(), "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, time.Now(), nil
		}
	}
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), log)
	if err != nil {
		return nil, now, err
	}
	defer func() {
		if closed := book.Close(); err == nil {
			err = closed
		}
	}()
	if err := book.Migrate(ctx); err != nil {
		return nil, now, err
	}
	if now, err = book.Now(ctx); err != nil {
		return nil, now, err
	}
	current, err = book.Current(ctx)
	return current, now, err
}
