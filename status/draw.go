package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// lineageSVG is a picture of what datasets are made from, left to right.
type lineageSVG struct {
	Width, Height int
	Nodes         []lineageBox
	Paths         []lineageEdge
	Hidden        string // what lies beyond the drawing
	Text          string // the same in words
	Before, After []lineageItem
	Rows          []lineageRow
}

type lineageBox struct {
	X, Y, TextX, TextY, SubY int
	Name, Sub, Icon          string
	Class, Href              string
	Self                     bool
	Dataset                  string
	Title                    string
}

// lineageEdge is the line between two boxes; near ones end at the dataset that the picture is about.
type lineageEdge struct {
	D    string
	Near bool
}

// lineageItem is a neighbour in a list, for screens that are too narrow for the picture.
type lineageItem struct {
	Dataset link
	Sub     string
	Pill    pill
}

// lineageRow is a dataset of the picture in a table.
type lineageRow struct {
	lineageItem
	Place string // "2 before", "this one", "1 after"
	From  string
}

const (
	boxWidth, boxHeight = 204, 48
	boxGapX, boxGapY    = 60, 14
	bendHeight          = 6
	boxesInColumn       = 9
	lineageReach        = 2
	mostDrawn           = 80 // datasets of a picture of all
)

// drawLineage draws what a dataset comes from and goes to, two steps either way.
func (v view) drawLineage(set *dataset) *lineageSVG {
	body := v.lineageOf(set)
	var names []elt.DatasetName
	distance := make(map[elt.DatasetName]int)
	hidden := 0
	for _, n := range body.Nodes {
		distance[n.Dataset] = n.Distance
		if n.Distance < -lineageReach || n.Distance > lineageReach {
			hidden++
			continue
		}
		names = append(names, n.Dataset)
	}
	g := v.newGraph(names)
	hidden += g.thin(set.Name)
	svg := v.draw(g, set.Name)
	svg.Text = v.lineageText(set)
	if hidden > 0 {
		svg.Hidden = counted(hidden, "dataset") + " further away " + be(hidden) + " not drawn."
	}
	for _, in := range set.Inputs {
		svg.Before = v.appendItem(svg.Before, in)
	}
	for _, out := range set.feeds {
		svg.After = v.appendItem(svg.After, out)
	}
	for _, n := range body.Nodes {
		svg.Rows = append(svg.Rows, v.lineageRow(n.Dataset, placeWord(distance[n.Dataset])))
	}
	return svg
}

func placeWord(distance int) string {
	switch {
	case distance < 0:
		return fmt.Sprintf("%d before", -distance)
	case distance > 0:
		return fmt.Sprintf("%d after", distance)
	}
	return "this one"
}

func (v view) appendItem(items []lineageItem, name elt.DatasetName) []lineageItem {
	if v.byName[name] == nil {
		return items
	}
	return append(items, v.lineageRow(name, "").lineageItem)
}

func (v view) lineageRow(name elt.DatasetName, place string) lineageRow {
	set := v.byName[name]
	p, _ := shortPill(v.pillOf(set, set.headline.Latest), set.headline.Latest)
	r := lineageRow{lineageItem{link{string(name), datasetHref(name)}, kindOf(set.Dataset), p}, place, ""}
	if len(set.Inputs) > 0 {
		r.From = listed(set.Inputs, len(set.Inputs))
	}
	return r
}

// kindOf says in a few words what a dataset is: "extracted, full", "model, view".
func kindOf(d elt.Dataset) string {
	switch {
	case d.Kind == elt.TableDataset && d.Materialized == string(elt.Incremental):
		return "extracted, incremental"
	case d.Kind == elt.TableDataset:
		return "extracted"
	case d.Kind == elt.SeedDataset:
		return "seed"
	case d.Materialized == "":
		return string(d.Kind)
	}
	return "model, " + d.Materialized
}

// draw places a graph's boxes and lines.
func (v view) draw(g *graph, self elt.DatasetName) *lineageSVG {
	return g.draw(g.layers(), self, v.box)
}

// draw places boxes and lines, with each name in the column that at gives it.
func (g *graph) draw(at map[elt.DatasetName]int, self elt.DatasetName, box func(name elt.DatasetName, x, y int, self bool) lineageBox) *lineageSVG {
	g = g.bent(at)
	columns := g.columns(at)
	svg := &lineageSVG{Width: len(columns)*(boxWidth+boxGapX) - boxGapX + 4}
	for _, c := range columns {
		svg.Height = max(svg.Height, columnHeight(c)+4)
	}
	middle := make(map[elt.DatasetName][2]int) // where lines come in: the left end of a box, its middle
	for at, column := range columns {
		x, y := 2+at*(boxWidth+boxGapX), 2+(svg.Height-4-columnHeight(column))/2
		for _, name := range column {
			height := heightOf(name)
			middle[name] = [2]int{x, y + height/2}
			if height == boxHeight {
				svg.Nodes = append(svg.Nodes, box(name, x, y, name == self))
			}
			y += height + boxGapY
		}
	}
	for _, to := range slices.Concat(columns...) {
		for _, from := range g.inputs[to] {
			if heightOf(to) == boxHeight {
				svg.Paths = append(svg.Paths, g.line(from, to, self, middle))
			}
		}
	}
	slices.SortStableFunc(svg.Paths, func(a, b lineageEdge) int { // the near ones are drawn over the others
		return cmp.Compare(map[bool]int{true: 1}[a.Near], map[bool]int{true: 1}[b.Near])
	})
	return svg
}

func heightOf(name elt.DatasetName) int {
	if strings.HasPrefix(string(name), bend) {
		return bendHeight
	}
	return boxHeight
}

func columnHeight(c []elt.DatasetName) int {
	height := -boxGapY
	for _, name := range c {
		height += heightOf(name) + boxGapY
	}
	return height
}

func (v view) box(name elt.DatasetName, x, y int, self bool) lineageBox {
	set := v.byName[name]
	p := v.pillOf(set, set.headline.Latest)
	return lineageBox{
		X: x, Y: y, TextX: x + 12, TextY: y + 20, SubY: y + 38, Icon: p.Icon, Name: clipped(string(name), 22), Sub: kindOf(set.Dataset), Class: p.Class,
		Href: datasetHref(name), Self: self, Dataset: string(name), Title: string(name) + ": " + strings.ToLower(p.Text),
	}
}

// line draws the way into a dataset from what comes before it, back over its bends.
func (g *graph) line(from, to, self elt.DatasetName, middle map[elt.DatasetName][2]int) lineageEdge {
	way := []elt.DatasetName{to, from}
	for heightOf(way[len(way)-1]) != boxHeight {
		way = append(way, g.inputs[way[len(way)-1]]...)
	}
	slices.Reverse(way)
	start := middle[way[0]]
	x, y := start[0]+boxWidth, start[1]
	var d strings.Builder
	fmt.Fprintf(&d, "M%d %d", x, y)
	for i, name := range way[1:] {
		p := middle[name]
		fmt.Fprintf(&d, "C%d %d %d %d %d %d", x+boxGapX/2, y, p[0]-boxGapX/2, p[1], p[0], p[1])
		if x, y = p[0], p[1]; i < len(way)-2 { // through the column, level
			x += boxWidth
			fmt.Fprintf(&d, "L%d %d", x, y)
		}
	}
	return lineageEdge{d.String(), way[0] == self || to == self}
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
