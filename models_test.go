package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A model is built by itself, whole, and with other variables: each is a run of its own that says what was asked, and
// what was not selected stays as it was.
func TestRunsThatWereAskedForSomething(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	before, date := contents(t, dir), lastDate(t).String()
	ledger := filepath.Join(dir, "state", "ledger.db")
	options := func() string {
		return ask(t, ledger, "SELECT coalesce(options, '') FROM runs ORDER BY created_seq DESC LIMIT 1")[0][0]
	}
	a := must(t, dir, nil, "run", "--date", date, "--select", "mrr+", "--exclude", "source:*")
	if !strings.Contains(a.errors, "1 dataset published, 0 rows extracted") {
		t.Errorf("a selection says:\n%s", a.errors)
	}
	if got, want := options(), `{"select":["mrr+"],"exclude":["source:*"]}`; got != want {
		t.Errorf("the run keeps %s, want %s", got, want)
	}
	must(t, dir, nil, "run", "--date", date, "--select", "daily_conversations", "--full-refresh")
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("models that were built again differ (-before +after):\n%s", diff)
	}
	if acts := ask(t, ledger, "SELECT reason FROM audit WHERE action = 'run.special' ORDER BY id"); len(acts) != 2 || !strings.Contains(acts[1][0], "incremental models whole") {
		t.Errorf("the audit trail says %v", acts)
	}
	edit(t, dir, "sql/models/marts/busy_hours.sql", "count(*) as conversations,", "count(*) as conversations, '{{ var(\"word\", \"none\") }}' as word,")
	must(t, dir, nil, "run", "--date", date, "--select", "busy_hours", "--vars", "{word: said}")
	if got := query(t, dir, "SELECT DISTINCT word FROM analytics.busy_hours"); len(got) != 1 || got[0][0] != "said" {
		t.Errorf("the variable is %v", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "state", "artifacts", "run_results.json")); err != nil || !strings.Contains(string(b), `"unique_id":"model.daybreak.busy_hours","status":"success"`) {
		t.Errorf("run_results.json: %v\n%.500s", err, b)
	}
	wantRefusal(t, do(t, dir, nil, "run", "--select", "state:modified"), 78, "keeps no earlier state", "--outdated")
	wantRefusal(t, do(t, dir, nil, "run", "--select", "mrr", "--vars", "[1]"), 78, "no mapping")
}

// What late data leaves behind is shown, built again in order, and then nothing is outdated any more.
func TestOutdatedDaysAreBuiltAgain(t *testing.T) {
	t.Parallel()
	dir, newest := brought(t), lastDate(t)
	must(t, dir, nil, "run", "--date", newest.String())
	late := newest.AddDays(-1)
	if got := must(t, dir, nil, "plan", "--outdated").out; !strings.HasPrefix(got, "Nothing is outdated") {
		t.Fatalf("before anything is late:\n%s", got)
	}
	// A conversation of the day before comes late, and its day is brought once more.
	must(t, dir, nil, "run", "--date", late.String(), "--select", "source:app.conversations")
	plan := must(t, dir, nil, "plan", "--outdated").out
	if !strings.Contains(plan, fmt.Sprintf("%s  daily_conversations", late)) {
		t.Fatalf("the plan does not name the day:\n%s", plan)
	}
	must(t, dir, nil, "run", "--outdated")
	if got := must(t, dir, nil, "plan", "--outdated").out; !strings.HasPrefix(got, "Nothing is outdated") {
		t.Errorf("after it was built again:\n%s", got)
	}
}

// Tests of published data and the SQL that will run are there without a night.
func TestTestAndCompile(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	if a := must(t, dir, nil, "test", "stg_users+"); !strings.Contains(a.out, "unique(user_id)") || !strings.Contains(a.out, "0 failed") {
		t.Errorf("test says:\n%s", a.out)
	}
	edit(t, dir, "sql/tests/nobody_answers_early.sql", "where", "where true or")
	a := do(t, dir, nil, "test", "--rows", "2")
	if a.code != 65 || !strings.Contains(a.out, "nobody_answers_early of ") || !strings.Contains(a.out, "✕ failed") {
		t.Errorf("a test that fails: %d\n%s%s", a.code, a.out, a.errors)
	}
	compiled := must(t, dir, nil, "compile", "mrr", "--date", "2026-01-05").out
	if !strings.Contains(compiled, "2026-01-05") || strings.Contains(compiled, "{{") {
		t.Errorf("compiled:\n%s", compiled)
	}
	if rows := query(t, dir, "SELECT count(*) FROM ("+strings.TrimRight(must(t, dir, nil, "compile", "mrr").out, "; \n")+")"); rows[0][0] == "0" {
		t.Error("the compiled SQL finds nothing")
	}
	var listed []elt.Dataset
	if err := json.Unmarshal([]byte(must(t, dir, nil, "ls", "1+daily_conversations", "--json").out), &listed); err != nil || len(listed) != 2 {
		t.Errorf("ls: %v, %d datasets", err, len(listed))
	}
}

// A model that can be met at work: endless does not come to its end by itself, and slow is the same of fewer rows.
const (
	slow    = "{{ config(materialized='table') }}\nselect count(*) as n, sum(hash(i) % 7) as s from range(1000) t(i)\n"
	endless = "{{ config(materialized='table') }}\nselect count(*) as n, sum(hash(i) % 7) as s from range(1000000000000) t(i)\n"
)

// writeSlow makes it the workspace's model slow.
func writeSlow(t *testing.T, dir, text string) {
	t.Helper()
	write(t, dir, map[string]string{"sql/models/marts/slow.sql": text})
}

// A process that is killed while it builds a model leaves what was published; the next one goes on and ends with the
// tables of an undisturbed night.
func TestKilledInMidTransform(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	neverFalselyGreen(t, dir)
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	if err := os.CopyFS(undisturbed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	writeSlow(t, undisturbed, slow)
	must(t, undisturbed, nil, "run", "--date", date)
	writeSlow(t, dir, endless)
	cmd, ended := metAtWork(t, dir, nil, "slow", "run", "--date", date)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("the night that was killed ended well")
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("readers see something else (-before +killed):\n%s", diff)
	}
	writeSlow(t, dir, slow)
	must(t, dir, nil, "run", "--date", date)
	wantSameRows(t, rowsRead(t, undisturbed), rowsRead(t, dir))
}

// metAtWork starts daybreak and returns as soon as it builds the model; ended tells how it ends.
func metAtWork(t *testing.T, dir string, env []string, model string, args ...string) (cmd *exec.Cmd, ended <-chan error) {
	t.Helper()
	cmd = program(t.Context(), t, dir, env, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		end <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-gone
	})
	at, over := time.NewTicker(5*time.Millisecond), time.After(processTime)
	defer at.Stop()
	for !building(dir, model) {
		select {
		case err := <-end:
			t.Fatalf("it ended before its model was met at work: %v\n%s", err, &said)
		case <-over:
			t.Fatalf("its model was not met at work within %s", processTime)
		case <-at.C:
		}
	}
	return cmd, end
}

// building reports whether the model's transform step is running. While the ledger cannot be read, nobody knows.
func building(dir, model string) bool {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "state", "ledger.db")+"?mode=ro")
	if err != nil {
		return false
	}
	defer db.Close()
	var n int
	err = db.QueryRow("SELECT count(*) FROM steps WHERE kind = 'transform' AND state = 'running' AND dataset = ?", model).Scan(&n)
	return err == nil && n == 1
}

// A disk that fills up while a model is built costs the model, and nothing that was published; with room again, the
// rerun leaves the tables of a night that nothing disturbed.
func TestAFullDiskInMidTransform(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t).String()
	wide := "{{ config(materialized='table') }}\nselect range as n, hash(range) as h, repeat(md5(range::varchar), 40) as t from range(400000)\n"
	if err := os.WriteFile(filepath.Join(dir, "sql", "models", "marts", "wide.sql"), []byte(wide), 0o644); err != nil {
		t.Fatal(err)
	}
	undisturbed := filepath.Join(t.TempDir(), "undisturbed")
	if err := os.CopyFS(undisturbed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	must(t, undisturbed, nil, "run", "--date", date)
	before := rowsRead(t, dir)
	// Files beyond 40 MB are refused by the system, as they are by a disk that is full.
	a := withLimit(t, dir, 40_000, "run", "--date", date)
	if a.code == 0 || !strings.Contains(a.errors, "full") {
		t.Errorf("a night on a full disk: %d\n%s", a.code, a.errors)
	}
	after, whole := rowsRead(t, dir), rowsRead(t, undisturbed)
	for relation, rows := range before { // each is the old night's or the new one's, never a part of either
		if !slices.Equal(after[relation], rows) && !slices.Equal(after[relation], whole[relation]) {
			t.Errorf("%s has %d rows of neither night", relation, len(after[relation]))
		}
	}
	if after["analytics.wide"] != nil {
		t.Error("a model that did not fit is published")
	}
	must(t, dir, nil, "run", "--date", date)
	wantSameRows(t, whole, rowsRead(t, dir))
}

// rowsRead returns the rows of every published relation, in order, as text.
func rowsRead(t *testing.T, dir string) map[string][]string {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	out := make(map[string][]string)
	for _, relation := range texts(t, db, "SELECT relation FROM _daybreak.published") {
		out[relation] = texts(t, db, "SELECT CAST(r AS VARCHAR) FROM "+relation+" AS r ORDER BY 1")
	}
	return out
}

// wantSameRows compares the tables of two nights, one by one and row for row.
func wantSameRows(t *testing.T, want, got map[string][]string) {
	t.Helper()
	for _, relation := range slices.Sorted(maps.Keys(want)) {
		w, g := want[relation], got[relation]
		for i := range max(len(w), len(g)) {
			if i >= len(w) || i >= len(g) || w[i] != g[i] {
				t.Errorf("%s: %d rows, want %d; they differ first in row %d", relation, len(g), len(w), i)
				break
			}
		}
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%d relations are published, want %d", len(got), len(want))
	}
}

// An incremental model whose SELECT changes is held back, or follows as its on_schema_change says; what changed is told.
func TestColumnsOfAModelThatChange(t *testing.T) {
	t.Parallel()
	dir, date, model := brought(t), lastDate(t).AddDays(-1).String(), "sql/models/marts/daily_conversations.sql"
	before := query(t, dir, "SELECT * FROM analytics.daily_conversations ORDER BY ALL")
	edit(t, dir, model, "    count(rating) as ratings,\n", "    max(rating) as best_rating,\n")
	again := []string{"run", "--date", date, "--select", "daily_conversations"}
	a := do(t, dir, nil, again...)
	if a.code == 0 || !strings.Contains(a.errors, `column "ratings" is gone; column "best_rating" is new`) || !strings.Contains(a.errors, "on_schema_change") {
		t.Errorf("changed columns: %d\n%s", a.code, a.errors)
	}
	edit(t, dir, model, "unique_key=", "on_schema_change='append_new_columns', unique_key=")
	must(t, dir, nil, again...)
	if got := query(t, dir, "SELECT count(*) FILTER (WHERE best_rating IS NULL AND ratings > 0) > 0, count(*) FILTER (WHERE ratings IS NULL) > 0 FROM analytics.daily_conversations"); got[0][0] != "true" || got[0][1] != "true" {
		t.Errorf("older rows keep what they had and new ones have NULL: %v", got)
	}
	ledger := filepath.Join(dir, "state", "ledger.db")
	told := ask(t, ledger, "SELECT detail FROM events WHERE kind = 'schema.changed' AND dataset = 'daily_conversations'")
	if len(told) != 1 || !strings.Contains(told[0][0], `"best_rating","kind":"added"`) || !strings.Contains(told[0][0], `"ratings","kind":"kept"`) {
		t.Errorf("the ledger tells of %v", told)
	}
	must(t, dir, nil, "rollback", "daily_conversations", "--yes", "--reason", "the old columns")
	if diff := cmp.Diff(before, query(t, dir, "SELECT * EXCLUDE best_rating FROM analytics.daily_conversations ORDER BY ALL")); diff != "" {
		t.Errorf("rolled back (-before +after):\n%s", diff)
	}
}

// Columns that tests and descriptions name are looked for before any night: those of tables at their source, those of
// models by trying their SQL over empty tables.
func TestColumnsThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir := demo(t) // nothing is published
	for _, typo := range [][3]string{
		{"sql/models/marts/daily_conversations.sql", "count(*) as conversations,", "count(*) as conversatons,"},
		{"sql/models/staging/schema.yml", "- name: currency\n            description: ISO 4217 code of the currency it pays in.", "- name: curency"},
		{"sql/models/marts/response_times.sql", "select", "select missing,"},
	} {
		edit(t, dir, typo[0], typo[1], typo[2])
	}
	a := do(t, dir, nil, "check")
	for _, want := range []string{
		`sql/models/marts/schema.yml:109:15: daily_conversations has no column conversations; did you mean "conversatons"?`,
		`app.companies has no column curency; did you mean "currency"?`,
		"sql/models/marts/response_times.sql:", `warning: the warehouse refuses the SQL of response_times`,
	} {
		if !strings.Contains(a.out, want) {
			t.Errorf("check does not say %q:\n%s", want, a.out)
		}
	}
	if a.code != 78 || !strings.Contains(a.errors, "2 problems, 1 warning") {
		t.Errorf("exit %d, %s", a.code, a.errors)
	}
	if a := do(t, dir, nil, "check", "--offline"); a.code != 0 {
		t.Errorf("without sources and versions no column is doubted: %d\n%s", a.code, a.out)
	}
}
