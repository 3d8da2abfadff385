package dbt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// openMark is the file in a place's folder that says that dbt was let loose there, and that what it built has not
// been collected. At most one place of a run has it.
const openMark = "open"

// work has one dbt process do its selection, from the collection of what the one before it built to its results.
func (e *Engine) work(ctx context.Context, b *build, x *session, s transform.Scope) (end ended, err error) {
	purse, err := e.spending(s.Run, x.cancel)
	if err != nil {
		return end, err
	}
	if err := e.collect(ctx, s, e.wanted(s, b.good())); err != nil {
		return end, err
	}
	if x.place, err = e.newPlace(s.Run); err != nil {
		return end, err
	}
	if err := e.warehouse.Unstage(ctx, s.Run, x.selection.datasets()); err != nil {
		return end, err
	}
	inputs, err := e.inputs(s, x.selection, b.good())
	if err != nil {
		return end, err
	}
	log := e.options.Command.Log.With("run", s.Run)
	began := time.Now()
	site, err := e.options.Builder.Prepare(ctx, x.place, inputs)
	if err != nil {
		return end, errors.Join(err, e.options.Builder.Discard(context.WithoutCancel(ctx), x.place))
	}
	if err := errors.Join(e.options.writeProfile(x.place.Folder), writeFile(filepath.Join(x.place.Folder, openMark), nil)); err != nil {
		return end, fileError(err)
	}
	project, err := e.options.overlay(x.place.Folder, site, s.Run)
	if err != nil {
		return end, fileError(err)
	}
	args, err := e.options.args("build", project, x.place.Folder, night{s.Date, s.Window}, e.flags(s, x.selection)...)
	if err != nil {
		return end, err
	}
	command := e.options.Command
	command.Env = with(command.Env, site.Env)
	log.InfoContext(ctx, "dbt begins", "build", len(x.selection.build), "tests", len(x.selection.tests), "inputs", len(inputs),
		"prepared_in", time.Since(began).Round(time.Millisecond), "log", filepath.Join(x.place.Folder, "logs", "dbt.log"))
	l := listener{batched: x.selection.batched(), concluded: make(map[string]bool), exception: make(map[string]string), report: func(id string, r result) {
		b.report(id, r)
		purse.add(r.used)
	}}
	end, err = command.run(ctx, args, l.hear)
	if err != nil {
		return end, err
	}
	log.InfoContext(ctx, "dbt ended", "exit", end.code, "signal", end.signal, "took", time.Since(began).Round(time.Millisecond))
	results, err := e.readBack(b, x, end)
	e.keepFailures(ctx, s, x, site, results)
	if renamed := site.rename(x.place.Folder); renamed != nil {
		log.WarnContext(ctx, "dbt's artifacts have the names of the night's own datasets", "error", renamed)
	}
	return end, err
}

// readBack completes what the log said by what run_results.json says, and holds one against the other.
func (e *Engine) readBack(b *build, x *session, end ended) (map[string]result, error) {
	results, err := readResults(filepath.Join(x.place.Folder, "target", resultsFile))
	if err != nil {
		if end.killed() || end.said != "" {
			return nil, nil // it did not get as far as writing any
		}
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range x.selection.all() {
		written, ok := results[n.ID]
		said, heard := b.results[n.ID]
		switch {
		case ok && !heard:
			b.results[n.ID] = written
		case ok && said.succeeded() != written.succeeded() || ok && said.passed() != written.passed():
			b.contradiction = &elt.Error{
				Code: CodeArtifact, Class: elt.Data,
				What: fmt.Sprintf("dbt's log says %q of the %s, and its run_results.json %q", said.status, n.label(), written.status),
				Do:   "run the night again; if it happens again, report it with both files, which are in " + x.place.Folder,
			}
		}
	}
	if end.code == 0 || b.failedAny(x) {
		return results, nil
	}
	// Every node went well and dbt did not: a hook after them failed. What it would have done is not part of a night.
	for id, r := range results {
		if !r.succeeded() && !r.passed() {
			e.options.Command.Log.Warn("dbt failed after its last node", "operation", id, "error", sentence(r.message))
		}
	}
	return results, nil
}

// failedAny reports whether something of the session did not go well. The lock is held.
func (b *build) failedAny(x *session) bool {
	return slices.ContainsFunc(x.selection.all(), func(n *node) bool {
		r := b.results[n.ID]
		return !r.succeeded() && !r.passed()
	})
}

// wanted returns the datasets of the run that are built, by the ledger or by dbt's word.
func (e *Engine) wanted(s transform.Scope, good map[string]result) []elt.DatasetName {
	l := newLedgerView(s)
	return slices.DeleteFunc(slices.Clone(e.project.order), func(d elt.DatasetName) bool {
		recorded := s.Staged[d] && l.of(elt.TransformStep, d) == elt.StepSucceeded
		reported := good[e.project.datasets[d].ID].succeeded() && l.open(elt.TransformStep, d)
		return !recorded && !reported
	})
}

// collect stages those of the datasets that are built and not staged, and lets go of the place where they are.
func (e *Engine) collect(ctx context.Context, s transform.Scope, datasets []elt.DatasetName) error {
	places, err := e.openPlaces(s.Run)
	if err != nil {
		return err
	}
	var missing []elt.Exchange
	for _, d := range datasets {
		staged, err := e.warehouse.HasStaged(ctx, s.Run, d)
		if err != nil {
			return err
		}
		if n := e.project.datasets[d]; !staged {
			missing = append(missing, elt.Exchange{Dataset: d, Schema: n.Schema, Name: n.Alias})
		}
	}
	if len(missing) > 0 {
		if len(places) == 0 {
			return &elt.Error{
				Code: "staging_missing", Class: elt.Data,
				What: fmt.Sprintf("run %s has nothing staged for %s, and what dbt built of it is gone", s.Run, missing[0].Dataset),
				Do:   "run the date again: daybreak run --again",
			}
		}
		began := time.Now()
		if _, err := e.options.Builder.Collect(ctx, places[len(places)-1], missing); err != nil {
			return err
		}
		e.options.Command.Log.InfoContext(ctx, "what dbt built is staged", "run", s.Run, "datasets", len(missing), "took", time.Since(began).Round(time.Millisecond))
	}
	for _, p := range places {
		if err := errors.Join(e.options.Builder.Discard(ctx, p), removeFile(filepath.Join(p.Folder, openMark))); err != nil {
			return err
		}
	}
	return nil
}

// runFolder is where the places of a run are.
func (e *Engine) runFolder(run elt.RunID) string {
	return filepath.Join(e.options.State, "runs", string(run))
}

// keptFor is how long dbt's logs and artifacts of a run are kept, and a file that nobody has collected.
const keptFor = 30 * 24 * time.Hour

// sweep removes the folders of runs that are long over.
func (e *Engine) sweep() error {
	entries, err := os.ReadDir(filepath.Join(e.options.State, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		info, infoErr := entry.Info()
		if infoErr != nil || e.options.Now().Sub(info.ModTime()) < keptFor {
			continue // it is gone already, or too young
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(e.options.State, "runs", entry.Name())))
	}
	return err
}

// place returns the nth place of a run.
func (e *Engine) place(run elt.RunID, n int) Place {
	return Place{Run: run, Folder: filepath.Join(e.runFolder(run), strconv.Itoa(n)), Schemas: e.project.schemas}
}

// newPlace makes the folder of one more dbt process of the run.
func (e *Engine) newPlace(run elt.RunID) (Place, error) {
	if err := e.sweep(); err != nil {
		e.options.Command.Log.Warn("old logs of dbt cannot be removed", "error", err)
	}
	names, err := placeNames(e.runFolder(run))
	if err != nil {
		return Place{}, fileError(err)
	}
	next := 1
	if len(names) > 0 {
		next = names[len(names)-1] + 1
	}
	p := e.place(run, next)
	return p, fileError(os.MkdirAll(p.Folder, 0o755))
}

// openPlaces returns the places that hold what has not been collected.
func (e *Engine) openPlaces(run elt.RunID) ([]Place, error) {
	names, err := placeNames(e.runFolder(run))
	if err != nil {
		return nil, fileError(err)
	}
	var out []Place
	for _, n := range names {
		p := e.place(run, n)
		switch _, err := os.Stat(filepath.Join(p.Folder, openMark)); {
		case err == nil:
			out = append(out, p)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fileError(err)
		}
	}
	return out, nil
}

// placeNames returns the numbers of a run's places, in order.
func placeNames(folder string) ([]int, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []int
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, err
}
