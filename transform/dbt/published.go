package dbt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// testRun stands for a run where what is published is tested: it has no steps, and nobody publishes it. Its places are
// numbered by the microsecond, because several machines may test at once.
const testRun elt.RunID = "test"

// testedFor is how long a test of what is published takes at most; an older place was left by a process that was killed.
const testedFor = 24 * time.Hour

// TestPublished has dbt run the tests of datasets on what is published, in a place with nothing of its own but views,
// which is let go of at the end; rows that fail are shown and not kept. It returns each dataset's tests with what they
// found.
func (e *Engine) TestPublished(ctx context.Context, s transform.Scope, datasets []elt.DatasetName) (map[elt.DatasetName][]elt.Check, error) {
	s.Run = testRun
	x := &session{}
	for _, d := range datasets {
		x.selection.tests = append(x.selection.tests, e.project.tests[d]...)
	}
	results := make(map[string]result)
	if len(x.selection.tests) > 0 {
		var err error
		if results, err = e.testIn(ctx, s, x); err != nil {
			return nil, err
		}
	}
	out := make(map[elt.DatasetName][]elt.Check, len(datasets))
	for _, d := range datasets {
		judged, err := e.judge(ctx, s, d, results)
		if err != nil && elt.CodeOf(err) != transform.CodeTestFailed {
			return nil, err
		}
		out[d] = judged.Notes
	}
	return out, nil
}

// testIn has one dbt process run the session's tests.
func (e *Engine) testIn(ctx context.Context, s transform.Scope, x *session) (results map[string]result, err error) {
	if err := e.dropOldTests(ctx); err != nil {
		return nil, err
	}
	inputs, err := e.inputs(s, x.selection, nil)
	if err != nil {
		return nil, err
	}
	x.place = e.place(s.Run, int(e.options.Now().UnixMicro()))
	if err := writeFile(filepath.Join(x.place.Folder, openMark), nil); err != nil {
		return nil, fileError(err)
	}
	defer func() {
		err = errors.Join(err, e.dropTest(context.WithoutCancel(ctx), x.place))
	}()
	site, err := e.options.Builder.Prepare(ctx, x.place, inputs)
	if err != nil {
		return nil, err
	}
	project, err := e.options.overlay(x.place.Folder, site, s.Run)
	if err := errors.Join(err, e.options.writeProfile(x.place.Folder)); err != nil {
		return nil, fileError(err)
	}
	args, err := e.options.args("test", project, x.place.Folder, night{s.Date, s.Window}, e.flags(s, x.selection)...)
	if err != nil {
		return nil, err
	}
	command := e.options.Command
	command.Env = with(command.Env, site.Env)
	l := listener{exception: make(map[string]string), concluded: make(map[string]bool), report: func(string, result) {}}
	end, err := command.run(ctx, args, l.hear)
	if err != nil {
		return nil, err
	}
	results, err = readResults(filepath.Join(x.place.Folder, "target", resultsFile))
	if err != nil && !end.killed() && end.said == "" {
		return nil, err
	}
	if results == nil {
		results = make(map[string]result)
	}
	for _, t := range x.selection.tests {
		if _, ok := results[t.ID]; !ok {
			results[t.ID] = result{status: "missing", err: missing(t, end, nil)}
		}
	}
	if site.Failures != nil {
		site.Failures = shownOnly{site.Failures}
	}
	e.keepFailures(ctx, s, x, site, results)
	return results, nil
}

// dropOldTests lets go of what processes left that were killed while they tested.
func (e *Engine) dropOldTests(ctx context.Context) error {
	numbers, err := placeNames(e.runFolder(testRun))
	if err != nil {
		return fileError(err)
	}
	for _, n := range numbers {
		if e.options.Now().Sub(time.UnixMicro(int64(n))) < testedFor {
			continue
		}
		if err := e.dropTest(ctx, e.place(testRun, n)); err != nil {
			return fmt.Errorf("let go of the test %s of what was published: %w", strconv.Itoa(n), err)
		}
	}
	return nil
}

func (e *Engine) dropTest(ctx context.Context, p Place) error {
	return errors.Join(e.options.Builder.Discard(ctx, p), os.RemoveAll(p.Folder))
}

// shownOnly keeps no failing rows: what is asked by hand leaves no trace in the warehouse.
type shownOnly struct{ transform.Failures }

// KeepFailures keeps nothing.
func (shownOnly) KeepFailures(context.Context, string, string, []string, int) (string, error) {
	return "", nil
}

// Views is what the copy of the embedded warehouse that people read does with a file for dbt.
type Views interface {
	HandOutViews(ctx context.Context, file string, relations []elt.Exchange) error
	SampleIn(ctx context.Context, file, sql string, hide []string, most int) (elt.Sample, error)
}

// InViews is where dbt tests what the embedded warehouse has published: in a file that holds views of it and nothing
// else. Nothing can be built there that anybody would collect.
type InViews struct {
	InFile
	Copy  Views
	Path  string // of the copy
	Alias string // by which the views call it
}

// Profile returns the target of the generated profile, which has the copy at hand, for reading alone.
func (v InViews) Profile() map[string]any {
	out := v.InFile.Profile()
	out["attach"] = []any{map[string]any{"path": v.Path, "alias": v.Alias, "read_only": true}}
	return out
}

// Prepare makes the file with views of what the tests read.
func (v InViews) Prepare(ctx context.Context, p Place, inputs []Input) (Site, error) {
	relations := make([]elt.Exchange, len(inputs))
	for i, in := range inputs {
		relations[i] = in.Exchange
	}
	return Site{Env: v.env(p.file()), Failures: viewedFile{v.Copy, p.file()}}, v.Copy.HandOutViews(ctx, p.file(), relations)
}

// Collect finds nothing.
func (v InViews) Collect(context.Context, Place, []elt.Exchange) (map[elt.DatasetName]int64, error) {
	return nil, errors.New("nothing is built where what is published is tested")
}

// viewedFile is where the rows are that fail a test of what is published.
type viewedFile struct {
	views Views
	file  string
}

// Sample returns some rows of a SELECT.
func (f viewedFile) Sample(ctx context.Context, sql string, hide []string, most int) (elt.Sample, error) {
	return f.views.SampleIn(ctx, f.file, sql, hide, most)
}

// KeepFailures keeps nothing.
func (viewedFile) KeepFailures(context.Context, string, string, []string, int) (string, error) {
	return "", nil
}
