package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// Load brings what is in the lake into the warehouse again.
type Load struct {
	Dataset      string `arg:"" optional:"" help:"The extracted dataset."`
	Date         string `placeholder:"DATE" help:"The data date; by default that of the version that people read."`
	Publish      bool   `help:"Make it visible."`
	ReplaceNewer bool   `help:"Also where newer dates are published: they are rolled back by it."`
	All          bool   `help:"Rebuild a warehouse that was lost: every dataset, from the lake and the ledger."`
	Reason       string `placeholder:"WHY" help:"Why, for the audit trail and the page."`
	Yes          bool   `short:"y" help:"Do not ask."`
}

// Help is the long help of the command.
func (Load) Help() string {
	return `Loads and verifies a dataset from what was extracted of it, without touching production: its manifest's parts with their checksums, and every column's facts. An incremental table is rebuilt from its first load and every night since, in order.

Without --publish nothing is changed: it shows that the lake holds what it takes. With --publish the data of that date takes the place of what people read. Where newer dates are published, that takes them away, as a rollback does, and must be said: --replace-newer.

--all rebuilds a warehouse that was lost, such as a DuckDB file that was deleted: every table as it was last published, and then the models on them. It goes on where it stopped. Datasets that are still there are left alone.

  daybreak load shop.users                       is the lake's copy of it whole?
  daybreak load shop.users --date 2026-11-19 --publish --reason "restored by hand"
  daybreak load --all`
}

// Run runs the command.
func (l *Load) Run(ctx context.Context, g *Globals, c *Console) error {
	if l.All == (l.Dataset != "") {
		return &elt.Error{Code: "bad_load", Class: elt.Config, What: "load takes either a dataset or --all", Do: "daybreak load shop.users, or daybreak load --all"}
	}
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	if l.All {
		return ws.rebuild(ctx, c, g)
	}
	d, err := ws.catalog.dataset(l.Dataset)
	if err != nil {
		return err
	}
	if d.Kind != elt.TableDataset {
		return &elt.Error{
			Code: "not_extracted", Class: elt.Config,
			What: fmt.Sprintf("%s is a %s: there is nothing of it in the lake", l.Dataset, d.Kind), Do: "daybreak run --again builds it anew",
		}
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // what was written is committed
	versions, err := book.Versions(ctx, d.Name, everyVersion)
	if err != nil {
		return err
	}
	target, err := l.target(d.Name, versions)
	if err != nil {
		return err
	}
	if !l.Publish {
		return ws.drill(ctx, c, g, d, upTo(versions, target))
	}
	return l.publish(ctx, c, g, ws, book, d, versions, target)
}

// target returns the version whose data is loaded. versions are the dataset's, the last published first.
func (l *Load) target(d elt.DatasetName, versions []elt.Version) (elt.Version, error) {
	if len(versions) == 0 {
		return elt.Version{}, &elt.Error{
			Code: "nothing_published", Class: elt.Data, What: fmt.Sprintf("%s has no published version", d), Do: "run a night first: daybreak run",
		}
	}
	if l.Date == "" {
		return versions[0], nil
	}
	return rollbackTarget(d, l.Date, versions)
}

// upTo returns the versions up to the target, which is the last of them.
func upTo(versions []elt.Version, target elt.Version) []elt.Version {
	return slices.DeleteFunc(slices.Clone(versions), func(v elt.Version) bool { return v.PublishedAt.After(target.PublishedAt) })
}

// publish has a run load the target and make it visible.
func (l *Load) publish(ctx context.Context, c *Console, g *Globals, ws *workspace, book *ledger.Ledger, d elt.Dataset, versions []elt.Version, target elt.Version) error {
	lost := lostDates(versions, target)
	if len(lost) > 0 && !l.ReplaceNewer {
		return &elt.Error{
			Code: "newer_published", Class: elt.Config,
			What: fmt.Sprintf("%s is published up to %s: to publish %s over that takes %s away, and gates on what is gone answer impossible", d.Name, versions[0].Date, target.Date, listed(lost)),
			Do:   "if that is what should happen, say --replace-newer; daybreak rollback does it without loading, where the warehouse has kept the version",
		}
	}
	if l.Reason == "" {
		l.Reason = "loaded again from the lake"
	}
	c.printf("People read  %s (%s)\nLoading      %s (%s), from the lake\n", ws.published(versions[0]), versions[0].ID, ws.published(target), target.ID)
	if err := c.confirm(l.Yes, "Publish it?"); err != nil {
		return err
	}
	run := elt.Run{Schedule: d.Schedule, Date: target.Date, Kind: elt.ReloadRun, Target: target.ID}
	run, err := ws.ask(ctx, book, run, []elt.Dataset{d}, elt.AuditEntry{Action: "load", Target: string(target.ID), Reason: l.Reason})
	if err != nil {
		return err
	}
	if err := ws.carryOut(ctx, c, g, book, run); err != nil {
		return err
	}
	c.printf("%s shows the data of %s, from the lake.\n", d.Name, day(target.Date))
	return nil
}

// drill rebuilds the last of the versions from the lake, in a scratch warehouse, and says what it found.
func (ws *workspace) drill(ctx context.Context, c *Console, g *Globals, d elt.Dataset, versions []elt.Version) error {
	store, err := openLake(ctx, ws)
	if err != nil {
		return err
	}
	chain, err := chainOf(ctx, store, d.Name, versions)
	if err != nil {
		return err
	}
	scratch, err := newScratch(ctx, c.Logger(g, slog.LevelWarn), store, d, ws.catalog.layout(d.Name), chain)
	if err != nil {
		return err
	}
	stats, err := scratch.measure(ctx)
	if err := scratch.close(err); err != nil {
		return err
	}
	parts := 0
	for _, m := range chain {
		parts += len(m.Parts)
	}
	c.printf("✓ %s of %s: %s rows from %s of %s, whole and verified at level columns; nothing was published\n",
		d.Name, day(chain[len(chain)-1].Date), count(stats.Rows), plural(parts, "part"), plural(len(chain), "manifest"))
	return nil
}
