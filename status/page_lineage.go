package status

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// lineageData is what the page of the whole graph shows.
type lineageData struct {
	Sentence, Detail string
	Focus            string // the dataset whose neighbourhood is drawn
	Names            []elt.DatasetName
	Whole            bool // the picture shows all that there is
	Picture          *lineageSVG
	Heading          string
	Rows             []lineageRow
}

// lineagePage shows what every dataset is made from: in one picture, or as a map of groups where there are too many. Of a
// dataset or a group that is asked for, it draws the neighbourhood.
func (s *Service) lineagePage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	data := lineageData{Detail: "Lines lead from what is read to what is made from it.", Heading: "As a table"}
	tables, models := 0, 0
	for _, set := range v.sets {
		if set.Retired {
			continue
		}
		data.Names = append(data.Names, set.Name)
		if set.Kind == elt.TableDataset {
			tables++
		} else {
			models++
		}
	}
	data.Sentence = fmt.Sprintf("%s made from %s.", counted(models, "dataset"), counted(tables, "extracted table"))
	focus := v.byName[elt.DatasetName(c.QueryParam("focus"))]
	switch {
	case focus != nil && !focus.Retired:
		v.focusOn(&data, focus)
	case len(data.Names) > mostDrawn:
		v.mapOf(&data, c.QueryParam("group"))
	default:
		data.Whole = true
		if len(data.Names) > 0 {
			data.Picture = v.draw(v.newGraph(data.Names), "")
		}
		data.list(v, data.Names)
	}
	slices.Sort(data.Names)
	return s.page(c, http.StatusOK, "lineage", "Lineage", data)
}

func (d *lineageData) list(v view, names []elt.DatasetName) {
	for _, name := range names {
		d.Rows = append(d.Rows, v.lineageRow(name, ""))
	}
}

// focusOn draws what one dataset comes from and goes to. Its neighbours lead to their own neighbourhoods.
func (v view) focusOn(d *lineageData, set *dataset) {
	d.Focus, d.Sentence = string(set.Name), "Around "+string(set.Name)+"."
	d.Picture = v.drawLineage(set)
	d.Rows = d.Picture.Rows
	if d.Picture.Hidden != "" {
		d.Detail += " " + d.Picture.Hidden
	}
	for i, n := range d.Picture.Nodes {
		if !n.Self {
			d.Picture.Nodes[i].Href = "/lineage?focus=" + url.QueryEscape(n.Dataset)
		}
	}
}

// mapOf draws all datasets as groups, and lists those of one.
func (v view) mapOf(d *lineageData, chosen string) {
	groups := v.groups(d.Names)
	d.Picture = v.drawMap(groups, chosen)
	d.Detail = "They are too many for one picture: each box is a group of them, from production on the left. Open a group for its datasets, or look at the neighbourhood of one."
	for _, g := range groups {
		if g.key != chosen {
			continue
		}
		d.Heading = fmt.Sprintf("%s, %s", g.title, stepsFromProduction(g.depth))
		var names []elt.DatasetName
		for _, set := range v.loudFirst(g.members) {
			if slices.Contains(g.members, set) {
				names = append(names, set.Name)
			}
		}
		d.list(v, names)
	}
}

// getGraph answers the whole graph.
func (s *Service) getGraph(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	body := &api.Lineage{Nodes: []api.LineageNode{}, Edges: []api.LineageEdge{}}
	for _, set := range v.sets {
		if set.Retired {
			continue
		}
		body.Nodes = append(body.Nodes, api.LineageNode{Dataset: set.Name, Kind: set.Kind, State: set.headline.Latest.State})
		for _, in := range set.Inputs {
			if v.byName[in] != nil {
				body.Edges = append(body.Edges, api.LineageEdge{From: in, To: set.Name})
			}
		}
	}
	return s.answer(c, v, true, body, &body.Meta)
}
