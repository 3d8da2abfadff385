package status

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// lineagePage shows what every dataset is made from. A graph that is too big for one picture is told in the table
// alone: each dataset's own page draws its neighbourhood.
func (s *Service) lineagePage(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	var names []elt.DatasetName
	tables, models := 0, 0
	for _, set := range v.sets {
		if set.Retired {
			continue
		}
		names = append(names, set.Name)
		if set.Kind == elt.TableDataset {
			tables++
		} else {
			models++
		}
	}
	data := struct {
		Sentence, Detail string
		Picture          *lineageSVG
		Rows             []lineageRow
	}{
		Sentence: fmt.Sprintf("%s made from %s.", counted(models, "dataset"), counted(tables, "extracted table")),
		Detail:   "Lines lead from what is read to what is made from it.",
	}
	if len(names) > 0 && len(names) <= mostDrawn {
		data.Picture = v.draw(v.newGraph(names), "")
	} else if len(names) > mostDrawn {
		data.Detail = "They are too many for one picture: open a dataset to see its neighbourhood."
	}
	for _, name := range names {
		data.Rows = append(data.Rows, v.lineageRow(name, ""))
	}
	return s.page(c, http.StatusOK, "lineage", "Lineage", data)
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
