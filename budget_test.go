package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// TestPausedForTheSource reads a replica that falls behind: the night waits and says why, wherever one asks, and goes on
// when the replica has caught up.
func TestPausedForTheSource(t *testing.T) {
	t.Parallel()
	primary := testenv.NewPostgres(t, nil)
	replica := primary.Standby(t, nil)
	psql := func(url, statement string) string {
		t.Helper()
		out, err := command(t, filepath.Join(primary.Bin, "psql"), "-XAtqc", statement, url).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", statement, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(patience); !holds(); {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not within %s: %s", patience, what)
			}
		}
	}
	psql(primary.URL, "CREATE TABLE orders AS SELECT i AS id, 'order ' || i AS v FROM generate_series(1, 1000) i")
	until("the replica has the table", func() bool {
		return psql(replica.URL, "SELECT count(*) FROM pg_tables WHERE tablename = 'orders'") == "1"
	})
	psql(replica.URL, "SELECT pg_wal_replay_pause()")
	psql(primary.URL, "UPDATE orders SET v = v || '!'")
	until("the replica lags", func() bool {
		return psql(replica.URL, "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AND clock_timestamp() - pg_last_xact_replay_timestamp() > '2 s'") == "t"
	})

	dir, env := t.TempDir(), []string{"SHOP_URL=" + replica.URL}
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources:\n  shop:\n    postgres: \"${env:SHOP_URL}\"\n    budget: {replica_lag: 2s}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, finance@example.com]
tables:
  shop.orders: {table: public.orders, mode: full, key: [id]}
`,
	})
	night := program(t.Context(), t, dir, env, "run", "--yes")
	var said bytes.Buffer
	night.Stdout, night.Stderr = &said, &said
	if err := night.Start(); err != nil {
		t.Fatal(err)
	}
	var shown answer
	until("the status says that the night is paused", func() bool {
		shown = do(t, dir, env, "status")
		return strings.Contains(shown.out, "running, paused")
	})
	if !strings.Contains(shown.out, "paused: source budget (") || !strings.Contains(shown.out, "replica lag") || !strings.Contains(shown.out, "at most 2s") {
		t.Errorf("it does not say why:\n%s", shown.out)
	}
	if body := do(t, dir, env, "status", "shop.orders", "--json").out; !strings.Contains(body, `"paused": "source budget (`) {
		t.Errorf("the API does not say why:\n%s", body)
	}
	psql(replica.URL, "SELECT pg_wal_replay_resume()")
	if err := night.Wait(); err != nil {
		t.Fatalf("the night: %v\n%s", err, &said)
	}
	if rows := must(t, dir, env, "query", "-f", "csv", "SELECT count(*) FROM shop.orders").out; !strings.HasSuffix(strings.TrimSpace(rows), "1000") {
		t.Errorf("what came is %s\n%s", rows, &said)
	}
	if !strings.Contains(said.String(), "paused") {
		t.Errorf("the night did not say that it was paused:\n%s", &said)
	}
}
