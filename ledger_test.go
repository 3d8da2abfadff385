package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	migrations "github.com/daybreak-data/daybreak/sql"
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
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
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
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	writeSlow(t, dir, slow)
	held := filepath.Join(t.TempDir(), "held")
	write(t, filepath.Dir(held), map[string]string{"held": ""})
	cmd, ended := metAtWork(t, dir, []string{heldWhile + "=" + held}, "slow", "run", "--date", date)
	file := filepath.Join(t.TempDir(), "ledger.gz")
	until(t, "the ledger is backed up in the middle of a night", func() bool {
		// The night stands still meanwhile. It may do so in the middle of a change, and then it keeps everybody out.
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		backup := do(t, dir, nil, "ledger", "backup", file)
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil || backup.code != 0 && !strings.Contains(backup.errors, "ledger_busy") {
			t.Fatalf("the backup: exit %d, %v\n%s", backup.code, err, backup.errors)
		}
		return backup.code == 0
	})
	remove(t, held)
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

// downgrade makes a ledger what an older Daybreak would have left: the migrations after the given one are taken back.
func downgrade(t *testing.T, file string, schema int) {
	t.Helper()
	names, err := fs.Glob(migrations.Migrations, "migrations/*.down.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations: %v", len(names), err)
	}
	for _, name := range slices.Backward(names) {
		var number int
		if _, err := fmt.Sscanf(filepath.Base(name), "%06d_", &number); err != nil {
			t.Fatal(err)
		}
		if number <= schema {
			continue
		}
		text, err := fs.ReadFile(migrations.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		change(t, file, string(text))
	}
	change(t, file, fmt.Sprintf("UPDATE schema_migrations SET version = %d, dirty = 0", schema))
	if got := ask(t, file, "SELECT value FROM counters WHERE name = 'schema'")[0][0]; got != fmt.Sprint(schema) {
		t.Fatalf("the ledger's schema is %s, want %d", got, schema)
	}
}

// A night that the previous release began and a new one finds in its ledger goes on: the same run, from the step at
// which it stopped, to the tables of an undisturbed night. Before that, whoever only reads is told what to do, and the
// old ledger can be backed up.
func TestANightBegunByThePreviousReleaseIsFinished(t *testing.T) {
	t.Parallel()
	const previous = 10 // the schema of the release before
	dir, date := brought(t), lastDate(t).String()
	writeSlow(t, dir, slow)
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	if err := os.CopyFS(undisturbed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	must(t, undisturbed, nil, "run", "--date", date)
	writeSlow(t, dir, endless)
	cmd, ended := metAtWork(t, dir, nil, "slow", "run", "--date", date)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("the night that was killed ended well")
	}
	writeSlow(t, dir, slow)
	ledger := filepath.Join(dir, "state", "ledger.db")
	downgrade(t, ledger, previous)
	begun := ask(t, ledger, "SELECT id FROM runs WHERE state = 'running'")
	done := ask(t, ledger, "SELECT id FROM steps WHERE state = 'succeeded' AND run = '"+begun[0][0]+"'")
	if len(begun) != 1 || len(done) == 0 {
		t.Fatalf("%d runs are under way, %d steps done", len(begun), len(done))
	}
	wantRefusal(t, do(t, dir, nil, "status"), 78, "ledger_older", "daybreak run")
	file := filepath.Join(t.TempDir(), "before-the-upgrade.gz")
	if a := must(t, dir, nil, "ledger", "backup", file); !strings.Contains(a.out, fmt.Sprintf("(schema %d)", previous)) {
		t.Errorf("the backup says %q", a.out)
	}

	must(t, dir, nil, "run", "--date", date)
	if got := ask(t, ledger, "SELECT id, state FROM runs ORDER BY created_seq DESC LIMIT 1"); got[0][0] != begun[0][0] || got[0][1] != "succeeded" {
		t.Errorf("the last run is %v, want %s to have ended well", got, begun[0][0])
	}
	for _, step := range done {
		if n := ask(t, ledger, "SELECT attempt FROM steps WHERE id = '"+step[0]+"'")[0][0]; n != "1" {
			t.Errorf("%s, which was done, was begun %s times", step[0], n)
		}
	}
	wantSameRows(t, rowsRead(t, undisturbed), rowsRead(t, dir))
	wantOneTruth(t, dir)
}
