package dbt

import (
	"context"
	"os"
	"path/filepath"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Files is what the embedded warehouse does with a file for dbt.
type Files interface {
	HandOut(ctx context.Context, file string, relations []elt.Exchange) error
	TakeBack(ctx context.Context, run elt.RunID, file string, relations []elt.Exchange) (map[elt.DatasetName]int64, error)
	SampleIn(ctx context.Context, file, sql string, hide []string, most int) (elt.Sample, error)
	KeepFailuresIn(ctx context.Context, file, name, sql string, hide []string, most int) (table string, err error)
}

// builtFile is where the rows that fail a test are, once dbt has ended.
type builtFile struct {
	files Files
	file  string
}

// Sample returns some rows of a SELECT.
func (b builtFile) Sample(ctx context.Context, sql string, hide []string, most int) (elt.Sample, error) {
	return b.files.SampleIn(ctx, b.file, sql, hide, most)
}

// KeepFailures keeps the rows of a SELECT.
func (b builtFile) KeepFailures(ctx context.Context, name, sql string, hide []string, most int) (string, error) {
	return b.files.KeepFailuresIn(ctx, b.file, name, sql, hide, most)
}

// The DuckDB file of one dbt process. Its stem is the database's name in SQL.
const (
	databaseName = "dbt_night"
	fileName     = databaseName + ".duckdb"
)

// InFile builds in a DuckDB file of dbt's own, under the names that are published.
type InFile struct {
	Warehouse Files
	Schema    string // of what is published
}

// Profile returns the target of the generated profile. Times are told in UTC, as everywhere in Daybreak.
func (InFile) Profile() map[string]any {
	return map[string]any{
		"type": "duckdb", "path": "{{ env_var('DAYBREAK_DBT_FILE') }}", "schema": "{{ env_var('DAYBREAK_DBT_SCHEMA') }}",
		"settings": map[string]any{"TimeZone": "UTC"},
	}
}

// Idle names an empty file.
func (f InFile) Idle(folder string, _ bool, _ []Input) Site {
	return Site{Env: f.env(filepath.Join(folder, fileName))}
}

func (f InFile) env(file string) map[string]string {
	return map[string]string{"DAYBREAK_DBT_FILE": file, "DAYBREAK_DBT_SCHEMA": f.Schema}
}

// Prepare makes the file with what dbt's models read.
func (f InFile) Prepare(ctx context.Context, p Place, inputs []Input) (Site, error) {
	relations := make([]elt.Exchange, len(inputs))
	for i, in := range inputs {
		relations[i] = in.Exchange
	}
	return Site{Env: f.env(p.file()), Failures: builtFile{f.Warehouse, p.file()}}, f.Warehouse.HandOut(ctx, p.file(), relations)
}

// Collect stages what dbt built in the file.
func (f InFile) Collect(ctx context.Context, p Place, built []elt.Exchange) (map[elt.DatasetName]int64, error) {
	return f.Warehouse.TakeBack(ctx, p.Run, p.file(), built)
}

// Discard removes the file; dbt's log and artifacts stay.
func (f InFile) Discard(_ context.Context, p Place) error {
	for _, file := range []string{p.file(), p.file() + ".wal"} {
		if err := removeFile(file); err != nil {
			return err
		}
	}
	return os.RemoveAll(p.file() + ".tmp")
}

func (p Place) file() string { return filepath.Join(p.Folder, fileName) }
