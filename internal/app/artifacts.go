package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
	"github.com/daybreak-data/daybreak/transform"
	"github.com/daybreak-data/daybreak/transform/dbt"
)

// artifactsKept is of how many runs manifest.json and run_results.json stay.
const artifactsKept = 50

// leaveArtifacts writes the artifacts of a run that has ended. The night is what it is without them.
func (s *stages) leaveArtifacts(ctx context.Context, id elt.RunID) {
	run, err := s.ledger.Run(ctx, id)
	if err == nil {
		var steps []elt.Step
		if steps, err = s.ledger.Steps(ctx, id); err == nil {
			err = s.models.writeArtifacts(ctx, s, run, steps)
		}
	}
	if err != nil {
		s.log.Warn("manifest.json and run_results.json are not written", "run", id, "error", err)
	}
}

// artifactsOf returns the folder of a run's artifacts, if it has any.
func (m *models) artifactsOf(id elt.RunID) string {
	folder := filepath.Join(m.ws.config.Models.Artifacts, string(id))
	if _, err := os.Stat(folder); err != nil || m.ws.config.Models.Artifacts == "" {
		return ""
	}
	return folder
}

// writeArtifacts leaves manifest.json and run_results.json in a folder of the run's, and as the latest ones beside it. A
// run without models has none.
func (m *models) writeArtifacts(ctx context.Context, s *stages, run elt.Run, steps []elt.Step) error {
	root := m.ws.config.Models.Artifacts
	built := slices.ContainsFunc(steps, func(st elt.Step) bool { return st.Kind == elt.TransformStep || st.Kind == elt.TestStep })
	schedule := s.catalog.schedules[run.Schedule]
	if root == "" || !built || schedule == nil {
		return nil
	}
	models, err := m.of(ctx, run.ID)
	if err != nil {
		return err
	}
	files, err := m.artifacts(ctx, s, run, steps, models.engine)
	if err != nil || len(files) == 0 {
		return err
	}
	for name, content := range files {
		for _, folder := range []string{filepath.Join(root, string(run.ID)), root} {
			failpoint.Here("artifacts.write")
			if err := replaceFile(filepath.Join(folder, name), content); err != nil {
				return err
			}
			failpoint.Here("artifacts.written")
		}
	}
	return sweepArtifacts(root)
}

// artifacts returns the artifacts of a run by their names: dbt's own, or those that Daybreak's engine makes.
func (m *models) artifacts(ctx context.Context, s *stages, run elt.Run, steps []elt.Step, by engine) (map[string][]byte, error) {
	if e, ok := by.(*dbt.Engine); ok {
		return e.Artifacts(ctx, run.ID)
	}
	native, ok := by.(*transform.Engine)
	if !ok {
		return nil, nil
	}
	adapter := "duckdb"
	if m.ws.config.Warehouse.BigQuery != nil {
		adapter = "bigquery"
	}
	a := transform.Artifacts{Version: version, Adapter: adapter, Generated: run.FinishedAt, Run: run}
	scope := transform.Scope{Run: run.ID, Date: run.Date, Window: run.Date.Window(s.catalog.schedules[run.Schedule].Zone), Published: s.isPublished, FullRefresh: run.Options.FullRefresh}
	manifest := native.Manifest(a, scope)
	out := make(map[string][]byte)
	for name, content := range map[string]any{"manifest.json": manifest, "run_results.json": native.RunResults(a, steps, manifest)} {
		b, err := json.Marshal(content)
		if err != nil {
			return nil, fmt.Errorf("encode %s of run %s: %w", name, run.ID, err)
		}
		out[name] = b
	}
	return out, nil
}

// replaceFile writes a file so that nobody reads half of it.
func replaceFile(path string, content []byte) error {
	if err := makeFolders(ownFolder, path); err != nil {
		return err
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, content, 0o644); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(fresh))
	}
	return os.Rename(fresh, path)
}

// sweepArtifacts removes the folders of all but the newest runs, whose names sort by their creation.
func sweepArtifacts(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() })
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries[:max(0, len(entries)-artifactsKept)] {
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
