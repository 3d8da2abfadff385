package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// gantt is a run's steps over time. Positions are percentages, so that it fits every width without
// scaling its text.
type gantt struct {
	Rows   []ganttRow
	Ticks  []mark
	Now    *mark
	Due    *mark
	Legend bool
}

type ganttRow struct {
	Name string
	Href string
	Bars []bar
}

type bar struct{ X, Width, Class, Title string }

type mark struct{ X, Text, Anchor string }

func percentage(part, whole time.Duration) string {
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}

// drawGantt draws one row for each dataset, in the order of the steps. It returns nil while nothing
// has started.
func (v view) drawGantt(run elt.Run, steps []api.Step) *gantt {
	from, to := time.Time{}, run.FinishedAt
	for _, st := range steps {
		if !st.StartedAt.IsZero() && (from.IsZero() || st.StartedAt.Before(from)) {
			from = st.StartedAt
		}
		if st.FinishedAt.After(to) {
			to = st.FinishedAt
		}
	}
	if from.IsZero() {
		return nil
	}
	running := run.State == elt.RunRunning
	if running && v.asOf.After(to) {
		to = v.asOf
	}
	due := v.firstDeadline(steps)
	length := max(to.Sub(from), time.Second)
	if !due.IsZero() && due.After(from) && due.Sub(from) < 2*length && due.After(to) {
		length = due.Sub(from) * 105 / 100
	} else {
		length = length * 103 / 100
	}
	g := &gantt{Ticks: ticks(from, length, v.location)}
	at := func(t time.Time, text string) *mark {
		m := &mark{X: percentage(t.Sub(from), length), Text: text, Anchor: "start"}
		if t.Sub(from) > length*3/4 {
			m.Anchor = "end"
		}
		return m
	}
	if running {
		g.Now = at(v.asOf, "now "+clock(v.asOf, v.location))
	}
	if !due.IsZero() && due.After(from) && due.Before(from.Add(length)) {
		g.Due = at(due, "due "+clock(due, v.location))
	}
	rows := make(map[elt.DatasetName]int)
	for _, st := range steps {
		i, ok := rows[st.Dataset]
		if !ok {
			i = len(g.Rows)
			rows[st.Dataset] = i
			r := ganttRow{Name: string(st.Dataset), Href: dayHref(st.Dataset, st.Date)}
			if st.Dataset == "" {
				r = ganttRow{Name: "Publish"}
			}
			g.Rows = append(g.Rows, r)
		}
		if b, ok := v.barOf(st, from, length); ok {
			g.Rows[i].Bars = append(g.Rows[i].Bars, b)
		}
	}
	return g
}

func (v view) barOf(st api.Step, from time.Time, length time.Duration) (bar, bool) {
	if st.StartedAt.IsZero() {
		return bar{}, false
	}
	end := st.FinishedAt
	if end.IsZero() {
		end = v.asOf
	}
	p := stepPill(st)
	title := fmt.Sprintf("%s: %s, from %s, %s", capital(string(st.Kind)), strings.ToLower(p.Text), st.StartedAt.In(v.location).Format("15:04:05"), span(end.Sub(st.StartedAt)))
	// A bar is never thinner than what can be seen and pointed at.
	width := max(end.Sub(st.StartedAt), length/160)
	return bar{X: percentage(st.StartedAt.Sub(from), length), Width: percentage(width, length), Class: p.Class + " k-" + string(st.Kind), Title: title}, true
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

// ticks are round clock times over a span, at most five.
func ticks(from time.Time, length time.Duration, zone *time.Location) []mark {
	steps := []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
	step := steps[len(steps)-1]
	for _, candidate := range steps {
		if length/candidate <= 4 {
			step = candidate
			break
		}
	}
	layout := "15:04"
	if step < time.Minute {
		layout = "15:04:05"
	}
	var out []mark
	for t := from.Truncate(step).Add(step); t.Before(from.Add(length)); t = t.Add(step) {
		m := mark{X: percentage(t.Sub(from), length), Text: t.In(zone).Format(layout), Anchor: "middle"}
		if t.Sub(from) > length*19/20 {
			m.Anchor = "end"
		}
		if t.Sub(from) < length/20 {
			m.Anchor = "start"
		}
		out = append(out, m)
	}
	return out
}

// lineageSVG is what a dataset comes from and goes to, two steps either way.
type lineageSVG struct {
	Width, Height int
	Nodes         []lineageBox
	Paths         []string
	Hidden        string // what lies beyond the drawing
	Text          string // the same in words
}

type lineageBox struct {
	X, Y, TextX, TextY int
	Name, Icon         string
	Class, Href        string
	Self               bool
	Title              string
}

const (
	boxWidth, boxHeight = 196, 34
	boxGapX, boxGapY    = 56, 12
	boxesInColumn       = 8
	lineageReach        = 2
)

func (v view) drawLineage(set *dataset) *lineageSVG {
	body := v.lineageOf(set)
	columns := make(map[int][]elt.DatasetName)
	hidden := 0
	for _, n := range body.Nodes {
		if n.Distance < -lineageReach || n.Distance > lineageReach || len(columns[n.Distance]) == boxesInColumn {
			hidden++
			continue
		}
		columns[n.Distance] = append(columns[n.Distance], n.Dataset)
	}
	first, last, tallest := 0, 0, 0
	for at, column := range columns {
		first, last, tallest = min(first, at), max(last, at), max(tallest, len(column))
	}
	svg := &lineageSVG{
		Width:  (last-first+1)*boxWidth + (last-first)*boxGapX + 4,
		Height: tallest*(boxHeight+boxGapY) - boxGapY + 4,
	}
	place := make(map[elt.DatasetName][2]int)
	for at := first; at <= last; at++ {
		column := columns[at]
		slices.Sort(column)
		top := 2 + (svg.Height-4-len(column)*(boxHeight+boxGapY)+boxGapY)/2
		for i, name := range column {
			x, y := 2+(at-first)*(boxWidth+boxGapX), top+i*(boxHeight+boxGapY)
			place[name] = [2]int{x, y}
			other := v.byName[name]
			p := v.pillOf(other, other.headline.Latest)
			svg.Nodes = append(svg.Nodes, lineageBox{
				X: x, Y: y, TextX: x + 12, TextY: y + 22, Icon: p.Icon, Name: clipped(string(name), 22), Class: p.Class,
				Href: datasetHref(name), Self: name == set.Name, Title: string(name) + ": " + strings.ToLower(p.Text),
			})
		}
	}
	for _, e := range body.Edges {
		a, okA := place[e.From]
		b, okB := place[e.To]
		if !okA || !okB || a[0] >= b[0] {
			continue
		}
		x1, y1, x2, y2 := a[0]+boxWidth, a[1]+boxHeight/2, b[0], b[1]+boxHeight/2
		svg.Paths = append(svg.Paths, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+boxGapX/2, y1, x2-boxGapX/2, y2, x2, y2))
	}
	svg.Text = v.lineageText(set)
	if hidden > 0 {
		svg.Hidden = counted(hidden, "dataset") + " further away " + be(hidden) + " not drawn."
	}
	return svg
}

func (v view) lineageText(set *dataset) string {
	var parts []string
	if len(set.Inputs) > 0 {
		parts = append(parts, "Made from "+listed(set.Inputs, 12)+".")
	}
	if len(set.feeds) > 0 {
		parts = append(parts, "Used by "+listed(set.feeds, 12)+".")
	}
	return strings.Join(parts, " ")
}

// clipped shortens a name in the middle of a drawing; its whole is in the title.
func clipped(name string, most int) string {
	if len(name) <= most {
		return name
	}
	return name[:most-1] + "…"
}
