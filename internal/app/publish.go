package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// outcome is how far a dataset got in a run: its last step's result and the worst of its checks.
type outcome struct {
	rows     int64
	checks   elt.Checks
	manifest string
	level    elt.Level
	deletes  int64
	changes  []elt.SchemaChange // of an incremental model's columns
}

// passed returns the datasets of the run whose every step succeeded, and those that are held back.
func (s *stages) passed(ctx context.Context, run elt.RunID) (out map[elt.DatasetName]outcome, held map[elt.DatasetName]bool, err error) {
	steps, err := s.ledger.Steps(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	out = make(map[elt.DatasetName]outcome)
	held = make(map[elt.DatasetName]bool)
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
		case elt.LoadStep:
			o.rows, o.manifest = st.Result.Rows, st.Result.Manifest
		case elt.TransformStep:
			o.rows, o.changes = st.Result.Rows, st.Result.Changes
		case elt.VerifyStep, elt.TestStep:
			if st.Kind == elt.VerifyStep {
				o.level, o.deletes = st.Result.Level, st.Result.Deletes
			}
			if o.checks != elt.ChecksWarned {
				o.checks = st.Result.Checks
			}
		}
		out[st.Dataset] = o
	}
	for name := range held {
		delete(out, name)
	}
	return out, held, nil
}

// publish makes everything that passed visible in one swap, and tells the ledger what the warehouse committed.
func (s *stages) publish(ctx context.Context, step elt.Step, lease elt.Lease) (elt.Result, error) {
	run, err := s.ledger.Run(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	if run.Kind == elt.RollbackRun {
		return s.rollBack(ctx, run, lease)
	}
	if run.Kind == elt.BackfillRun {
		stale, err := s.freshen(ctx, run.ID)
		if err != nil {
			return elt.Result{}, err
		}
		if stale {
			return elt.Result{}, broughtAgain(run.ID)
		}
	}
	passed, held, err := s.passed(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	if err := s.settle(ctx, step, passed); err != nil {
		return elt.Result{}, err
	}
	if run.Backfill != "" {
		if err := s.broughtOnly(ctx, run.ID, passed, held); err != nil {
			return elt.Result{}, err
		}
		if err := s.overtaken(ctx, run, passed); err != nil {
			return elt.Result{}, err
		}
	}
	pub := elt.Publication{Run: step.Run, Fence: lease.Fence}
	for _, d := range s.catalog.datasets {
		o, ok := passed[d.Name]
		if !ok && held[d.Name] {
			pub.Held = append(pub.Held, d.Relation)
		}
		if !ok {
			continue
		}
		item, err := s.item(ctx, step, lease, d, o, passed)
		if err != nil {
			return elt.Result{}, err
		}
		if run.Target != "" { // the whole content as it was then, in place of what is published
			item = elt.PublicationItem{Version: item.Version, Relation: item.Relation}
			item.Version.Restores = run.Target
		}
		pub.Items = append(pub.Items, item)
	}
	failpoint.Here("publish.begin")
	versions, err := s.warehouse.Publish(ctx, pub)
	if err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("publish.visible")
	return s.visible(ctx, versions)
}

// broughtOnly leaves the datasets of which a backfill's run brings the day. The views between them were staged for the
// models that read through them, and are published for their newest day alone.
func (s *stages) broughtOnly(ctx context.Context, run elt.RunID, passed map[elt.DatasetName]outcome, held map[elt.DatasetName]bool) error {
	brings, err := s.ledger.BackfillDatasets(ctx, run)
	maps.DeleteFunc(passed, func(d elt.DatasetName, _ outcome) bool { return !brings[d] })
	maps.DeleteFunc(held, func(d elt.DatasetName, _ bool) bool { return !brings[d] })
	return err
}

// visible tells the ledger what the warehouse has committed.
func (s *stages) visible(ctx context.Context, versions []elt.Version) (elt.Result, error) {
	s.remember(versions)
	if err := s.ledger.RecordVersions(ctx, versions); err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("publish.recorded")
	if err := s.describe(ctx); err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("publish.described")
	return elt.Result{Versions: len(versions)}, nil
}

// settle has an engine that builds elsewhere bring its work into the run's staging, and learns the rows of each.
func (s *stages) settle(ctx context.Context, step elt.Step, passed map[elt.DatasetName]outcome) error {
	models, scope, err := s.scope(ctx, step)
	if err != nil {
		return err
	}
	e, elsewhere := models.(settler)
	if !elsewhere {
		return nil
	}
	rows, err := e.Settle(ctx, scope)
	for name, n := range rows {
		if o, ok := passed[name]; ok {
			o.rows = n
			passed[name] = o
		}
	}
	return err
}

// rollBack makes the run's target visible again.
func (s *stages) rollBack(ctx context.Context, run elt.Run, lease elt.Lease) (elt.Result, error) {
	target, err := s.ledger.Version(ctx, run.Target)
	if err != nil {
		return elt.Result{}, err
	}
	relation := s.catalog.relation(target.Dataset)
	if relation == "" {
		return elt.Result{}, s.catalog.unknown(string(target.Dataset))
	}
	v := target
	v.ID, v.Run, v.Fence, v.Restores, v.RolledBack = elt.NewVersionID(target.Dataset, run.ID), run.ID, lease.Fence, target.ID, ""
	v.PublishedAt = time.Time{}
	failpoint.Here("rollback.begin")
	v, err = s.warehouse.Restore(ctx, elt.Restoration{Version: v, Fence: lease.Fence, Relation: relation})
	if err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("rollback.visible")
	return s.visible(ctx, []elt.Version{v})
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
		if elt.CodeOf(err) == "sql_refused" { // a view of another schedule's tables, which have changed: its own next run says so
			s.log.Warn("columns are not described", "dataset", d.Name, "error", err)
			continue
		}
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

// merges says how the rows of an incremental night meet those that are published. With nothing published yet, a merge is a
// first load.
func merges(item *elt.PublicationItem, m *elt.Manifest, layout elt.Layout) {
	if m.Mode != elt.Incremental {
		return
	}
	item.Strategy, item.Key, item.Changes, item.SoftDelete = elt.Merge, m.Key, m.Changes, m.SoftDelete
	if layout.ReplacePartitions && m.Range != nil {
		item.Strategy, item.Cursor, item.Range = elt.Replace, m.Cursor, m.Range
	}
}

func (s *stages) item(ctx context.Context, step elt.Step, lease elt.Lease, d elt.Dataset, o outcome, passed map[elt.DatasetName]outcome) (elt.PublicationItem, error) {
	item, inputs := elt.PublicationItem{Relation: d.Relation}, d.Inputs
	if d.Kind == elt.TableDataset {
		m, err := s.ledger.Manifest(ctx, o.manifest)
		if err != nil {
			return item, err
		}
		merges(&item, m, s.catalog.layout(d.Name))
	} else {
		at := step
		at.Dataset = d.Name
		engine, scope, err := s.scope(ctx, at)
		if err != nil {
			return item, err
		}
		if item, err = engine.Item(scope, d.Name); err != nil {
			return item, err
		}
		item.Changes = o.changes
		inputs = engine.Inputs(d.Name)
	}
	item.Version = elt.Version{
		ID: elt.NewVersionID(d.Name, step.Run), Dataset: d.Name, Date: step.Date, Run: step.Run,
		Fence: lease.Fence, Manifest: o.manifest, Rows: o.rows, Checks: o.checks, Level: o.level, Deletes: o.deletes,
	}
	if item.Version.Checks == "" {
		item.Version.Checks = elt.ChecksNone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range inputs {
		if item.Version.Inputs == nil {
			item.Version.Inputs = make(map[elt.DatasetName]elt.VersionID, len(inputs))
		}
		if _, ok := passed[in]; ok {
			item.Version.Inputs[in] = elt.NewVersionID(in, step.Run)
		} else if v, ok := s.dates[elt.DayKey{Dataset: in, Date: step.Date}]; ok { // what it holds of this very date
			item.Version.Inputs[in] = v.ID
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

// refresh learns what other processes have published. On a ledger that nobody else works on there is nothing to learn.
func (s *stages) refresh(ctx context.Context) error {
	if !s.ledger.Shared() {
		return nil
	}
	s.mu.Lock()
	since := s.seen
	s.mu.Unlock()
	versions, next, err := s.ledger.VersionsSince(ctx, since)
	if err != nil {
		return err
	}
	s.remember(versions)
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.After(s.seen) {
		s.seen = next
	}
	return nil
}

// remember notes the newest version of each dataset.
func (s *stages) remember(versions []elt.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range versions {
		if v.Restores != "" || v.Date.After(s.through[v.Dataset]) {
			s.through[v.Dataset] = v.Date
		}
		if old, ok := s.published[v.Dataset]; !ok || !v.PublishedAt.Before(old.PublishedAt) {
			s.published[v.Dataset] = v
		}
		key := elt.DayKey{Dataset: v.Dataset, Date: v.Date}
		if old, ok := s.dates[key]; !ok || !v.PublishedAt.Before(old.PublishedAt) {
			s.dates[key] = v
		}
	}
}
