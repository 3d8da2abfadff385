package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/load"
)

// scratch is a dataset that was rebuilt from the lake alone, in a warehouse of its own that goes with it.
type scratch struct {
	dataset  elt.Dataset
	last     *elt.Manifest // of its chain; what was rebuilt has its schema
	dir      string
	reader   *duckdb.Reader
	manifest *elt.Manifest // of what export has written
}

// newScratch rebuilds a dataset from its manifests, the oldest first, each loaded and verified as in a night.
func newScratch(ctx context.Context, log *slog.Logger, store lake.Store, d elt.Dataset, layout elt.Layout, chain []*elt.Manifest) (_ *scratch, err error) {
	s := &scratch{dataset: d, last: chain[len(chain)-1]}
	if s.dir, err = os.MkdirTemp("", "daybreak-scratch-"); err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = s.close(err)
		}
	}()
	file := filepath.Join(s.dir, "warehouse.duckdb")
	w, err := duckdb.Open(ctx, duckdb.Options{Path: file, Keep: -1, Now: time.Now, Log: log})
	if err != nil {
		return nil, err
	}
	loader := load.New(load.Options{Lake: store, Warehouse: w, Spool: filepath.Join(s.dir, "spool"), Log: log})
	for _, m := range chain {
		v := elt.Version{ID: elt.NewVersionID(d.Name, m.Run), Dataset: d.Name, Date: m.Date, Run: m.Run, Manifest: m.ObjectKey(), Rows: m.Rows()}
		if err := replay(ctx, loader, w, d, layout, v, m); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	s.reader, err = duckdb.OpenReadOnly(ctx, file)
	return s, err
}

// measure takes the facts of what was rebuilt.
func (s *scratch) measure(ctx context.Context) (elt.TableStats, error) {
	return s.reader.Measure(ctx, s.dataset.Relation, s.last.Schema)
}

// close removes the scratch warehouse and returns err, with what else went wrong.
func (s *scratch) close(err error) error {
	if s.reader != nil {
		err = errors.Join(err, s.reader.Close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
