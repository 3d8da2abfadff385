package app

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/yamlfile"
)

// Maintenance is the commands about times in which data will not come.
type Maintenance struct {
	Add  MaintenanceAdd  `cmd:"" help:"Announce a time in which data will not come."`
	List MaintenanceList `cmd:"" help:"List the windows that last, are to come, or were over lately."`
	End  MaintenanceEnd  `cmd:"" help:"End a window now, or call one off."`
}

// MaintenanceAdd announces a window.
type MaintenanceAdd struct {
	From       string   `placeholder:"TIME" help:"When it begins, such as \"2026-12-01 22:00\"; by default now."`
	To         string   `required:"" placeholder:"TIME" help:"When it is over, or how long it lasts, such as 4h."`
	Timezone   string   `placeholder:"ZONE" help:"The IANA zone of the times; by default that of the schedules."`
	Dataset    []string `placeholder:"NAME" help:"A dataset that it covers, with all that is made from it."`
	Source     []string `placeholder:"NAME" help:"A source that it covers, with all that comes from it."`
	Everything bool     `help:"It covers all datasets."`
	Reason     string   `required:"" placeholder:"WHY" help:"Why; it stands on every page that the window touches."`
}

// Help is the long help of the command.
func (MaintenanceAdd) Help() string {
	return `Announces a time in which data will not come. While it lasts, what it covers is shown as not expected, with the reason, and never as late or failed; no step of it begins; gates answer with the last day that was expected. Deadlines move by what the window takes of the time between a night's start and its deadline. What was late or had failed before it began stays so.

  daybreak maintenance add --source shop --from "2026-12-01 22:00" --to 6h --reason "the shop's database moves"
  daybreak maintenance add --everything --to 2h --reason "new disks"`
}

// Run runs the command.
func (k *MaintenanceAdd) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(ws *workspace, book *ledger.Ledger) error {
		zone := ws.location()
		if k.Timezone != "" {
			var err error
			if zone, err = time.LoadLocation(k.Timezone); err != nil || k.Timezone == "Local" {
				return &elt.Error{Code: "bad_maintenance", Class: elt.Config, What: fmt.Sprintf("there is no time zone %q", k.Timezone), Do: "write an IANA name such as Europe/Dublin, or UTC"}
			}
		}
		now, err := book.Now(ctx)
		if err != nil {
			return err
		}
		m := elt.Maintenance{From: now, Zone: zone.String(), Everything: k.Everything, Reason: k.Reason, By: actor()}
		if k.From != "" {
			if m.From, err = parseMoment(k.From, zone, now); err != nil {
				return err
			}
		}
		if m.To, err = parseMoment(k.To, zone, m.From); err != nil {
			return err
		}
		if err := k.covers(ws, &m); err != nil {
			return err
		}
		if m, err = book.AddMaintenance(ctx, m); err != nil {
			return err
		}
		c.printf("%s: %s rests from %s to %s.\n", m.ID, m.Covers(), m.From.In(zone).Format("Mon 2 Jan 15:04"), m.To.In(zone).Format("Mon 2 Jan 15:04 MST"))
		return nil
	})
}

// covers takes what the window covers. A name that nobody knows is refused: a window that covers nothing misleads.
func (k *MaintenanceAdd) covers(ws *workspace, m *elt.Maintenance) error {
	for _, name := range k.Dataset {
		d, err := ws.catalog.dataset(name)
		if err != nil {
			return err
		}
		m.Datasets = append(m.Datasets, d.Name)
	}
	for _, name := range k.Source {
		if _, known := ws.config.Sources[elt.SourceName(name)]; !known {
			var names []string
			for s := range ws.config.Sources {
				names = append(names, string(s))
			}
			return &elt.Error{Code: "source_unknown", Class: elt.Config, What: fmt.Sprintf("there is no source %q", name), Do: yamlfile.Suggest(name, names)}
		}
		m.Sources = append(m.Sources, elt.SourceName(name))
	}
	return nil
}

// MaintenanceList lists windows.
type MaintenanceList struct {
	JSON bool `name:"json" help:"Print JSON instead of a table."`
}

// Help is the long help of the command.
func (MaintenanceList) Help() string {
	return `Lists the maintenance windows that last, are to come, or were over in the last two weeks, those of daybreak.yaml with the ones that people announced.

  daybreak maintenance list`
}

// Run runs the command.
func (k *MaintenanceList) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(_ *workspace, book *ledger.Ledger) error {
		now, err := book.Now(ctx)
		if err != nil {
			return err
		}
		windows, err := book.Maintenance(ctx, now.AddDate(0, 0, -14))
		if err != nil {
			return err
		}
		if k.JSON {
			return printJSON(c, append([]elt.Maintenance{}, windows...))
		}
		if len(windows) == 0 {
			c.printf("No maintenance is announced.\n")
			return nil
		}
		w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "ID\tSTATE\tFROM\tTO\tCOVERS\tBY\tWHY\n")
		for _, m := range windows {
			zone, err := time.LoadLocation(m.Zone)
			if err != nil {
				zone = time.UTC
			}
			state := "to come"
			switch {
			case m.Holds(now):
				state = "now"
			case !now.Before(m.Until()):
				state = "over"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, state, m.From.In(zone).Format("Mon 2 Jan 15:04"), m.Until().In(zone).Format("Mon 2 Jan 15:04 MST"), m.Covers(), m.By, m.Reason)
		}
		return w.Flush()
	})
}

// MaintenanceEnd ends a window.
type MaintenanceEnd struct {
	ID     elt.MaintenanceID `arg:"" help:"Its ID, from daybreak maintenance list."`
	Reason string            `placeholder:"WHY" help:"Why, for the audit trail."`
}

// Help is the long help of the command.
func (MaintenanceEnd) Help() string {
	return `Ends a maintenance window now, or calls off one that has not begun. What it covered is expected again, and deadlines move by the time that it lasted only.

  daybreak maintenance end maintenance-4711 --reason "it was quicker"`
}

// Run runs the command.
func (k *MaintenanceEnd) Run(ctx context.Context, g *Globals, c *Console) error {
	return withSchedules(ctx, g, c, func(_ *workspace, book *ledger.Ledger) error {
		m, changed, err := book.EndMaintenance(ctx, k.ID, actor(), k.Reason)
		switch {
		case err != nil:
			return err
		case !changed:
			c.printf("%s was over at %s.\n", m.ID, m.Until().UTC().Format(time.RFC3339))
		default:
			c.printf("%s is over: %s is expected again.\n", m.ID, m.Covers())
		}
		return nil
	})
}
