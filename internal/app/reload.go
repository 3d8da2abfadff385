package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/lake/disk"
	"github.com/daybreak-data/daybreak/load"
)

// loadAgain stages the content of a version from the lake, whole and verified. What many nights were merged into is
// rebuilt in a scratch warehouse first, night by night, and staged from there.
func (s *stages) loadAgain(ctx context.Context, step elt.Step, target elt.VersionID, progress func(elt.Progress)) (_ elt.Result, err error) {
	v, err := s.ledger.Version(ctx, target)
	if err != nil {
		return elt.Result{}, err
	}
	versions, err := s.ledger.Versions(ctx, v.Dataset, everyVersion)
	if err != nil {
		return elt.Result{}, err
	}
	chain, err := chainOf(ctx, s.lake, v.Dataset, upTo(versions, v))
	if err != nil {
		return elt.Result{}, err
	}
	key, loader := v.Manifest, s.loader
	if len(chain) > 1 || chain[0].Mode == elt.Incremental {
		rebuilt, err := newScratch(ctx, s.log, s.lake, s.catalog.byName[v.Dataset], s.catalog.layout(v.Dataset), chain)
		if err != nil {
			return elt.Result{}, err
		}
		defer func() { err = rebuilt.close(err) }()
		store, err := rebuilt.export(ctx, step.Run)
		if err != nil {
			return elt.Result{}, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		key = rebuilt.manifest.ObjectKey()
		loader = load.New(load.Options{Lake: store, Warehouse: s.warehouse, Spool: filepath.Join(rebuilt.dir, "spool"), Log: s.log})
	}
	loader = loader.As(step.Run)
	if _, err := loader.Load(ctx, key, s.catalog.relation(v.Dataset), progress); err != nil {
		return elt.Result{}, err
	}
	result, err := loader.Verify(ctx, key, load.Rules{AllowEmpty: true})
	if slices.Contains(guards, elt.CodeOf(err)) {
		err = nil // it was published, so it has passed
	}
	result.Manifest = v.Manifest
	return result, err
}

// verifiedAgain returns what the load step of a reload has verified already, against what is not there any more.
func (s *stages) verifiedAgain(ctx context.Context, step elt.Step) (elt.Result, error) {
	loaded, err := s.ledger.Step(ctx, elt.NewStepID(step.Run, elt.LoadStep, step.Dataset))
	return loaded.Result, err
}

// export writes what was rebuilt as one part with a manifest into a lake of the scratch folder, as a whole table.
func (s *scratch) export(ctx context.Context, run elt.RunID) (_ *disk.Store, err error) {
	stats, err := s.measure(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "whole.parquet")
	if err := s.reader.Export(ctx, s.dataset.Relation, file); err != nil {
		return nil, err
	}
	store, err := disk.Open(filepath.Join(s.dir, "lake"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	m := *s.last
	m.Run, m.Attempt, m.Mode, m.Window, m.Range, m.Numbers, m.Stats = run, 1, elt.Full, nil, nil, nil, stats
	m.Keys, m.SoftDelete, m.Changes, m.SourceDigest = nil, "", nil, nil // what they tell of has been applied
	body, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read what was rebuilt of %s: %w", s.dataset.Name, err)
	}
	part, err := store.Put(ctx, m.Prefix()+"part-00000.parquet", body)
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	m.Parts = []elt.Part{{Key: part.Key, Rows: stats.Rows, Bytes: part.Bytes, SHA256: part.SHA256}}
	s.manifest = &m
	return store, putManifest(ctx, store, &m)
}

// putManifest writes a manifest to a lake.
func putManifest(ctx context.Context, store *disk.Store, m *elt.Manifest) error {
	body, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, m.ObjectKey(), bytes.NewReader(body))
	return err
}
