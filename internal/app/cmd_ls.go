package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Ls lists datasets.
type Ls struct {
	Selectors []string `arg:"" optional:"" name:"selector" help:"As for daybreak run --select; everything when none is given."`
	Exclude   []string `sep:"none" placeholder:"SELECTOR" help:"Without these."`
	JSON      bool     `name:"json" help:"Print JSON instead of a table."`
}

// Help is the long help of the command.
func (Ls) Help() string {
	return `Lists the datasets that a selection means, inputs first: what daybreak run --select would bring. It reads files only.

  daybreak ls
  daybreak ls +revenue
  daybreak ls tag:finance,config.materialized:table --exclude revenue
  daybreak ls 1+orders+2`
}

// Run runs the command.
func (l *Ls) Run(ctx context.Context, g *Globals, c *Console) error {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	names, err := ws.project.Pick(Choice{Select: l.Selectors, Exclude: l.Exclude}.selection())
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(ws.catalog.datasets), func(d elt.Dataset) bool { return !slices.Contains(names, d.Name) })
	if l.JSON {
		b, err := json.MarshalIndent(chosen, "", "  ")
		c.printf("%s\n", b)
		return err
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATASET\tKIND\tAS\tSCHEDULE\tTAGS\tFROM")
	for _, d := range chosen {
		from := make([]string, len(d.Inputs))
		for i, in := range d.Inputs {
			from[i] = string(in)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, d.Kind, d.Materialized, d.Schedule, strings.Join(d.Tags, ", "), strings.Join(from, ", "))
	}
	return w.Flush()
}
