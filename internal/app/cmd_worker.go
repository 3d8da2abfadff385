package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Worker works at steps, beside other workers on any machines.
type Worker struct {
	Kinds   []string      `placeholder:"KIND,…" help:"The kinds of step that it works at; by default all: extract, load, verify, transform, test, publish."`
	Threads int           `placeholder:"N" help:"How many steps it works at at the same time; by default threads of daybreak.yaml."`
	Grace   time.Duration `default:"60s" help:"How long running steps may go on after SIGTERM before they are handed on."`
}

// Help is the long help of the command.
func (Worker) Help() string {
	return `Works at the steps of all runs, of nights and of backfills, beside any number of other workers on any machines. They share a ledger on PostgreSQL, and each has the workspace's files. It decides nothing: ticks, which date of a backfill is next and the ends of runs are the business of daybreak serve, of which one is needed, and several may run.

A DuckDB warehouse belongs to the one process that opens it, which is daybreak serve: a worker beside it can only extract. With BigQuery every kind of step can be done anywhere.

SIGTERM (or Ctrl-C) drains: no new step begins, running steps may end within --grace, and the rest is handed on without counting as a failed attempt. A worker that is killed loses nothing: its steps are taken over when their leases have run out.

  daybreak worker
  daybreak worker --kinds extract --threads 8
  daybreak worker --log json`
}

// Run runs the command.
func (v *Worker) Run(ctx context.Context, g *Globals, c *Console) error {
	log := c.Lines(g)
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	kinds, err := stepKinds(v.Kinds)
	if err != nil {
		return err
	}
	if err := ws.sharable(kinds); err != nil {
		return err
	}
	if v.Threads > 0 {
		ws.config.Threads = v.Threads
	}
	p, err := (&parts{ws: ws, log: log, extractsOnly: len(needWarehouse(kinds)) == 0}).open(ctx, logLines{log})
	if err != nil {
		return err
	}
	defer p.close(log)
	return p.workOn(ctx, kinds, v.Grace)
}

// stepKinds reads the kinds of a command line; none means all.
func stepKinds(names []string) ([]elt.StepKind, error) {
	if len(names) == 0 {
		return elt.StepKinds(), nil
	}
	var kinds []elt.StepKind
	for _, name := range names {
		kind := elt.StepKind(strings.TrimSpace(name))
		if !slices.Contains(elt.StepKinds(), kind) {
			return nil, &elt.Error{
				Code: "kind_unknown", Class: elt.Config, What: fmt.Sprintf("no step is of the kind %q", name),
				Do: "name some of " + kindsText(elt.StepKinds()),
			}
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}

func kindsText(kinds []elt.StepKind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// sharable refuses kinds of step at which a worker beside daybreak serve cannot work.
func (ws *workspace) sharable(kinds []elt.StepKind) error {
	cfg := ws.config
	if path, ok := strings.CutPrefix(cfg.Ledger.Reveal(), "sqlite:"); ok {
		return &elt.Error{
			Code: "ledger_not_shared", Class: elt.Config,
			What: fmt.Sprintf("workers share a ledger on a PostgreSQL server, and this workspace's is the SQLite file %s", path),
			Do:   "set ledger: postgres://… in daybreak.yaml; daybreak ledger backup and restore move what is there. Without workers, daybreak serve does everything",
		}
	}
	if need := needWarehouse(kinds); len(need) > 0 && cfg.Warehouse.BigQuery == nil {
		return &elt.Error{
			Code: "warehouse_not_shared", Class: elt.Config,
			What: fmt.Sprintf("to %s, a worker needs the warehouse, and %s is a DuckDB file that one process alone can open: daybreak serve", kindsText(need), cfg.Warehouse.DuckDB),
			Do:   "give --kinds extract, and leave the rest to daybreak serve; with a BigQuery warehouse every worker can do everything",
		}
	}
	return nil
}

// workOn works at steps until ctx ends, and then lets those that run end within grace.
func (p *parts) workOn(ctx context.Context, kinds []elt.StepKind, grace time.Duration) error {
	stepCtx, stopSteps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSteps()
	queue, err := p.openWorkers(stepCtx, kinds)
	if err != nil {
		return err
	}
	leave := p.newPresence("worker", kinds).attend(stepCtx, nil)
	p.log.Info("working", "worker", p.runner.Worker, "kinds", kindsText(kinds), "threads", p.ws.config.Threads)
	p.keepTidy(ctx)
	p.log.Info("draining", "grace", grace)
	drain(grace, stopSteps, queue)
	p.farewell(leave)
	p.log.Info("stopped")
	return nil
}

// keepTidy lets go of the sources' snapshots of runs that have ended, until ctx ends.
func (p *parts) keepTidy(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	trouble := repeated{log: p.log}
	for ctx.Err() == nil {
		trouble.note("the ledger cannot be asked which runs have ended", p.tidy(ctx))
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
