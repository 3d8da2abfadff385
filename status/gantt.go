package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// gantt is a run's steps over time, one row for each dataset. Positions are percentages, so that it fits every
// width without scaling its text.
type gantt struct {
	Rows   []ganttRow
	Ticks  []mark
	Now    *mark
	Due    *mark
	Nights int // of which the usual bands are made
	// Critical is whether a row lies on the critical path.
	Critical bool
	Offset   stamp // where the axis begins, when its ticks count from there
}

type ganttRow struct {
	Name, Href  string
	ID          string // of the element, so that what a reader opened stays open
	Pill        pill
	Marks       []stepMark
	Bars        []bar
	Usual       *bar // when it is usually worked on
	Critical    bool // the night's end hangs on it
	Rows, Speed string
	Took        string
	Steps       []stepRow
	Open        bool // it needs a look: its steps are shown at once
}

// stepMark is a step as one sign.
type stepMark struct{ Class, Icon, Title string }

// bar is an attempt. End is where its sign stands, for those that are not simply done.
type bar struct{ X, Width, End, Class, Icon, Title string }

type mark struct{ X, Text, Anchor string }

func percentage(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}

// drawGantt draws the datasets in the order of their steps, those first that need a look.
func (v view) drawGantt(run elt.Run, steps []api.Step, before usual, today elt.Date) *gantt {
	g := &gantt{}
	axis := v.axisOf(run, steps, before)
	path := v.criticalPath(run, steps)
	if axis.length > 0 {
		g.Ticks, g.Offset = axis.ticks(v.location)
		if run.State == elt.RunRunning {
			g.Now = axis.mark(v.asOf, "now "+clock(v.asOf, v.location))
		}
		if due := v.firstDeadline(steps); axis.holds(due) {
			g.Due = axis.mark(due, "due "+clock(due, v.location))
		}
	}
	var order []elt.DatasetName
	of := make(map[elt.DatasetName][]api.Step)
	for _, st := range steps {
		if of[st.Dataset] == nil {
			order = append(order, st.Dataset)
		}
		of[st.Dataset] = append(of[st.Dataset], st)
	}
	several := severalWorkers(steps)
	for _, name := range order {
		r := v.ganttRow(name, of[name], stepRows(of[name], several, v.location, today), axis, path)
		if at, known := before.Of[name]; known && axis.length > 0 {
			g.Nights = before.Nights
			r.Usual = axis.band(at, before.Nights, v.location)
		}
		g.Critical = g.Critical || r.Critical
		g.Rows = append(g.Rows, r)
	}
	slices.SortStableFunc(g.Rows, func(a, b ganttRow) int {
		if a.Open == b.Open {
			return 0
		}
		return cmp.Compare(map[bool]int{true: 0, false: 1}[a.Open], map[bool]int{true: 0, false: 1}[b.Open])
	})
	return g
}

func (v view) ganttRow(name elt.DatasetName, steps []api.Step, rows []stepRow, axis axis, path map[api.PathStep]bool) ganttRow {
	r := ganttRow{Name: string(name), ID: "steps-" + string(name), Steps: rows}
	if name == "" {
		r.Name, r.ID = "Publish", "publish"
	} else {
		r.Href = dayHref(name, steps[0].Date)
	}
	r.Pill = rowPill(steps, v.location)
	r.Open = slices.ContainsFunc(steps, func(st api.Step) bool {
		return st.State == elt.StepFailed || st.State == elt.StepRetrying || st.LeaseLost
	})
	var from, to time.Time
	for i, st := range steps {
		p := stepPill(st)
		r.Marks = append(r.Marks, stepMark{p.Class, p.Icon, capital(string(st.Kind)) + ": " + strings.ToLower(p.Text)})
		bars := v.barsOf(st, axis)
		if path[api.PathStep{Step: st.Kind, Dataset: st.Dataset}] {
			r.Critical = true
			for i := range bars {
				bars[i].Class += " critical"
			}
		}
		r.Bars = append(r.Bars, bars...)
		if r.Rows == "" || st.State == elt.StepRunning {
			r.Rows = r.Steps[i].Rows
			if st.State == elt.StepRunning && st.Progress.Rows > 0 {
				r.Rows = grouped(st.Progress.Rows) // how far that is, the pill says
			}
		}
		if r.Speed == "" || st.State == elt.StepRunning {
			r.Speed = r.Steps[i].Rate
		}
		if st.StartedAt.IsZero() {
			continue
		}
		if from.IsZero() || st.StartedAt.Before(from) {
			from = st.StartedAt
		}
		if end := endOf(st, v.asOf); end.After(to) {
			to = end
		}
	}
	if !from.IsZero() {
		r.Took = span(to.Sub(from))
	}
	return r
}

// rowPill is what is true of a dataset's steps together: the worst of them, else how far they are.
func rowPill(steps []api.Step, zone *time.Location) pill {
	rank := map[elt.StepState]int{elt.StepFailed: 6, elt.StepRetrying: 4, elt.StepRunning: 3, elt.StepCancelled: 2, elt.StepBlocked: 2, elt.StepPending: 1}
	worst, rankOfWorst, last := steps[0], -1, api.Step{}
	for _, st := range steps {
		n := rank[st.State]
		if st.LeaseLost {
			n = 5
		}
		if st.State == elt.StepSucceeded {
			last = st
			if st.Result.Checks == elt.ChecksWarned {
				n = 1
			}
		}
		if n > rankOfWorst {
			worst, rankOfWorst = st, n
		}
	}
	p := stepPill(worst)
	switch {
	case worst.State == elt.StepRunning && !worst.LeaseLost:
		p.Text = runningWord(&worst.Step, worst.Kind)
	case worst.State == elt.StepRetrying && !worst.NextAttemptAt.IsZero():
		p.Text = "Retries " + clock(worst.NextAttemptAt, zone)
	case worst.State == elt.StepFailed:
		p.Text = "Failed to " + string(worst.Kind)
	case worst.State == elt.StepPending && last.State != "":
		p = pill{"running", "▸", capital(done(last.Kind))}
	}
	return p
}

func endOf(st api.Step, now time.Time) time.Time {
	if !st.FinishedAt.IsZero() {
		return st.FinishedAt
	}
	if n := len(st.Attempts); st.State == elt.StepRetrying && n > 0 && !st.Attempts[n-1].FinishedAt.IsZero() {
		return st.Attempts[n-1].FinishedAt
	}
	return now
}

// barsOf draws a step, and each of its attempts where there were several.
func (v view) barsOf(st api.Step, axis axis) []bar {
	if st.StartedAt.IsZero() {
		return nil
	}
	p, kind := stepPill(st), capital(string(st.Kind))
	if len(st.Attempts) < 2 {
		return []bar{axis.bar(st.StartedAt, endOf(st, v.asOf), p, st.Kind, kind+": "+strings.ToLower(p.Text), v.location)}
	}
	var out []bar
	for i, a := range st.Attempts {
		q, end := p, a.FinishedAt
		if i < len(st.Attempts)-1 {
			q = pill{"late", "", "failed, tried again"}
			if st.State == elt.StepFailed {
				q.Class = "failed"
			}
		}
		if end.IsZero() {
			end = endOf(st, v.asOf)
		}
		out = append(out, axis.bar(a.StartedAt, end, q, st.Kind, fmt.Sprintf("%s, attempt %d: %s", kind, a.Number, strings.ToLower(q.Text)), v.location))
	}
	return out
}

// firstDeadline is the earliest deadline among the days that the steps bring.
func (v view) firstDeadline(steps []api.Step) time.Time {
	var first time.Time
	for _, st := range steps {
		if d, ok := v.day(st.Dataset, st.Date); ok && !d.DeadlineAt.IsZero() && (first.IsZero() || d.DeadlineAt.Before(first)) {
			first = d.DeadlineAt
		}
	}
	return first
}

// axis is the time that a drawing shows; its length is 0 while nothing has started.
type axis struct {
	from   time.Time
	length time.Duration
}

func (v view) axisOf(run elt.Run, steps []api.Step, before usual) axis {
	from, to := time.Time{}, run.FinishedAt
	for _, st := range steps {
		if st.StartedAt.IsZero() {
			continue
		}
		if from.IsZero() || st.StartedAt.Before(from) {
			from = st.StartedAt
		}
		if st.FinishedAt.After(to) {
			to = st.FinishedAt
		}
	}
	if from.IsZero() {
		return axis{}
	}
	if run.State == elt.RunRunning && v.asOf.After(to) {
		to = v.asOf
	}
	const shortest = 100 * time.Millisecond
	length := max(to.Sub(from), shortest)
	usually := length
	for _, at := range before.Of {
		if at.To < 2*length { // a night that has just begun does not shrink to a stroke
			usually = max(usually, at.To)
		}
	}
	length = usually
	for _, at := range before.Of {
		if at.To < 2*length {
			length = max(length, at.To)
		}
	}
	if due := v.firstDeadline(steps); due.After(to) && due.Sub(from) < 2*length {
		length = due.Sub(from)
	}
	return axis{from, length * 104 / 100}
}

func (a axis) holds(t time.Time) bool {
	return !t.IsZero() && t.After(a.from) && t.Before(a.from.Add(a.length))
}

func (a axis) mark(t time.Time, text string) *mark {
	m := &mark{X: percentage(t.Sub(a.from), a.length), Text: text, Anchor: "start"}
	if t.Sub(a.from) > a.length*3/4 {
		m.Anchor = "end"
	}
	return m
}

// band is when a dataset is usually worked on, drawn behind its bars.
func (a axis) band(at stretch, nights int, zone *time.Location) *bar {
	to := max(min(at.To, a.length), at.From)
	from, until := a.from.Add(at.From).In(zone).Format("15:04"), a.from.Add(at.To).In(zone).Format("15:04")
	if a.length < time.Minute {
		from, until = span(at.From), span(at.To)
	}
	return &bar{
		X: percentage(min(at.From, a.length), a.length), Width: percentage(to-min(at.From, to), a.length),
		Title: fmt.Sprintf("Usually from %s to %s, by the last %s", from, until, counted(nights, "night")),
	}
}

func (a axis) bar(from, to time.Time, p pill, kind elt.StepKind, what string, zone *time.Location) bar {
	if from.Before(a.from) {
		from = a.from
	}
	// A bar is never thinner than what can be seen and pointed at.
	width := max(to.Sub(from), a.length/160)
	b := bar{
		X: percentage(from.Sub(a.from), a.length), Width: percentage(width, a.length), End: percentage(from.Sub(a.from)+width, a.length),
		Class: p.Class + " k-" + string(kind), Title: fmt.Sprintf("%s, from %s, %s", what, from.In(zone).Format("15:04:05"), span(to.Sub(from))),
	}
	if p.Class == "failed" || p.Class == "unknown" || p.Class == "late" {
		b.Icon = p.Icon
	}
	return b
}

// ticks are two to six round moments: clock times, or in a night of less than a minute the time since its beginning.
func (a axis) ticks(zone *time.Location) ([]mark, stamp) {
	const most = 5
	step, ms := 24*time.Hour, time.Millisecond
	for _, candidate := range []time.Duration{
		20 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if a.length/candidate <= most {
			step = candidate
			break
		}
	}
	text := func(t time.Time) string { return clock(t, zone) }
	_, offset := a.from.In(zone).Zone()
	shift := time.Duration(offset) * time.Second // so that 06:00 is round where the data is, too
	first, start := a.from.Add(shift).Truncate(step).Add(step-shift), stamp{}
	if a.length < time.Minute {
		first, start = a.from, stampOf(a.from, zone, elt.DateOf(a.from.In(zone)))
		start.Text = a.from.In(zone).Format("15:04:05")
		text = func(t time.Time) string {
			if t.Equal(a.from) {
				return "0 s"
			}
			return span(t.Sub(a.from))
		}
	}
	var out []mark
	for t := first; t.Before(a.from.Add(a.length)); t = t.Add(step) {
		m := mark{X: percentage(t.Sub(a.from), a.length), Text: text(t), Anchor: "middle"}
		if t.Sub(a.from) > a.length*19/20 {
			m.Anchor = "end"
		}
		if t.Sub(a.from) < a.length/20 {
			m.Anchor = "start"
		}
		out = append(out, m)
	}
	return out, start
}
