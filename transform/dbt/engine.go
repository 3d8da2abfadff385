package dbt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

// Warehouse is what the engine asks of the warehouse itself, whatever dbt builds in.
type Warehouse interface {
	// Staged returns the SQL name under which a run stages a dataset; Published that of a published relation.
	Staged(run elt.RunID, d elt.DatasetName) string
	Published(relation string) string
	// HasStaged reports whether the run has staged the dataset; Unstage drops what it has.
	HasStaged(ctx context.Context, run elt.RunID, d elt.DatasetName) (bool, error)
	Unstage(ctx context.Context, run elt.RunID, datasets []elt.DatasetName) error
	// Count returns how many rows a SELECT returns.
	Count(ctx context.Context, sql string) (int64, error)
}

// Engine builds and tests a run's datasets with dbt. It may be used by many goroutines at once.
type Engine struct {
	options   Options
	project   *Project
	warehouse Warehouse
	tables    map[elt.DatasetName]string // the published names of the extracted datasets

	ctx  context.Context // of every dbt process: a step that ends must not end those that other steps wait for
	stop context.CancelCauseFunc
	all  sync.WaitGroup

	mu   sync.Mutex
	runs map[elt.RunID]*build
}

// errClosed is why dbt is stopped when the engine is closed.
var errClosed = errors.New("daybreak is stopping")

// New returns an engine over a project without problems.
func New(o Options, p *Project, w Warehouse) *Engine {
	e := &Engine{options: o, project: p, warehouse: w, tables: make(map[elt.DatasetName]string), runs: make(map[elt.RunID]*build)}
	for _, t := range o.Tables {
		e.tables[t.Name] = t.Relation
	}
	e.ctx, e.stop = context.WithCancelCause(context.Background())
	return e
}

// Close stops every dbt process and waits for it.
func (e *Engine) Close() error {
	e.stop(errClosed)
	e.all.Wait()
	return nil
}

// Transform waits until dbt has built the dataset, and has it started where nothing else has.
func (e *Engine) Transform(ctx context.Context, s transform.Scope, d elt.DatasetName) (elt.Result, error) {
	n, err := e.node(d)
	if err != nil {
		return elt.Result{}, err
	}
	results, err := e.await(ctx, s, []*node{n})
	if err != nil {
		return elt.Result{}, fmt.Errorf("%s: %w", n.label(), err)
	}
	r := results[n.ID]
	switch r.status {
	case "missing":
		return elt.Result{}, r.err
	case "success":
		return elt.Result{}, nil
	case "skipped":
		return elt.Result{}, e.skipped(n, results)
	}
	return elt.Result{}, e.project.failed(n, r.message)
}

// skipped says why dbt did not build a node that it was asked for.
func (e *Engine) skipped(n *node, results map[string]result) error {
	for _, unit := range e.project.units[n.dataset] {
		if r := results[unit.ID]; r.status == "fail" || r.status == "error" {
			return &elt.Error{
				Code: codeUnitTest, Class: elt.Config,
				What: fmt.Sprintf("%s/%s: the unit test %s of the %s fails, so dbt did not build it: %s", e.project.folder, unit.File, unit.Name, n.label(), sentence(r.message)),
				Do:   "correct the " + n.Resource + " or its unit test, then retry the run",
			}
		}
	}
	return &elt.Error{
		Code: CodeIncomplete, Class: elt.Transient,
		What: fmt.Sprintf("dbt skipped the %s because something that it needs went wrong", n.label()), Do: "see what went wrong before it; the step is tried again",
	}
}

// Test waits for the dataset's tests. The result has each; when one of severity error fails, it comes with an error
// of code test_failed.
func (e *Engine) Test(ctx context.Context, s transform.Scope, d elt.DatasetName) (elt.Result, error) {
	tests := e.project.tests[d]
	results, err := e.await(ctx, s, tests)
	if err != nil {
		return elt.Result{}, fmt.Errorf("the tests of %s: %w", d, err)
	}
	return e.judge(ctx, s, d, results)
}

// judge makes the result of a dataset's test step of what dbt says of its tests, and of its freshness.
func (e *Engine) judge(ctx context.Context, s transform.Scope, d elt.DatasetName, results map[string]result) (elt.Result, error) {
	out := elt.Result{Checks: elt.ChecksNone}
	var failed []string
	for _, t := range e.project.tests[d] {
		r := results[t.ID]
		check := elt.Check{Name: t.title, Severity: t.severity(), Failures: r.failures}
		switch r.status {
		case "pass":
			check.Passed = true
			if out.Checks == elt.ChecksNone {
				out.Checks = elt.ChecksPassed
			}
		case "warn":
			check.Severity, out.Checks = "warn", elt.ChecksWarned
			check.Message = fmt.Sprintf("%s of %s found %s, which is a warning", t.title, d, rowCount(r.failures))
		case "fail":
			check.Message = fmt.Sprintf("%s of %s found %s", t.title, d, rowCount(r.failures))
			failed = append(failed, t.title+" found "+rowCount(r.failures))
		case "missing":
			return out, r.err
		default:
			return out, e.project.testRefused(t, d, r)
		}
		out.Notes = append(out.Notes, check)
	}
	aged, err := e.freshnessOf(ctx, s, d)
	if err != nil {
		return out, err
	}
	for _, check := range aged {
		out.Notes = append(out.Notes, check)
		switch {
		case check.Passed && out.Checks == elt.ChecksNone:
			out.Checks = elt.ChecksPassed
		case check.Passed:
		case check.Severity == "error":
			failed = append(failed, check.Message)
		default:
			out.Checks = elt.ChecksWarned
		}
	}
	if failed == nil {
		return out, nil
	}
	out.Checks = ""
	return out, testsFailed(d, len(out.Notes), failed)
}

// Item returns how the dataset is published: whole, as a table, whatever dbt made of it.
func (e *Engine) Item(_ transform.Scope, d elt.DatasetName) (elt.PublicationItem, error) {
	n, err := e.node(d)
	if err != nil {
		return elt.PublicationItem{}, err
	}
	return elt.PublicationItem{Relation: n.relation()}, nil
}

// Inputs returns what a dataset is made from.
func (e *Engine) Inputs(d elt.DatasetName) []elt.DatasetName {
	if n := e.project.datasets[d]; n != nil {
		return e.project.inputs(n)
	}
	return nil
}

// Settle brings everything that dbt has built for the run, and the run has not published yet, into its staging, and
// returns the rows of each. It must be called before the run is published.
func (e *Engine) Settle(ctx context.Context, s transform.Scope) (map[elt.DatasetName]int64, error) {
	if err := e.build(s.Run).atRest(ctx); err != nil {
		return nil, err
	}
	wanted := e.wanted(s, nil)
	if err := e.collect(ctx, s, wanted); err != nil {
		return nil, err
	}
	rows := make(map[elt.DatasetName]int64, len(wanted))
	for _, d := range wanted {
		n, err := e.warehouse.Count(ctx, "SELECT * FROM "+e.warehouse.Staged(s.Run, d))
		if err != nil {
			return nil, err
		}
		rows[d] = n
	}
	return rows, nil
}

func (e *Engine) node(d elt.DatasetName) (*node, error) {
	if n := e.project.datasets[d]; n != nil && n.builds() {
		return n, nil
	}
	return nil, e.project.unknown(d)
}
