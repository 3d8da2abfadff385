package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"
)

// Doctor looks at everything around a workspace.
type Doctor struct {
	Output  string        `enum:"text,json" default:"text" help:"How to print: text or json."`
	Timeout time.Duration `default:"20s" help:"How long one thing may take to answer before it counts as silent."`
}

// Help is the long help of the command.
func (Doctor) Help() string {
	return `Looks at everything that a night will need, without running one: the workspace's files, who may read what holds secrets, the room on each disk, the ledger (reachable, its schema, its clock), the lake (that it writes an object once only, reads it back bit by bit and deletes it), each source (rights, version, clock; one snapshot is opened and let go), the warehouse (rights, budget), the schedules' time zones, and the webhooks (that a connection is possible; nothing is sent).

One line each: ok, warn or fail, and what to do. Exit code 0 when nothing fails, warnings included, else 69. It may run beside everything else, and changes nothing but an object of its own in the lake, which it removes.

  daybreak doctor
  daybreak doctor --output json
  daybreak doctor --timeout 2m      for servers that are slow to answer`
}

// Run runs the command.
func (d *Doctor) Run(ctx context.Context, g *Globals, c *Console) error {
	found := examine(ctx, g.workspace(), d.Timeout, c.Logger(g, slog.LevelError))
	counts := make(map[verdictWord]int)
	for _, f := range found {
		counts[f.Verdict]++
	}
	if d.Output == "json" {
		if err := printJSON(c, found); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		for _, f := range found {
			what := strings.Join(strings.Fields(f.What), " ")
			if f.Do != "" && f.Verdict != fine {
				what += "; to do: " + f.Do
			}
			if f.Code != "" {
				what += " [" + string(f.Code) + "]"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Verdict, f.Check, what)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		c.printf("\n%d ok, %s, %d failed\n", counts[fine], plural(counts[doubtful], "warning"), counts[broken])
	}
	if counts[broken] > 0 {
		return exitStatus(ExitUnavailable)
	}
	return nil
}
