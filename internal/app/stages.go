package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/internal/lake"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/load"
)

// stages does the steps of a run: it hands each to the stage that knows how, with what the steps before it
// left in the ledger.
type stages struct {
	catalog   *catalog
	ledger    *ledger.Ledger
	warehouse warehouse
	extractor *extract.Extractor
	lake      lake.Store
	loader    *load.Loader
	models    *models
	budget    *budget // nil where nothing is billed
	log       *slog.Logger

	mu        sync.Mutex
	nights    map[elt.RunID]*extract.Night    // the sources' snapshots, shared by a run's extractions
	reading   map[elt.RunID]int               // how many of them are at work
	published map[elt.DatasetName]elt.Version // newest version of each dataset, as the warehouse has it
	dates     map[elt.DayKey]elt.Version      // the same of each of its dates
	through   map[elt.DatasetName]elt.Date    // the last date that each dataset's content has brought
	seen      time.Time                       // up to when the ledger was asked what other processes have published
}

// Do does one step, within the run's budget. It implements schedules.Stages.
func (s *stages) Do(ctx context.Context, step elt.Step, lease elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	if err := s.refresh(ctx); err != nil {
		return elt.Result{}, err
	}
	if err := s.budget.begin(ctx, lease, step.Run); err != nil {
		return elt.Result{}, err
	}
	defer s.budget.end(lease)
	return s.do(ctx, step, lease, progress)
}

func (s *stages) do(ctx context.Context, step elt.Step, lease elt.Lease, progress func(elt.Progress)) (elt.Result, error) {
	switch step.Kind {
	case elt.ExtractStep:
		return s.extract(ctx, step, lease, progress)
	case elt.LoadStep:
		return s.load(ctx, step, progress)
	case elt.VerifyStep:
		return s.verify(ctx, step)
	case elt.TransformStep, elt.TestStep:
		engine, scope, err := s.scope(ctx, step)
		if err != nil {
			return elt.Result{}, err
		}
		if step.Kind == elt.TestStep {
			return engine.Test(ctx, scope, step.Dataset)
		}
		return engine.Transform(ctx, scope, step.Dataset)
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
	defer s.hasRead(step.Run)
	job := extract.Job{Extraction: table, Run: step.Run, Date: step.Date, Attempt: lease.Attempt, Lease: lease}
	if err := s.incremental(ctx, &job); err != nil {
		return elt.Result{}, err
	}
	if job.Published, err = s.publishedManifest(ctx, step.Dataset); err != nil {
		return elt.Result{}, err
	}
	m, err := night.Extract(ctx, job, progress)
	if err != nil {
		return elt.Result{}, err
	}
	failpoint.Here("extract.manifest_record")
	if err := s.ledger.SaveManifest(ctx, lease, m); err != nil {
		return elt.Result{}, err
	}
	return elt.Result{
		Rows: m.Rows(), Bytes: m.Bytes(), Manifest: m.ObjectKey(), Notes: snapshotNotes(m),
		Fidelity: m.Fidelity, Quarantined: m.SetAside(), Changes: m.Changes,
	}, nil
}

// publishedManifest returns the manifest of what is published of a table, nil when nothing is.
func (s *stages) publishedManifest(ctx context.Context, d elt.DatasetName) (*elt.Manifest, error) {
	s.mu.Lock()
	v := s.published[d]
	s.mu.Unlock()
	if v.Manifest == "" {
		return nil, nil
	}
	m, err := s.ledger.Manifest(ctx, v.Manifest)
	if elt.CodeOf(err) == "manifest_unknown" { // of a ledger that was begun anew beside its warehouse
		return nil, nil
	}
	return m, err
}

// snapshotNotes says when a table is not of the same moment as the run's other tables of its source.
func snapshotNotes(m *elt.Manifest) []elt.Check {
	if m.Source.CrossTableConsistent {
		return nil
	}
	return []elt.Check{{
		Name: "one_snapshot", Severity: "warn",
		Message: fmt.Sprintf("%s was read at %s, in a snapshot that not every table of the run shares: rows of two tables may not match",
			m.Dataset, m.Source.TakenAt.UTC().Format("15:04:05 UTC")),
	}}
}

// night returns the run's shared snapshots, begun over the tables that are still to be extracted. Whoever reads in them
// says so with hasRead when it has.
func (s *stages) night(ctx context.Context, run elt.RunID) (*extract.Night, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nights[run]; n != nil {
		s.reading[run]++
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
	s.reading[run]++
	return n, nil
}

func (s *stages) hasRead(run elt.RunID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading[run]--; s.reading[run] <= 0 {
		delete(s.reading, run)
	}
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

// endIdleNight does so unless somebody in this process reads in them.
func (s *stages) endIdleNight(run elt.RunID) error {
	s.mu.Lock()
	n := s.nights[run]
	if s.reading[run] > 0 {
		n = nil
	}
	if n != nil {
		delete(s.nights, run)
	}
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

// endBackfillNights lets go of the snapshots of backfills' runs in which nobody reads.
func (s *stages) endBackfillNights(ctx context.Context) error {
	var errs []error
	for _, id := range s.openNights() {
		run, err := s.ledger.Run(ctx, id)
		if err == nil && run.Kind == elt.BackfillRun {
			err = s.endIdleNight(id)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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
// brought any more: what a full table, or an integer cursor, said then is gone from production. Other incremental datasets
// take any date, unless they are to be built whole.
func (s *stages) supersededBy(d elt.Dataset, date elt.Date, whole bool) (newer elt.Date, superseded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.published[d.Name]
	return v.Date, ok && v.Date.After(date) && (!s.catalog.anyDate(d) || whole && d.Kind == elt.ModelDataset)
}

// versionOf returns the newest version of a date of the dataset.
func (s *stages) versionOf(d elt.DatasetName, date elt.Date) (elt.Version, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.dates[elt.DayKey{Dataset: d, Date: date}]
	return v, ok
}

// manifestOf returns the key of the manifest that the dataset's extract step of the run wrote, or that a reload has loaded.
func (s *stages) manifestOf(ctx context.Context, step elt.Step) (string, error) {
	id := elt.NewStepID(step.Run, elt.ExtractStep, step.Dataset)
	from, err := s.ledger.Step(ctx, id)
	if elt.CodeOf(err) == "step_unknown" {
		from, err = s.ledger.Step(ctx, elt.NewStepID(step.Run, elt.LoadStep, step.Dataset))
	}
	if err != nil {
		return "", err
	}
	if from.Result.Manifest == "" && from.Kind == elt.LoadStep { // a backfill brings it from the lake
		day, err := s.ledger.BackfillDayOf(ctx, step.Run, step.Dataset)
		if err != nil {
			return "", err
		}
		from.Result.Manifest = day.Manifest
	}
	if from.Result.Manifest == "" {
		return "", fmt.Errorf("%s has no manifest although %s needs it", id, step.ID)
	}
	return from.Result.Manifest, nil
}

func (s *stages) load(ctx context.Context, step elt.Step, progress func(elt.Progress)) (elt.Result, error) {
	run, err := s.ledger.Run(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	if run.Target != "" {
		return s.loadAgain(ctx, step, run.Target, progress)
	}
	key, err := s.manifestOf(ctx, step)
	if err != nil {
		return elt.Result{}, err
	}
	if err := s.notOlder(ctx, step.Dataset, step.Run, key); err != nil {
		return elt.Result{}, s.superseded(ctx, run, err)
	}
	return s.loader.As(step.Run).Load(ctx, key, s.catalog.relation(step.Dataset), progress) // a backfill loads what an older run extracted
}

func (s *stages) verify(ctx context.Context, step elt.Step) (elt.Result, error) {
	run, err := s.ledger.Run(ctx, step.Run)
	if err != nil {
		return elt.Result{}, err
	}
	if run.Target != "" {
		return s.verifiedAgain(ctx, step)
	}
	key, err := s.manifestOf(ctx, step)
	if err != nil {
		return elt.Result{}, err
	}
	if err := s.notOlder(ctx, step.Dataset, step.Run, key); err != nil { // it may have been loaded long ago
		return elt.Result{}, s.superseded(ctx, run, err)
	}
	table, err := s.catalog.table(step.Dataset)
	if err != nil {
		return elt.Result{}, err
	}
	rules := load.Rules{AllowEmpty: table.AllowEmpty, Level: table.Verify, Expect: table.Expect}
	if rules.Expect.Any() {
		if rules.Trailing, err = s.ledger.TrailingRows(ctx, step.Dataset, step.Date, elt.TrailingVersions); err != nil {
			return elt.Result{}, err
		}
	}
	loader := s.loader.As(step.Run)
	result, err := loader.Verify(ctx, key, rules)
	if elt.CodeOf(err) == "staging_missing" { // a newer night swept it while this one waited to be retried
		if _, err := s.load(ctx, step, func(elt.Progress) {}); err != nil {
			return elt.Result{}, err
		}
		result, err = loader.Verify(ctx, key, rules)
	}
	return s.guarded(ctx, step, result, err)
}

// guards are the codes of what a person may let pass.
var guards = []elt.Code{"empty_over_rows", "rows_unexpected", "deletes_over_cap"}

// guarded lets a day pass a guard where a person has said so, once: its version bears a warning that says who and why.
func (s *stages) guarded(ctx context.Context, step elt.Step, result elt.Result, err error) (elt.Result, error) {
	code := elt.CodeOf(err)
	if !slices.Contains(guards, code) {
		return result, err
	}
	allowance, found, asked := s.ledger.UseAllowance(ctx, step.Dataset, step.Date, step.Run)
	if asked != nil || !found {
		return elt.Result{}, errors.Join(asked, err)
	}
	s.log.Warn("let pass", "dataset", step.Dataset, "date", step.Date, "by", allowance.Actor, "reason", allowance.Reason, "guard", err)
	result.Checks = elt.ChecksWarned
	result.Notes = append(result.Notes, elt.Check{
		Name: string(code), Severity: "warn", Failures: 1,
		Message: fmt.Sprintf("%v; %s let it pass: %s", err, allowance.Actor, allowance.Reason),
	})
	return result, nil
}
