package status

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// graph is the part of the datasets' graph that a picture shows.
type graph struct {
	names  []elt.DatasetName // inputs first
	inputs map[elt.DatasetName][]elt.DatasetName
	feeds  map[elt.DatasetName][]elt.DatasetName
}

// bend begins the name of a place that a long line passes in a column on its way: no dataset's name has a blank.
const bend = " "

// bent returns the graph with a bend in each column that a line crosses, so that lines pass between boxes and not behind
// them; at gives the bends their columns.
func (g *graph) bent(at map[elt.DatasetName]int) *graph {
	out := &graph{names: slices.Clone(g.names), inputs: make(map[elt.DatasetName][]elt.DatasetName), feeds: make(map[elt.DatasetName][]elt.DatasetName)}
	for _, to := range g.names {
		for _, from := range g.inputs[to] {
			last := from
			for column := at[from] + 1; column < at[to]; column++ {
				name := elt.DatasetName(fmt.Sprint(bend, from, bend, to, bend, column))
				at[name] = column
				out.names = append(out.names, name)
				out.inputs[name], out.feeds[last] = []elt.DatasetName{last}, append(out.feeds[last], name)
				last = name
			}
			out.inputs[to], out.feeds[last] = append(out.inputs[to], last), append(out.feeds[last], to)
		}
	}
	return out
}

// newGraph returns the graph of these datasets, with the edges between them.
func (v view) newGraph(names []elt.DatasetName) *graph {
	g := &graph{inputs: make(map[elt.DatasetName][]elt.DatasetName), feeds: make(map[elt.DatasetName][]elt.DatasetName)}
	for _, set := range v.sets { // in dependency order
		if slices.Contains(names, set.Name) {
			g.names = append(g.names, set.Name)
		}
	}
	known := make(map[elt.DatasetName]bool, len(g.names))
	for _, name := range g.names {
		for _, in := range v.byName[name].Inputs {
			if known[in] { // an input that is known comes before: a cycle, which no night has, is not drawn
				g.inputs[name] = append(g.inputs[name], in)
				g.feeds[in] = append(g.feeds[in], name)
			}
		}
		known[name] = true
	}
	return g
}

// layers gives each dataset its column, so that every line leads to the right: as far left as its inputs allow, and
// then as near to what it feeds as those allow.
func (g *graph) layers() map[elt.DatasetName]int {
	at := make(map[elt.DatasetName]int, len(g.names))
	for _, name := range g.names {
		for _, in := range g.inputs[name] {
			at[name] = max(at[name], at[in]+1)
		}
	}
	for _, name := range slices.Backward(g.names) {
		if feeds := g.feeds[name]; len(feeds) > 0 {
			next := at[feeds[0]]
			for _, f := range feeds {
				next = min(next, at[f])
			}
			at[name] = next - 1
		}
	}
	return at
}

// columns returns the datasets column by column, each ordered so that few lines cross: by the middle of its
// neighbours, back and forth until that settles.
func (g *graph) columns(at map[elt.DatasetName]int) [][]elt.DatasetName {
	deepest := 0
	for _, layer := range at {
		deepest = max(deepest, layer)
	}
	columns := make([][]elt.DatasetName, deepest+1)
	for _, name := range slices.Sorted(slices.Values(g.names)) {
		columns[at[name]] = append(columns[at[name]], name)
	}
	columns = slices.DeleteFunc(columns, func(c []elt.DatasetName) bool { return len(c) == 0 })
	place := make(map[elt.DatasetName]float64)
	note := func(c []elt.DatasetName) {
		for i, name := range c {
			place[name] = (float64(i) + 0.5) / float64(len(c))
		}
	}
	for _, c := range columns {
		note(c)
	}
	middle := func(name elt.DatasetName, of map[elt.DatasetName][]elt.DatasetName) float64 {
		if len(of[name]) == 0 {
			return place[name]
		}
		sum := 0.0
		for _, n := range of[name] {
			sum += place[n]
		}
		return sum / float64(len(of[name]))
	}
	const passes = 6
	for pass := range passes {
		of := g.inputs
		order := columns
		if pass%2 == 1 {
			of, order = g.feeds, slices.Clone(columns)
			slices.Reverse(order)
		}
		for _, c := range order {
			slices.SortStableFunc(c, func(a, b elt.DatasetName) int { return cmp.Compare(middle(a, of), middle(b, of)) })
			note(c)
		}
	}
	return columns
}

// thin takes datasets out of columns that are too tall, those furthest from the given one first, and returns how many.
func (g *graph) thin(self elt.DatasetName) (left int) {
	for _, c := range g.columns(g.layers()) {
		if len(c) <= boxesInColumn {
			continue
		}
		slices.SortStableFunc(c, func(a, b elt.DatasetName) int { return cmp.Compare(g.far(a, self), g.far(b, self)) })
		for _, name := range c[boxesInColumn:] {
			g.remove(name)
			left++
		}
	}
	return left
}

// far orders datasets by how near they are to one: itself, its neighbours, the others.
func (g *graph) far(name, self elt.DatasetName) int {
	switch {
	case name == self:
		return 0
	case slices.Contains(g.inputs[self], name) || slices.Contains(g.feeds[self], name):
		return 1
	}
	return 2
}

func (g *graph) remove(name elt.DatasetName) {
	is := func(other elt.DatasetName) bool { return other == name }
	for _, in := range g.inputs[name] {
		g.feeds[in] = slices.DeleteFunc(g.feeds[in], is)
	}
	for _, out := range g.feeds[name] {
		g.inputs[out] = slices.DeleteFunc(g.inputs[out], is)
	}
	g.names = slices.DeleteFunc(g.names, is)
	delete(g.inputs, name)
	delete(g.feeds, name)
}
