package duckdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/failpoint"
)

// sweep drops what earlier runs staged and no published name needs. A run's relations may go only when
//   - the run has published, so that its steps are over, and is not the one that publishes now: a person may
//     still retry what that one held back, and its models read what it staged;
//   - it has staged nothing since: a retry of it is not at work;
//   - no published view stands on the relation, and no kept version needs it.
//
// What a run staged that never published anything stays until Discard.
func (w *Warehouse) sweep(ctx context.Context, current elt.RunID) error {
	if err := w.sweepFailures(ctx); err != nil {
		return fmt.Errorf("drop old failing rows: %w", err)
	}
	if err := w.forget(ctx); err != nil {
		return err
	}
	rows, err := w.db.QueryContext(ctx, "SELECT DISTINCT run_id FROM _daybreak.versions WHERE run_id <> ?", string(current))
	if err != nil {
		return err
	}
	defer rows.Close()
	var runs []elt.RunID
	for rows.Next() {
		var run elt.RunID
		if err := rows.Scan(&run); err != nil {
			return err
		}
		runs = append(runs, run)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	schemas, err := w.runSchemas(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !schemas[runSchema(run)] {
			continue
		}
		failpoint.Here("duckdb.sweep")
		if err := w.dropUnlessOpen(ctx, run); err != nil {
			return fmt.Errorf("drop what run %s staged: %w", run, err)
		}
	}
	return nil
}

// dropUnlessOpen drops what the run staged if nothing is at work on it; nothing begins meanwhile.
func (w *Warehouse) dropUnlessOpen(ctx context.Context, run elt.RunID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[run] {
		return nil
	}
	return w.dropStaged(ctx, run)
}

// Discard drops what a run staged, except what published names stand on and kept versions need. The run must be over: whatever
// works on it afterwards finds nothing.
func (w *Warehouse) Discard(ctx context.Context, run elt.RunID) error {
	release, err := w.shared(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := w.publishing.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for a publish to end: %w", err)
	}
	defer w.publishing.Release(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, run)
	return w.fail(ctx, "discard what run "+string(run)+" staged", w.dropStaged(ctx, run))
}

// Leftovers returns how many relations Discard would drop for each run that has any. A run's dashes are underscores here:
// that is how its schema is named.
func (w *Warehouse) Leftovers(ctx context.Context) (map[elt.RunID]int, error) {
	release, err := w.shared(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	const what = "look for what runs have left staged"
	schemas, err := w.runSchemas(ctx)
	if err != nil {
		return nil, w.fail(ctx, what, err)
	}
	out := make(map[elt.RunID]int)
	for schema := range schemas {
		unneeded, _, err := w.unneeded(ctx, schema)
		if err != nil {
			return nil, w.fail(ctx, what, err)
		}
		if len(unneeded) > 0 {
			out[elt.RunID(strings.TrimPrefix(schema, runSchemaPrefix))] = len(unneeded)
		}
	}
	return out, nil
}

// unneeded returns the relations of a run's schema that no published name stands on and no kept version needs, and how
// many others there are.
func (w *Warehouse) unneeded(ctx context.Context, schema string) (views map[string]bool, others int, err error) {
	views, err = relationKinds(ctx, w.db, schema)
	if err != nil {
		return nil, 0, err
	}
	needed, err := w.needed(ctx)
	if err != nil {
		return nil, 0, err
	}
	for name := range views {
		if needed[qualified(schema, name)] {
			delete(views, name)
			others++
		}
	}
	return views, others, nil
}

// dropStaged drops the run's relations that nothing needs, and its schema once it is empty.
func (w *Warehouse) dropStaged(ctx context.Context, run elt.RunID) error {
	schema := runSchema(run)
	views, others, err := w.unneeded(ctx, schema)
	if err != nil {
		return err
	}
	for name, view := range views {
		if err := drop(ctx, w.db, schema, name, view); err != nil {
			return err
		}
		failpoint.Here("duckdb.dropped")
	}
	if others > 0 {
		return nil
	}
	_, err = w.db.ExecContext(ctx, "DROP SCHEMA IF EXISTS "+quote(schema))
	return err
}

// needed returns the quoted names of everything that published names stand on, or that it takes to bring a version back.
func (w *Warehouse) needed(ctx context.Context) (map[string]bool, error) {
	rows, err := w.db.QueryContext(ctx, `SELECT physical AS name FROM _daybreak.published UNION SELECT unnest([physical, merged, undo]) FROM _daybreak.kept`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names[name] = true
	}
	return names, rows.Err()
}

// runSchemas returns the schemas in which runs have staged.
func (w *Warehouse) runSchemas(ctx context.Context) (map[string]bool, error) {
	rows, err := w.db.QueryContext(ctx, "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database()")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	schemas := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, runSchemaPrefix) {
			schemas[name] = true
		}
	}
	return schemas, rows.Err()
}
