package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// write puts files into a folder, by path.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// bank is the workspace of pgbench's four tables and one model over them.
var bank = map[string]string{
	"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  bank.accounts: {table: public.pgbench_accounts, mode: full, key: [aid]}
  bank.tellers:  {table: public.pgbench_tellers,  mode: full, key: [tid]}
  bank.branches: {table: public.pgbench_branches, mode: full, key: [bid]}
  bank.history:  {table: public.pgbench_history,  mode: full, allow_empty: true}
`,
	"sql/models/balances.sql": `
select 'accounts' as kept_in, sum(abalance) as balance from {{ source('bank', 'accounts') }} union all
select 'tellers',  sum(tbalance) from {{ source('bank', 'tellers') }}  union all
select 'branches', sum(bbalance) from {{ source('bank', 'branches') }} union all
select 'history',  sum(delta)    from {{ source('bank', 'history') }}
`,
	"sql/models/schema.yml": `
version: 2
models:
  - name: balances
    description: The same money, counted four ways.
    meta: {owners: [data@example.com, finance@example.com]}
    columns:
      - name: kept_in
        tests: [unique, not_null]
`,
}

// Four tables under a running load are one snapshot, or their sums would differ.
func TestPgbenchUnderLoadIsOneSnapshot(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t).Database(t)
	pgbench := func(args ...string) *exec.Cmd {
		return command(t, "pgbench", append(args, url)...)
	}
	if out, err := pgbench("-i", "-q", "-s", fmt.Sprint(pgbenchScale)).CombinedOutput(); err != nil {
		t.Fatalf("pgbench -i: %v\n%s", err, out)
	}
	load := pgbench("-n", "-c", "4", "-T", fmt.Sprint(2*processTime.Seconds()), "-R", "200") // a second's transactions, and not all that the machine can do
	var said bytes.Buffer
	load.Stdout, load.Stderr = &said, &said
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = load.Wait() // it is killed in the end: that is its error
	}()
	t.Cleanup(func() {
		_ = load.Process.Kill() // it may have ended, and then the test has failed
		<-gone
	})
	waitForHistory(t, url)

	s3 := testenv.S3(t)
	bucket := s3.NewBucket(t)
	for name, lake := range map[string]string{
		"lake in a folder": "lake: lake",
		"lake on S3": fmt.Sprintf("lake: {s3: {bucket: %s, prefix: bank, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}",
			bucket, s3.Endpoint, s3.AccessKey, s3.SecretKey),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, bank)
			write(t, dir, map[string]string{"daybreak.yaml": lake + "\nsources:\n  bank: {postgres: \"${env:BANK_URL}\"}\nstatus: {public: true}\n"})
			env := []string{"BANK_URL=" + url}
			must(t, dir, env, "check")
			must(t, dir, env, "run", "--yes")
			select {
			case <-gone:
				t.Fatalf("the load had ended:\n%s", &said)
			default:
			}
			rows := must(t, dir, env, "query", "-f", "csv", "SELECT balance, count(*) FROM analytics.balances GROUP BY 1").out
			if lines := strings.Split(strings.TrimSpace(rows), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[1], ",4") {
				t.Errorf("the four sums differ, so the tables are not of one moment:\n%s", rows)
			}
			if n := must(t, dir, env, "query", "-f", "csv", "SELECT count(*) FROM bank.accounts").out; strings.TrimSpace(n) != fmt.Sprintf("count_star()\n%d", pgbenchScale*100_000) {
				t.Errorf("accounts: %s", n)
			}
			must(t, dir, env, "verify", "bank.accounts")
		})
	}
}

// waitForHistory waits until the load has written its first rows, so that the sums are not all zero.
func waitForHistory(t *testing.T, url string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := command(t, "psql", "-XAtqc", "SELECT count(*) > 100 FROM pgbench_history", url).CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
		if strings.TrimSpace(string(out)) == "t" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("pgbench wrote nothing within %s", patience)
		case <-tick.C:
		}
	}
}
