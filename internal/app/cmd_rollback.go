package app

import (
	"context"
	"log/slog"
)

// Rollback makes a version that was published before visible again.
type Rollback struct {
	Dataset string `arg:"" help:"The dataset."`
	To      string `placeholder:"VERSION|DATE" help:"The version, such as shop.users@20261119t020001-9f3a1c, or its data date; by default the one before what people read."`
	Reason  string `required:"" placeholder:"WHY" help:"Why, for the audit trail and the page."`
	Yes     bool   `short:"y" help:"Do not ask."`
}

// Help is the long help of the command.
func (Rollback) Help() string {
	return `Makes the version of a dataset visible again that was published before the present one, in one swap. Days that only the present version brought are shown as withdrawn, with the reason: their gates answer impossible. What was made from it stays as it is, and is shown as outdated.

The warehouse keeps what that takes for as many versions as retention.warehouse.versions says, one by default. Rolling back to a version that was itself rolled back takes the rollback back. Afterwards the day is brought anew with daybreak run --date DATE --again; the next night of an incremental table reads what was rolled back along.

It may be asked for while daybreak serve is at work, which then carries it out at once. Asking twice is harmless.

  daybreak rollback shop.users --reason "prices in cents"
  daybreak rollback revenue --to 2026-11-19 --reason "wrong currency" --yes`
}

// Run runs the command.
func (r *Rollback) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	d, err := ws.catalog.dataset(r.Dataset)
	if err != nil {
		return err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // what was written is committed
	rollbacks := rollbacks{ws, book}
	plan, err := rollbacks.PlanRollback(ctx, d.Name, r.To)
	if err != nil {
		return err
	}
	target := plan.Target
	if plan.Nothing() {
		c.printf("%s is what people read already: %s\n", target.ID, ws.published(target))
		return nil
	}
	c.printf("People read     %s (%s)\nRolling back to %s (%s)\n", ws.published(plan.Current), plan.Current.ID, ws.published(target), target.ID)
	if len(plan.Feeds) > 0 {
		c.printf("Made from it    %s; what reads it directly will be shown as outdated\n", listed(ws.catalog.feeds(d.Name)))
	}
	if err := c.confirm(r.Yes, "Roll back "+r.Dataset+"?"); err != nil {
		return err
	}
	run, err := rollbacks.ask(ctx, plan, actor(), r.Reason)
	if err != nil {
		return err
	}
	if err := ws.carryOut(ctx, c, g, book, run); err != nil {
		return err
	}
	c.printf("%s shows the data of %s again.\n", d.Name, day(target.Date))
	if left := texts(plan.Lost); len(left) > 0 {
		c.printf("Not published any more: %s. daybreak run --date %s --again brings %s anew.\n", listed(left), left[0], theDay(len(left)))
	}
	return nil
}

func theDay(n int) string {
	if n == 1 {
		return "it"
	}
	return "the first"
}
