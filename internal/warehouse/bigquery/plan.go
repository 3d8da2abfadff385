package bigquery

import (
	"context"
	"fmt"
	"net/http"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// plan is how one item is published.
type plan struct {
	elt.PublicationItem
	stands kind            // what its name is now
	shape  shape           // what the run staged
	from   *bigquery.Table // where the staged rows are
	schema elt.Schema      // of the staged rows
	staged *bigquery.TableMetadata
	// published is the table that stands under the name; nil when there is none.
	published *bigquery.TableMetadata
	// partition is the one partition that the staged rows are, to be copied over the published one; empty for none.
	partition string
	// adds are columns that the published table is given first; carry is how older rows show what they have otherwise,
	// where the table must be made anew for it.
	adds    elt.Schema
	carry   map[string]string
	rebuilt bool // from holds the whole table as it will be, arranged anew
	placed  bool // the rows are in the published table already, and no version says so
	// inPlace is true when its rows are put into the published table by the transaction that records its version.
	inPlace bool
	deleted string          // the condition of staged rows that are not published; empty for none
	gone    *bigquery.Table // the keys of published rows that go; nil for none
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
		return warehouse.StagingMissing(run, d)
	case p.shape == view, p.shape == delta && !p.merges():
		return fmt.Errorf("publish %s: run %s staged what strategy %q cannot publish as %s", d, run, p.Strategy, p.Relation)
	}
	md, err := metadata(ctx, p.from)
	if isStatus(err, http.StatusNotFound) {
		return warehouse.StagingMissing(run, d)
	}
	if err != nil {
		return err
	}
	p.schema, p.staged = columnsOf(md.Schema), md
	if err := w.withoutDeleted(ctx, run, p); err != nil {
		return err
	}
	if p.stands != asTable {
		return nil
	}
	p.published, err = metadata(ctx, w.published(p.Relation))
	switch {
	case isStatus(err, http.StatusNotFound) && p.merges():
		return w.takeRebuilt(ctx, p)
	case isStatus(err, http.StatusNotFound): // it is made again
		return nil
	case err != nil:
		return err
	case !p.merges():
		return nil
	}
	return w.planMerge(ctx, p)
}

// planMerge says how rows come into a table that is there: by DML, by copying one partition, or, where the table is to
// be arranged in another way, by making all of it anew.
func (w *Warehouse) planMerge(ctx context.Context, p *plan) (err error) {
	d := p.Version.Dataset
	switch {
	case p.Strategy == elt.Replace && (p.Range == nil || fieldOf(p.published.Schema, p.Cursor) == nil):
		return fmt.Errorf("publish %s: strategy %q without a range of a cursor", d, p.Strategy)
	case p.Strategy != elt.Append && p.Strategy != elt.Replace && len(p.Key) == 0:
		return fmt.Errorf("publish %s: strategy %q without a key", d, p.Strategy)
	}
	changed, carry, err := evolution(d, p.published.Schema, p.staged.Schema, p.Changes)
	if err != nil {
		return err
	}
	same := sameLayout(p.staged, p.published)
	if same && changed.OnlyAdds() {
		p.adds = changed.Added
	} else if !changed.IsZero() {
		same, p.carry = false, carry
	}
	if p.Strategy == elt.Replace && same && !w.Together && p.staged.NumRows > 0 && p.deleted == "" {
		p.partition, _ = onePartition(layoutOf(p.staged), kindOf(fieldOf(p.staged.Schema, p.Cursor)), p.Range)
	}
	if same && p.Strategy == elt.Append {
		p.placed, err = w.rebuiltBefore(ctx, *p)
	}
	p.inPlace = same && p.partition == "" && !p.placed
	return err
}
