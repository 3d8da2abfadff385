package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// sweep drops what earlier runs staged: published tables are copies. A run's relations may go only when
//   - the run has published, so that its steps are over, and is not the one that publishes now: a person may
//     still retry what that one held back, and its models read what it staged;
//   - it has staged nothing since: a retry of it is not at work.
//
// What a run staged that never published anything stays until Discard, or until it expires.
func (w *Warehouse) sweep(ctx context.Context, current elt.RunID) error {
	if err := w.forget(ctx); err != nil {
		return err
	}
	over := make(map[string]bool)
	err := w.rows(ctx, statement{
		what: "look for runs that are over", step: "catalog", labels: labels("catalog", "", ""),
		sql: "SELECT DISTINCT run_id FROM " + w.catalog("versions") + " WHERE run_id != " + literal(string(current)),
	}, func(row []bigquery.Value) error {
		run := elt.RunID(fmt.Sprint(row[0]))
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.open[run] {
			over[runID(run)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.dropStaged(ctx, func(run string) bool { return over[run] })
}

// Discard drops what a run staged. The run must be over: whatever works on it afterwards finds nothing.
func (w *Warehouse) Discard(ctx context.Context, run elt.RunID) error {
	w.mu.Lock()
	delete(w.open, run)
	w.mu.Unlock()
	err := w.dropStaged(ctx, func(staged string) bool { return staged == runID(run) })
	return w.fail(ctx, "discard what run "+string(run)+" staged", err)
}

// Leftovers returns how many relations Discard would drop for each run that has any. A run's dashes are underscores here:
// that is how its tables are named.
func (w *Warehouse) Leftovers(ctx context.Context) (map[elt.RunID]int, error) {
	out := make(map[elt.RunID]int)
	it := w.client.Dataset(w.stagingDataset()).Tables(ctx)
	for {
		t, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, w.fail(ctx, "look for what runs have left staged", err)
		}
		run, _, _ := strings.Cut(t.TableID, "-")
		out[elt.RunID(run)]++
	}
}

// dropStaged drops the staged relations of the runs that gone names, views before what they read, and the datasets in
// which other programs built for them.
func (w *Warehouse) dropStaged(ctx context.Context, gone func(run string) bool) error {
	if err := w.dropPlacesOf(ctx, gone); err != nil {
		return err
	}
	var views, tables []*bigquery.Table
	it := w.client.Dataset(w.stagingDataset()).Tables(ctx)
	for {
		t, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return err
		}
		run, _, _ := strings.Cut(t.TableID, "-")
		switch {
		case !gone(run):
		case strings.Contains(t.TableID, tableMark):
			tables = append(tables, t)
		default:
			views = append(views, t)
		}
	}
	for _, t := range append(views, tables...) {
		if err := remove(ctx, t); err != nil && !isStatus(err, http.StatusNotFound) {
			return err
		}
	}
	if w.bucket != nil {
		return w.bucket.dropRuns(ctx, gone)
	}
	return nil
}
