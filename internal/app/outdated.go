package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
)

// outdatedDays is how far back outdated days are looked for: as far as the ledger tells days.
const outdatedDays = 399

// outdated plans what newer inputs left behind in a schedule's days.
func outdated(ctx context.Context, book *ledger.Ledger, c *catalog, s *schedules.Schedule) ([]schedules.Rebuild, error) {
	now, err := book.Now(ctx)
	if err != nil {
		return nil, err
	}
	today := elt.DateOf(now.In(s.Zone))
	facts, err := book.Facts(ctx, today.AddDays(-outdatedDays), today)
	if err != nil {
		return nil, err
	}
	return schedules.PlanOutdated(elt.NewBoard(facts), c.of(s.Name), today.AddDays(-outdatedDays), today), nil
}

// planOutdated prints the days that runOutdated would build again. It opens the ledger alone.
func planOutdated(ctx context.Context, ws *workspace, s *schedules.Schedule, c *Console, log *slog.Logger) (err error) {
	book, err := ledger.Open(ctx, ws.config.Ledger.Reveal(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	if err := book.Migrate(ctx); err != nil {
		return err
	}
	plan, err := outdated(ctx, book, ws.catalog, s)
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		c.printf("Nothing is outdated: every day was made from the newest versions of its inputs.\n")
		return nil
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATE\tMODEL\tWHY")
	days := 0
	for _, r := range plan {
		for _, m := range r.Models {
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Date, m.Dataset, m.Why)
			days++
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	c.printf("\n%s of models on %s; daybreak run --outdated builds them in this order\n", plural(days, "day"), plural(len(plan), "date"))
	return nil
}

// runOutdated builds what planOutdated shows, a run for each date, oldest first. It stops at the first date that is not
// published whole: what comes after it may build on it.
func runOutdated(ctx context.Context, p *parts, s *schedules.Schedule, c *Console) error {
	plan, err := outdated(ctx, p.ledger, p.ws.catalog, s)
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		c.printf("Nothing is outdated: every day was made from the newest versions of its inputs.\n")
		return nil
	}
	for i, r := range plan {
		reason := fmt.Sprintf("outdated, by hand, %s: %s", actor(), r.Models[0].Why)
		run, err := begin(ctx, p, s, r.Date, reason, false, elt.RunOptions{Select: []string{strings.Join(r.Names(), " ")}})
		if err != nil {
			return err
		}
		run, steps, err := p.nights.finish(ctx, run)
		if err != nil {
			return interrupted(err, run)
		}
		if err := runError(run, steps); err != nil {
			if left := len(plan) - i - 1; left > 0 {
				fmt.Fprintf(c.Err, "daybreak: %s later are left as they are: they may build on this one\n", plural(left, "date"))
			}
			return err
		}
	}
	return nil
}
