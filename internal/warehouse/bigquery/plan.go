package bigquery

import (
	"context"
	"fmt"
	"net/http"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// plan is how one item is published.
type plan struct {
	elt.PublicationItem
	stands kind            // what its name is now
	shape  shape           // what the run staged
	from   *bigquery.Table // where the staged rows are
	schema elt.Schema      // of the staged rows
	// inPlace is true when its rows are put into the published table by the transaction that records its version.
	inPlace bool
}

// merges reports whether the rows are merged into the published table, rather than put in its place.
func (p plan) merges() bool { return p.Strategy != "" && p.stands == asTable }

// plan checks the publication and says how each of its items will be published; those that are there already are
// returned instead.
func (w *Warehouse) plan(ctx context.Context, p elt.Publication) (there []elt.Version, plans []plan, err error) {
	recorded, err := w.recorded(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	var datasets []elt.DatasetName
	var relations []string
	for _, item := range p.Items {
		if v, ok := recorded[item.Version.ID]; ok {
			there = append(there, v)
			continue
		}
		item.Version.Fence = p.Fence
		datasets, relations = append(datasets, item.Version.Dataset), append(relations, item.Relation)
		plans = append(plans, plan{PublicationItem: item})
	}
	if len(plans) == 0 {
		return there, nil, nil
	}
	if err := w.staleFence(ctx, p.Fence, datasets); err != nil {
		return nil, nil, err
	}
	kinds, err := w.kinds(ctx, relations)
	if err != nil {
		return nil, nil, err
	}
	for i := range plans {
		plans[i].stands = kinds[plans[i].Relation]
		if err := w.planItem(ctx, p.Run, &plans[i]); err != nil {
			return nil, nil, err
		}
	}
	return there, plans, nil
}

func (w *Warehouse) planItem(ctx context.Context, run elt.RunID, p *plan) (err error) {
	d := p.Version.Dataset
	if p.stands == unpublished {
		if err := w.mayTake(ctx, p.Relation); err != nil {
			return err
		}
	}
	if p.ViewSQL != "" {
		return nil
	}
	if p.shape, p.from, err = w.stagedShape(ctx, run, d); err != nil {
		return err
	}
	switch {
	case p.shape == nothing:
		return w.stagingMissing(run, d)
	case p.shape == view, p.shape == delta && !p.merges():
		return fmt.Errorf("publish %s: run %s staged what strategy %q cannot publish as %s", d, run, p.Strategy, p.Relation)
	}
	md, err := p.from.Metadata(ctx)
	if isStatus(err, http.StatusNotFound) {
		return w.stagingMissing(run, d)
	}
	if err != nil {
		return err
	}
	p.schema = columnsOf(md.Schema)
	if p.inPlace = p.merges(); !p.inPlace {
		return nil
	}
	if p.Strategy != elt.Append && len(p.Key) == 0 {
		return fmt.Errorf("publish %s: strategy %q without a key", d, p.Strategy)
	}
	return w.schemaFits(ctx, d, p.Relation, p.schema)
}
