package statustest

import (
	"fmt"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Warren is the busy morning of a company with as many more datasets, which are made from each other: tables of several
// sources, and models of every stage over them.
func Warren(more int) *World {
	w := Busy()
	sources := []string{"crm", "erp", "web", "support", "ads"}
	stages := []string{"stg", "int", "fct", "dim", "rpt"}
	var before, layer []elt.DatasetName
	height := more/(len(stages)+1) + 1
	for i := range more {
		d := elt.Dataset{Schedule: "nightly", Zone: "Europe/Dublin", Owners: []string{"data@example.com", "analytics@example.com"}}
		if i%height == 0 {
			before, layer = layer, nil
		}
		if at := i / height; at == 0 {
			d.Name, d.Kind = elt.DatasetName(fmt.Sprintf("%s.table_%02d", sources[i%len(sources)], i)), elt.TableDataset
		} else {
			d.Name, d.Kind, d.Materialized = elt.DatasetName(fmt.Sprintf("%s_subject_%03d", stages[at-1], i)), elt.ModelDataset, "table"
			for j := range 1 + i%3 {
				d.Inputs = append(d.Inputs, before[(i+j*7)%len(before)])
			}
		}
		layer = append(layer, d.Name)
		d.Relation = "analytics." + string(d.Name)
		w.AddDatasets(d)
	}
	return w
}
