package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A first night makes ledger, warehouse and lake: killed at any moment, a migration's included, and run again, it ends like
// one that nobody disturbed.
func TestKilledFirstNights(t *testing.T) {
	t.Parallel()
	scene{
		name: "a first night", args: []string{"run", "--date", lastDate(t).String()},
		stage: func(t *testing.T) string {
			dir := demo(t)
			for _, made := range []string{"state/ledger.db*", "state/warehouse.duckdb*", "read/*"} { // with the demo
				files, err := filepath.Glob(filepath.Join(dir, made))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					remove(t, f)
				}
			}
			edit(t, dir, "schedules/nightly.yaml", "deadline: \"07:00\"\n", "deadline: \"07:00\"\nretries: {attempts: 1}\n")
			return dir
		},
		must: []string{"ledger.migrate", "ledger.migrated", "ledger.noted", "duckdb.committed", "publish.visible", "duckdb.copy_renamed"},
	}.play(t, moments(0, "ledger.migrated", "duckdb.committed"))
}

// A backup that is killed leaves no file of that name, or one that is whole.
func TestKilledBackups(t *testing.T) {
	t.Parallel()
	scene{
		name: "a backup", stage: brought, args: []string{"ledger", "backup", "ledger.gz"}, again: 78, // backup_exists
		must:    []string{"backup.written", "backup.linked"},
		settled: func(t *testing.T, dir string) { must(t, dir, nil, "ledger", "verify", "ledger.gz") },
	}.play(t, moments(0, "backup.written", "backup.linked"))
}

var ledgerLostOnce fixture[string]

// A restore that is killed at any moment and asked for again ends like one that nobody disturbed: the ledger is filled
// once, and what was published since the backup is taken over.
func TestKilledRestores(t *testing.T) {
	t.Parallel()
	date := lastDate(t).String()
	scene{
		name: "a restore", args: []string{"ledger", "restore", "ledger.gz", "--reason", "the disk died"}, again: 75, // ledger_not_empty: all was done
		stage: func(t *testing.T) string {
			return copyOf(t, ledgerLostOnce.get(func() string {
				dir := copyInto(t, folder(t, "lost"), brought(t))
				must(t, dir, nil, "ledger", "backup", "ledger.gz")
				must(t, dir, nil, "run", "--date", date)
				loseLedger(t, dir)
				return dir
			}))
		},
		must: []string{"ledger.migrated", "ledger.noted", "ledger.restore", "ledger.restored", "ledger.committed"},
		settled: func(t *testing.T, dir string) {
			wantOneTruth(t, dir)
			if a := must(t, dir, nil, "audit"); !strings.Contains(a.out, "ledger.restore") {
				t.Errorf("the audit trail says:\n%s", a.out)
			}
			wantRefusal(t, do(t, dir, nil, "ledger", "restore", "ledger.gz", "--reason", "again"), 75, "ledger_not_empty")
		},
	}.play(t, moments(0, "ledger.restored", "ledger.commit"))
}

var warehouseLostOnce fixture[string]

// A lost warehouse that is brought back, by a command that is killed at any moment and given again, ends like one that
// nobody disturbed.
func TestKilledRebuilds(t *testing.T) {
	t.Parallel()
	scene{
		name: "load --all", args: []string{"load", "--all"}, lost: true,
		stage: func(t *testing.T) string {
			return copyOf(t, warehouseLostOnce.get(func() string {
				from, _, _ := twoNights(t)
				dir := copyInto(t, folder(t, "lost"), from)
				remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
				remove(t, filepath.Join(dir, "read", "warehouse.duckdb"))
				return dir
			}))
		},
		halfway: []passage{{"duckdb.copy_renamed", 1}}, // the tables are back, and the models are not
		must:    []string{"duckdb.committed", "duckdb.published", "duckdb.copy_renamed"},
		settled: func(t *testing.T, dir string) { must(t, dir, nil, "verify") },
	}.play(t, moments(0, "publish.visible"))
}
