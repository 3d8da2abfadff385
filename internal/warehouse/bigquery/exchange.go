package bigquery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/iterator"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// placeMark is within the names of datasets in which another program builds a run.
const placeMark = catalogDataset + "_dbt_"

// lentAtOnce is how many relations are handed out or taken back at a time.
const lentAtOnce = 8

// Place returns what the names of the datasets begin with in which another program does its nth work on the run.
func (w *Warehouse) Place(run elt.RunID, n string) string {
	return w.DatasetPrefix + placeMark + runID(run) + "_" + n + "_"
}

// HandOut makes a place for another program: the datasets, whose names begin with place and are made anew, and in them
// what the program reads: a view of each relation or, where it adds rows to one, a copy. Tables in them expire like
// everything that is staged.
func (w *Warehouse) HandOut(ctx context.Context, run elt.RunID, place string, datasets []string, relations []elt.Exchange) error {
	what := "make a place for run " + string(run)
	if err := w.DropPlace(ctx, place); err != nil {
		return err
	}
	w.mu.Lock()
	w.open[run] = true
	w.mu.Unlock()
	for _, id := range datasets {
		md := &bigquery.DatasetMetadata{
			Location: w.Location, DefaultTableExpiration: time.Duration(w.StagingDays) * 24 * time.Hour, Description: runID(run),
			Labels: map[string]string{"daybreak": "yes"}, DefaultEncryptionConfig: w.encryption(),
		}
		err := limited(ctx, func(ctx context.Context) error { return w.client.Dataset(id).Create(ctx, md) })
		if err != nil && !isStatus(err, http.StatusConflict) {
			return w.fail(ctx, what, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lentAtOnce)
	for _, r := range relations {
		group.Go(func() error { return w.fail(ctx, "hand out "+string(r.Dataset), w.handOut(ctx, run, r)) })
	}
	return group.Wait()
}

func (w *Warehouse) handOut(ctx context.Context, run elt.RunID, r elt.Exchange) error {
	into := w.client.Dataset(r.Schema).Table(r.Name)
	if !r.Kept {
		return create(ctx, into, &bigquery.TableMetadata{ViewQuery: "SELECT * FROM " + r.From})
	}
	from := w.named(r.From)
	md, err := metadata(ctx, from, bigquery.WithMetadataView(bigquery.BasicMetadataView))
	if err != nil {
		return err
	}
	if md.Type != bigquery.RegularTable {
		return warehouse.IsView(r.Dataset)
	}
	return w.copyOnce(ctx, "lend", run, r.Dataset, from, into)
}

// copyOnce copies a table, which is free, to a name that nothing is called by.
func (w *Warehouse) copyOnce(ctx context.Context, step string, run elt.RunID, d elt.DatasetName, from, into *bigquery.Table) error {
	_, _, err := w.run(ctx, job{
		what: step + " " + string(d), id: "daybreak_" + step + "_" + unique(),
		insert: func(ctx context.Context, id bigquery.JobIDConfig) (*bigquery.Job, error) {
			c := into.CopierFrom(from)
			c.JobIDConfig, c.Labels, c.DestinationEncryptionConfig = id, labels(step, run, d), w.encryption()
			c.CreateDisposition, c.WriteDisposition = bigquery.CreateIfNeeded, bigquery.WriteTruncate
			return c.Run(ctx)
		},
	})
	return err
}

// TakeBack stages what another program has built for the run, views as the rows that they show, and returns how many
// rows each has. Tables are copied, which is free and keeps how they are arranged. Columns are compared and the rows of
// tables counted. A relation that is not there is the error relation_not_built.
func (w *Warehouse) TakeBack(ctx context.Context, run elt.RunID, relations []elt.Exchange) (map[elt.DatasetName]int64, error) {
	rows := make([]int64, len(relations))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lentAtOnce)
	for i, r := range relations {
		group.Go(func() (err error) {
			rows[i], err = w.takeBack(ctx, run, r)
			return w.fail(ctx, "take back "+string(r.Dataset), err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make(map[elt.DatasetName]int64, len(relations))
	for i, r := range relations {
		out[r.Dataset] = rows[i]
	}
	return out, nil
}

func (w *Warehouse) takeBack(ctx context.Context, run elt.RunID, r elt.Exchange) (int64, error) {
	from := w.client.Dataset(r.Schema).Table(r.Name)
	before, err := metadata(ctx, from)
	if isStatus(err, http.StatusNotFound) {
		return 0, warehouse.NotBuilt(r)
	}
	if err != nil {
		return 0, err
	}
	s := w.stage(run, r.Dataset)
	table := before.Type == bigquery.RegularTable
	if table {
		err = w.copyOnce(ctx, "collect", run, r.Dataset, from, s.table())
	} else {
		_, _, err = w.execute(ctx, statement{
			what: "take the rows of " + string(r.Dataset), step: "collect", labels: labels("collect", run, r.Dataset),
			sql: "SELECT * FROM " + nameOf(from), into: s.table(), layout: s.layout, guard: true,
		})
		err = w.modelRefused(ctx, r.Dataset, err)
	}
	if err != nil {
		return 0, err
	}
	after, err := metadata(ctx, s.table())
	if err != nil {
		return 0, err
	}
	want, got := columnsOf(before.Schema), columnsOf(after.Schema)
	same := slices.EqualFunc(want, got, func(a, b elt.Column) bool { return a.Name == b.Name && a.Type == b.Type })
	if !same || table && before.NumRows != after.NumRows {
		return 0, warehouse.TakenWrong(r.Dataset, warehouse.Extent{Rows: int64(before.NumRows), Columns: len(want)}, warehouse.Extent{Rows: int64(after.NumRows), Columns: len(got)},
			"run the night again; nothing but dbt may write to datasets whose names have "+placeMark+" in them")
	}
	return int64(after.NumRows), s.finish(ctx, got.Names())
}

// Unstage drops what the run has staged for the datasets, so that nothing older can be taken for what is to come.
func (w *Warehouse) Unstage(ctx context.Context, run elt.RunID, datasets []elt.DatasetName) error {
	for _, d := range datasets {
		if err := remove(ctx, w.staged(stagedID(run, d))); err != nil && !isStatus(err, http.StatusNotFound) {
			return w.fail(ctx, "drop what is staged of "+string(d), err)
		}
	}
	return nil
}

// HasStaged reports whether the run has staged the dataset.
func (w *Warehouse) HasStaged(ctx context.Context, run elt.RunID, d elt.DatasetName) (bool, error) {
	found, _, err := w.stagedShape(ctx, run, d)
	return found != nothing, w.fail(ctx, "look for "+string(d)+" in the staging of run "+string(run), err)
}

// DropPlace drops the datasets whose names begin with place, and all that is in them.
func (w *Warehouse) DropPlace(ctx context.Context, place string) error {
	if !strings.Contains(place, placeMark) {
		return fmt.Errorf("drop the place %q: it is none", place)
	}
	return w.fail(ctx, "drop the place "+place, w.eachPlace(ctx, place, w.dropPlace))
}

func (w *Warehouse) dropPlace(ctx context.Context, d *bigquery.Dataset) error {
	err := limited(ctx, d.DeleteWithContents)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// dropPlacesOf drops the places of the runs that gone names.
func (w *Warehouse) dropPlacesOf(ctx context.Context, gone func(run string) bool) error {
	return w.eachPlace(ctx, w.DatasetPrefix+placeMark, func(ctx context.Context, d *bigquery.Dataset) error {
		var md *bigquery.DatasetMetadata
		err := limited(ctx, func(ctx context.Context) (err error) {
			md, err = d.Metadata(ctx)
			return err
		})
		if isStatus(err, http.StatusNotFound) || err == nil && !gone(md.Description) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.dropPlace(ctx, d)
	})
}

// eachPlace calls do for each dataset whose name begins with the prefix.
func (w *Warehouse) eachPlace(ctx context.Context, prefix string, do func(context.Context, *bigquery.Dataset) error) error {
	it := w.client.Datasets(ctx)
	it.ListHidden = true
	var found []*bigquery.Dataset
	for {
		d, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.DatasetID, prefix) {
			found = append(found, d)
		}
	}
	for _, d := range found {
		if err := do(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
