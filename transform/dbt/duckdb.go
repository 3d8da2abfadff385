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
}

// The DuckDB file of one dbt process. Its stem is the database's name in SQL.
const (
	databaseName = "dbt_night"
	fileName     = databaseName + ".duckdb"
)

// InFile builds in a DuckDB file of dbt's own.
type InFile struct{ Warehouse Files }

// Adapter returns the name of dbt-duckdb.
func (InFile) Adapter() string { return "duckdb" }

// Profile returns the target of the generated profile. Times are told in UTC, as everywhere in Daybreak.
func (InFile) Profile() map[string]any {
	return map[string]any{
		"type": "duckdb", "path": "{{ env_var('DAYBREAK_DBT_FILE') }}", "schema": "{{ env_var('DAYBREAK_DBT_SCHEMA') }}",
		"settings": map[string]any{"TimeZone": "UTC"},
	}
}

// Prepare makes the file with what dbt's models read.
func (f InFile) Prepare(ctx context.Context, p Place, inputs []elt.Exchange) (map[string]string, error) {
	file := p.file()
	return map[string]string{"DAYBREAK_DBT_FILE": file}, f.Warehouse.HandOut(ctx, file, inputs)
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
