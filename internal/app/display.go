package app

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// display shows a night while it runs.
type display interface {
	schedules.Observer
	// began and ended frame one run.
	began(run elt.Run, steps int)
	ended(run elt.Run, steps []elt.Step)
	// wrote tells in which folder a run's artifacts are.
	wrote(run elt.Run, folder string)
}

// newDisplay returns bars on a terminal, plain lines elsewhere, and log lines where those were asked for.
func newDisplay(c *Console, g *Globals, log *slog.Logger) display {
	switch {
	case g.Log != "auto":
		return logLines{log}
	case c.Terminal():
		return &bars{out: c.Err}
	}
	return &plainLines{out: c.Err}
}

// logLines writes every end of a step as a log line with its attributes.
type logLines struct{ log *slog.Logger }

func (l logLines) began(run elt.Run, steps int) {
	l.log.Info("run", "run", run.ID, "schedule", run.Schedule, "date", run.Date, "steps", steps)
}
func (l logLines) ended(run elt.Run, _ []elt.Step) {
	l.log.Info("run ended", "run", run.ID, "date", run.Date, "state", run.State)
}
func (l logLines) wrote(run elt.Run, folder string) {
	l.log.Info("artifacts written", "run", run.ID, "folder", folder)
}
func (l logLines) Started(s elt.Step) {
	l.log.Info("step started", "run", s.Run, "step", s.Kind, "dataset", s.Dataset)
}
func (l logLines) Progressed(elt.Step, elt.Progress) {}
func (l logLines) Ended(s elt.Step, o elt.Outcome, took time.Duration) {
	attrs := []any{"run", s.Run, "step", s.Kind, "dataset", s.Dataset, "state", o.State, "took", took}
	if o.Error != nil {
		l.log.Warn("step ended", append(attrs, "code", o.Error.Code, "error", o.Error.Message)...)
		return
	}
	if n := len(o.Result.Changes); n > 0 {
		attrs = append(attrs, "schema_changes", elt.ChangesText(o.Result.Changes))
	}
	if len(o.Result.Fidelity) > 0 {
		attrs = append(attrs, "fidelity", usesText(o.Result.Fidelity), "quarantined", o.Result.Quarantined)
	}
	l.log.Info("step ended", append(attrs, "rows", o.Result.Rows, "bytes", o.Result.Bytes)...)
}

// plainLines writes a line for each step that ended, for a pipe or a file.
type plainLines struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func (p *plainLines) began(run elt.Run, steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = time.Now()
	fmt.Fprintf(p.out, "%s: %s, %s\n", cmp.Or(string(run.Backfill), string(run.Schedule)), day(run.Date), plural(steps, "step"))
}

func (p *plainLines) ended(run elt.Run, steps []elt.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, nightSummary(run, steps, time.Since(p.start)))
}

func (p *plainLines) wrote(_ elt.Run, folder string) { fmt.Fprintln(p.out, artifactsLine(folder)) }

// artifactsLine says where dbt's readers find what the run did.
func artifactsLine(folder string) string {
	return "  manifest.json, run_results.json: " + folder
}

func (p *plainLines) Started(elt.Step)                  {}
func (p *plainLines) Progressed(elt.Step, elt.Progress) {}
func (p *plainLines) Ended(s elt.Step, o elt.Outcome, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, stepLine(s, o, took))
}

// stepLine says how a step ended: "  extract    shop.users    12,004 rows, 1.2 MB, 0.4 s".
func stepLine(s elt.Step, o elt.Outcome, took time.Duration) string {
	what := lasted(took)
	if o.Result.Bytes > 0 {
		what = size(o.Result.Bytes) + ", " + what
	}
	if o.Result.Rows > 0 {
		what = count(o.Result.Rows) + " rows, " + what
	}
	if s.Kind == elt.PublishStep && o.State == elt.StepSucceeded {
		what = plural(o.Result.Versions, "dataset") + ", " + what
	}
	if o.Error != nil {
		what = fmt.Sprintf("%s: %s", o.State, o.Error.Message)
	}
	return fmt.Sprintf("  %-10s %-28s %s", s.Kind, s.Dataset, what)
}

// nightSummary says how a run ended, naming what failed: nobody should have to look for it.
func nightSummary(run elt.Run, steps []elt.Step, took time.Duration) string {
	var rows, billed int64
	published, held := 0, map[elt.DatasetName]bool{}
	for _, s := range steps {
		billed += s.Usage.BytesBilled
		switch {
		case s.Kind == elt.ExtractStep && s.State == elt.StepSucceeded:
			rows += s.Result.Rows
		case s.Kind == elt.PublishStep:
			published = s.Result.Versions
		}
		if s.State == elt.StepFailed || s.State == elt.StepBlocked {
			held[s.Dataset] = true
		}
	}
	delete(held, "")
	mark := "✓"
	if run.State != elt.RunSucceeded {
		mark = "✕"
	}
	line := fmt.Sprintf("%s %s  %s published, %s rows extracted, %s",
		mark, day(run.Date), plural(published, "dataset"), count(rows), lasted(took))
	if billed > 0 {
		line += fmt.Sprintf(", billed for %s", size(billed))
	}
	if len(held) > 0 {
		line += fmt.Sprintf("; %s held back, keeping the version before", plural(len(held), "dataset"))
	}
	return line + remarks(steps) + failures(steps)
}

// remarks tells of values that are not as in the source, and of columns that changed: a night that went well may still
// have news.
func remarks(steps []elt.Step) string {
	var out strings.Builder
	for _, s := range steps {
		if s.Kind != elt.ExtractStep || s.State != elt.StepSucceeded {
			continue
		}
		if len(s.Result.Changes) > 0 {
			fmt.Fprintf(&out, "\n    %s: %s", s.Dataset, elt.ChangesText(s.Result.Changes))
		}
		if len(s.Result.Fidelity) > 0 {
			fmt.Fprintf(&out, "\n    %s: %s", s.Dataset, usesText(s.Result.Fidelity))
		}
		if s.Result.Quarantined > 0 {
			fmt.Fprintf(&out, "\n      to see: daybreak quarantine %s --date %s", s.Dataset, s.Date)
		}
	}
	return out.String()
}

// usesText joins uses of policies into one text.
func usesText(uses []elt.PolicyUse) string {
	out := make([]string, len(uses))
	for i, u := range uses {
		out[i] = u.String()
	}
	return strings.Join(out, "; ")
}

// failures tells what failed, what to do and the code, once for all steps that failed alike: a source that is
// away fails each of its tables.
func failures(steps []elt.Step) string {
	type failure struct {
		kind elt.StepKind
		elt.Failure
	}
	var order []failure
	of := make(map[failure][]string)
	for _, s := range steps {
		if s.State != elt.StepFailed || s.Error == nil {
			continue
		}
		f := failure{s.Kind, *s.Error}
		if of[f] == nil {
			order = append(order, f)
		}
		of[f] = append(of[f], cmp.Or(string(s.Dataset), "the night"))
	}
	var out strings.Builder
	for _, f := range order {
		fmt.Fprintf(&out, "\n    %s of %s failed: %s", f.kind, strings.Join(of[f], ", "), f.Message)
		if f.Do != "" {
			out.WriteString("\n      to do: " + f.Do)
		}
		fmt.Fprintf(&out, "\n      code:  %s (docs/runbook.md)", f.Code)
	}
	return out.String()
}

// bars draws one bar for the night and a line for each step that runs.
type bars struct {
	out   io.Writer
	mu    sync.Mutex
	all   *mpb.Progress
	night *mpb.Bar
	steps map[elt.StepID]*stepBar
	start time.Time
}

// stepBar is the line of one step, with what it has said of itself so far.
type stepBar struct {
	show *time.Timer
	bar  *mpb.Bar // nil until it is shown

	mu       sync.Mutex
	progress elt.Progress
}

// showAfter is how long a step runs before it gets a line: what is done at once would only flicker.
const showAfter = 300 * time.Millisecond

// String says how far the step is: "123,000 of about 200,000 rows".
func (b *stepBar) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch p := b.progress; {
	case p.Paused != "":
		return "paused: " + p.Paused
	case p.Rows == 0:
		return ""
	case p.RowsExpected > p.Rows:
		return count(p.Rows) + " of about " + count(p.RowsExpected) + " rows"
	default:
		return count(p.Rows) + " rows"
	}
}

// labelWidth is where the bars begin.
const labelWidth = 42

func (b *bars) began(run elt.Run, steps int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start = time.Now()
	b.steps = make(map[elt.StepID]*stepBar)
	b.all = mpb.New(mpb.WithOutput(b.out), mpb.WithWidth(34), mpb.WithRefreshRate(100*time.Millisecond))
	b.night = b.all.New(int64(steps), barStyle(), mpb.BarRemoveOnComplete(), mpb.BarPriority(1<<20),
		mpb.PrependDecorators(label(day(run.Date))),
		mpb.AppendDecorators(decor.CountersNoUnit("%d of %d steps, "), decor.Elapsed(decor.ET_STYLE_GO)),
	)
}

func barStyle() mpb.BarStyleComposer {
	return mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound("")
}

func label(text string) decor.Decorator {
	return decor.Name(text, decor.WC{W: labelWidth, C: decor.DindentRight})
}

func (b *bars) ended(run elt.Run, steps []elt.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.night.Abort(true)
	for _, line := range b.steps {
		line.end()
	}
	b.steps = nil
	b.all.Wait()
	fmt.Fprintln(b.out, nightSummary(run, steps, time.Since(b.start)))
}

func (b *bars) wrote(_ elt.Run, folder string) { fmt.Fprintln(b.out, artifactsLine(folder)) }

// Started adds the step's line, a moment later.
func (b *bars) Started(s elt.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := &stepBar{}
	line.show = time.AfterFunc(showAfter, func() { b.show(s, line) })
	b.steps[s.ID] = line
}

// show draws the line of a step that still runs. Only steps that move rows have a bar: for the others there is
// nothing to measure.
func (b *bars) show(s elt.Step, line *stepBar) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.steps[s.ID] != line {
		return
	}
	var style mpb.BarFillerBuilder = mpb.NopStyle()
	if s.Kind == elt.ExtractStep || s.Kind == elt.LoadStep {
		style = barStyle()
	}
	line.bar = b.all.New(0, style, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(label(fmt.Sprintf("  %-10s %s", s.Kind, s.Dataset))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return line.String() })),
	)
}

// Progressed moves the step's bar. An estimate that is passed must not complete it: only its end does.
func (b *bars) Progressed(s elt.Step, p elt.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := b.steps[s.ID]
	if line == nil {
		return
	}
	line.mu.Lock()
	line.progress = p
	line.mu.Unlock()
	if line.bar != nil {
		line.bar.SetTotal(max(p.RowsExpected, p.Rows)+1, false)
		line.bar.SetCurrent(p.Rows)
	}
}

// end takes the line away.
func (b *stepBar) end() {
	b.show.Stop()
	if b.bar != nil {
		b.bar.Abort(true)
	}
}

func (b *bars) Ended(s elt.Step, o elt.Outcome, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if line := b.steps[s.ID]; line != nil {
		line.end()
		delete(b.steps, s.ID)
	}
	if o.State.Terminal() {
		b.night.Increment()
	}
	if o.Error != nil {
		fmt.Fprintln(b.all, stepLine(s, o, took))
	}
}
