package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// rebuild brings a warehouse back that was lost: every table from the lake, as the versions of the ledger say, and then
// the models on them. What is there already is left as it is, so that it goes on where it stopped.
func (ws *workspace) rebuild(ctx context.Context, c *Console, g *Globals) error {
	log := c.Logger(g, slog.LevelWarn)
	if err := ws.hasLedger(); err != nil {
		return err
	}
	rebuilt, lost, err := ws.rebuildTables(ctx, c, log)
	if err != nil {
		return interruptedRebuild(ctx, err)
	}
	p, err := (&parts{ws: ws, log: log, rebuilding: true}).open(ctx, newDisplay(c, g, log))
	if err != nil {
		return err
	}
	defer p.close(log)
	for _, s := range ws.schedules {
		models, err := p.rebuildModels(ctx, s.Name)
		if err != nil {
			return interruptedRebuild(ctx, err)
		}
		rebuilt += models
	}
	if len(lost) > 0 {
		for _, err := range lost {
			c.printf("✕ %v\n", err)
		}
		return exitStatus(ExitData)
	}
	if rebuilt == 0 {
		c.printf("The warehouse has lost nothing.\n")
		return nil
	}
	if err := p.ledger.Audit(ctx, elt.AuditEntry{Actor: actor(), Action: "load.all", Target: "warehouse", Reason: "rebuilt from the lake"}); err != nil {
		return err
	}
	c.printf("The warehouse is whole.\n")
	return nil
}

func interruptedRebuild(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &elt.Error{
		Code: elt.Interrupted, Class: elt.Conflict, What: "the rebuilding was interrupted", Do: "daybreak load --all goes on where it stopped",
	}
}

// rebuildTables brings the tables back, without renewing the read copy after each night that it replays. It returns how
// many it brought back, and what it could not because the lake has not got it.
func (ws *workspace) rebuildTables(ctx context.Context, c *Console, log *slog.Logger) (rebuilt int, lost []error, err error) {
	p := &parts{ws: ws, log: log}
	defer func() { err = errors.Join(err, p.closeAll()) }()
	if err := p.openLedger(ctx); err != nil {
		return 0, nil, err
	}
	if err := p.openExtract(ctx); err != nil {
		return 0, nil, err
	}
	if err := p.openWarehouse(ctx, ""); err != nil {
		return 0, nil, err
	}
	if err := p.openLoader(); err != nil {
		return 0, nil, err
	}
	there, err := p.warehouse.Versions(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, d := range ws.catalog.datasets {
		if d.Kind != elt.TableDataset {
			continue
		}
		versions, err := p.ledger.Versions(ctx, d.Name, everyVersion)
		if err != nil {
			return 0, nil, err
		}
		if len(versions) == 0 || slices.ContainsFunc(there, func(v elt.Version) bool { return v.ID == versions[0].ID }) {
			continue
		}
		nights, err := p.rebuildTable(ctx, d, versions)
		switch code := elt.CodeOf(err); {
		case code == "object_missing" || code == "manifest_missing" || code == "part_missing" || code == "part_corrupt" || code == "manifest_unknown" || code == "chain_broken":
			lost = append(lost, fmt.Errorf("%s: %w", d.Name, err))
		case err != nil:
			return 0, nil, err
		default:
			rebuilt++
			c.printf("✓ %s: %s, from %s\n", d.Name, ws.published(versions[0]), plural(nights, "manifest"))
		}
	}
	return rebuilt, lost, nil
}

// rebuildTable publishes again what a table was made from, under the same versions. It returns how many nights that were.
func (p *parts) rebuildTable(ctx context.Context, d elt.Dataset, versions []elt.Version) (nights int, err error) {
	manifests := make(map[elt.VersionID]*elt.Manifest)
	chain, err := elt.Chain(versions, func(v elt.Version) (bool, error) {
		m, err := readManifest(ctx, p.lake, v.Manifest)
		manifests[v.ID] = m
		return err == nil && beginsAnew(m), err
	})
	if err != nil {
		return 0, err
	}
	if len(chain) == 0 {
		return 0, chainBroken(d.Name)
	}
	for _, v := range chain {
		err := replay(ctx, p.loader, p.warehouse, d, p.ws.catalog.layout(d.Name), v, manifests[v.ID])
		if err != nil && elt.CodeOf(err) != "already_published" {
			return 0, err
		}
	}
	current := versions[0]
	if current.ID != chain[len(chain)-1].ID { // it brought back what now is there
		restored := current
		restored.Restores = chain[len(chain)-1].ID
		if _, err := p.warehouse.Restore(ctx, elt.Restoration{Version: restored, Fence: current.Fence, Relation: d.Relation}); err != nil {
			return 0, err
		}
	}
	return len(chain), nil
}

// rebuildModels has a run build the schedule's models that the warehouse lacks, and all that is made from them, for the
// date of the newest of them, and returns how many.
func (p *parts) rebuildModels(ctx context.Context, s elt.ScheduleName) (int, error) {
	there, err := p.warehouse.Versions(ctx)
	if err != nil {
		return 0, err
	}
	current, err := p.ledger.Current(ctx)
	if err != nil {
		return 0, err
	}
	var models []elt.Dataset
	var date elt.Date
	for _, d := range p.ws.catalog.of(s) {
		v, known := current[d.Name]
		if d.Kind == elt.TableDataset || !known || slices.ContainsFunc(there, func(w elt.Version) bool { return w.ID == v.ID }) {
			continue
		}
		models = append(models, d)
		if v.Date.After(date) {
			date = v.Date
		}
	}
	if len(models) == 0 {
		return p.endRebuild(ctx, s)
	}
	run := elt.Run{Schedule: s, Date: date, Kind: elt.ReloadRun}
	act := elt.AuditEntry{Action: "load.models", Target: string(s), Reason: "built anew on what came from the lake"}
	if run, err = p.ws.ask(ctx, p.ledger, run, models, act); err != nil {
		return 0, err
	}
	run, steps, err := p.nights.finishAlone(ctx, run)
	if err != nil {
		return 0, err
	}
	return len(models), runError(run, steps)
}

// endRebuild ends the run of a rebuilding that was interrupted when its models were published already, and returns how many
// models that run has built.
func (p *parts) endRebuild(ctx context.Context, s elt.ScheduleName) (models int, err error) {
	going, err := p.ledger.Runs(ctx, elt.RunFilter{Schedule: s, State: elt.RunRunning})
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(going, func(r elt.Run) bool { return r.Kind == elt.ReloadRun && r.Target == "" })
	if i < 0 {
		return 0, nil
	}
	run, steps, err := p.nights.finishAlone(ctx, going[i])
	if err != nil {
		return 0, err
	}
	for _, step := range steps {
		if step.Kind == elt.TransformStep {
			models++
		}
	}
	return models, runError(run, steps)
}
