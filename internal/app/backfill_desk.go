package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// desk is where a command deals with backfills: beside whatever process works on the workspace.
type desk struct {
	planner
	globals *Globals
	console *Console
}

func openDesk(ctx context.Context, g *Globals, c *Console) (*desk, error) {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return nil, err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return nil, err
	}
	return &desk{planner{ws, book}, g, c}, nil
}

func (d *desk) start(ctx context.Context, r elt.BackfillRequest, token elt.PlanToken, reason string, detach bool) error {
	f, err := d.StartBackfill(ctx, r, token, actor(), reason)
	if err != nil {
		return err
	}
	d.console.printf("%s is started.\n", f.ID)
	if detach {
		d.console.printf("daybreak serve brings it, or daybreak backfill resume %s.\n", f.ID)
		return nil
	}
	return d.carry(ctx, f.ID)
}

// carry brings a backfill to its end: in this process, or, where another one works on the workspace, in that.
func (d *desk) carry(ctx context.Context, id elt.BackfillID) error {
	log := d.console.Logger(d.globals, slog.LevelWarn)
	p, err := d.ws.open(ctx, log, newDisplay(d.console, d.globals, log))
	var f elt.Backfill
	switch {
	case err == nil:
		defer p.close(log)
		f, err = p.finishBackfill(ctx, id)
	case busyElsewhere(err):
		d.console.printf("Another daybreak is at work here, and carries it out.\n")
		f, err = awaitBackfill(ctx, d.book, id)
	}
	if errors.Is(err, context.Canceled) {
		return &elt.Error{
			Code: elt.Interrupted, Class: elt.Conflict, What: fmt.Sprintf("%s was interrupted; nothing is half-published", id),
			Do: fmt.Sprintf("daybreak backfill resume %s goes on where it stopped, and so does daybreak serve", id),
		}
	}
	if err != nil {
		return err
	}
	d.console.printf("%s is %s: %s\n", f.ID, f.State, progressText(f))
	if f.State == elt.BackfillSucceeded {
		return nil
	}
	if f.Says != "" {
		d.console.printf("%s\n", capital(f.Says))
	}
	if f.Progress[elt.BackfillDayFailed] > 0 {
		d.console.printf("daybreak backfill show %s says why; daybreak backfill retry %s tries what failed again\n", f.ID, f.ID)
	}
	return exitStatus(ExitData)
}

// awaitBackfill waits until another process has brought a backfill to its end, or somebody has paused it.
func awaitBackfill(ctx context.Context, book *ledger.Ledger, id elt.BackfillID) (elt.Backfill, error) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		f, err := book.Backfill(ctx, id)
		if err != nil || f.State != elt.BackfillRunning {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-tick.C:
		}
	}
}

// progressText says how many days are in which state: "12 of 31 brought, 2 failed".
func progressText(f elt.Backfill) string {
	parts := []string{fmt.Sprintf("%s of %s brought", count(int64(f.Progress[elt.BackfillDaySucceeded])), plural(f.Total(), "day"))}
	for _, s := range []elt.BackfillDayState{elt.BackfillDayRunning, elt.BackfillDayFailed, elt.BackfillDayCancelled, elt.BackfillDaySkipped, elt.BackfillDayRefused} {
		if n := f.Progress[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(int64(n)), s))
		}
	}
	return strings.Join(parts, ", ")
}

// capital begins a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// printBackfillPlan prints a plan, days in a row that are treated alike as one line.
func printBackfillPlan(plan elt.BackfillPlan, c *Console) {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DATASET\tFROM\tTO\tDAYS\tACTION\tWHY\n")
	for _, s := range plan.Spans() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Dataset, s.From, s.To, count(int64(s.Days)), s.Action, s.Reason)
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(c.Err, "daybreak:", err)
	}
	counts := plan.Counts()
	var parts []string
	for _, a := range elt.BackfillActions() {
		if counts[a] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", a, count(int64(counts[a]))))
		}
	}
	_, dates := plan.Acts()
	c.printf("\n%s, on %s\n", cmp.Or(strings.Join(parts, ", "), "no day"), plural(dates, "date"))
	e := plan.Estimate
	if e.Effort == (elt.Effort{}) {
		c.printf("What it takes is unknown: nothing of it was brought before.\n")
		return
	}
	c.printf("It takes about %s rows, %s in the lake and %s", count(e.Rows), size(e.Bytes), lasted(e.Duration))
	if e.BytesBilled > 0 {
		c.printf(", and %s are billed", size(e.BytesBilled))
	}
	c.printf(", by what such days took before.\n")
	if len(e.Unknown) > 0 {
		names := make([]string, len(e.Unknown))
		for i, n := range e.Unknown {
			names[i] = string(n)
		}
		c.printf("Not counted, because nothing of it was brought before: %s\n", listed(names))
	}
}
