package bigquery

import (
	"context"
	"net/http"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// hold keeps the rows of the published views that the run should have renewed and did not, before what they read
// changes: a table of the rows that each shows takes its place until its next version. Held tables need nothing.
func (w *Warehouse) hold(ctx context.Context, p elt.Publication) error {
	if len(p.Held) == 0 {
		return nil
	}
	kinds, err := w.kinds(ctx, p.Held)
	if err != nil {
		return err
	}
	for _, relation := range p.Held {
		if kinds[relation] != asView {
			continue
		}
		if err := w.holdView(ctx, p, relation); err != nil {
			return w.fail(ctx, "keep the rows of the view "+relation+", which is held back", err)
		}
	}
	return nil
}

func (w *Warehouse) holdView(ctx context.Context, p elt.Publication, relation string) error {
	at := w.published(relation)
	kept := w.staged(runID(p.Run) + "-" + strings.ReplaceAll(relation, ".", "-") + tableMark + "held")
	md, err := metadata(ctx, at, bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return err
	}
	if err == nil && md.Type == bigquery.ViewTable { // else an attempt before this one has got further
		_, _, err := w.execute(ctx, statement{
			what: "keep the rows of " + relation, step: "publish", labels: labels("publish", p.Run, ""),
			sql: "SELECT * FROM " + nameOf(at), into: kept,
		})
		if err != nil {
			return err
		}
		if err := remove(ctx, at); err != nil {
			return err
		}
	}
	if err := w.copyTable(ctx, p.Run, p.Fence, "held:"+relation, kept, at); err != nil {
		return err
	}
	_, _, err = w.execute(ctx, statement{
		what: "note that " + relation + " is held back", step: "publish", labels: labels("publish", p.Run, ""),
		sql: "UPDATE " + w.catalog("published") + " SET kind = " + literal(string(asHeld)) + " WHERE relation = " + literal(relation),
	})
	return err
}
