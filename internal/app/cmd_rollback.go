package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
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
	versions, err := book.Versions(ctx, d.Name, everyVersion)
	if err != nil {
		return err
	}
	target, err := r.target(d.Name, versions)
	if err != nil {
		return err
	}
	current := versions[0]
	if target.ID == current.ID || target.ID == current.Restores {
		c.printf("%s is what people read already: %s\n", target.ID, ws.published(target))
		return nil
	}
	c.printf("People read     %s (%s)\nRolling back to %s (%s)\n", ws.published(current), current.ID, ws.published(target), target.ID)
	if feeds := ws.catalog.feeds(d.Name); len(feeds) > 0 {
		c.printf("Made from it    %s; what reads it directly will be shown as outdated\n", listed(feeds))
	}
	if err := c.confirm(r.Yes, "Roll back "+r.Dataset+"?"); err != nil {
		return err
	}
	run := elt.Run{Schedule: d.Schedule, Date: target.Date, Kind: elt.RollbackRun, Target: target.ID}
	run, err = ws.ask(ctx, book, run, nil, elt.AuditEntry{
		Action: "rollback", Target: fmt.Sprintf("%s: %s → %s", d.Name, current.ID, target.ID), Reason: r.Reason,
	})
	if err != nil {
		return err
	}
	if err := ws.carryOut(ctx, c, g, book, run); err != nil {
		return err
	}
	c.printf("%s shows the data of %s again.\n", d.Name, day(target.Date))
	if left := lostDates(versions, target); len(left) > 0 {
		c.printf("Not published any more: %s. daybreak run --date %s --again brings %s anew.\n", listed(left), left[0], theDay(len(left)))
	}
	return nil
}

// everyVersion bounds how many versions of a dataset are looked at: more than the days that are kept.
const everyVersion = 10_000

func theDay(n int) string {
	if n == 1 {
		return "it"
	}
	return "the first"
}

// target returns the version to go back to. versions are the dataset's, the last published first.
func (r *Rollback) target(d elt.DatasetName, versions []elt.Version) (elt.Version, error) {
	if len(versions) == 0 {
		return elt.Version{}, &elt.Error{
			Code: "nothing_published", Class: elt.Data, What: fmt.Sprintf("%s has no published version", d), Do: "run a night first: daybreak run",
		}
	}
	current := versions[0]
	switch {
	case r.To == "" && current.Restores != "":
		return elt.Version{}, &elt.Error{
			Code: "rolled_back_already", Class: elt.Config,
			What: fmt.Sprintf("%s was brought back to %s already, by run %s", d, current.Restores, current.Run),
			Do:   "to go further back, or forward again, name the version: --to " + candidates(versions),
		}
	case r.To == "" && len(versions) == 1:
		return elt.Version{}, &elt.Error{
			Code: "nothing_before", Class: elt.Data,
			What: fmt.Sprintf("there is nothing to go back to: %s has been published once, by run %s", d, current.Run),
			Do:   fmt.Sprintf("daybreak withdraw %s %s marks the day as bad", d, current.Date),
		}
	case r.To == "":
		return versions[1], nil
	case strings.Contains(r.To, "@"):
		if i := slices.IndexFunc(versions, func(v elt.Version) bool { return string(v.ID) == r.To }); i >= 0 {
			return versions[i], nil
		}
		return elt.Version{}, noVersion(d, r.To, versions)
	}
	date, err := parseDate(r.To)
	if err != nil {
		return elt.Version{}, err
	}
	of := slices.DeleteFunc(slices.Clone(versions), func(v elt.Version) bool { return v.Date != date })
	if i := slices.IndexFunc(of, func(v elt.Version) bool { return v.RolledBack == "" }); i >= 0 {
		return of[i], nil
	}
	if len(of) > 0 {
		return of[0], nil
	}
	return elt.Version{}, noVersion(d, r.To, versions)
}

func noVersion(d elt.DatasetName, asked string, versions []elt.Version) error {
	return &elt.Error{
		Code: "version_unknown", Class: elt.Config,
		What: fmt.Sprintf("%s has no version %s", d, asked), Do: "there are " + candidates(versions),
	}
}

// candidates lists the latest versions.
func candidates(versions []elt.Version) string {
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = string(v.ID)
	}
	return listed(names)
}

// lostDates returns the dates that have no version once the target is restored: all of theirs are newer than it.
func lostDates(versions []elt.Version, target elt.Version) (dates []string) {
	kept := map[elt.Date]bool{target.Date: true}
	for _, v := range versions {
		if !v.PublishedAt.After(target.PublishedAt) {
			kept[v.Date] = true
		}
	}
	for _, v := range versions {
		if !kept[v.Date] && v.RolledBack == "" {
			kept[v.Date] = true
			dates = append(dates, v.Date.String())
		}
	}
	slices.Sort(dates)
	return dates
}
