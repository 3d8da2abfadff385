package status

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A graph that is too big for one picture is drawn as a map: datasets that are alike and equally far from production are
// one box. A box leads to its datasets, and each of those to its neighbourhood.

// mostGroups is how many boxes a column of the map has; what is in smaller groups is drawn as one.
const mostGroups = 8

// group is a box of the map.
type group struct {
	key, title string
	depth      int // steps from production
	members    []*dataset
}

// others is what the small groups of a column are together.
const others = "others"

// groups returns the boxes of the map. Every line leads from a lower depth to a higher one, so there is no cycle.
func (v view) groups(names []elt.DatasetName) []*group {
	depth := make(map[elt.DatasetName]int, len(names))
	byKey := make(map[string]*group)
	stages := make(map[string]int)
	for _, set := range v.sets {
		stages[stageOf(set.Dataset)]++
	}
	for _, set := range v.sets { // in dependency order
		if set.Retired {
			continue
		}
		for _, in := range set.Inputs {
			depth[set.Name] = max(depth[set.Name], depth[in]+1)
		}
		title := stageOf(set.Dataset)
		if stages[title] == 1 && strings.HasSuffix(title, anyName) { // the beginning of one name is no stage
			title = schemaOf(set.Dataset)
		}
		key := fmt.Sprintf("%d.%s", depth[set.Name], title)
		if byKey[key] == nil {
			byKey[key] = &group{key: key, title: title, depth: depth[set.Name]}
		}
		byKey[key].members = append(byKey[key].members, set)
	}
	columns := make(map[int][]*group)
	for _, g := range byKey {
		columns[g.depth] = append(columns[g.depth], g)
	}
	var out []*group
	for at, column := range columns {
		slices.SortFunc(column, func(a, b *group) int {
			return cmp.Or(cmp.Compare(len(b.members), len(a.members)), cmp.Compare(a.title, b.title))
		})
		if len(column) > mostGroups {
			rest := &group{key: fmt.Sprintf("%d.%s", at, others), title: others, depth: at}
			for _, g := range column[mostGroups-1:] {
				rest.members = append(rest.members, g.members...)
			}
			column = append(column[:mostGroups-1:mostGroups-1], rest)
		}
		out = append(out, column...)
	}
	slices.SortFunc(out, func(a, b *group) int { return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.key, b.key)) })
	return out
}

// stageOf says to what a dataset belongs: a table to its source, a model to the stage that its name begins with, as dbt's
// conventions have it (stg_, int_, fct_, dim_), or to its schema.
func stageOf(d elt.Dataset) string {
	if d.Kind == elt.SeedDataset {
		return "seeds"
	}
	if source, _, ok := strings.Cut(string(d.Name), "."); ok {
		return source
	}
	if stage, _, ok := strings.Cut(string(d.Name), "_"); ok && len(stage) <= 5 {
		return stage + anyName
	}
	return schemaOf(d)
}

// anyName stands for the rest of the names in a stage.
const anyName = "_…"

func schemaOf(d elt.Dataset) string {
	if schema, _, ok := strings.Cut(d.Relation, "."); ok {
		return schema
	}
	return others
}

// drawMap draws the groups.
func (v view) drawMap(groups []*group, chosen string) *lineageSVG {
	g := &graph{inputs: make(map[elt.DatasetName][]elt.DatasetName), feeds: make(map[elt.DatasetName][]elt.DatasetName)}
	of := make(map[elt.DatasetName]elt.DatasetName)
	boxes := make(map[elt.DatasetName]*group, len(groups))
	for _, box := range groups {
		name := elt.DatasetName(box.key)
		g.names, boxes[name] = append(g.names, name), box
		for _, set := range box.members {
			of[set.Name] = name
		}
	}
	at := make(map[elt.DatasetName]int, len(groups))
	for name, box := range boxes {
		at[name] = box.depth
	}
	for _, box := range groups {
		to := elt.DatasetName(box.key)
		for _, set := range box.members {
			for _, in := range set.Inputs {
				if from, known := of[in]; known && at[from] < at[to] && !slices.Contains(g.inputs[to], from) {
					g.inputs[to], g.feeds[from] = append(g.inputs[to], from), append(g.feeds[from], to)
				}
			}
		}
	}
	return g.draw(at, elt.DatasetName(chosen), func(name elt.DatasetName, x, y int, self bool) lineageBox {
		return v.groupBox(boxes[name], x, y, self)
	})
}

// groupBox is a group's box, in the state of the one of its datasets that needs a person most.
func (v view) groupBox(b *group, x, y int, self bool) lineageBox {
	loudest := slices.MaxFunc(b.members, func(a, b *dataset) int { return loudness(a) - loudness(b) })
	p := v.pillOf(loudest, loudest.headline.Latest)
	sub := counted(len(b.members), "dataset")
	if loudness(loudest) > 0 {
		loud := 0
		for _, set := range b.members {
			if loudness(set) > 0 {
				loud++
			}
		}
		sub += fmt.Sprintf(", %d in trouble", loud)
	}
	return lineageBox{
		X: x, Y: y, TextX: x + 12, TextY: y + 20, SubY: y + 38, Icon: p.Icon, Name: clipped(b.title, 22), Sub: sub, Class: p.Class,
		Href: "/lineage?" + url.Values{"group": {b.key}}.Encode(), Self: self, Title: b.title + ", " + stepsFromProduction(b.depth) + ": " + sub,
	}
}

func stepsFromProduction(depth int) string {
	if depth == 0 {
		return "as production has it"
	}
	return counted(depth, "step") + " from production"
}
