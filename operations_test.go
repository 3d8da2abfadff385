package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// headline is what daybreak status says of a dataset.
type headline struct {
	State           string   `json:"state"`
	Date            string   `json:"date"`
	Withdrawn       string   `json:"withdrawn"`
	Outdated        []string `json:"outdated"`
	Checks          string   `json:"checks"`
	CompleteThrough string
}

func headlineOf(t *testing.T, dir, dataset string) headline {
	t.Helper()
	var said struct {
		Headline struct {
			Latest          headline
			CompleteThrough string `json:"complete_through"`
		}
	}
	if err := json.Unmarshal([]byte(must(t, dir, nil, "status", dataset, "--json").out), &said); err != nil {
		t.Fatal(err)
	}
	said.Headline.Latest.CompleteThrough = said.Headline.CompleteThrough
	return said.Headline.Latest
}

// wantContents checks what people read: the first night's of the named relations, and of the views over them, and the
// second's of all others.
func wantContents(t *testing.T, dir string, first, second map[string]string, back ...string) {
	t.Helper()
	for _, relation := range back {
		back = append(back, viewsOver(t, dir, relation)...)
	}
	want := make(map[string]string)
	for relation, rows := range second {
		want[relation] = rows
		if slices.Contains(back, relation) {
			want[relation] = first[relation]
		}
	}
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	wantOneTruth(t, dir)
}

// A whole table, a merged one and a model go back to the version before and forward again; gates, page and audit trail
// say so, and the day that was rolled back can be brought anew.
func TestRollback(t *testing.T) {
	t.Parallel()
	dir, first, second := twoNights(t)
	neverFalselyGreen(t, dir)
	date := lastDate(t).String()
	for dataset, relation := range map[string]string{"app.companies": "app.companies", "app.message_parts": "app.message_parts", "mrr": "analytics.mrr"} {
		newest := query(t, dir, "SELECT version_id FROM _daybreak.versions WHERE dataset = '"+dataset+"' ORDER BY published_at DESC LIMIT 1")[0][0]
		a := must(t, dir, nil, "rollback", dataset, "--reason", "wrong currency", "--yes")
		if !strings.Contains(a.out, "brings it anew") || !strings.Contains(a.out, date) {
			t.Errorf("rollback says %s", a.out)
		}
		wantContents(t, dir, first, second, relation)
		if h := headlineOf(t, dir, dataset); h.Withdrawn == "" || !strings.Contains(h.Withdrawn, "wrong currency") || h.CompleteThrough >= date {
			t.Errorf("%s was rolled back, and its day says %+v", dataset, h)
		}
		wantRefusal(t, do(t, dir, nil, "rollback", dataset, "--reason", "again", "--yes"), 78, "rolled_back_already", newest)
		if a := do(t, dir, nil, "wait", "--timeout", "0", dataset+"@"+date); a.code != 1 || !strings.Contains(a.out, "wrong currency") {
			t.Errorf("wait exits with %d and says %s", a.code, a.out)
		}
		must(t, dir, nil, "rollback", dataset, "--to", newest, "--reason", "it was right after all", "--yes")
		wantContents(t, dir, first, second)
		if h := headlineOf(t, dir, dataset); h.Withdrawn != "" || h.State != "ready" || h.CompleteThrough != date {
			t.Errorf("%s is back, and its day says %+v", dataset, h)
		}
		if a := must(t, dir, nil, "rollback", dataset, "--to", newest, "--reason", "twice", "--yes"); !strings.Contains(a.out, "already") {
			t.Errorf("a repeat says %s", a.out)
		}
	}
	must(t, dir, nil, "rollback", "app.companies", "--to", lastDate(t).AddDays(-1).String(), "--reason", "once more", "--yes")
	if h := headlineOf(t, dir, "stg_companies"); !slices.Contains(h.Outdated, "app.companies") || h.State != "ready" {
		t.Errorf("what was made from it says %+v", h)
	}
	must(t, dir, nil, "verify")
	must(t, dir, nil, "run", "--date", date, "--again")
	wantContents(t, dir, first, second)
	if h := headlineOf(t, dir, "app.companies"); h.Withdrawn != "" || h.CompleteThrough != date {
		t.Errorf("the day was brought anew and says %+v", h)
	}
	trail := must(t, dir, nil, "audit", "mrr").out
	if strings.Count(trail, "rollback") != 2 || !strings.Contains(trail, "it was right after all") {
		t.Errorf("the audit trail:\n%s", trail)
	}
}

// viewsOver returns the relations of models that are views over a dataset.
func viewsOver(t *testing.T, dir, dataset string) []string {
	t.Helper()
	db := readCopy(t, dir)
	defer db.Close()
	return texts(t, db, `SELECT p.relation FROM _daybreak.published p JOIN _daybreak.versions v ON v.relation = p.relation
		WHERE p.physical = '' AND CAST(v.inputs AS VARCHAR) LIKE '%`+dataset+`%' GROUP BY 1`)
}

func TestRollbackRefuses(t *testing.T) {
	t.Parallel()
	dir := brought(t)
	before := contents(t, dir)
	wantRefusal(t, do(t, dir, nil, "rollback", "app.companies", "--reason", "x", "--yes"), 65, "nothing to go back to", "nothing_before")
	wantRefusal(t, do(t, dir, nil, "rollback", "app.company", "--reason", "x", "--yes"), 78, "dataset_unknown", "app.companies")
	wantRefusal(t, do(t, dir, nil, "rollback", "app.companies", "--to", "2001-01-01", "--reason", "x", "--yes"), 78, "version_unknown")
	if a := do(t, dir, nil, "rollback", "app.companies", "--yes"); a.code != 64 {
		t.Errorf("a rollback without a reason exits with %d", a.code)
	}
	must(t, dir, nil, "run", "--date", lastDate(t).String())
	must(t, dir, nil, "run", "--date", lastDate(t).String(), "--again")
	now := contents(t, dir)
	wantRefusal(t, do(t, dir, nil, "rollback", "app.companies", "--reason", "x"), 78, "nothing was done", "--yes", "not_confirmed")
	oldest := query(t, dir, "SELECT version_id FROM _daybreak.versions WHERE dataset = 'app.companies' ORDER BY published_at LIMIT 1")[0][0]
	wantRefusal(t, do(t, dir, nil, "rollback", "app.companies", "--to", oldest, "--reason", "x", "--yes"), 65, "version_not_kept", "daybreak load --publish")
	if diff := cmp.Diff(now, contents(t, dir)); diff != "" || len(before) == 0 {
		t.Errorf("something changed (-before +after):\n%s", diff)
	}
	wantOneTruth(t, dir)
}

// A rollback that is killed at any moment and asked for again ends as one that was not.
func TestAKilledRollback(t *testing.T) {
	t.Parallel()
	for _, events := range []int{1, 2, 3, 4, 5} {
		dir, first, second := twoNights(t)
		killWhen(t, dir, events, "rollback", "app.message_parts", "--reason", "x", "--yes")
		if a := do(t, dir, nil, "rollback", "app.message_parts", "--reason", "x", "--yes"); a.code != 0 {
			wantRefusal(t, a, 78, "rolled_back_already") // it was done before it was killed
		}
		wantContents(t, dir, first, second, "app.message_parts")
		if n := query(t, dir, "SELECT count(*) FROM _daybreak.restored"); n[0][0] != "1" {
			t.Errorf("killed after %d events, it went back %s times", events, n[0][0])
		}
	}
}

// killWhen runs daybreak and kills it once the ledger has so many more events, or lets it end before that.
func killWhen(t *testing.T, dir string, events int, args ...string) {
	t.Helper()
	before := seen(dir)
	cmd := program(context.WithoutCancel(t.Context()), t, dir, nil, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it may have been killed
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if seen(dir) >= before+events {
			if err := cmd.Process.Kill(); err != nil {
				t.Log(err) // it has just ended
			}
			<-ended
			return
		}
	}
}

// What an operator asks for while daybreak serve is at work, that carries out.
func TestOperatorsBesideServe(t *testing.T) {
	t.Parallel()
	dir, first, second := twoNights(t)
	edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n    expect_rows: at least 1_000_000\n")
	date := lastDate(t).String()
	_, stop := serve(t, dir, nil)
	a := must(t, dir, nil, "rollback", "app.companies", "--reason", "wrong prices", "--yes")
	if !strings.Contains(a.out, "Another daybreak is at work here") {
		t.Errorf("rollback says %s", a.out)
	}
	wantContents(t, dir, first, second, "app.companies")
	a = must(t, dir, nil, "load", "app.companies", "--date", date, "--publish", "--yes")
	if !strings.Contains(a.out, "from the lake") {
		t.Errorf("load says %s", a.out)
	}
	wantContents(t, dir, first, second)
	must(t, dir, nil, "withdraw", "mrr", date, "--reason", "wrong prices", "--yes")
	if h := headlineOf(t, dir, "mrr"); h.Withdrawn != "wrong prices" {
		t.Errorf("the withdrawn day says %+v", h)
	}
	if a := must(t, dir, nil, "gc"); !strings.Contains(a.out, "nothing that nobody needs") {
		t.Errorf("gc says %s", a.out)
	}
	stop()
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	dir, _, second := twoNights(t)
	neverFalselyGreen(t, dir)
	date := lastDate(t).String()
	wantRefusal(t, do(t, dir, nil, "withdraw", "mrr", "2001-01-01", "--reason", "x", "--yes"), 78, "day_unknown")
	wantRefusal(t, do(t, dir, nil, "withdraw", "mrr", date, "--reason", "x"), 78, "not_confirmed")
	for range 2 {
		must(t, dir, nil, "withdraw", "app.subscriptions", date, "--reason", "prices in cents", "--yes")
	}
	h := headlineOf(t, dir, "app.subscriptions")
	if h.Withdrawn != "prices in cents" || h.CompleteThrough >= date || h.State != "ready" {
		t.Errorf("the withdrawn day says %+v", h)
	}
	if h := headlineOf(t, dir, "stg_subscriptions"); !slices.Contains(h.Outdated, "app.subscriptions") {
		t.Errorf("what was made from it says %+v", h)
	}
	if a := do(t, dir, nil, "wait", "app.subscriptions@"+date); a.code != 1 || !strings.Contains(a.out, "prices in cents") {
		t.Errorf("wait exits with %d and says %s", a.code, a.out)
	}
	if status := must(t, dir, nil, "status").out; !strings.Contains(status, "✕ withdrawn") {
		t.Errorf("status says %s", status)
	}
	if diff := cmp.Diff(second, contents(t, dir)); diff != "" {
		t.Errorf("the tables changed:\n%s", diff)
	}
	must(t, dir, nil, "run", "--date", date, "--again")
	if h := headlineOf(t, dir, "app.subscriptions"); h.Withdrawn == "" {
		t.Error("a person closed the day, and a run opened it")
	}
	must(t, dir, nil, "withdraw", "app.subscriptions", date, "--undo", "--reason", "checked by finance", "--yes")
	must(t, dir, nil, "wait", "app.subscriptions@"+date)
	trail := must(t, dir, nil, "audit", "app.subscriptions").out
	for _, want := range []string{"withdraw.undo", "checked by finance", "prices in cents"} {
		if strings.Count(trail, want) != 1 {
			t.Errorf("the audit trail does not say %q once:\n%s", want, trail)
		}
	}
}

// A guard holds a table back with both numbers, and lets it pass once where a person says so.
func TestGuards(t *testing.T) {
	t.Parallel()
	dir, first, second := twoNights(t)
	date := lastDate(t).String()
	edit(t, dir, "schedules/nightly.yaml", "  app.companies:\n", "  app.companies:\n    expect_rows: between 1 and 2\n")
	a := do(t, dir, nil, "run", "--date", date, "--again")
	wantRefusal(t, a, 65, "30 rows, expected between 1 and 2", "daybreak allow app.companies "+date, "rows_unexpected")
	wantContents(t, dir, first, second)
	wantRefusal(t, do(t, dir, nil, "allow", "mrr", date, "--reason", "x"), 78, "not_extracted")
	if a := must(t, dir, nil, "allow", "app.companies", date, "--reason", "a public holiday"); !strings.Contains(a.out, "tried again") {
		t.Errorf("allow says %s", a.out)
	}
	must(t, dir, nil, "run", "--date", date)
	wantContents(t, dir, first, second)
	if h := headlineOf(t, dir, "app.companies"); h.Checks != "warned" || h.State != "ready" {
		t.Errorf("the day was let pass, and says %+v", h)
	}
	wantRefusal(t, do(t, dir, nil, "run", "--date", date, "--again"), 65, "rows_unexpected") // it was used once
	wantRefusal(t, do(t, dir, nil, "run", "--date", date, "--again", "--let-pass", "app.companies"), 78, "reason_missing")
	must(t, dir, nil, "run", "--date", date, "--again", "--let-pass", "app.companies", "--reason", "still a holiday")
	if trail := must(t, dir, nil, "audit", "app.companies").out; strings.Count(trail, "allow") != 2 || !strings.Contains(trail, "still a holiday") {
		t.Errorf("the audit trail:\n%s", trail)
	}
	change(t, filepath.Join(dir, "production.db"), "DELETE FROM companies")
	edit(t, dir, "schedules/nightly.yaml", "    expect_rows: between 1 and 2\n", "")
	before := contents(t, dir)
	wantRefusal(t, do(t, dir, nil, "run", "--date", date, "--again"), 65, "would replace a table of 30", "daybreak allow", "empty_over_rows")
	if diff := cmp.Diff(before["app.companies"], contents(t, dir)["app.companies"]); diff != "" {
		t.Error(diff)
	}
	must(t, dir, nil, "allow", "app.companies", date, "--reason", "the company has no customers any more")
	do(t, dir, nil, "run", "--date", date) // models that count customers may fail their tests
	if n := query(t, dir, "SELECT count(*) FROM app.companies"); n[0][0] != "0" {
		t.Errorf("%s companies, although none may pass", n[0][0])
	}
}
