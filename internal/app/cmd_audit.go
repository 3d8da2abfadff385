package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Audit lists what people did.
type Audit struct {
	About string `arg:"" optional:"" help:"Only acts on this: a dataset, a run, a date."`
	Limit int    `default:"50" help:"How many, the latest first."`
	JSON  bool   `name:"json" help:"Print JSON instead of text."`
}

// Help is the long help of the command.
func (Audit) Help() string {
	return `Lists what people did, the latest first: who, when, what, why. Rollbacks, withdrawals, days that were let pass, runs that were retried or cancelled, reloads, and what was cleaned up. It is kept for ever.

  daybreak audit
  daybreak audit shop.users --limit 10`
}

// Run runs the command.
func (a *Audit) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	book, err := ws.openBook(ctx, c.Logger(g, slog.LevelWarn))
	if err != nil {
		return err
	}
	defer book.Close() // it only reads
	acts := []elt.AuditEntry{}
	for before := int64(0); len(acts) < a.Limit; {
		page, next, err := book.AuditTrail(ctx, before, 500)
		if err != nil {
			return err
		}
		for _, e := range page {
			if len(acts) < a.Limit && strings.Contains(e.Target+" "+e.Reason, a.About) {
				acts = append(acts, e)
			}
		}
		if before = next; next == 0 {
			break
		}
	}
	if a.JSON {
		return printJSON(c, acts)
	}
	if len(acts) == 0 {
		c.printf("Nobody did anything of that kind.\n")
		return nil
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "WHEN\tWHO\tWHAT\tON\tWHY\n")
	for _, e := range acts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.At.In(ws.location()).Format("2006-01-02 15:04:05 MST"), e.Actor, e.Action, e.Target, e.Reason)
	}
	return w.Flush()
}
