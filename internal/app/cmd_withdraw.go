package app

import (
	"context"
	"log/slog"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Withdraw marks a day as bad.
type Withdraw struct {
	Dataset string `arg:"" help:"The dataset."`
	Date    string `arg:"" help:"The data date, such as 2026-01-05."`
	Reason  string `required:"" placeholder:"WHY" help:"Why, for the audit trail and the page."`
	Undo    bool   `help:"Take the withdrawal back."`
	Yes     bool   `short:"y" help:"Do not ask."`
}

// Help is the long help of the command.
func (Withdraw) Help() string {
	return `Marks a dataset's day as bad. The page and the API say so with the reason; gates and daybreak wait answer impossible for it; the dataset is complete only up to the day before. The tables stay as they are: daybreak rollback shows an earlier version instead. What was made from the day is shown as outdated.

It stays withdrawn until --undo, also when the day is brought again: a person has closed it, and a person opens it.

  daybreak withdraw revenue 2026-11-20 --reason "wrong exchange rates"
  daybreak withdraw revenue 2026-11-20 --undo --reason "rates corrected, checked by finance"`
}

// Run runs the command.
func (w *Withdraw) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	d, err := ws.catalog.dataset(w.Dataset)
	if err != nil {
		return err
	}
	date, err := parseDate(w.Date)
	if err != nil {
		return err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // what was written is committed
	question, say := "Withdraw", book.Withdraw
	if w.Undo {
		question, say = "Take back the withdrawal of", book.Reinstate
	}
	if feeds := ws.catalog.feeds(d.Name); len(feeds) > 0 && !w.Undo {
		c.printf("Made from it: %s; what reads it directly will be shown as outdated.\n", listed(feeds))
	}
	if err := c.confirm(w.Yes, question+" "+w.Dataset+" of "+day(date)+"?"); err != nil {
		return err
	}
	changed, err := say(ctx, d.Name, date, actor(), w.Reason)
	switch {
	case err != nil:
		return err
	case !changed && w.Undo:
		c.printf("%s of %s is not withdrawn.\n", d.Name, day(date))
	case !changed:
		c.printf("%s of %s is withdrawn already, for that reason.\n", d.Name, day(date))
	case w.Undo:
		c.printf("%s of %s is not withdrawn any more.\n", d.Name, day(date))
	default:
		c.printf("%s of %s is withdrawn: %s\n", d.Name, day(date), w.Reason)
	}
	return nil
}

// Allow lets a day pass the guards once.
type Allow struct {
	Dataset string `arg:"" help:"The dataset."`
	Date    string `arg:"" help:"The data date, such as 2026-01-05."`
	Reason  string `required:"" placeholder:"WHY" help:"Why, for the audit trail and the page."`
}

// Help is the long help of the command.
func (Allow) Help() string {
	return `Lets one day of a table pass the guards that hold back what nobody expects: no rows where there were some (empty_over_rows), another number of rows than expect_rows says (rows_unexpected), or more deletes than max_deletes (deletes_over_cap). It is used once, by the next run that brings the day; the version bears a warning that says who let it pass and why.

A run that a guard has held back is tried again: at once where daybreak serve is at work, else with daybreak run --date DATE.

  daybreak allow shop.users 2026-12-25 --reason "a public holiday"`
}

// Run runs the command.
func (a *Allow) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	d, err := ws.catalog.dataset(a.Dataset)
	if err != nil {
		return err
	}
	if d.Kind != elt.TableDataset {
		return &elt.Error{
			Code: "not_extracted", Class: elt.Config,
			What: a.Dataset + " is a " + string(d.Kind) + ": there are no guards on its rows", Do: "name an extracted dataset; models are held to their tests",
		}
	}
	date, err := parseDate(a.Date)
	if err != nil {
		return err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // what was written is committed
	versions, err := book.Versions(ctx, d.Name, 1)
	if err != nil {
		return err
	}
	if len(versions) > 0 && versions[0].Date.After(date) && !ws.catalog.anyDate(d) {
		return superseded(d.Name, date, versions[0].Date)
	}
	if err := book.Allow(ctx, elt.Allowance{Dataset: d.Name, Date: date, Actor: actor(), Reason: a.Reason}); err != nil {
		return err
	}
	c.printf("%s of %s may pass once.\n", d.Name, day(date))
	runs, err := book.Runs(ctx, elt.RunFilter{Schedule: d.Schedule, From: date, To: date})
	if err != nil {
		return err
	}
	for _, run := range runs {
		step, err := book.Step(ctx, elt.NewStepID(run.ID, elt.VerifyStep, d.Name))
		if elt.CodeOf(err) == "step_unknown" {
			continue
		}
		if err != nil {
			return err
		}
		if step.State != elt.StepFailed || !run.State.Terminal() || !isGuard(step.Error) {
			return nil
		}
		if _, err := book.RetryRun(ctx, run.ID, actor()); err != nil {
			return err
		}
		c.printf("Run %s, which held it back, is tried again: by daybreak serve, or with daybreak run --date %s.\n", run.ID, date)
		return nil
	}
	return nil
}

// isGuard reports whether a step failed by what a person may let pass.
func isGuard(f *elt.Failure) bool {
	return f != nil && slices.Contains(guards, f.Code)
}
