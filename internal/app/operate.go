package app

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/schedules"
)

// confirm asks a person who watches whether to go on. Where nobody watches, only yes does.
func (c *Console) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if c.Terminal() {
		c.printf("%s [y/N] ", question)
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if answer := strings.ToLower(strings.TrimSpace(line)); err == nil && (answer == "y" || answer == "yes") {
			return nil
		}
	}
	return &elt.Error{Code: "not_confirmed", Class: elt.Config, What: "nothing was done", Do: "answer y, or give --yes"}
}

// openBook opens the ledger alone, beside whatever process works on the workspace. Nothing is settled or migrated.
func (ws *workspace) openBook(ctx context.Context, log *slog.Logger) (*ledger.Ledger, error) {
	if err := ws.hasLedger(); err != nil {
		return nil, err
	}
	return ledger.Open(ctx, ws.config.Ledger.Reveal(), log)
}

// dataset returns the dataset of that name.
func (c *catalog) dataset(name string) (elt.Dataset, error) {
	d, ok := c.byName[elt.DatasetName(name)]
	if !ok {
		return d, c.unknown(name)
	}
	return d, nil
}

// busyElsewhere reports whether err says that another process works on the workspace.
func busyElsewhere(err error) bool {
	return slices.Contains([]elt.Code{"worker_running", "warehouse_locked"}, elt.CodeOf(err))
}

// carryOut has a run carried to its end: by this process, or, where another one works on the workspace, by that.
func (ws *workspace) carryOut(ctx context.Context, c *Console, g *Globals, book *ledger.Ledger, run elt.Run) error {
	log := c.Logger(g, slog.LevelWarn)
	show := newDisplay(c, g, log)
	p, err := ws.open(ctx, log, show)
	var steps []elt.Step
	switch {
	case err == nil:
		defer p.close(log)
		run, steps, err = p.nights.finishAlone(ctx, run)
	case busyElsewhere(err):
		c.printf("Another daybreak is at work here, and carries it out.\n")
		run, steps, err = awaitRun(ctx, book, run, show)
	}
	if err != nil {
		return interrupted(err, run)
	}
	return runError(run, steps)
}

// awaitRun waits until another process has carried the run to its end.
func awaitRun(ctx context.Context, book *ledger.Ledger, run elt.Run, show display) (elt.Run, []elt.Step, error) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		var err error
		if run, err = book.Run(ctx, run.ID); err != nil {
			return run, nil, err
		}
		if run.State.Terminal() {
			steps, err := book.Steps(ctx, run.ID)
			if err == nil {
				show.began(run, len(steps))
				show.ended(run, steps)
			}
			return run, steps, err
		}
		select {
		case <-ctx.Done():
			return run, nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// ask creates the run that an operator asks for, and notes first who does so and why. A run of the same kind that is
// still going on for the same target is returned instead: asking twice is harmless.
func (ws *workspace) ask(ctx context.Context, book *ledger.Ledger, run elt.Run, datasets []elt.Dataset, act elt.AuditEntry) (elt.Run, error) {
	going, err := book.Runs(ctx, elt.RunFilter{State: elt.RunRunning})
	if err != nil {
		return run, err
	}
	for _, other := range going {
		if other.Kind == run.Kind && other.Target == run.Target && other.Schedule == run.Schedule && other.Date == run.Date {
			return other, nil
		}
	}
	earlier, err := book.Runs(ctx, elt.RunFilter{Schedule: run.Schedule, From: run.Date, To: run.Date, Limit: 10_000})
	if err != nil {
		return run, err
	}
	for _, other := range earlier {
		if other.Kind == run.Kind {
			run.Sequence = max(run.Sequence, other.Sequence+1)
		}
	}
	now, err := book.Now(ctx)
	if err != nil {
		return run, err
	}
	act.Actor = cmp.Or(act.Actor, actor())
	run.ID, run.State, run.Reason = newRunID(now), elt.RunRunning, byHand(act.Actor, act.Reason)
	if err := book.Audit(ctx, act); err != nil {
		return run, err
	}
	run, _, err = book.CreateRun(ctx, run, schedules.Plan(run, datasets, ws.catalog.tests), nil)
	return run, err
}

// byHand is the reason of a run that a person asked for.
func byHand(who, reason string) string {
	return strings.TrimSuffix("by hand, "+who+": "+reason, ": ")
}

// published says what a version is, to people: "Thu 19 Nov 2026, 1,234 rows, published Fri 02:10".
func (ws *workspace) published(v elt.Version) string {
	return fmt.Sprintf("%s, %s rows, published %s", day(v.Date), count(v.Rows), v.PublishedAt.In(ws.catalog.zone(v.Dataset)).Format("Mon 2 Jan 15:04"))
}

// feeds returns what is made from the dataset, directly and further on.
func (c *catalog) feeds(d elt.DatasetName) (names []string) {
	from := map[elt.DatasetName]bool{d: true}
	for _, other := range c.datasets { // inputs come first
		if slices.ContainsFunc(other.Inputs, func(in elt.DatasetName) bool { return from[in] }) {
			from[other.Name] = true
			names = append(names, string(other.Name))
		}
	}
	return names
}

// parseDate reads a date of the command line.
func parseDate(text string) (elt.Date, error) {
	date, err := elt.ParseDate(text)
	if err != nil {
		return date, &elt.Error{Code: "bad_date", Class: elt.Config, What: err.Error(), Do: "write the date as 2026-01-05"}
	}
	return date, nil
}

// listed writes a few names, and how many more there are.
func listed(names []string) string {
	const most = 6
	if len(names) <= most {
		return cmp.Or(strings.Join(names, ", "), "nothing")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
