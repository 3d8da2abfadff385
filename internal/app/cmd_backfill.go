package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Backfill brings days of the past again.
type Backfill struct {
	Bring BackfillBring `cmd:"" default:"withargs" help:"Plan, look, confirm, and bring the days: the short way."`

	Plan   BackfillPlan   `cmd:"" help:"Show what would happen with each day, and why; prints the token to start it with."`
	Start  BackfillStart  `cmd:"" help:"Start what was planned, unless the facts have changed since."`
	List   BackfillList   `cmd:"" help:"List backfills, the latest first."`
	Show   BackfillShow   `cmd:"" help:"Say how far a backfill is, which of its days are at work and where, and which failed."`
	Pause  BackfillPause  `cmd:"" help:"Begin nothing more of it until it is resumed."`
	Resume BackfillResume `cmd:"" help:"Let it go on, and carry it out."`
	Cancel BackfillCancel `cmd:"" help:"End it for ever: nothing more of it starts."`
	Retry  BackfillRetry  `cmd:"" help:"Try its failed days again, from their failed steps."`
}

// Help is the long help of the command.
func (Backfill) Help() string {
	return `A backfill brings days of the past: it is planned first, and started once somebody has looked. It works between nights, oldest date first, one date at a time; a night never waits for it. While a day is brought again its old version serves.

The window of an incremental table is read from its source again. Of a table that is read whole only the last day can be; others are loaded from the lake where it has them, and never over a newer day. What cannot be brought is refused by name. What is made from the days is built again with them: incremental models for each date, the others once, at the end.

--mode says which days of the range are meant: missing, failed, outdated or all.

  daybreak backfill shop.orders --from 2026-01-01 --to 2026-01-31
  daybreak backfill plan tag:finance --from 2026-01-01 --to 2026-03-31 --mode outdated
  daybreak backfill show backfill-7
  daybreak backfill cancel backfill-7 --reason "wrong range"`
}

// backfillRange says what is to be brought.
type backfillRange struct {
	Datasets   []string         `arg:"" name:"dataset" sep:"none" help:"Datasets, or selectors as daybreak ls takes them."`
	From       string           `required:"" placeholder:"DATE" help:"The first data date."`
	To         string           `placeholder:"DATE" help:"The last one; by default the first."`
	Mode       elt.BackfillMode `enum:"missing,failed,outdated,all" default:"missing" help:"Which days of the range: those that are missing, that failed, whose inputs have newer versions, or all."`
	Downstream bool             `default:"true" negatable:"" help:"With everything that is made from them."`
}

func (r backfillRange) request() (q elt.BackfillRequest, err error) {
	q = elt.BackfillRequest{Select: r.Datasets, Mode: r.Mode, Downstream: r.Downstream}
	if q.From, err = parseDate(r.From); err != nil {
		return q, err
	}
	q.To, err = parseDate(cmp.Or(r.To, r.From))
	return q, err
}

func (r backfillRange) plan(ctx context.Context, d *desk) (q elt.BackfillRequest, p elt.BackfillPlan, err error) {
	if q, err = r.request(); err == nil {
		p, err = d.PlanBackfill(ctx, q)
	}
	return q, p, err
}

// BackfillBring is the short way: plan, look, confirm, start.
type BackfillBring struct {
	backfillRange
	Reason string `placeholder:"WHY" help:"Why, for the audit trail and the page."`
	Detach bool   `help:"Leave it to daybreak serve, and do not wait."`
	Yes    bool   `short:"y" help:"Do not ask."`
}

// Run runs the command.
func (b *BackfillBring) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	request, plan, err := b.plan(ctx, desk)
	if err != nil {
		return err
	}
	printBackfillPlan(plan, c)
	if days, _ := plan.Acts(); days == 0 {
		c.printf("\nNothing is to be brought.\n")
		return nil
	}
	c.printf("\n")
	if err := c.confirm(b.Yes, "Start it?"); err != nil {
		return err
	}
	return desk.start(ctx, request, plan.Token(), b.Reason, b.Detach)
}

// BackfillPlan shows what a backfill would do.
type BackfillPlan struct {
	backfillRange
	JSON bool `name:"json" help:"Print JSON instead of text: every day with its action and reason."`
}

// Run runs the command.
func (b *BackfillPlan) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	request, plan, err := b.plan(ctx, desk)
	if err != nil {
		return err
	}
	if b.JSON {
		return printJSON(c, struct {
			elt.BackfillPlan
			Token elt.PlanToken `json:"plan_token"`
		}{plan, plan.Token()})
	}
	printBackfillPlan(plan, c)
	if days, _ := plan.Acts(); days > 0 {
		c.printf("\nTo start it:\n  daybreak backfill start %s --from %s --to %s --mode %s%s --token %s\n", strings.Join(request.Select, " "),
			request.From, request.To, request.Mode, map[bool]string{false: " --no-downstream"}[request.Downstream], plan.Token())
	}
	return nil
}

// BackfillStart starts what was planned.
type BackfillStart struct {
	backfillRange
	Token  elt.PlanToken `required:"" placeholder:"TOKEN" help:"Of the plan that was looked at."`
	Reason string        `placeholder:"WHY" help:"Why, for the audit trail and the page."`
	Detach bool          `help:"Leave it to daybreak serve, and do not wait."`
}

// Run runs the command.
func (b *BackfillStart) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	request, err := b.request()
	if err != nil {
		return err
	}
	return desk.start(ctx, request, b.Token, b.Reason, b.Detach)
}

// BackfillList lists backfills.
type BackfillList struct {
	Limit int  `default:"20" help:"How many, the latest first."`
	JSON  bool `name:"json" help:"Print JSON instead of text."`
}

// Run runs the command.
func (b *BackfillList) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	all, err := desk.book.Backfills(ctx, 0, b.Limit)
	if err != nil {
		return err
	}
	if b.JSON {
		return printJSON(c, append([]elt.Backfill{}, all...))
	}
	if len(all) == 0 {
		c.printf("There has been no backfill.\n")
		return nil
	}
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "BACKFILL\tSTATE\tDAYS\tWHAT\tSTARTED\tBY\tWHY\n")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.ID, f.State, progressText(f), f.Request, f.CreatedAt.In(desk.ws.location()).Format("2006-01-02 15:04"), f.Actor, f.Reason)
	}
	return w.Flush()
}

// BackfillShow tells one backfill.
type BackfillShow struct {
	ID   elt.BackfillID `arg:"" name:"backfill" help:"Such as backfill-7."`
	Days bool           `help:"Every day of it."`
	JSON bool           `name:"json" help:"Print JSON instead of text: the backfill with every day of it."`
}

// Run runs the command.
func (b *BackfillShow) Run(ctx context.Context, g *Globals, c *Console) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	f, err := desk.book.Backfill(ctx, b.ID)
	if err != nil {
		return err
	}
	var days []elt.BackfillDay
	states := []elt.BackfillDayState{elt.BackfillDayRunning, elt.BackfillDayFailed}
	if b.Days || b.JSON {
		states = []elt.BackfillDayState{""}
	}
	for _, state := range states {
		some, err := desk.book.BackfillDays(ctx, b.ID, state, 0, 0)
		if err != nil {
			return err
		}
		days = append(days, some...)
	}
	if b.JSON {
		return printJSON(c, struct {
			elt.Backfill
			Days []elt.BackfillDay `json:"days"`
		}{f, days})
	}
	c.printf("%s is %s: %s\n%s\n", f.ID, f.State, progressText(f), f.Request)
	c.printf("Started %s by %s%s\n", f.CreatedAt.In(desk.ws.location()).Format("2006-01-02 15:04 MST"), f.Actor, strings.TrimSuffix(": "+f.Reason, ": "))
	if f.Says != "" {
		c.printf("%s\n", capital(f.Says))
	}
	if len(days) == 0 {
		return nil
	}
	c.printf("\n")
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DATE\tDATASET\tACTION\tSTATE\tRUN\tWHY\n")
	for _, d := range days {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Date, d.Dataset, d.Action, dayState(d), cmp.Or(string(d.Run), "–"), cmp.Or(d.Says, d.Reason))
	}
	return w.Flush()
}

// dayState says where a backfill's day is, and who is at work at it.
func dayState(d elt.BackfillDay) string {
	if len(d.Workers) == 0 {
		return string(d.State)
	}
	names := make([]string, len(d.Workers))
	for i, w := range d.Workers {
		names[i] = string(w)
	}
	return string(d.State) + " on " + strings.Join(names, ", ")
}

// steering names a backfill that is to be steered, and why.
type steering struct {
	ID     elt.BackfillID `arg:"" name:"backfill" help:"Such as backfill-7."`
	Reason string         `placeholder:"WHY" help:"Why, for the audit trail and the page."`
}

// steer does it and says what became of it; with carry it goes on with it.
func (s steering) steer(ctx context.Context, g *Globals, c *Console, act elt.BackfillAct, done, already string, carry bool) (err error) {
	desk, err := openDesk(ctx, g, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.book.Close()) }()
	changed, err := desk.book.SteerBackfill(ctx, s.ID, act, actor(), s.Reason)
	if err != nil {
		return err
	}
	if changed {
		c.printf("%s %s.\n", s.ID, done)
	} else {
		c.printf("%s %s.\n", s.ID, already)
	}
	if !carry {
		return nil
	}
	return desk.carry(ctx, s.ID)
}

// BackfillPause pauses one.
type BackfillPause struct{ steering }

// Run runs the command.
func (b *BackfillPause) Run(ctx context.Context, g *Globals, c *Console) error {
	return b.steer(ctx, g, c, elt.PauseBackfill, "is paused: steps that are at work end, and nothing more begins", "is paused already", false)
}

// BackfillCancel ends one for ever.
type BackfillCancel struct{ steering }

// Run runs the command.
func (b *BackfillCancel) Run(ctx context.Context, g *Globals, c *Console) error {
	return b.steer(ctx, g, c, elt.CancelBackfill, "is cancelled: nothing more of it starts; what it has published stays", "is cancelled already", false)
}

// BackfillResume lets one go on.
type BackfillResume struct {
	steering
	Detach bool `help:"Leave it to daybreak serve, and do not wait."`
}

// Run runs the command.
func (b *BackfillResume) Run(ctx context.Context, g *Globals, c *Console) error {
	return b.steer(ctx, g, c, elt.ResumeBackfill, "goes on", "is not paused", !b.Detach)
}

// BackfillRetry tries what failed again.
type BackfillRetry struct {
	steering
	Detach bool `help:"Leave it to daybreak serve, and do not wait."`
}

// Run runs the command.
func (b *BackfillRetry) Run(ctx context.Context, g *Globals, c *Console) error {
	return b.steer(ctx, g, c, elt.RetryBackfill, "tries its failed days again", "has no day that failed", !b.Detach)
}
