package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// Status says how far every dataset is.
type Status struct {
	Service
	Dataset string `arg:"" optional:"" help:"Only this dataset."`
	JSON    bool   `name:"json" help:"Print the API's answer instead of text."`
}

// Help is the long help of the command.
func (Status) Help() string {
	return `Says in a sentence how the night stands, what is in trouble and why, and then how far each dataset is. The same sentences as on the status page.

  daybreak status
  daybreak status revenue
  daybreak status --url https://data.example.com --json`
}

// Run runs the command.
func (s *Status) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	service, stop, err := s.client(ctx, g, c.Logger(g, slog.LevelError))
	if err != nil {
		return err
	}
	defer func() {
		if ended := stop(); err == nil {
			err = ended
		}
	}()
	if s.Dataset != "" {
		d, err := service.Dataset(ctx, elt.DatasetName(s.Dataset))
		if err != nil {
			return clientError(err)
		}
		if s.JSON {
			return printJSON(c, d)
		}
		c.printf("%s\n%s\n", d.Sentence, d.Detail)
		if kept := d.EstimateRecord.String(); kept != "" {
			c.printf("Of its estimates, %s.\n", kept)
		}
		c.printf("\n")
		return printDatasets(c, []api.Dataset{d.Dataset})
	}
	summary, err := service.Summary(ctx)
	if err != nil {
		return clientError(err)
	}
	datasets, err := service.Datasets(ctx)
	if err != nil {
		return clientError(err)
	}
	if s.JSON {
		return printJSON(c, struct {
			api.Summary
			All []api.Dataset `json:"all"`
		}{summary, datasets})
	}
	c.printf("%s\n%s\n", summary.Sentence, summary.Detail)
	for _, t := range summary.Trouble {
		c.printf("\n✕ %s\n", t.Title)
		for _, line := range []string{t.Detail, t.Do} {
			if line != "" {
				c.printf("  %s\n", line)
			}
		}
	}
	if left := summary.Troubles - len(summary.Trouble); left > 0 {
		c.printf("\n✕ And %s more causes of trouble.\n", count(int64(left)))
	}
	c.printf("\n")
	return printDatasets(c, datasets)
}

func printJSON(c *Console, v any) error {
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// stateIcons are those of the page.
var stateIcons = map[elt.DayState]string{
	elt.DayReady: "✓", elt.DayRunning: "▸", elt.DayRetrying: "↻", elt.DayFailed: "✕", elt.DayBlocked: "✕",
	elt.DayWaiting: "◌", elt.DayScheduled: "◌", elt.DayUnknown: "?", elt.DayNotExpected: "–",
}

func printDatasets(c *Console, datasets []api.Dataset) error {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DATASET\tLATEST\tSTATE\tREADY\tEXPECTED\tDUE\tCOMPLETE THROUGH\tOWNERS\n")
	for _, d := range datasets {
		if d.Retired {
			continue
		}
		zone, err := time.LoadLocation(d.Zone)
		if err != nil {
			zone = time.UTC
		}
		h := d.Headline
		state := "nothing yet"
		if h.Latest.State != "" {
			state = stateIcons[h.Latest.State] + " " + strings.ReplaceAll(string(h.Latest.State), "_", " ")
		}
		for _, flag := range []struct {
			up   bool
			word string
		}{{h.Latest.Checks == elt.ChecksWarned, "warned"}, {len(h.Latest.Outdated) > 0, "outdated"}, {h.Latest.Restating, "being restated"}} {
			if flag.up {
				state += ", " + flag.word
			}
		}
		if d.Progress != nil && d.Progress.Paused != "" {
			state += ", paused"
		}
		if h.Latest.Withdrawn != "" {
			state = "✕ withdrawn"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, dash(h.Latest.Date), state,
			clock(h.Latest.ReadyAt, zone), expected(d.Estimate, zone), clock(h.Latest.DeadlineAt, zone), dash(h.CompleteThrough), strings.Join(d.Owners, ", "))
	}
	return w.Flush()
}

// expected says when a day is expected: "Mon 06:10, by 06:40".
func expected(e api.Estimate, zone *time.Location) string {
	text := clock(e.ExpectedAt, zone)
	if e.LikelyBy.After(e.ExpectedAt) {
		text += ", by " + e.LikelyBy.In(zone).Format("15:04")
	}
	return text
}

func dash(d elt.Date) string {
	if d.IsZero() {
		return "–"
	}
	return d.String()
}

func clock(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "–"
	}
	return t.In(zone).Format("Mon 15:04")
}
