package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// Plan shows what a run would do.
type Plan struct {
	Schedule string `placeholder:"NAME" help:"The schedule; needed when there are several."`
	Outdated bool   `help:"Show the days that daybreak run --outdated would build again, and why."`
}

// Help is the long help of the command.
func (Plan) Help() string {
	return `Prints what a run of the schedule would read from production, table by table with its estimated rows and size, and which models it would build in which order. Production is asked for its catalog only; no row is read.

On BigQuery it says how much each model would read, by dry runs over what is published now, which are free; unknown is a model whose inputs are not published yet.

With --outdated it names the days of models whose inputs have newer versions than they were made from, and the missing days of incremental models whose inputs are there: what daybreak run --outdated would build again, oldest first.

  daybreak plan
  daybreak plan --outdated`
}

// Run runs the command.
func (k *Plan) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	ws, err := loadWorkspace(ctx, g.workspace())
	if err != nil {
		return err
	}
	s, err := ws.schedule(k.Schedule)
	if err != nil {
		return err
	}
	log := c.Logger(g, slog.LevelWarn)
	if k.Outdated {
		return planOutdated(ctx, ws, s, c, log)
	}
	sources, err := openSources(ws, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sources.Close()) }()
	x := extract.New(extract.Options{Sources: sources, MaskKey: []byte(ws.config.Masking.Key.Reveal()), Log: log})
	if err := printPlan(ctx, x, s, c); err != nil {
		return err
	}
	cost, err := estimates(ctx, ws, s, log)
	if err != nil {
		return err
	}
	printModels(ws.catalog.of(s.Name), cost, c)
	steps := schedules.Plan(elt.Run{}, ws.catalog.of(s.Name), ws.catalog.tests)
	c.printf("\n%s in all; what passes is published in one swap\n", plural(len(steps), "step"))
	return nil
}

// printPlan prints what the schedule reads from its sources.
func printPlan(ctx context.Context, x *extract.Extractor, s *schedules.Schedule, c *Console) error {
	tables := make([]elt.Extraction, len(s.Tables))
	for i, t := range s.Tables {
		tables[i] = t.Extraction
	}
	estimates, err := x.Plan(ctx, tables)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DATASET\tTABLE\tMODE\tROWS\tSIZE\tCOLUMNS\n")
	var rows, bytes int64
	for i, e := range estimates {
		mode := string(tables[i].Mode)
		if tables[i].Mode == elt.Incremental {
			mode += " by " + tables[i].Cursor
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\n", e.Dataset, tables[i].Table, mode, about(e.Rows, count), about(e.Bytes, size), e.Columns)
		rows, bytes = rows+max(e.Rows, 0), bytes+max(e.Bytes, 0)
	}
	fmt.Fprintf(w, "\t\t\t%s\t%s\t\n", about(rows, count), about(bytes, size))
	return w.Flush()
}

// about writes an estimate, or says that nobody knows.
func about(n int64, write func(int64) string) string {
	if n <= 0 {
		return "unknown"
	}
	return "~" + write(n)
}

// printModels prints what the schedule builds; cost is nil where nothing is billed.
func printModels(datasets []elt.Dataset, cost map[elt.DatasetName]int64, c *Console) {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	printed := false
	var total int64
	for _, d := range datasets {
		if d.Kind == elt.TableDataset {
			continue
		}
		if !printed {
			fmt.Fprintf(w, "\nMODEL\tAS\t%sFROM\n", optional(cost != nil, "READS\t"))
			printed = true
		}
		var from []string
		for _, in := range d.Inputs {
			from = append(from, string(in))
		}
		reads := ""
		if bytes, known := cost[d.Name]; cost != nil {
			total += bytes
			reads = map[bool]string{true: size(bytes), false: "unknown"}[known] + "\t"
			if d.Kind == elt.SeedDataset {
				reads = "nothing\t"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\n", d.Name, d.Materialized, reads, strings.Join(from, ", "))
	}
	if printed && cost != nil {
		fmt.Fprintf(w, "\t\t~%s\t\n", size(total))
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(c.Err, "daybreak:", err)
	}
}

func optional(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}
