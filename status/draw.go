package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

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
