package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// Two workers bring the tables of one PostgreSQL source in one snapshot, and one of them is killed while they do: each
// manifest names that snapshot, and the table that is counted over all of them is whole.
func TestWorkersShareASource(t *testing.T) {
	t.Parallel()
	const tables = 12
	dir, date := t.TempDir(), lastDate(t).String()
	server := testenv.Postgres(t)
	shop, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer shop.Close(context.WithoutCancel(t.Context()))
	var scheduled, counted []string
	for i := range tables {
		statement := fmt.Sprintf("CREATE TABLE t%d AS SELECT i AS id, repeat(md5(i::text), 20) AS note FROM generate_series(1, 2500) i", i)
		if _, err := shop.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		scheduled = append(scheduled, fmt.Sprintf("  shop.t%d: {table: public.t%[1]d, mode: full}", i))
		counted = append(counted, fmt.Sprintf("select count(*) as n from {{ source('shop', 't%d') }}", i))
	}
	proxy := testenv.Toxiproxy(t).Before(t, server.URL)
	// The first worker alone would need longer than anybody's patience: the other finds it at work.
	hurry := proxy.Add(t, testenv.Bandwidth(48), testenv.Answers)
	env := []string{"LEDGER_URL=" + server.Database(t), "SHOP_URL=" + proxy.URL}
	write(t, dir, map[string]string{
		"daybreak.yaml":          "ledger: ${env:LEDGER_URL}\nsources: {shop: {postgres: \"${env:SHOP_URL}\", connections: 8}}\nstatus: {public: true}\n",
		"schedules/nightly.yaml": "timezone: UTC\nat: \"02:00\"\nowners: [a@example.com, b@example.com]\nmodels: [\"*\"]\ntables:\n" + strings.Join(scheduled, "\n") + "\n",
		"sql/models/rows.sql":    "select sum(n) as n from (" + strings.Join(counted, " union all ") + ") as counts\n",
	})
	s, stop := serve(t, dir, env, "--kinds", "load,verify,transform,test,publish")
	first, _ := worker(t, dir, env, "--kinds", "extract", "--threads", "2")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	until(t, "the first worker shares its snapshot", func() bool {
		return inLedger(t, env, "SELECT count(*) FROM snapshot_seats WHERE exports IS NOT NULL")[0][0] == "1"
	})
	_, stopOther := worker(t, dir, env, "--kinds", "extract", "--threads", "2")
	until(t, "the other has joined it", func() bool {
		return inLedger(t, env, "SELECT count(*) FROM snapshot_seats WHERE exports IS NOT NULL")[0][0] == "2"
	})
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.end(t); err == nil {
		t.Error("the first worker ended by itself")
	}
	bury(t, env, first.worker)
	hurry()
	must(t, dir, env, "wait", "--url", s.url, "--timeout", "10m", "rows@"+date)
	untilWithin(t, processTime, "the run has ended", func() bool { return inLedger(t, env, "SELECT state FROM runs")[0][0] == "succeeded" })
	const seen = `SELECT count(*), count(DISTINCT body::json->'source'->>'snapshot'), bool_and((body::json->'source'->>'cross_table_consistent')::bool)
		FROM manifests JOIN steps ON steps.id = manifests.step AND steps.result::json->>'manifest' = manifests.key`
	if diff := cmp.Diff([][]string{{fmt.Sprint(tables), "1", "true"}}, inLedger(t, env, seen)); diff != "" {
		t.Errorf("tables, snapshots, whether they agree (-want +got):\n%s", diff)
	}
	answered := must(t, dir, env, "query", "--format", "csv", "select n from analytics.rows").out
	if diff := cmp.Diff("n\n30000\n", answered); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	stopOther()
	stop()
}

// Of a source whose snapshot cannot be joined one worker reads all tables of a run. When it ends as asked to, another goes on
// at once: the ledger is shown, for as long as this takes, that the first has ended a table this very moment.
func TestAReaderThatLeavesIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	dir, date := t.TempDir(), lastDate(t).String()
	env := []string{"LEDGER_URL=" + testenv.Postgres(t).URL}
	write(t, dir, cafe)
	write(t, dir, map[string]string{"daybreak.yaml": "ledger: ${env:LEDGER_URL}\nsources: {cafe: {sqlite: cafe.db}}\nstatus: {public: true}\n"})
	brewed(t, dir)
	s, stop := serve(t, dir, env, "--kinds", "load,verify,transform,test,publish")
	must(t, dir, env, "schedules", "trigger", "nightly", "--date", date, "--reason", "a test")
	const orders = " WHERE kind = 'extract' AND dataset = 'cafe.orders'"
	until(t, "the night is planned", func() bool {
		return len(inLedger(t, env, "UPDATE steps SET state = 'retrying', next_attempt_at = '2999-01-01T00:00:00.000000Z'"+orders+" RETURNING 1")) == 1
	})
	first, stopFirst := worker(t, dir, env, "--kinds", "extract")
	until(t, "the first worker has read a table", func() bool {
		return len(inLedger(t, env, "SELECT 1 FROM steps WHERE kind = 'extract' AND state = 'succeeded' AND worker = '"+first.worker+"'")) == 1
	})
	other, stopOther := worker(t, dir, env, "--kinds", "extract")
	stopFirst()
	inLedger(t, env, "UPDATE steps SET finished_at = '2999-01-01T00:00:00.000000Z' WHERE kind = 'extract' AND state = 'succeeded'")
	inLedger(t, env, "UPDATE steps SET state = 'pending', next_attempt_at = NULL"+orders)
	must(t, dir, env, "wait", "--url", s.url, "--timeout", "5m", "best@"+date, "revenue@"+date)
	if by := inLedger(t, env, "SELECT worker FROM steps"+orders); by[0][0] != other.worker {
		t.Errorf("the other table was read by %s, the first by %s, and %s was left", by[0][0], first.worker, other.worker)
	}
	stopOther()
	stop()
}
