package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

// acme is a dbt project with a model of each kind that keeps its rows, and one that takes as long as is wanted.
var acme = map[string]string{
	"analytics/dbt_project.yml": "name: acme\nprofile: acme\nmodels: {acme: {+materialized: table}}\n",
	"analytics/models/sources.yml": `
sources:
  - name: shop
    tables:
      - name: users
        description: Everybody who ever signed up.
        columns: [{name: id, description: A number., data_tests: [unique, not_null]}]
  - name: raw
    tables:
      - name: happened
        meta: {dataset: shop.events}
        loaded_at_field: happened_at
        freshness: {warn_after: {count: 1, period: hour}}
        config: {event_time: happened_at}
`,
	"analytics/models/daily.sql": `{{ config(materialized='incremental', unique_key='day') }}
select cast('{{ var("data_date") }}' as date) as day, count(*) as users, {{ is_incremental() }} as added, '{{ var("shop") }}' as shop from {{ source('shop', 'users') }}`,
	"analytics/models/batches.sql": `{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened_at', begin='2026-01-01', batch_size='day') }}
select id, happened_at from {{ source('raw', 'happened') }}`,
	"analytics/models/names.sql":  `{{ config(materialized='view') }} select distinct name from {{ ref('pasted') }}`,
	"analytics/models/pasted.sql": `{{ config(materialized='ephemeral') }} select * from {{ source('shop', 'users') }}`,
	"analytics/models/slow.sql": `select {% if env_var('SLOW', '') %} (select count(*) from range(1000000000000) t(i) where hash(i) = 1) {% else %} 1 {% endif %} as n,
(select count(*) from {{ ref('names') }}) as names`,
	"analytics/models/after.sql": `select n + names as m, md5(cast(i as varchar)) as x from {{ ref('slow') }}, range(200000) r(i)`,
	"analytics/models/schema.yml": `
models:
  - name: daily
    description: How many there were.
    config: {tags: [numbers], meta: {owners: [ada@example.com, grace@example.com], deadline: "07:00"}}
    columns: [{name: day, description: The date., data_tests: [unique]}]
  - name: after
    columns: [{name: x, meta: {pii: true}}]
    data_tests: [{dbt_utils_at_most: {arguments: {most: 100000}, config: {severity: warn, store_failures: true}}}]
snapshots:
  - name: users_history
    relation: source('shop', 'users')
    config: {unique_key: id, strategy: check, check_cols: all}
`,
	"analytics/tests/generic/at_most.sql": "{% test dbt_utils_at_most(model, most) %} select * from {{ model }} where m > {{ most }} {% endtest %}",
	"analytics/tests/no_ghosts.sql":       "select * from {{ ref('daily') }} where users < 0",
	"schedules/nightly.yaml": `
at: "02:00"
timezone: UTC
owners: [data@example.com, shop@example.com]
retries: {attempts: 3, first_delay: 1s, max_delay: 1s}
tables:
  shop.users: {mode: full}
  shop.events: {mode: full}
models: ["*"]
`,
}

// newAcme makes a workspace with the project, whose dbt is called through a script that lets a test slow it, limit
// its files and find its process.
func newAcme(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, acme)
	write(t, dir, map[string]string{
		"daybreak.yaml": "sources: {shop: {sqlite: shop.db}}\nstatus: {public: true}\nmodels: {dbt: analytics, dbt_command: ./dbt.sh, vars: {shop: 'on {{ data_date }}'}}\n",
		"dbt.sh": fmt.Sprintf(`#!/bin/sh
if [ "$1" = build ]; then
	echo $$ >'%[1]s/dbt.pid'
	[ -e '%[1]s/slow' ] && SLOW=yes && export SLOW
	[ -e '%[1]s/limit' ] && ulimit -f "$(cat '%[1]s/limit')"
fi
exec '%[2]s' "$@"
`, dir, testenv.DBT(t)),
	})
	if err := os.Chmod(filepath.Join(dir, "dbt.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(dir, "shop.db"), `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');
		CREATE TABLE events (id INTEGER PRIMARY KEY, happened_at DATETIME);
		INSERT INTO events VALUES (1, '2026-01-01 10:00:00'), (2, '2026-01-04 00:00:00'), (3, '2026-01-05 23:59:59'), (4, '2026-01-06 12:00:00')`)
	return dir
}

// A dbt project's models keep their rows from night to night, see their night, and are built again by date.
func TestADBTProjectNightByNight(t *testing.T) {
	t.Parallel()
	dir := newAcme(t)
	if a := must(t, dir, nil, "check"); !strings.Contains(a.out, "ok: 8 datasets") {
		t.Errorf("check says %s", a.out)
	}
	var listed []struct {
		Name, Description, Relation, Materialized string
		Tags, Owners, Inputs                      []string
		DeadlineTime                              string `json:"deadline_time"`
		Columns                                   []struct {
			Name, Description string
			Tests             []string
		}
	}
	decodeText(t, must(t, dir, nil, "ls", "daily", "--json").out, &listed)
	if len(listed) != 1 || listed[0].Description != "How many there were." || listed[0].Relation != "analytics.daily" || listed[0].DeadlineTime != "07:00" ||
		!cmp.Equal(listed[0].Owners, []string{"ada@example.com", "grace@example.com"}) || !cmp.Equal(listed[0].Tags, []string{"numbers"}) ||
		!cmp.Equal(listed[0].Inputs, []string{"shop.users"}) || listed[0].Columns[0].Description != "The date." || !cmp.Equal(listed[0].Columns[0].Tests, []string{"unique"}) {
		t.Errorf("daily is listed as %+v", listed)
	}
	must(t, dir, nil, "run", "--date", "2026-01-04")
	change(t, filepath.Join(dir, "shop.db"), "UPDATE users SET name = 'Ada L.' WHERE id = 1; INSERT INTO users VALUES (3, 'Joan')")
	must(t, dir, nil, "run", "--date", "2026-01-05")
	wantDaily := [][]string{{"2026-01-04", "2", "false", "on 2026-01-04"}, {"2026-01-05", "3", "true", "on 2026-01-05"}}
	if diff := cmp.Diff(wantDaily, query(t, dir, "SELECT * FROM analytics.daily ORDER BY day")); diff != "" {
		t.Errorf("daily (-want +got):\n%s", diff)
	}
	if got := query(t, dir, "SELECT count(*), count(*) FILTER (dbt_valid_to IS NULL), count(DISTINCT id) FROM analytics.users_history"); !cmp.Equal(got, [][]string{{"4", "3", "3"}}) {
		t.Errorf("the snapshot has %v", got)
	}
	// The first night builds all batches from the beginning to its own end; the next one its own.
	if got := query(t, dir, "SELECT string_agg(id, ' ' ORDER BY id) FROM analytics.batches"); !cmp.Equal(got, [][]string{{"1 2 3"}}) {
		t.Errorf("batches has %v", got)
	}
	must(t, dir, nil, "run", "--date", "2026-01-05", "--again")
	if diff := cmp.Diff(wantDaily, query(t, dir, "SELECT * FROM analytics.daily ORDER BY day")); diff != "" {
		t.Errorf("daily after the same date once more (-want +got):\n%s", diff)
	}
	if found := tested(t, dir); found["daily no_ghosts"] != "pass" || found["after dbt_utils_at_most_after_100000"] != "pass" || found["shop.users unique(id)"] != "pass" ||
		found["shop.events freshness(happened_at)"] != "warn 1" || len(found) != 6 {
		t.Errorf("the tests found %v", found)
	}
	// A date that was missed is built afterwards, from what is published, beside the others.
	must(t, dir, nil, "run", "--date", "2026-01-02")
	if got := query(t, dir, "SELECT string_agg(day, ' ' ORDER BY day) FROM analytics.daily"); !cmp.Equal(got, [][]string{{"2026-01-02 2026-01-04 2026-01-05"}}) {
		t.Errorf("daily has the days %v", got)
	}
	testPublished(t, dir)
	outdatedByDBT(t, dir)
	a := do(t, dir, nil, "run", "--date", "2026-01-05", "--again", "--full-refresh", "--select", "daily after", "--select", "names", "--exclude", "names", "--vars", "{shop: elsewhere}")
	if a.code != 65 || !strings.Contains(a.errors, "test_failed") {
		t.Errorf("exit %d, want 65 and test_failed\n%s", a.code, a.errors)
	}
	if got := query(t, dir, "SELECT string_agg(day || ' ' || shop) FROM analytics.daily"); !cmp.Equal(got, [][]string{{"2026-01-05 elsewhere"}}) {
		t.Errorf("daily after a full refresh has %v", got)
	}
	ledger := filepath.Join(dir, "state", "ledger.db")
	if got := ask(t, ledger, "SELECT DISTINCT dataset FROM steps WHERE run = (SELECT run FROM steps WHERE dataset = 'daily' ORDER BY rowid DESC LIMIT 1) AND kind = 'transform' ORDER BY 1"); !cmp.Equal(got, [][]string{{"after"}, {"daily"}}) {
		t.Errorf("built are %v", got)
	}
	// The test that fails shows its rows, and keeps them, without the column that is personal.
	got := ask(t, ledger, "SELECT dataset, sample, relation FROM failing_rows ORDER BY saved_at DESC LIMIT 1")
	if len(got) != 1 || got[0][0] != "after" || !strings.Contains(got[0][1], `"m"`) || strings.Contains(got[0][1], `"x"`) {
		t.Fatalf("failing rows are %v", got)
	}
	if got := query(t, dir, "SELECT string_agg(column_name) FROM (DESCRIBE "+got[0][2]+")"); !cmp.Equal(got, [][]string{{"m"}}) {
		t.Errorf("kept are %v", got)
	}
}

// testPublished tests what is published by dbt: nothing changes, rows are shown without what is personal, and a test of
// severity error that fails is told by the exit code.
func testPublished(t *testing.T, dir string) {
	t.Helper()
	before := contents(t, dir)
	edit(t, dir, "analytics/models/schema.yml", "{most: 100000}, config: {severity: warn,", "{most: 1}, config: {")
	a := do(t, dir, nil, "test", "--rows", "2")
	for _, want := range []string{
		"shop.users   unique(id)", "shop.events  freshness(happened_at)", "! warning", "✕ failed   200,000", "dbt_utils_at_most_after_1 of after:\n  m\n  ", "6 tests: 4 passed, 1 warning, 1 failed",
	} {
		if !strings.Contains(a.out, want) {
			t.Errorf("test does not say %q", want)
		}
	}
	if a.code != 65 || t.Failed() {
		t.Errorf("exit %d, want 65\n%s%s", a.code, a.out, a.errors)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("testing changed what is published (-before +after):\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "state", "dbt", "runs", "test", "*")); err != nil || left != nil {
		t.Errorf("left are %v, %v", left, err)
	}
}

// outdatedByDBT brings a table once more, which leaves what dbt made from it outdated until that is built again.
func outdatedByDBT(t *testing.T, dir string) {
	t.Helper()
	nothing := func() {
		t.Helper()
		if got := must(t, dir, nil, "plan", "--outdated").out; !strings.HasPrefix(got, "Nothing is outdated") {
			t.Errorf("outdated are\n%s", got)
		}
	}
	nothing()
	must(t, dir, nil, "run", "--date", "2026-01-05", "--again", "--select", "source:raw.happened")
	if got := must(t, dir, nil, "plan", "--outdated").out; !strings.Contains(got, "\n2026-01-05  batches  shop.events of 2026-01-05 has a newer version") || !strings.Contains(got, "1 day of models on 1 date") {
		t.Errorf("outdated are\n%s", got)
	}
	must(t, dir, nil, "run", "--outdated")
	nothing()
}

// awaitSlow waits until dbt works on the model that does not end.
func awaitSlow(t *testing.T, dir string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		logs, err := filepath.Glob(filepath.Join(dir, "state", "dbt", "runs", "*", "*", "logs", "dbt.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if b, err := os.ReadFile(l); err == nil && bytes.Contains(b, []byte("range(1000000000000)")) {
				return
			}
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("dbt does not come to its slow model")
		}
	}
}

// interruptedNights are the ways in which a night with dbt does not come to its end. Each leaves the workspace such that
// one more daybreak run may bring the night.
var interruptedNights = map[string]func(t *testing.T, dir string){
	"daybreak is killed while dbt works": func(t *testing.T, dir string) {
		write(t, dir, map[string]string{"slow": ""})
		cmd := program(t.Context(), t, dir, nil, "run", "--date", "2026-01-05")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitSlow(t, dir)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("daybreak was not killed")
		}
		remove(t, filepath.Join(dir, "slow"))
	},
	"dbt is killed while it works": func(t *testing.T, dir string) {
		write(t, dir, map[string]string{"slow": ""})
		cmd := program(t.Context(), t, dir, nil, "run", "--date", "2026-01-05")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitSlow(t, dir)
		remove(t, filepath.Join(dir, "slow"))
		b, err := os.ReadFile(filepath.Join(dir, "dbt.pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil { // what remained is built by another dbt, within the same night
			t.Errorf("the night did not recover: %v\n%s", err, &out)
		}
		places, err := filepath.Glob(filepath.Join(dir, "state", "dbt", "runs", "*", "2", "logs", "dbt.log"))
		if err != nil || len(places) == 0 { // the step that waited for it says so, if one did at that moment
			t.Errorf("no other dbt went on where one was killed (%v):\n%s", err, &out)
		}
	},
	"the disk is full while dbt works": func(t *testing.T, dir string) {
		write(t, dir, map[string]string{"limit": "8192"})
		a := do(t, dir, nil, "run", "--date", "2026-01-05")
		if a.code != 76 || !strings.Contains(a.errors, "disk_full") {
			t.Errorf("exit %d, want 76 and disk_full\n%s", a.code, a.errors)
		}
		remove(t, filepath.Join(dir, "limit"))
	},
	"the disk is full while dbt's file is made": func(t *testing.T, dir string) {
		small := filepath.Join(dir, "state", "dbt")
		if err := os.RemoveAll(small); err != nil {
			t.Fatal(err)
		}
		write(t, small, map[string]string{"here": ""})
		disk := mount(t, small)
		must(t, dir, nil, "check") // what dbt makes of the project's files is there
		disk.leave(t, 400)
		if a := disk.do(t, dir, "run", "--date", "2026-01-05"); a.code == 0 && disk.mounted {
			t.Errorf("there was room enough\n%s", a.errors)
		}
		disk.leave(t, 1<<16)
	},
}

// Whatever ends dbt or Daybreak while dbt works: the night before still serves, and the rerun gives the tables of an
// undisturbed night.
func TestInterruptedDBTNightsEndLikeUndisturbedOnes(t *testing.T) {
	t.Parallel()
	undisturbed := newAcme(t)
	bring := func(dir, date string) { must(t, dir, nil, "run", "--date", date) }
	// The snapshot's times are those at which dbt looked.
	const looked = "SELECT id, name, dbt_valid_to IS NULL FROM analytics.users_history ORDER BY ALL"
	bring(undisturbed, "2026-01-04")
	before, historyBefore := contents(t, undisturbed), query(t, undisturbed, looked)
	bring(undisturbed, "2026-01-05")
	after, historyAfter := contents(t, undisturbed), query(t, undisturbed, looked)
	for _, c := range []map[string]string{before, after} {
		delete(c, "analytics.users_history")
	}
	for name, interrupt := range interruptedNights {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newAcme(t)
			must(t, dir, nil, "run", "--date", "2026-01-04")
			interrupt(t, dir)
			switch got := contents(t, dir); name {
			case "dbt is killed while it works": // the night has ended well by itself
			case "the disk is full while dbt works": // what there was room for has appeared
				if before["analytics.after"] != got["analytics.after"] {
					t.Errorf("what dbt had no room for is %s, and was %s", got["analytics.after"], before["analytics.after"])
				}
			default:
				delete(got, "analytics.users_history")
				if diff := cmp.Diff(before, got); diff != "" {
					t.Errorf("after it was interrupted, readers see (-night before +got):\n%s", diff)
				}
				if diff := cmp.Diff(historyBefore, query(t, dir, looked)); diff != "" {
					t.Errorf("history (-night before +got):\n%s", diff)
				}
			}
			do(t, dir, nil, "run", "--date", "2026-01-05")
			got := contents(t, dir)
			delete(got, "analytics.users_history")
			if diff := cmp.Diff(after, got); diff != "" {
				t.Errorf("the rerun (-undisturbed +got):\n%s", diff)
			}
			if diff := cmp.Diff(historyAfter, query(t, dir, looked)); diff != "" {
				t.Errorf("history (-undisturbed +got):\n%s", diff)
			}
			wantOneTruth(t, dir)
		})
	}
}
