package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// Run runs one night to its end.
type Run struct {
	Schedule string   `placeholder:"NAME" help:"The schedule; needed when there are several."`
	Date     string   `placeholder:"DATE" help:"The data date, such as 2026-01-05; by default the last date that has ended."`
	Again    bool     `help:"Run a date once more that has been brought already: a new version, while the old one serves."`
	Outdated bool     `help:"Build again, in order, every day that newer inputs left behind or that is missing; daybreak plan --outdated shows them."`
	LetPass  []string `placeholder:"DATASET" help:"Let this table pass its guards once, whatever its number of rows; needs --reason."`
	Reason   string   `placeholder:"WHY" help:"Why it may pass, for the audit trail and the page."`
	Yes      bool     `short:"y" help:"Do not ask before the first contact with production."`

	Choice
}

// Help is the long help of the command.
func (Run) Help() string {
	return `Extracts, loads, verifies, transforms and tests the datasets of a schedule for one data date, and publishes what passed in one swap. What failed, and what depends on it, keeps its previous version.

A date has one run, whatever asks for it: a run that was interrupted goes on where it stopped, one that failed is retried from its failed steps, and one that succeeded is left alone.

Exit codes: 0 everything is published; 65 something was held back; 69 a server did not answer; 75 another process is at work, or the run was interrupted; 78 a file of the workspace is wrong.

  daybreak run                                       the last date that has ended
  daybreak run --date 2026-01-05                     that one
  daybreak run --select stg_users+                   stg_users and what is made from it, once more
  daybreak run --select daily_orders --full-refresh  an incremental model, built whole
  daybreak run --outdated                            the days that newer inputs left behind
  daybreak run --log json            log lines for a machine`
}

// Run runs the command.
func (r *Run) Run(ctx context.Context, g *Globals, c *Console) error {
	log := c.Logger(g, slog.LevelWarn)
	options, err := r.options()
	if err != nil {
		return err
	}
	if r.Outdated && (r.Date != "" || r.Again || !options.IsZero()) {
		return &elt.Error{Code: "bad_combination", Class: elt.Config, What: "--outdated decides by itself what is built, and for which dates", Do: "give it without --date, --again, --select, --exclude, --full-refresh and --vars"}
	}
	ws, err := loadWorkspaceWith(ctx, g.workspace(), options.Vars)
	if err != nil {
		return err
	}
	s, err := ws.schedule(r.Schedule)
	if err != nil {
		return err
	}
	p, err := ws.open(ctx, log, newDisplay(c, g, log))
	if err != nil {
		return err
	}
	defer p.close(log)
	if r.Outdated {
		return runOutdated(ctx, p, s, c)
	}
	date, err := r.date(ctx, p, s)
	if err != nil {
		return err
	}
	if err := r.firstContact(ctx, p, s, c); err != nil {
		return err
	}
	if err := r.letPass(ctx, p, date); err != nil {
		return err
	}
	run, err := r.start(ctx, p, s, date, options)
	if err != nil {
		return err
	}
	if run.State == elt.RunSucceeded {
		return sayBrought(ctx, p, run, c)
	}
	run, steps, err := carryOn(ctx, p, run)
	if err != nil {
		return interrupted(err, run)
	}
	return runError(run, steps)
}

// sayBrought says that a date has been brought already, and what has joined its schedule since.
func sayBrought(ctx context.Context, p *parts, run elt.Run, c *Console) error {
	c.printf("%s has been brought already by run %s; daybreak run --again makes a new version of it\n", run.Date, run.ID)
	steps, err := p.ledger.Steps(ctx, run.ID)
	if err != nil {
		return err
	}
	var joined []string
	for _, d := range p.ws.catalog.datasets {
		partOf := func(s elt.Step) bool { return s.Dataset == d.Name }
		if d.Schedule == run.Schedule && !p.stages.isPublished(d.Name) && !slices.ContainsFunc(steps, partOf) {
			joined = append(joined, string(d.Name))
		}
	}
	if len(joined) > 0 {
		c.printf("Not part of it, and new since: %s\n", strings.Join(joined, ", "))
		c.printf("daybreak backfill %s --from %s brings what is new.\n", strings.Join(joined, " "), run.Date)
	}
	return nil
}

// carryOn carries the run to its end. One that was interrupted after some of its steps had failed is tried again from
// these: whoever asks for it again has looked after what was wrong.
func carryOn(ctx context.Context, p *parts, run elt.Run) (elt.Run, []elt.Step, error) {
	before, err := p.ledger.Steps(ctx, run.ID)
	if err != nil {
		return run, nil, err
	}
	run, steps, err := p.nights.finish(ctx, run)
	failed := slices.ContainsFunc(before, func(s elt.Step) bool { return s.State == elt.StepFailed })
	if err != nil || !failed || run.State == elt.RunSucceeded {
		return run, steps, err
	}
	if err := p.nights.retriable(ctx, run); err != nil {
		return run, steps, err
	}
	if _, err := p.ledger.RetryRun(ctx, run.ID, actor()); err != nil {
		return run, steps, err
	}
	return p.nights.finish(ctx, run)
}

// letPass allows the tables that were named to pass their guards once, on that date.
func (r *Run) letPass(ctx context.Context, p *parts, date elt.Date) error {
	if len(r.LetPass) > 0 && r.Reason == "" {
		return &elt.Error{Code: "reason_missing", Class: elt.Config, What: "--let-pass does not say why", Do: "give --reason, for those who look at the day later"}
	}
	for _, name := range r.LetPass {
		d, err := p.ws.catalog.dataset(name)
		if err != nil {
			return err
		}
		if err := p.ledger.Allow(ctx, elt.Allowance{Dataset: d.Name, Date: date, Actor: actor(), Reason: r.Reason}); err != nil {
			return err
		}
	}
	return nil
}

// date returns the data date that was asked for, or the last one that has ended in the schedule's zone.
func (r *Run) date(ctx context.Context, p *parts, s *schedules.Schedule) (elt.Date, error) {
	now, err := p.ledger.Now(ctx)
	if err != nil {
		return elt.Date{}, err
	}
	last := elt.DateOf(now.In(s.Zone)).AddDays(-1)
	if r.Date == "" {
		return last, nil
	}
	date, err := parseDate(r.Date)
	if err != nil {
		return date, err
	}
	if date.After(last) {
		return date, &elt.Error{
			Code: "date_not_over", Class: elt.Config,
			What: fmt.Sprintf("%s has not ended yet in %s", date, s.Zone),
			Do:   fmt.Sprintf("run it after midnight there; the last date that has ended is %s", last),
		}
	}
	return date, nil
}

// start finds or creates the run, and has a run that failed tried again.
func (r *Run) start(ctx context.Context, p *parts, s *schedules.Schedule, date elt.Date, options elt.RunOptions) (elt.Run, error) {
	return begin(ctx, p, s, date, "by hand, "+actor(), r.Again, options)
}

// begin finds or creates a run that a person asks for, and has one that failed tried again.
func begin(ctx context.Context, p *parts, s *schedules.Schedule, date elt.Date, reason string, again bool, options elt.RunOptions) (elt.Run, error) {
	chosen, err := p.nights.chosen(s, options)
	if err != nil {
		return elt.Run{}, err
	}
	if err := p.nights.notUnderMaintenance(ctx, s, chosen); err != nil {
		return elt.Run{}, err
	}
	if !again && options.IsZero() { // what is still going on, such as a repetition that is tried again, comes first
		going, err := p.ledger.Runs(ctx, elt.RunFilter{Schedule: s.Name, From: date, To: date, State: elt.RunRunning})
		if err != nil {
			return elt.Run{}, err
		}
		for _, run := range going {
			if run.Kind == elt.ScheduledRun || run.Kind == elt.ManualRun {
				return run, nil
			}
		}
	}
	run, err := p.nights.ByHand(ctx, s, date, reason, again, options)
	if err != nil || !run.State.Terminal() || run.State == elt.RunSucceeded {
		return run, err
	}
	if err := p.nights.retriable(ctx, run); err != nil {
		return run, err
	}
	if _, err := p.ledger.RetryRun(ctx, run.ID, actor()); err != nil {
		return run, err
	}
	return p.ledger.Run(ctx, run.ID)
}

// firstContact shows what a first run would read, and asks a person who watches.
func (r *Run) firstContact(ctx context.Context, p *parts, s *schedules.Schedule, c *Console) error {
	for _, t := range s.Tables {
		if p.stages.isPublished(t.Dataset) {
			return nil
		}
	}
	if r.Yes || !c.Terminal() || len(s.Tables) == 0 {
		return nil
	}
	c.printf("This is the first contact with production. The run will read:\n\n")
	if err := printPlan(ctx, p.extractor, s, c); err != nil {
		return err
	}
	c.printf("\n")
	return c.confirm(false, "Go on?")
}

// actor names who runs the command, for the audit trail.
func actor() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// interrupted says what becomes of a run whose process was asked to stop.
func interrupted(err error, run elt.Run) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return &elt.Error{
		Code: elt.Interrupted, Class: elt.Conflict,
		What: fmt.Sprintf("run %s of %s was interrupted; nothing is half-published", run.ID, run.Date),
		Do:   "daybreak run goes on where it stopped",
	}
}

// runError is nil for a run that published everything, else an exit status of the class of its first failure:
// the display has told the failures already.
func runError(run elt.Run, steps []elt.Step) error {
	if run.State == elt.RunSucceeded {
		return nil
	}
	for _, s := range steps {
		if s.State == elt.StepFailed && s.Error != nil {
			return exitStatus(exitOf(s.Error.Class))
		}
	}
	return exitStatus(ExitData)
}
