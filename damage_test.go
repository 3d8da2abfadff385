package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/duckdb/duckdb-go/v2" // changes warehouses behind Daybreak's back
)

// wantUndisturbed runs the night and checks that it ends as if nothing had happened.
func wantUndisturbed(t *testing.T, dir string) {
	t.Helper()
	must(t, dir, nil, "run", "--date", lastDate(t).String())
	if diff := cmp.Diff(undisturbed(t), contents(t, dir)); diff != "" {
		t.Errorf("(-undisturbed +repaired):\n%s", diff)
	}
	wantOneTruth(t, dir)
}

// wantOneTruth checks that the ledger knows exactly the versions that the warehouse holds.
func wantOneTruth(t *testing.T, dir string) {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	inWarehouse := lines(t, db, `SELECT version_id, dataset, CAST(data_date AS VARCHAR), run_id, fence, "rows" FROM _daybreak.versions ORDER BY 1`)
	ledger := filepath.Join(dir, "state", "ledger.db")
	if _, err := os.Stat(ledger); err != nil {
		ledger = filepath.Join(dir, "small", "ledger.db")
	}
	inLedger := ask(t, ledger, "SELECT id, dataset, date, run, fence, rows FROM versions ORDER BY 1")
	if diff := cmp.Diff(inWarehouse, inLedger); diff != "" {
		t.Errorf("versions (-warehouse +ledger):\n%s", diff)
	}
}

// Where each of a workspace's growing parts lies when its disk is a small one.
var onSmallDisk = map[string]struct {
	old, moved string
	file       string // what is moved there
	room       int    // KiB that are left beside it: too few for a night
}{
	"lake":      {"lake: lake", "lake: small/lake", "lake", 0}, // a night's smallest part would fit into a page
	"warehouse": {"duckdb: state/warehouse.duckdb", "duckdb: small/warehouse.duckdb", "state/warehouse.duckdb", 200},
	"read copy": {"read_copy: read/warehouse.duckdb", "read_copy: small/warehouse.duckdb", "read/warehouse.duckdb", 2000},
	"ledger":    {"ledger: sqlite:state/ledger.db", "ledger: sqlite:small/ledger.db", "state/ledger.db", 100},
}

// A disk that fills up in the night loses nothing, and the night goes on once there is room.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	for part, place := range onSmallDisk {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			dir := brought(t)
			small := filepath.Join(dir, "small")
			if err := os.Mkdir(small, 0o755); err != nil {
				t.Fatal(err)
			}
			disk := mount(t, small)
			edit(t, dir, "daybreak.yaml", place.old, place.moved)
			move(t, filepath.Join(dir, place.file), filepath.Join(small, filepath.Base(place.file)))
			before := contents(t, dir)
			disk.leave(t, place.room)
			wantRefusal(t, disk.do(t, dir, "run", "--date", lastDate(t).String()), 76, "to do: free ", "_full")
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("readers see something else (-before +after):\n%s", diff)
			}
			disk.leave(t, 1<<16)
			wantUndisturbed(t, dir)
		})
	}
}

// disk is a file system of its own at a folder, or, where the machine forbids mounting, a limit on the size of files.
type disk struct {
	dir     string
	mounted bool
}

func mount(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{dir: dir, mounted: syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m") == nil}
	if d.mounted {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	return d
}

// leave makes the disk so large that so many KiB of it are free.
func (d *disk) leave(t *testing.T, kib int) {
	t.Helper()
	if !d.mounted {
		return
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		t.Fatal(err)
	}
	used := (s.Blocks - s.Bfree) * uint64(s.Bsize) >> 10
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dk", used+uint64(kib))); err != nil {
		t.Fatal(err)
	}
}

// do runs daybreak where it finds the disk full.
func (d *disk) do(t *testing.T, dir string, args ...string) answer {
	t.Helper()
	if d.mounted {
		return do(t, dir, nil, args...)
	}
	return withLimit(t, dir, 6000, args...) // less than a warehouse, more than a ledger
}

// withLimit runs daybreak in a process that may not write files beyond so many KiB.
func withLimit(t *testing.T, dir string, kib int, args ...string) answer {
	t.Helper()
	return toItsEnd(t, limited(program(t.Context(), t, dir, nil, args...), kib))
}

// limited has a program begin as a process that may not write files beyond so many KiB, until prlimit lets it.
func limited(cmd *exec.Cmd, kib int) *exec.Cmd {
	cmd.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -S -f %d; exec "$0" "$@"`, kib), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/bash"
	return cmd
}

// move moves a file or folder, to another file system too.
func move(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else {
		copyFile(t, from, to)
	}
	if err := errors.Join(err, os.RemoveAll(from)); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// What the refusal of a lost, damaged or foreign warehouse advises is what helps.
func TestTheReadCopyRestoresALostWarehouse(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	remove(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	wantRefusal(t, do(t, dir, nil, "run"), 78, "warehouse_behind_ledger")
	copyFile(t, filepath.Join(dir, "read", "warehouse.duckdb"), filepath.Join(dir, "state", "warehouse.duckdb"))
	wantUndisturbed(t, dir)
}

// A read copy that was lost is made again before anybody is told that its days are ready.
func TestALostReadCopyIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, file string){
		"gone": remove,
		"half": func(t *testing.T, file string) { cut(t, file, 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := brought(t)
			before := contents(t, dir)
			lose(t, filepath.Join(dir, "read", "warehouse.duckdb"))
			must(t, dir, nil, "run", "--date", lastDate(t).AddDays(-1).String()) // brought already
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("(-before +made again):\n%s", diff)
			}
		})
	}
}

// A new ledger over an old warehouse learns what is published, and the next night goes on from there.
func TestANewLedgerOverAnOldWarehouse(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	files, err := filepath.Glob(filepath.Join(dir, "state", "ledger.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("ledger files %v, %v", files, err)
	}
	for _, f := range files {
		remove(t, f)
	}
	wantUndisturbed(t, dir)
	must(t, dir, nil, "verify")
	for d, state := range statesOf(t, dir, lastDate(t)) {
		if state != "ready" {
			t.Errorf("%s is %s", d, state)
		}
	}
}

// One process at a time works on a workspace and on a DuckDB file; the second is told which the first is.
func TestASecondProcess(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	before := contents(t, dir)
	_, stop := serve(t, dir, nil)
	wantRefusal(t, do(t, dir, nil, "run"), 75, "state/ledger.db: process ", "worker_running")
	stop()
	hold := duck(t, filepath.Join(dir, "state", "warehouse.duckdb"))
	wantRefusal(t, do(t, dir, nil, "run"), 75, "state/warehouse.duckdb", fmt.Sprint("process ", os.Getpid()), "warehouse_locked")
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
	wantUndisturbed(t, dir)
}

// Whoever asks for a date, there is one run of it.
func TestFiveProcessesMakeOneRun(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	answers := make([]answer, 5)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = do(t, dir, nil, "run", "--date", date) })
	}
	all.Wait()
	if !slices.ContainsFunc(answers, func(a answer) bool { return a.code == 0 }) {
		t.Errorf("none of them ran: %+v", answers)
	}
	for _, a := range answers {
		if a.code != 0 {
			wantRefusal(t, a, 75, "worker_running")
		}
	}
	wantUndisturbed(t, dir)
	if runs := ask(t, filepath.Join(dir, "state", "ledger.db"), "SELECT id FROM runs WHERE date = '"+date+"'"); len(runs) != 1 {
		t.Errorf("the date has %d runs", len(runs))
	}
}

// duck opens a DuckDB file for writing, as somebody would who should not.
func duck(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// verify finds one row that was changed in the warehouse, and one byte that was in the lake, and names both.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	for _, level := range []string{"counts", "columns", "rows"} {
		if a := must(t, dir, nil, "verify", "--level", level); strings.Count(a.out, "✓ ") != len(sourceTables) || !strings.Contains(a.out, "at level "+level) {
			t.Errorf("verify: %s", a.out)
		}
	}
	file := filepath.Join(dir, "read", "warehouse.duckdb")
	kept := file + ".kept"
	copyFile(t, file, kept)
	for _, damage := range []struct{ dataset, statement, says string }{
		{"app.subscriptions", "UPDATE %s SET monthly_amount = monthly_amount + 0.01 WHERE id = (SELECT min(id) FROM %[1]s)", "they differ in monthly_amount; altered: id = "},
		{"app.companies", "UPDATE %s SET name = name || '!' WHERE id = (SELECT min(id) FROM %[1]s)", "they differ in name; altered: id = "},
		{"app.message_parts", "DELETE FROM %s WHERE id = (SELECT max(id) FROM %[1]s)", "missing in the warehouse: id = "},
		{"app.users", "UPDATE %s SET last_seen_at = last_seen_at + INTERVAL 1 MICROSECOND WHERE id = (SELECT max(id) FROM %[1]s WHERE last_seen_at IS NOT NULL)", "they differ in last_seen_at; altered: id = "},
		{"app.companies", "INSERT INTO %s SELECT * FROM %[1]s WHERE id = (SELECT min(id) FROM %[1]s)", "more than once in the warehouse: id = "},
		{"app.companies", "INSERT INTO %s SELECT * REPLACE (id + 1000000 AS id) FROM %[1]s WHERE id = (SELECT min(id) FROM %[1]s)", "in the warehouse alone: id = "},
		// Two values that changed places: every fact of every column is as it was.
		{"app.companies", "UPDATE %s AS c SET name = o.name FROM (SELECT id, name FROM %[1]s ORDER BY id LIMIT 2) AS o WHERE c.id IN (SELECT id FROM %[1]s ORDER BY id LIMIT 2) AND c.id <> o.id", "altered: id = "},
	} {
		db := duck(t, file)
		var behind string
		if err := db.QueryRowContext(t.Context(), "SELECT physical FROM _daybreak.published WHERE dataset = ?", damage.dataset).Scan(&behind); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(damage.statement, behind)); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, do(t, dir, nil, "verify"), 65, "✕ "+damage.dataset+": ", damage.says, "verification_failed")
		copyFile(t, kept, file)
	}
	part := firstPart(t, filepath.Join(dir, "lake", "app.invoices"))
	b, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(part, 0o644); err != nil {
		t.Fatal(err)
	}
	overwrite(t, part, 0, string(b))
	date := query(t, dir, "SELECT CAST(max(data_date) AS VARCHAR) FROM _daybreak.versions")[0][0]
	wantRefusal(t, do(t, dir, nil, "verify", "app.invoices"), 65, "app.invoices", "part_corrupt", filepath.Base(part))
	wantRefusal(t, do(t, dir, nil, "verify", "app.invoices", "--date", date), 65, "app.invoices", "part_corrupt")
	wantRefusal(t, do(t, dir, nil, "verify", "app.users"), 0)
	wantRefusal(t, do(t, dir, nil, "verify", "app.users", "--date", date), 0, date+" in ")
	// A part that comes twice, and one that is gone.
	whole, err := os.ReadFile(firstPart(t, filepath.Join(dir, "lake", "app.conversations")))
	if err != nil {
		t.Fatal(err)
	}
	part = firstPart(t, filepath.Join(dir, "lake", "app.conversations"))
	if err := os.Chmod(part, 0o644); err != nil {
		t.Fatal(err)
	}
	overwrite(t, part, int64(len(whole)), string(whole))
	wantRefusal(t, do(t, dir, nil, "verify", "app.conversations"), 65, "app.conversations", "part_corrupt")
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, do(t, dir, nil, "verify", "app.conversations"), 65, "app.conversations", "part_missing")
}

func firstPart(t *testing.T, dir string) (part string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && part == "" && strings.HasSuffix(path, ".parquet") {
			part = path
		}
		return err
	})
	if err != nil || part == "" {
		t.Fatalf("no part in %s (%v)", dir, err)
	}
	return part
}

// A table that leaves the configuration, with all that is made from it, is retired: its last version stays.
func TestARemovedTableIsRetired(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t)
	before := contents(t, dir)
	schedule := filepath.Join(dir, "schedules", "nightly.yaml")
	b, err := os.ReadFile(schedule)
	if err != nil {
		t.Fatal(err)
	}
	kept, _, found := strings.Cut(string(b), "  app.invoices:")
	if !found {
		t.Fatal("the schedule has no app.invoices")
	}
	write(t, dir, map[string]string{"schedules/nightly.yaml": kept})
	if err := os.RemoveAll(filepath.Join(dir, "sql")); err != nil {
		t.Fatal(err)
	}
	must(t, dir, nil, "check")
	must(t, dir, nil, "run", "--date", date.String())
	if states := statesOf(t, dir, date); len(states) != len(sourceTables)-1 {
		t.Errorf("states %v", states)
	}
	after := contents(t, dir)
	for _, relation := range []string{"app.invoices", "analytics.mrr", "analytics.revenue_by_currency"} {
		if before[relation] != after[relation] || after[relation] == "" {
			t.Errorf("%s was retired and changed from %q to %q", relation, before[relation], after[relation])
		}
	}
}

// A model that joins a night that is over is named by whoever asks for that night again, and the backfill that is proposed
// brings it.
func TestAModelThatIsNew(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	if a := must(t, dir, nil, "run", "--date", date); strings.Contains(a.out, "new since") {
		t.Errorf("nothing is new, and it says\n%s", a.out)
	}
	write(t, dir, map[string]string{"sql/models/company_count.sql": "{{ config(materialized='table') }}\nselect count(*) as companies from {{ source('app', 'companies') }}\n"})
	a := must(t, dir, nil, "run", "--date", date)
	if !strings.Contains(a.out, "new since: company_count\n") {
		t.Fatalf("a model is new, and it says\n%s", a.out)
	}
	_, proposed, _ := strings.Cut(a.out, "daybreak backfill ")
	proposed, _, _ = strings.Cut(proposed, " brings")
	must(t, dir, nil, append([]string{"backfill", "--yes"}, strings.Fields(proposed)...)...)
	if n := query(t, dir, "SELECT companies = (SELECT count(*) FROM app.companies) FROM analytics.company_count"); n[0][0] != "true" {
		t.Errorf("brought, it holds %v", n)
	}
	if a := must(t, dir, nil, "run", "--date", date); strings.Contains(a.out, "new since") {
		t.Errorf("it was brought, and the command says\n%s", a.out)
	}
}

// A column that is new is there the next night: in a full table for every row, in an incremental one for what the night
// brings.
func TestANewColumn(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	change(t, filepath.Join(dir, "production.db"), `ALTER TABLE companies ADD COLUMN vat TEXT; UPDATE companies SET vat = 'IE' || id;
		ALTER TABLE invoices ADD COLUMN vat TEXT; UPDATE invoices SET vat = 'IE' || id, updated_at = '`+date+`T12:00:00.000Z' WHERE id % 3 = 0`)
	must(t, dir, nil, "run", "--date", date)
	if got := query(t, dir, "SELECT count(vat) = count(*) FROM app.companies"); got[0][0] != "true" {
		t.Errorf("the new column of a full table did not arrive: %v", got)
	}
	if got := query(t, dir, "SELECT count(vat) > 0 AND count(vat) < count(*) FROM app.invoices"); got[0][0] != "true" {
		t.Errorf("the new column of an incremental table did not arrive with the night's rows: %v", got)
	}
	must(t, dir, nil, "verify")
}
