package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// GC drops what nobody needs any more.
type GC struct {
	DryRun bool `help:"Only say what would go."`
}

// Help is the long help of the command.
func (GC) Help() string {
	return `Drops what nobody needs any more, as retention of daybreak.yaml says: what was extracted, what runs have staged and not published, and what the ledger knows of days long past. What published data was made from stays, back to its first load; so does what the last versions were made from, whatever a run that has not ended has written, and everything that is young. The audit trail is kept for ever.

It may run beside daybreak serve, which also does it by itself every day where retention.at is set; what is staged is then left to that process. Killed in between, it goes on the next time.

  daybreak gc --dry-run
  daybreak gc`
}

// Run runs the command.
func (v *GC) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	log := c.Logger(g, slog.LevelWarn)
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	if err := ws.hasLedger(); err != nil {
		return err
	}
	clean := &cleaner{retention: ws.config.Retention, dry: v.DryRun, log: log}
	p, err := ws.open(ctx, log, logLines{log})
	switch {
	case err == nil:
		defer p.close(log)
		clean.lake, clean.ledger, clean.warehouse = p.lake, p.ledger, p.warehouse
	case busyElsewhere(err):
		c.printf("Another daybreak is at work here: what is staged in the warehouse is left to it.\n")
		if clean.ledger, err = ws.openBook(ctx, log); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, clean.ledger.Close()) }()
		if clean.lake, err = openLake(ctx, ws); err != nil {
			return err
		}
	default:
		return err
	}
	found, err := clean.clean(ctx)
	if err != nil {
		return err
	}
	return v.tell(ctx, c, clean, found)
}

// tell says what went, or would go, and notes it.
func (v *GC) tell(ctx context.Context, c *Console, clean *cleaner, found *collected) error {
	for _, name := range found.names {
		c.printf("  %s\n", name)
	}
	for run, relations := range found.Staged {
		c.printf("  staging of run %s: %s\n", run, plural(relations, "relation"))
	}
	if found.Unknown > 0 {
		c.printf("Left alone: %s in the lake with a manifest that this ledger does not know.\n", plural(found.Unknown, "attempt"))
	}
	if found.Strange > 0 {
		c.printf("Left alone: %s in the lake that Daybreak did not write.\n", plural(found.Strange, "object"))
	}
	switch {
	case found.nothing():
		c.printf("There is nothing that nobody needs.\n")
		return nil
	case v.DryRun:
		c.printf("Would drop %s.\n", found.summary())
		return nil
	}
	c.printf("Dropped %s.\n", found.summary())
	return clean.ledger.Audit(ctx, elt.AuditEntry{Actor: actor(), Action: "gc", Target: "retention", Reason: found.summary()})
}

// keepCleaning drops what nobody needs any more once a day, at the time that retention says, if this process leads then.
func (p *parts) keepCleaning(ctx context.Context, here *presence) {
	at := p.ws.config.Retention.At
	if at == "" {
		return
	}
	clean := &cleaner{retention: p.ws.config.Retention, lake: p.lake, ledger: p.ledger, warehouse: p.warehouse, log: p.log}
	trouble := repeated{log: p.log}
	for {
		timer := time.NewTimer(time.Until(nextTime(time.Now().In(p.ws.location()), at)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if !here.leads() {
			continue
		}
		found, err := clean.clean(ctx)
		if err == nil && !found.nothing() {
			p.log.Info("cleaned up", "dropped", found.summary())
			err = p.ledger.Audit(ctx, elt.AuditEntry{Actor: "daybreak serve", Action: "gc", Target: "retention", Reason: found.summary()})
		}
		trouble.note("what nobody needs cannot be dropped", err)
	}
}

// nextTime returns the next moment at which it is that time of day, "12:30", in now's zone.
func nextTime(now time.Time, at string) time.Time {
	of, err := time.Parse("15:04", at)
	if err != nil { // check has refused it
		return now.AddDate(0, 0, 1)
	}
	next := time.Date(now.Year(), now.Month(), now.Day(), of.Hour(), of.Minute(), 0, 0, now.Location())
	if !next.After(now) {
		next = time.Date(now.Year(), now.Month(), now.Day()+1, of.Hour(), of.Minute(), 0, 0, now.Location())
	}
	return next
}
