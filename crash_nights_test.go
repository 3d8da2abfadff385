package main

import (
	"encoding/pem"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/warehouse/bigquery/bigquerytest"
)

// A night that is killed at any moment and run again ends with the tables of an undisturbed night. It finds the tables of
// the night before published.
func TestKilledNightsEndLikeUndisturbedOnes(t *testing.T) {
	t.Parallel()
	scene{
		name: "a night", stage: brought, args: []string{"run", "--date", lastDate(t).String()},
		must: []string{
			"step.claimed", "step.done", "step.recorded", "run.finish", "run.finished", "ledger.commit", "ledger.committed",
			"extract.snapshot", "extract.snapshot_open", "extract.snapshot_close", "extract.parts_stored", "extract.manifest", "extract.manifest_stored", "extract.manifest_record",
			"lake.disk.put", "lake.disk.created", "lake.disk.written", "lake.disk.linked", "lake.disk.stored",
			"load.stage", "load.staged", "load.verify", "transform.build", "transform.built", "transform.test",
			"duckdb.commit", "duckdb.committed", "duckdb.publish_item", "duckdb.published", "duckdb.sweep", "duckdb.checkpointed", "duckdb.copy_written", "duckdb.copy_renamed",
			"publish.begin", "publish.visible", "publish.recorded", "publish.described", "artifacts.write",
		},
	}.play(t, moments(20))
}

// A night in which a test fails holds the same datasets back, however often it is killed.
func TestKilledNightsWithAFailingTest(t *testing.T) {
	t.Parallel()
	scene{
		name: "a night with a failing test",
		stage: func(t *testing.T) string {
			dir := brought(t)
			write(t, dir, map[string]string{"sql/tests/nobody.sql": "{{ config(store_failures=true) }}\nselect * from {{ ref('stg_companies') }}\n"})
			return dir
		},
		args: []string{"run", "--date", lastDate(t).String()}, code: 65,
		must: []string{"transform.failing_rows", "duckdb.keep_failures", "run.block", "publish.visible"},
	}.play(t, moments(0, "transform.failing_rows", "duckdb.keep_failures", "run.block"))
}

// A rollback that is killed and given again goes back once.
func TestKilledRollbacks(t *testing.T) {
	t.Parallel()
	scene{
		name:  "a rollback",
		stage: func(t *testing.T) string { dir, _, _ := twoNights(t); return dir },
		args:  []string{"rollback", "app.companies", "--reason", "wrong names", "--yes"}, again: 78, // rolled_back_already
		must: []string{"rollback.begin", "rollback.visible", "duckdb.restored"},
	}.play(t, moments(0, "rollback.begin", "rollback.visible", "duckdb.restored", "duckdb.copy_renamed", "publish.recorded", "step.recorded", "run.finished"))
}

// A scheduled night is served, finds its table gone, and whoever must know is told: killed at its tick, at a message, at any
// moment, there is one run, and each message arrives.
func TestKilledServe(t *testing.T) {
	t.Parallel()
	slack, told := mailbox(t)
	root := t.TempDir()
	night, before := lastNoon(t).String(), lastNoon(t).AddDays(-1)
	write(t, root, shop)
	edit(t, root, "schedules/nightly.yaml", "timezone: UTC", "timezone: "+noon(t).String())
	write(t, root, map[string]string{
		"trusted.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slack.Certificate().Raw})),
		"daybreak.yaml": "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true, base_url: \"https://data.example.com\"}\nnotify: {slack: {webhook: \"" + slack.URL + "/services/x\"}, allow_private: true}\n",
	})
	change(t, filepath.Join(root, "shop.db"), "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace')")
	env := []string{"SSL_CERT_FILE=" + filepath.Join(root, "trusted.pem")}
	must(t, root, env, "run", "--yes", "--date", before.String())
	decided(t, root, before)
	change(t, filepath.Join(root, "shop.db"), "ALTER TABLE users RENAME TO renamed")
	scene{
		name: "serve", args: []string{"serve", "--listen", "127.0.0.1:0"}, env: env,
		must:  []string{"tick.started", "tick.recorded", "notify.claimed", "notify.sent"},
		stage: func(t *testing.T) string { return copyOf(t, root) },
		over: func(t *testing.T, dir string) bool {
			left := ask(t, ledgerIn(dir), `SELECT
				(SELECT count(*) FROM runs WHERE date = '`+night+`' AND state = 'failed'), (SELECT count(*) FROM ticks WHERE date = '`+night+`'),
				(SELECT count(*) FROM outbox WHERE state = 'delivered') > 0, (SELECT count(*) FROM outbox WHERE state <> 'delivered')`)[0]
			return slices.Equal(left, []string{"1", "1", "1", "0"})
		},
		between: func(t *testing.T, dir string) { // the lease of a message that was on its way would end by itself, in a while
			change(t, ledgerIn(dir), "UPDATE outbox SET lease_until = claimed_at WHERE state = 'sending'")
		},
		settled: func(t *testing.T, dir string) {
			keys := make(map[string]bool)
			for len(told) > 0 {
				l := <-told
				keys[l.key] = true
			}
			for _, row := range ask(t, ledgerIn(dir), "SELECT id FROM outbox") {
				if !keys[row[0]] {
					t.Errorf("the ledger says that %s was delivered, and Slack never heard of it; it heard %v", row[0], keys)
				}
			}
			if runs := ask(t, ledgerIn(dir), "SELECT id FROM runs WHERE date = '"+night+"'"); len(runs) != 1 {
				t.Errorf("the date has %d runs", len(runs))
			}
		},
	}.play(t, moments(0, "tick.started", "tick.recorded", "notify.claimed", "notify.sent"))
}

// A night from S3 to BigQuery's double, published together: killed around a request, whose answer nobody hears then.
func TestKilledNightsOnBigQuery(t *testing.T) {
	t.Parallel()
	s3 := testenv.S3(t)
	s := nightOnBigQuery("", func(t *testing.T) string {
		return fmt.Sprintf("{s3: {bucket: %s, prefix: cafe, endpoint: %q, region: us-east-1, path_style: true, access_key: %s, secret_key: %s}}", s3.NewBucket(t), s3.Endpoint, s3.AccessKey, s3.SecretKey)
	})
	s.must = append(s.must, "lake.s3.put", "lake.s3.sent")
	s.play(t, moments(2, "bigquery.submit", "bigquery.submitted", "bigquery.job_done", "bigquery.create", "bigquery.delete", "lake.s3.sent", "publish.visible"))
}

// The same, whose parts go through a bucket of Google's: what was put there and what was loaded from it are two things.
func TestKilledNightsThroughABucket(t *testing.T) {
	t.Parallel()
	s := nightOnBigQuery(", gcs_bucket: parts", func(*testing.T) string { return "lake" })
	s.must = append(s.must, "bigquery.object", "bigquery.object_put", "bigquery.object_drop", "bigquery.object_dropped")
	s.play(t, moments(0, "bigquery.object_put"))
}

// nightOnBigQuery is a night on BigQuery's double, with such a lake and with that besides in the warehouse's configuration.
func nightOnBigQuery(besides string, lake func(*testing.T) string) scene {
	var mu sync.Mutex
	servers := make(map[string]*bigquerytest.Server) // by workspace
	return scene{
		name: "a night on BigQuery" + besides, args: []string{"run", "--yes", "--date", "2026-01-06"},
		must: []string{"bigquery.submit", "bigquery.submitted", "bigquery.job_done", "bigquery.create", "bigquery.delete"},
		stage: func(t *testing.T) string {
			server, dir := bigquerytest.New(t), t.TempDir()
			server.MakeBucket("parts")
			write(t, dir, cafe)
			write(t, dir, map[string]string{"daybreak.yaml": fmt.Sprintf(`
warehouse: {bigquery: {project: acme-analytics, location: EU, dataset_prefix: test_, endpoint: %q, publish: together%s}}
lake: %s
sources: {cafe: {sqlite: cafe.db}}
status: {public: true}
`, server.URL, besides, lake(t))})
			change(t, filepath.Join(dir, "cafe.db"), `CREATE TABLE drinks (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO drinks VALUES (1, 'tea'), (2, 'coffee');
				CREATE TABLE orders (id INTEGER PRIMARY KEY, drink INTEGER, price INTEGER); INSERT INTO orders VALUES (1, 1, 3), (2, 2, 4), (3, 2, 5)`)
			must(t, dir, nil, "run", "--yes", "--date", "2026-01-05")
			change(t, filepath.Join(dir, "cafe.db"), "INSERT INTO orders VALUES (4, 1, 3), (5, 2, 7); UPDATE drinks SET id = 12 WHERE id = 2; UPDATE orders SET drink = 12 WHERE drink = 2")
			mu.Lock()
			defer mu.Unlock()
			servers[dir] = server
			return dir
		},
		look: func(t *testing.T, dir string) glimpse {
			mu.Lock()
			server := servers[dir]
			mu.Unlock()
			g := glimpse{make(map[string]string), make(map[string]bool)}
			for _, relation := range []string{"cafe.drinks", "cafe.orders", "analytics.revenue", "analytics.best", "analytics.targets"} {
				g.Contents[relation] = strings.Join(server.Rows(t, "SELECT * FROM test_"+relation+" ORDER BY 1"), " ")
			}
			for _, id := range server.Rows(t, "SELECT version_id FROM test__daybreak.versions") {
				g.versions[id] = true
			}
			return g
		},
	}
}
