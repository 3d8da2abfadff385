package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// serving starts daybreak serve on a free port and returns its address. It is asked to stop when the test ends, and
// has to end well.
func serving(t *testing.T, dir string) string {
	t.Helper()
	s, stop := serve(t, dir, nil)
	t.Cleanup(stop)
	return s.url
}

// told reads a resource of the API.
func told[T any](t *testing.T, url string) T {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body T
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, answer.StatusCode, err)
	}
	return body
}

// shown evaluates an expression in the page.
func shown[T any](t *testing.T, browser context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(browser, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func act(t *testing.T, browser context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(browser, actions...); err != nil {
		t.Fatal(err)
	}
}

func withScripts(on bool) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// follow clicks a link and waits for the page that it leads to.
func follow(t *testing.T, browser context.Context, selector, to string) {
	t.Helper()
	answer, err := chromedp.RunResponse(browser, testenv.Click(selector))
	if err != nil {
		t.Fatalf("a click on %s: %v", selector, err)
	}
	if at := shown[string](t, browser, `location.pathname`); at != to || answer.Status != http.StatusOK {
		t.Fatalf("%s leads to %s (%d) and not to %s", selector, at, answer.Status, to)
	}
}

const (
	heading = `document.querySelector("h1").textContent.replaceAll("\u00a0", " ").replace(/\s+/g, " ").trim()`
	rows    = `[...document.querySelectorAll(".datasets tbody .name")].map((a) => a.textContent)`
)

// The pages of a real workspace say what its API says, with scripts and without, and lead where they promise.
func TestPagesOfARealNight(t *testing.T) {
	t.Parallel()
	dir := demo(t)
	night := elt.DateOf(time.Now().In(dublin(t))).AddDays(-1)
	for _, date := range []elt.Date{night.AddDays(-1), night} {
		must(t, dir, nil, "run", "--date", date.String())
	}
	url := serving(t, dir)
	browser := testenv.Browser(t)
	list := told[api.Datasets](t, url+"/v1/datasets")
	run := told[api.Runs](t, url+"/v1/runs").Runs[0]

	pages := map[string]string{
		"/":                       told[api.Summary](t, url+"/v1/summary").Sentence,
		"/runs/" + string(run.ID): told[api.Run](t, url+"/v1/runs/"+string(run.ID)).Sentence,
		"/runs":                   "", "/incidents": "", "/schedules": "",
	}
	for _, d := range list.Datasets {
		page := "/datasets/" + string(d.Name)
		pages[page] = d.Sentence
		pages[page+"/"+night.String()] = told[api.Day](t, url+"/v1"+page+"/days/"+night.String()).Sentence
	}
	for _, on := range []bool{false, true} {
		act(t, browser, withScripts(on))
		for page, sentence := range pages {
			act(t, browser, chromedp.Navigate(url+page))
			if got := shown[string](t, browser, heading); got == "" || sentence != "" && got != sentence {
				t.Errorf("%s, scripts %v: the page says %q, the API %q", page, on, got, sentence)
			}
			if weight := shown[float64](t, browser, `performance.getEntries().reduce((s, e) => s + (e.transferSize || 0), 0)`); weight > 100_000 {
				t.Errorf("%s weighs %.0f bytes", page, weight)
			}
		}
	}

	t.Run("the catalogue", func(t *testing.T) {
		act(t, browser, chromedp.Navigate(url+"/"))
		var want []string
		for _, d := range list.Datasets {
			want = append(want, string(d.Name))
		}
		if diff := cmp.Diff(want, shown[[]string](t, browser, rows)); diff != "" {
			t.Errorf("(-API +page):\n%s", diff)
		}
		if n := shown[int](t, browser, `Math.max(...[...document.querySelectorAll(".datasets tbody tr")].map((r) => r.offsetHeight))`); n > 60 {
			t.Errorf("a row is %d pixels high", n)
		}
		for _, query := range []string{"q=invoice", "owner=billing@example.com", "owner=billing@example.com&q=subscription", "state=ready"} {
			var want []string
			for _, d := range told[api.Datasets](t, url+"/v1/datasets?"+query).Datasets {
				want = append(want, string(d.Name))
			}
			act(t, browser, chromedp.Navigate(url+"/?"+query))
			if diff := cmp.Diff(want, shown[[]string](t, browser, rows)); diff != "" || len(want) == 0 {
				t.Errorf("?%s (-API +page):\n%s", query, diff)
			}
		}
	})
	t.Run("from a cell to the run", func(t *testing.T) {
		day := "/datasets/mrr/" + night.String()
		act(t, browser, testenv.SetView(testenv.Views()[0]), chromedp.Navigate(url+"/"))
		follow(t, browser, `.datasets .cells a[href="`+day+`"]`, day)
		follow(t, browser, `.facts a[href^="/runs/"]`, "/runs/"+string(run.ID))
		steps := told[api.Steps](t, url+"/v1/runs/"+string(run.ID)+"/steps").Steps
		if n := shown[int](t, browser, `document.querySelectorAll(".gantt details tbody tr").length`); n != len(steps) {
			t.Errorf("the page shows %d steps of %d", n, len(steps))
		}
		if shown[bool](t, browser, `document.getElementById("steps-mrr").open`) {
			t.Error("steps that went well are open")
		}
		act(t, browser, testenv.Click(`#steps-mrr .g-state`))
		if !shown[bool](t, browser, `document.getElementById("steps-mrr").open`) {
			t.Error("a click opens nothing")
		}
	})
	for name, page := range map[string]string{"overview": "/", "dataset": "/datasets/mrr", "day": "/datasets/mrr/" + night.String(), "run": "/runs/" + string(run.ID)} {
		act(t, browser, chromedp.Navigate(url+page))
		for _, view := range testenv.Views() {
			testenv.Screenshot(browser, t, "demo/"+name, view)
		}
	}
}

// A table that is gone from the source: the overview names the cause once, every dataset behind it says since when and
// what to do, and nobody is kept waiting for what cannot come.
func TestPagesOfANightThatFailed(t *testing.T) {
	t.Parallel()
	dir := demo(t)
	night := elt.DateOf(time.Now().In(dublin(t))).AddDays(-1)
	must(t, dir, nil, "run", "--date", night.AddDays(-1).String())
	db, err := sql.Open("sqlite", filepath.Join(dir, "production.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE subscriptions RENAME TO subscriptions_old"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if a := do(t, dir, nil, "run", "--date", night.String()); a.code == 0 || !strings.Contains(a.errors, "app.subscriptions") {
		t.Fatalf("exit %d\n%s", a.code, a.errors)
	}
	url := serving(t, dir)
	browser := testenv.Browser(t)

	summary := told[api.Summary](t, url+"/v1/summary")
	if len(summary.Trouble) != 1 || summary.Trouble[0].Dataset != "app.subscriptions" || len(summary.Trouble[0].Affected) < 4 {
		t.Fatalf("the API does not tell one trouble and whom it holds up: %+v", summary.Trouble)
	}
	act(t, browser, chromedp.Navigate(url+"/"))
	if got := shown[string](t, browser, heading); got != summary.Sentence {
		t.Errorf("the page says %q, the API %q", got, summary.Sentence)
	}
	cards := shown[[]string](t, browser, `[...document.querySelectorAll(".trouble")].map((e) => e.textContent.replace(/\s+/g, " "))`)
	if len(cards) != 1 || !strings.Contains(cards[0], "Holds up "+string(summary.Trouble[0].Affected[0])) {
		t.Errorf("the cause is told %d times: %q", len(cards), cards)
	}
	if first := shown[string](t, browser, `document.querySelector(".datasets tbody tr").textContent`); !strings.Contains(first, "app.subscriptions") || !strings.Contains(first, "Failed") {
		t.Errorf("the first row is not the cause's: %q", first)
	}
	for _, view := range testenv.Views() {
		testenv.Screenshot(browser, t, "demo/overview-failed", view)
	}
	saysWhy := regexp.MustCompile(`app\.subscriptions failed while extracting.*Since \d\d:\d\d\. .*no table.*What to do: `)
	for _, name := range []string{"app.subscriptions", "mrr"} {
		act(t, browser, chromedp.Navigate(url+"/datasets/"+name))
		if text := shown[string](t, browser, `document.querySelector("main").textContent.replace(/\s+/g, " ")`); !saysWhy.MatchString(text) {
			t.Errorf("%s does not say since when, why and what to do: %s", name, text)
		}
		testenv.Screenshot(browser, t, "demo/dataset-"+map[bool]string{true: "failed", false: "blocked"}[name != "mrr"], testenv.Views()[0])
	}
	act(t, browser, chromedp.Navigate(url+"/runs/"+string(told[api.Runs](t, url+"/v1/runs").Runs[0].ID)))
	if open := shown[[]string](t, browser, `[...document.querySelectorAll(".gantt details[open]")].map((d) => d.id)`); !cmp.Equal(open, []string{"steps-app.subscriptions"}) {
		t.Errorf("open on the run's page: %q", open)
	}
	testenv.Screenshot(browser, t, "demo/run-failed", testenv.Views()[0])

	for _, how := range [][]string{{"wait"}, {"wait", "--url", url}} {
		a := do(t, dir, nil, append(how, "mrr@"+night.String())...)
		if a.code != 1 || !strings.Contains(a.out+a.errors, "impossible") || !strings.Contains(a.out+a.errors, "app.subscriptions") {
			t.Errorf("%q: exit %d: %s%s", how, a.code, a.out, a.errors)
		}
	}
	if gate := told[api.Gate](t, url+"/v1/wait?need=mrr@"+night.String()); gate.Verdict != api.Impossible {
		t.Errorf("/v1/wait says %s", gate.Verdict)
	}
}
