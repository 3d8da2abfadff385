package bigquery

import (
	"context"
	"fmt"
	"net/http"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// rebuild makes the whole of a table to which rows were to be added, arranged as the configuration now says, beside
// the staged rows. It is billed as a query over all of it. Until it is whole, nothing that is published changes.
func (w *Warehouse) rebuild(ctx context.Context, p *plan) error {
	d := p.Version.Dataset
	w.Log.Warn("the whole table is made anew, because it is to be arranged in another way, or its columns changed", "dataset", d,
		"was", layoutOf(p.published).String(), "will_be", layoutOf(p.staged).String(), "changes", elt.ChangesText(p.Changes))
	into := w.rebuiltOf(*p)
	whole := staging{w: w, physical: p.from.TableID, base: p.Relation, strategy: p.Strategy, key: p.Key, span: p.Range, carry: p.carry, deleted: p.deleted}
	whole.cursor, _ = columnsOf(p.published.Schema).Column(p.Cursor)
	_, _, err := w.execute(ctx, statement{
		what: "make " + string(d) + " anew", step: "publish", labels: labels("publish", p.Version.Run, d),
		sql: whole.candidate(p.schema.Names(), p.gone), into: into, layout: layoutOf(p.staged),
	})
	p.from, p.rebuilt = into, true
	return err
}

// rebuiltOf is the table of which a published one is made anew.
func (w *Warehouse) rebuiltOf(p plan) *bigquery.Table {
	return w.staged(p.from.TableID + tableMark + "rebuilt")
}

// takeRebuilt goes on where an attempt ended that had dropped a published table to put the one that was made anew in
// its place.
func (w *Warehouse) takeRebuilt(ctx context.Context, p *plan) error {
	rebuilt := w.rebuiltOf(*p)
	md, err := metadata(ctx, rebuilt)
	if isStatus(err, http.StatusNotFound) {
		return &elt.Error{
			Code: codePublishedGone, Class: elt.Data,
			What: fmt.Sprintf("the published table %s, into which rows are to be merged, is gone", p.Relation),
			Do:   "bring it back, as BigQuery can for seven days (bq cp TABLE@-3600000 TABLE), and retry the run; or load the dataset whole",
		}
	}
	if err != nil {
		return err
	}
	p.from, p.staged, p.rebuilt = rebuilt, md, true
	return nil
}

// rebuiltBefore reports whether an attempt before this one has put a table that it made anew in the place of the
// published one, and ended before it could say so: what it would append is in there.
func (w *Warehouse) rebuiltBefore(ctx context.Context, p plan) (bool, error) {
	_, err := metadata(ctx, w.rebuiltOf(p), bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if isStatus(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}
