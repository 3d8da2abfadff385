package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/warehouse/duckdb"
	"github.com/daybreak-data/daybreak/load"
	"github.com/daybreak-data/daybreak/transform"
)

// stages does the steps of a run: it hands each to the stage that knows how, with what the steps before it
// left in the ledger.
type stages struct {
	catalog   *catalog
	ledger    *ledger.Ledger
	warehouse *duckdb.Warehouse
	extractor *extract.Extractor
	loader    *load.Loader
	engine    *transform.Engine

	mu        sync.Mutex
	nights    map[elt.RunID]*extract.Night    // the sources' snapshots, shared by a run's extractions
	published map[elt.DatasetName]elt.Version // newest version of each dataset, as the warehouse has it
}

// Do does one step. It implements schedules.Stages.
func (s *stages) Do(ctx context.Context, step elt.Step, lease elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	switch step.Kind {
	case elt.ExtractStep:
		return s.extract(ctx, step, lease, progress)
	case elt.LoadStep:
		return s.load(ctx, step, progress)
	case elt.VerifyStep:
		return s.verify(ctx, step)
	case elt.TransformStep, elt.TestStep:
		scope, err := s.scope(ctx, step)
		if err != nil {
			return elt.Result{}, err
		}
		if step.Kind == elt.TestStep {
			return s.engine.Test(ctx, scope, step.Dataset)
		}
		return s.engine.Transform(ctx, scope, step.Dataset)
	case elt.PublishStep:
		return s.publish(ctx, step, lease)
	}
	return elt.Result{}, fmt.Errorf("step %s has the unknown kind %q", step.ID, step.Kind)
}

func (s *stages) extract(ctx context.Context, step elt.Step, lease elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	table, err := s.catalog.table(step.Dataset)
	if err != nil {
		return elt.Result{}, err
	}
	night, err := s.night(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	job := extract.Job{Extraction: table, Run: step.Run, Date: step.Date, Attempt: lease.Attempt}
	if table.Mode == elt.Incremental {
		job.Window = s.window(table, step.Date)
	}
	m, err := night.Extract(ctx, job, progress)
	if err != nil {
		return elt.Result{}, err
	}
	if err := s.ledger.SaveManifest(ctx, lease, m); err != nil {
		return elt.Result{}, err
	}
	return elt.Result{Rows: m.Rows(), Bytes: m.Bytes(), Manifest: m.ObjectKey()}, nil
}

// window returns what an incremental extraction of the date reads: the date's own window once the dataset
// has a version, and everything since its start before that.
func (s *stages) window(table elt.Extraction, date elt.Date) *elt.Window {
	zone := s.catalog.zone(table.Dataset)
	w := date.Window(zone)
	s.mu.Lock()
	_, begun := s.published[table.Dataset]
	s.mu.Unlock()
	if begun {
		return &w
	}
	w.From = time.Time{}
	if !table.Start.IsZero() {
		w.From = table.Start.Start(zone)
	}
	return &w
}

// night returns the run's shared snapshots, begun over the tables that are still to be extracted.
func (s *stages) night(ctx context.Context, run elt.RunID) (*extract.Night, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nights[run]; n != nil {
		return n, nil
	}
	steps, err := s.ledger.Steps(ctx, run)
	if err != nil {
		return nil, err
	}
	var all, remaining []elt.Extraction
	for _, st := range steps {
		if st.Kind != elt.ExtractStep {
			continue
		}
		table, err := s.catalog.table(st.Dataset)
		if err != nil {
			return nil, err
		}
		all = append(all, table)
		if st.State != elt.StepSucceeded {
			remaining = append(remaining, table)
		}
	}
	n := s.extractor.Begin(run, all, remaining)
	s.nights[run] = n
	return n, nil
}

// endNight lets go of the run's snapshots; production should not hold them longer than needed.
func (s *stages) endNight(run elt.RunID) error {
	s.mu.Lock()
	n := s.nights[run]
	delete(s.nights, run)
	s.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.Close()
}

// openNights returns the runs whose snapshots are held.
func (s *stages) openNights() []elt.RunID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.nights))
}

// endNights lets go of every snapshot.
func (s *stages) endNights() error {
	var errs []error
	for _, run := range s.openNights() {
		errs = append(errs, s.endNight(run))
	}
	return errors.Join(errs...)
}

// supersededBy reports whether a newer date of the dataset is published already, so that an older one can not be
// brought any more: a full table's past is gone from production. Incremental datasets take any date.
func (s *stages) supersededBy(d elt.Dataset, date elt.Date) (newer elt.Date, superseded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.published[d.Name]
	return v.Date, ok && v.Date.After(date) && d.Materialized != string(elt.Incremental)
}

// manifestOf returns the key of the manifest that the dataset's extract step of the run wrote.
func (s *stages) manifestOf(ctx context.Context, step elt.Step) (string, error) {
	id := elt.NewStepID(step.Run, elt.ExtractStep, step.Dataset)
	from, err := s.ledger.Step(ctx, id)
	if err != nil {
		return "", err
	}
	if from.Result.Manifest == "" {
		return "", fmt.Errorf("%s has no manifest although %s needs it", id, step.ID)
	}
	return from.Result.Manifest, nil
}

func (s *stages) load(ctx context.Context, step elt.Step, progress func(elt.Progress)) (elt.Result, error) {
	key, err := s.manifestOf(ctx, step)
	if err != nil {
		return elt.Result{}, err
	}
	return s.loader.Load(ctx, key, s.catalog.relation(step.Dataset), progress)
}

func (s *stages) verify(ctx context.Context, step elt.Step) (elt.Result, error) {
	key, err := s.manifestOf(ctx, step)
	if err != nil {
		return elt.Result{}, err
	}
	table, err := s.catalog.table(step.Dataset)
	if err != nil {
		return elt.Result{}, err
	}
	rules := load.Rules{AllowEmpty: table.AllowEmpty}
	result, err := s.loader.Verify(ctx, key, rules)
	if elt.CodeOf(err) == "staging_missing" { // a newer night swept it while this one waited to be retried
		if _, err := s.load(ctx, step, func(elt.Progress) {}); err != nil {
			return elt.Result{}, err
		}
		return s.loader.Verify(ctx, key, rules)
	}
	return result, err
}

// scope says which relations the SQL of a step reads: what the run has built and not published yet is read from
// staging, everything else as it is published.
func (s *stages) scope(ctx context.Context, step elt.Step) (transform.Scope, error) {
	steps, err := s.ledger.Steps(ctx, step.Run)
	if err != nil {
		return transform.Scope{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	published := make(map[elt.DatasetName]bool, len(s.published))
	for name := range s.published {
		published[name] = true
	}
	scope := transform.Scope{
		Run: step.Run, Date: step.Date, Window: step.Date.Window(s.catalog.zone(step.Dataset)),
		Staged:    make(map[elt.DatasetName]bool),
		Published: func(d elt.DatasetName) bool { return published[d] },
	}
	for _, st := range steps {
		built := st.Kind == elt.VerifyStep || st.Kind == elt.TransformStep
		if built && st.State == elt.StepSucceeded && s.published[st.Dataset].Run != step.Run {
			scope.Staged[st.Dataset] = true
		}
	}
	return scope, nil
}

// outcome is how far a dataset got in a run: its last step's result and the worst of its checks.
type outcome struct {
	rows     int64
	checks   elt.Checks
	manifest string
}

// passed returns the datasets of the run whose every step succeeded.
func (s *stages) passed(ctx context.Context, run elt.RunID) (map[elt.DatasetName]outcome, error) {
	steps, err := s.ledger.Steps(ctx, run)
	if err != nil {
		return nil, err
	}
	out := make(map[elt.DatasetName]outcome)
	held := make(map[elt.DatasetName]bool)
	for _, st := range steps {
		if st.Dataset == "" {
			continue
		}
		if st.State != elt.StepSucceeded {
			held[st.Dataset] = true
			continue
		}
		o := out[st.Dataset]
		switch st.Kind {
		case elt.ExtractStep:
			o.manifest = st.Result.Manifest
		case elt.LoadStep, elt.TransformStep:
			o.rows = st.Result.Rows
		case elt.VerifyStep, elt.TestStep:
			if o.checks != elt.ChecksWarned {
				o.checks = st.Result.Checks
			}
		}
		out[st.Dataset] = o
	}
	for name := range held {
		delete(out, name)
	}
	return out, nil
}

// publish makes everything that passed visible in one swap, and tells the ledger what the warehouse committed.
func (s *stages) publish(ctx context.Context, step elt.Step, lease elt.Lease) (elt.Result, error) {
	passed, err := s.passed(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	pub := elt.Publication{Run: step.Run, Fence: lease.Fence}
	for _, d := range s.catalog.datasets {
		o, ok := passed[d.Name]
		if !ok {
			continue
		}
		item, err := s.item(ctx, step, lease, d, o, passed)
		if err != nil {
			return elt.Result{}, err
		}
		pub.Items = append(pub.Items, item)
	}
	versions, err := s.warehouse.Publish(ctx, pub)
	if err != nil {
		return elt.Result{}, err
	}
	s.remember(versions)
	if err := s.ledger.RecordVersions(ctx, versions); err != nil {
		return elt.Result{}, err
	}
	if err := s.describe(ctx); err != nil {
		return elt.Result{}, err
	}
	return elt.Result{Versions: len(versions)}, nil
}

// describe completes the catalogue with the types of the published columns, and with the columns that nobody has
// described.
func (s *stages) describe(ctx context.Context) error {
	datasets := slices.Clone(s.catalog.datasets)
	for i, d := range datasets {
		if !s.isPublished(d.Name) {
			continue
		}
		columns, err := s.warehouse.Columns(ctx, d.Relation)
		if err != nil {
			return err
		}
		for j, c := range columns {
			known := slices.IndexFunc(d.Columns, func(k elt.ColumnDoc) bool { return strings.EqualFold(k.Name, c.Name) })
			if known >= 0 {
				columns[j].Description, columns[j].Tests = d.Columns[known].Description, d.Columns[known].Tests
			}
		}
		datasets[i].Columns = columns
	}
	return s.ledger.SyncDatasets(ctx, datasets)
}

func (s *stages) item(ctx context.Context, step elt.Step, lease elt.Lease, d elt.Dataset, o outcome, passed map[elt.DatasetName]outcome) (elt.PublicationItem, error) {
	item := elt.PublicationItem{Relation: d.Relation}
	if d.Kind == elt.TableDataset {
		m, err := s.ledger.Manifest(ctx, o.manifest)
		if err != nil {
			return item, err
		}
		if m.Mode == elt.Incremental { // with nothing published yet, a merge is a first load
			item.Strategy, item.Key = elt.Merge, m.Key
		}
	} else {
		scope, err := s.scope(ctx, step)
		if err != nil {
			return item, err
		}
		if item, err = s.engine.Item(scope, d.Name); err != nil {
			return item, err
		}
	}
	item.Version = elt.Version{
		ID: elt.NewVersionID(d.Name, step.Run), Dataset: d.Name, Date: step.Date, Run: step.Run,
		Fence: lease.Fence, Manifest: o.manifest, Rows: o.rows, Checks: o.checks,
	}
	if item.Version.Checks == "" {
		item.Version.Checks = elt.ChecksNone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range d.Inputs {
		if item.Version.Inputs == nil {
			item.Version.Inputs = make(map[elt.DatasetName]elt.VersionID, len(d.Inputs))
		}
		if _, ok := passed[in]; ok {
			item.Version.Inputs[in] = elt.NewVersionID(in, step.Run)
		} else if v, ok := s.published[in]; ok {
			item.Version.Inputs[in] = v.ID
		}
	}
	return item, nil
}

func (s *stages) isPublished(d elt.DatasetName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.published[d]
	return ok
}

// remember notes the newest version of each dataset.
func (s *stages) remember(versions []elt.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range versions {
		if old, ok := s.published[v.Dataset]; !ok || !v.PublishedAt.Before(old.PublishedAt) {
			s.published[v.Dataset] = v
		}
	}
}
