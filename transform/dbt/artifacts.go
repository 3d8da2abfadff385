package dbt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The artifacts that dbt leaves.
const (
	manifestFile = "manifest.json"
	resultsFile  = "run_results.json"
)

// rename gives what a session's artifacts tell of the names that people know.
func (s Site) rename(folder string) error {
	if s.Published == nil {
		return nil
	}
	for _, name := range []string{manifestFile, resultsFile} {
		file := filepath.Join(folder, "target", name)
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := writeFile(file, []byte(s.Published.Replace(string(b)))); err != nil {
			return err
		}
	}
	return nil
}

// Artifacts returns dbt's artifacts of a run by their names: the newest manifest.json, and a run_results.json with the last
// word of each node, whichever dbt process of the run had it. Without any, it is empty. It waits for the dbt that is at
// work: a run that has failed ends before it.
func (e *Engine) Artifacts(ctx context.Context, run elt.RunID) (map[string][]byte, error) {
	if err := e.build(run).rest(ctx); err != nil {
		return nil, err
	}
	numbers, err := placeNames(e.runFolder(run))
	if err != nil {
		return nil, fileError(err)
	}
	out := make(map[string][]byte)
	all := runResults{last: make(map[string]int)}
	for _, n := range numbers {
		target := filepath.Join(e.place(run, n).Folder, "target")
		manifest, err := os.ReadFile(filepath.Join(target, manifestFile))
		if err == nil {
			out[manifestFile] = manifest
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		results, err := os.ReadFile(filepath.Join(target, resultsFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was killed before
		}
		if err != nil {
			return nil, err
		}
		if err := all.add(results); err != nil {
			return nil, fmt.Errorf("read dbt's %s: %w", filepath.Join(target, resultsFile), err)
		}
	}
	if all.top != nil {
		if out[resultsFile], err = all.encode(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// runResults adds up what the dbt processes of a run have said.
type runResults struct {
	top     map[string]json.RawMessage // of the newest
	elapsed float64
	results []json.RawMessage
	last    map[string]int // where each node is among the results
}

func (r *runResults) add(text []byte) error {
	var head struct {
		Elapsed float64           `json:"elapsed_time"`
		Results []json.RawMessage `json:"results"`
	}
	r.top = nil
	if err := errors.Join(json.Unmarshal(text, &r.top), json.Unmarshal(text, &head)); err != nil {
		return err
	}
	r.elapsed += head.Elapsed
	for _, one := range head.Results {
		var name struct {
			ID string `json:"unique_id"`
		}
		if err := json.Unmarshal(one, &name); err != nil {
			return err
		}
		if at, known := r.last[name.ID]; known {
			r.results[at] = one
			continue
		}
		r.last[name.ID] = len(r.results)
		r.results = append(r.results, one)
	}
	return nil
}

func (r *runResults) encode() ([]byte, error) {
	for key, value := range map[string]any{"elapsed_time": r.elapsed, "results": append([]json.RawMessage{}, r.results...)} {
		b, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		r.top[key] = b
	}
	return json.Marshal(r.top)
}
