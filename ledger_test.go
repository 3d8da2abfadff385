package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// loseLedger takes a workspace's ledger away.
func loseLedger(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "state", "ledger.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("ledger files %v, %v", files, err)
	}
	for _, f := range files {
		remove(t, f)
	}
}

// A ledger that is lost comes back as it was at its backup; what was published since is taken over from the warehouse and
// named, and the nights go on as if nothing had happened. It may come back on PostgreSQL.
func TestALostLedgerIsRestored(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			dir, date := brought(t), lastDate(t).String()
			file := filepath.Join(t.TempDir(), "ledger.gz")
			if a := must(t, dir, nil, "ledger", "backup", file); !strings.Contains(a.out, "1 run, ") {
				t.Errorf("backup says %q", a.out)
			}
			wantRefusal(t, do(t, dir, nil, "ledger", "backup", file), 78, "backup_exists")
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("others may read the backup: %v %v", info.Mode(), err)
			}
			must(t, dir, nil, "run", "--date", date)
			want := contents(t, dir)
			restore := []string{"ledger", "restore", file, "--reason", "the disk died"}
			wantRefusal(t, do(t, dir, nil, restore...), 75, "ledger_not_empty")
			loseLedger(t, dir)
			if engine == "postgres" {
				edit(t, dir, "daybreak.yaml", "ledger: sqlite:state/ledger.db", "ledger: "+testenv.Postgres(t).Database(t))
			}
			a := must(t, dir, nil, restore...)
			if strings.Count(a.out, "Published since: ") != len(want) || !strings.Contains(a.out, "Published since: mrr of "+date) {
				t.Errorf("restore says:\n%s", a.out)
			}
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("readers see something else (-before +restored):\n%s", diff)
			}
			if a := must(t, dir, nil, "audit"); !strings.Contains(a.out, "ledger.restore") || !strings.Contains(a.out, "the disk died; from ledger.gz, as of ") {
				t.Errorf("the audit trail says:\n%s", a.out)
			}
			must(t, dir, nil, "run", "--date", date)
			must(t, dir, nil, "verify")
			if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
				t.Errorf("the night again (-before +after):\n%s", diff)
			}
			if engine == "sqlite" {
				wantOneTruth(t, dir)
			}
			must(t, dir, nil, "ledger", "verify", file)
			if err := os.Truncate(file, 1000); err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, do(t, dir, nil, "ledger", "verify", file), 65, "backup_damaged")
		})
	}
}

// A backup of the middle of a night that has long been published when it is restored: its versions are taken over, and
// the run that nobody can know the end of is cancelled.
func TestABackupOfANightUnderWay(t *testing.T) {
	dir, date := brought(t), lastDate(t).String()
	if err := os.WriteFile(filepath.Join(dir, "sql", "models", "marts", "slow.sql"), []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := program(ctx, t, dir, nil, "run", "--date", date)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	at := time.NewTicker(5 * time.Millisecond)
	defer at.Stop()
	for !building(dir, "slow") {
		select {
		case err := <-ended:
			t.Fatalf("the night ended before its model was met at work: %v", err)
		case <-at.C:
		}
	}
	file := filepath.Join(t.TempDir(), "ledger.gz")
	must(t, dir, nil, "ledger", "backup", file)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := rowsRead(t, dir)
	loseLedger(t, dir)
	a := must(t, dir, nil, "ledger", "restore", file, "--reason", "moved")
	if !strings.Contains(a.out, "the rest of it is cancelled") || !strings.Contains(a.out, "Published since: slow of "+date) {
		t.Errorf("restore says:\n%s", a.out)
	}
	for _, again := range []bool{false, true} {
		if again {
			must(t, dir, nil, "run", "--again", "--date", date)
		}
		wantSameRows(t, want, rowsRead(t, dir))
	}
	for d, state := range statesOf(t, dir, lastDate(t)) {
		if state != "ready" {
			t.Errorf("%s is %s", d, state)
		}
	}
	wantOneTruth(t, dir)
}
