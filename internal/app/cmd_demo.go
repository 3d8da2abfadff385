package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/daybreak-data/daybreak/internal/config"
	"github.com/daybreak-data/daybreak/internal/demo"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Demo makes a workspace with a company's production database, runs its last nights, and serves.
type Demo struct {
	Once   bool   `help:"Stop after the nights instead of serving the status page."`
	Nights int    `default:"7" help:"How many of the last nights are run."`
	Listen string `placeholder:"ADDR" help:"Where the status service listens; by default 127.0.0.1:8080."`
	Seed   int64  `default:"1" help:"The seed of the made-up company."`
	Rows   int    `hidden:"" help:"About how many rows to make."`
}

// Help is the long help of the command.
func (Demo) Help() string {
	return `Makes a production-like SQLite database of a customer-messaging company (six tables, about 300,000 rows), a daybreak.yaml, a schedule and SQL models; runs the last seven nights through the same code as production; and serves the status page on http://127.0.0.1:8080 with tonight's run armed.

It needs no server, no account and no network. Running it again goes on with the same workspace.

  daybreak demo                     and open http://127.0.0.1:8080
  daybreak demo --once              stop after the nights
  cd daybreak-demo && daybreak query "FROM analytics.revenue_by_currency"`
}

// demoZone is the zone of the demo's schedule.
const demoZone = "Europe/Dublin"

// Run runs the command.
func (d *Demo) Run(ctx context.Context, g *Globals, c *Console) error {
	log := c.Logger(g, slog.LevelWarn)
	// A port that is taken should be said before a minute of work, not after it.
	if d.Listen == "" {
		d.Listen = "127.0.0.1:8080"
	}
	if !d.Once {
		l, err := listen(config.Status{Listen: d.Listen, Connections: 1})
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("let go of %s: %w", d.Listen, err)
		}
	}
	zone, err := time.LoadLocation(demoZone)
	if err != nil {
		return fmt.Errorf("load the demo's time zone: %w", err)
	}
	today := elt.DateOf(time.Now().In(zone))
	dir := cmp.Or(g.Dir, "./daybreak-demo")
	if err := d.create(ctx, c, dir, today, zone); err != nil {
		return err
	}
	ws, err := loadWorkspace(ctx, dir)
	if err != nil {
		return err
	}
	ws.config.Status.Listen = d.Listen
	p, err := ws.open(ctx, log, newDisplay(c, g, log))
	if err != nil {
		return err
	}
	defer p.close(log)
	if err := d.runNights(ctx, p, today); err != nil {
		return err
	}
	if d.Once {
		c.printf("\nDone. See it: daybreak serve --dir %s\n", dir)
		return nil
	}
	c.printf("\nThe status page is at http://%s, and tonight's run is armed. Ctrl-C ends it.\n", d.Listen)
	return p.serve(ctx, elt.StepKinds(), 60*time.Second)
}

// create makes the workspace unless it is there.
func (d *Demo) create(ctx context.Context, c *Console, dir string, today elt.Date, zone *time.Location) error {
	options := demo.Options{Seed: d.Seed, Today: today, Zone: zone, Rows: d.Rows}
	ended := func() {}
	if c.Terminal() {
		bars := mpb.New(mpb.WithOutput(c.Err), mpb.WithWidth(34))
		bar := bars.New(0, barStyle(), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(label("making the company's production database")),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d rows")))
		options.Progress = func(done, total int) {
			bar.SetTotal(int64(total), false)
			bar.SetCurrent(int64(done))
		}
		ended = func() {
			bar.Abort(true)
			bars.Wait()
		}
	}
	began := time.Now()
	err := demo.Create(ctx, dir, options)
	ended()
	if errors.Is(err, demo.ErrExists) {
		fmt.Fprintf(c.Err, "going on with the demo in %s\n", dir)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "made the demo in %s, %s\n", dir, lasted(time.Since(began)))
	return nil
}

// runNights brings the last nights, oldest first; those that are there already are left alone.
func (d *Demo) runNights(ctx context.Context, p *parts, today elt.Date) error {
	for _, s := range p.ws.schedules {
		for n := d.Nights; n > 0; n-- {
			run, err := p.nights.ByHand(ctx, s, today.AddDays(-n), "daybreak demo", false, elt.RunOptions{})
			if elt.CodeOf(err) == "day_superseded" { // the demo was made on an earlier day
				continue
			}
			if err != nil {
				return err
			}
			if run.State.Terminal() {
				continue
			}
			run, steps, err := p.nights.finish(ctx, run)
			if err != nil {
				return interrupted(err, run)
			}
			if err := runError(run, steps); err != nil {
				return err
			}
		}
	}
	return nil
}
