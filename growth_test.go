package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// A process that may not let its files grow ends with one sentence, whichever file meets the limit first: SQLite reports
// it as a failed write, which time does not mend. Nothing is lost, and without the limit the night goes on.
func TestFilesThatMayNotGrow(t *testing.T) {
	t.Parallel()
	for _, kib := range []int{50, 150, 600, 2500} { // a brought ledger has 700, and a warehouse 7000
		t.Run(fmt.Sprintf("beyond %d KiB", kib), func(t *testing.T) {
			t.Parallel()
			dir := brought(t)
			neverFalselyGreen(t, dir)
			before := contents(t, dir)
			a := withLimit(t, dir, kib, "run", "--date", lastDate(t).String())
			wantRefusal(t, a, 76, "the size of files (ulimit -f)", "ledger_full")
			if n := strings.Count(a.errors, "daybreak: "); n != 1 {
				t.Errorf("it ends with %d sentences:\n%s", n, a.errors)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("readers see something else (-before +after):\n%s", diff)
			}
			wantUndisturbed(t, dir)
		})
	}
}

// A lake on S3 is read into a folder beside the warehouse: one that cannot hold a part fails the night at once, names the
// folder, and leaves nothing in it.
func TestTheSpoolIsFull(t *testing.T) {
	t.Parallel()
	s3, dir := testenv.S3(t), t.TempDir()
	write(t, dir, map[string]string{
		"daybreak.yaml": fmt.Sprintf(`
lake: {s3: {bucket: %s, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}
sources: {shop: {sqlite: shop.db}}
status: {public: true}
`, s3.NewBucket(t), s3.Endpoint, s3.AccessKey, s3.SecretKey),
		"schedules/nightly.yaml": "at: \"02:00\"\ntimezone: UTC\nowners: [a@example.com, b@example.com]\nretries: {attempts: 2}\ntables:\n  shop.pictures: {table: pictures, mode: full, key: [id]}\n",
	})
	change(t, filepath.Join(dir, "shop.db"), `CREATE TABLE pictures (id INTEGER PRIMARY KEY, picture BLOB);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) INSERT INTO pictures SELECT i, randomblob(1000000) FROM n`)
	const date = "2026-01-05"
	a := withLimit(t, dir, 6000, "run", "--yes", "--date", date)
	wantRefusal(t, a, 76, "spool_full", "free some space on the warehouse's disk")
	if left := filesOf(t, filepath.Join(dir, "state", "spool")); len(left) > 0 {
		t.Errorf("the spool keeps %v", left)
	}
	must(t, dir, nil, "run", "--yes", "--date", date)
	if got := query(t, dir, "SELECT count(*), sum(octet_length(picture)) FROM shop.pictures"); !slices.Equal(got[0], []string{"9", "9000000"}) {
		t.Errorf("the pictures are %v", got)
	}
}

// A backup that does not fit is refused, and leaves neither half a backup nor anything of itself.
func TestABackupThatDoesNotFit(t *testing.T) {
	t.Parallel()
	dir, folder := brought(t), t.TempDir()
	change(t, ledgerIn(dir), "INSERT INTO audit (at, actor, action, target, reason) VALUES ('2026-01-01T00:00:00.000000Z', 'a', 'b', 'c', hex(randomblob(500000)))")
	file := filepath.Join(folder, "ledger.gz")
	wantRefusal(t, withLimit(t, dir, 64, "ledger", "backup", file), 78, "backup_file", "space")
	if left := filesOf(t, folder); len(left) > 0 {
		t.Errorf("there is %v", left)
	}
	must(t, dir, nil, "ledger", "backup", file)
	must(t, dir, nil, "ledger", "verify", file)
}

// A service whose disk is full goes on answering, opens an incident as soon as it can write one, and once there is room a
// night that is tried again ends like an undisturbed one.
func TestServeOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t)
	neverFalselyGreen(t, dir)
	before := contents(t, dir)
	edit(t, dir, "schedules/nightly.yaml", `at: "02:00"`, `at: "00:00"`) // so that the date's tick is due, whatever time it is
	decided(t, dir, date.AddDays(-1))
	s, stop := startProgram(t, limited(toServe(t, dir, nil, "serve"), 600))
	s.logged(t, "its file is as large as") // whichever of them meets it first: a sweep, or the end of a step
	if sum := get[api.Summary](t, s, "/v1/summary"); sum.Datasets == 0 {
		t.Errorf("the service says %+v", sum)
	}
	s.text(t, "/healthz")
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("readers see something else (-before +after):\n%s", diff)
	}
	if out, err := command(t, "prlimit", "--pid", fmt.Sprint(s.cmd.Process.Pid), "--fsize=unlimited").CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
	var run elt.Run
	untilWithin(t, processTime, "the night has ended", func() bool {
		for _, r := range get[api.Runs](t, s, "/v1/runs").Runs {
			if r.Date == date {
				run = r
			}
		}
		return run.State.Terminal()
	})
	if run.State != elt.RunSucceeded { // what failed for want of room waits for a person, who is told
		until(t, "there is an incident", func() bool {
			b, err := json.Marshal(get[api.Incidents](t, s, "/v1/incidents").Incidents)
			return err == nil && strings.Contains(string(b), "_full")
		})
	}
	stop()
	wantUndisturbed(t, dir)
}
