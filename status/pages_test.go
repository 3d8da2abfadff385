package status

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
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
	"github.com/daybreak-data/daybreak/status/statustest"
)

func listen(t *testing.T, s *Service) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer("", s.Handler())
	server.Start()
	t.Cleanup(func() { testenv.Close(t, server) }) // a page's stream of events would keep it open
	return server.URL
}

func scripts(on bool) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// in evaluates an expression in the page.
func in[T any](t *testing.T, browser context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(browser, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func visit(t *testing.T, browser context.Context, url string) {
	t.Helper()
	if err := chromedp.Do(browser, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

const (
	headingText = `document.querySelector("h1").textContent.replaceAll("\u00a0", " ").replace(/\s+/g, " ").trim()`
	// weak lists texts whose contrast with what is behind them is below 4.5.
	weak = `(() => {
	  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	  const rgba = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	  const light = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
	  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
	  const bad = [];
	  for (const e of document.querySelectorAll("body *")) {
	    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
	    if (!own || e.closest("svg") || !e.checkVisibility() || e.closest(".skip")) continue;
	    const style = getComputedStyle(e), a = light(rgba(style.color)), b = light(behind(e));
	    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
	    if (ratio < 4.5) bad.push(e.className + " " + e.textContent.trim().slice(0, 40) + ": " + ratio.toFixed(2));
	  }
	  return bad;
	})()`
)

// shots are the pages in the situations that people will see, each with the part of the API that says the same.
func shots() []shot {
	busy, flags := statustest.Busy(), statustest.Busy()
	flags.Flags()
	unknown := statustest.Calm(95)
	unknown.Begin("early")
	unknown.Lose("shop.users", elt.LoadStep)
	paused := statustest.Busy()
	paused.Work("shop.message_parts", elt.ExtractStep, time.Minute, 40)
	paused.Pause("shop.message_parts", elt.ExtractStep, "source budget (replica lag 42s, at most 30s)")
	empty, crowd := statustest.Calm(0), statustest.Crowd(45)
	warren := statustest.Warren(240)
	empty.Ledger = statustest.New(empty.Now)
	expected := punctual()
	return []shot{
		{"overview", "/", "/v1/summary", busy},
		{"overview-calm", "/", "/v1/summary", statustest.Calm(95)},
		{"overview-flags", "/", "/v1/summary", flags},
		{"overview-unknown", "/", "/v1/summary", unknown},
		{"overview-first-night", "/", "/v1/summary", statustest.Calm(0)},
		{"overview-search", "/?q=reven", "/v1/summary", busy},
		{"dataset", "/datasets/shop.conversations", "/v1/datasets/shop.conversations", busy},
		{"dataset-fidelity", "/datasets/shop.companies", "/v1/datasets/shop.companies", busy},
		{"dataset-blocked", "/datasets/revenue", "/v1/datasets/revenue", busy},
		{"day-failed", "/datasets/finance.invoices/2026-11-20", "/v1/datasets/finance.invoices/days/2026-11-20", busy},
		{"day-ready", "/datasets/shop.users/2026-11-19", "/v1/datasets/shop.users/days/2026-11-19", busy},
		{"day-outdated", "/datasets/active_users/2026-11-20", "/v1/datasets/active_users/days/2026-11-20", flags},
		{"run", "/runs/20261121t0500-nightly", "/v1/runs/20261121t0500-nightly", busy},
		{"run-failed", "/runs/20261121t0500-finance", "/v1/runs/20261121t0500-finance", busy},
		{"run-done", "/runs/20261120t0500-nightly", "/v1/runs/20261120t0500-nightly", busy},
		{"runs", "/runs", "", busy},
		{"overview-empty", "/", "/v1/summary", empty},
		{"overview-expected", "/", "/v1/summary", expected},
		{"dataset-expected", "/datasets/shop.conversations", "/v1/datasets/shop.conversations", expected},
		{"day-expected", "/datasets/shop.conversations/2026-11-20", "/v1/datasets/shop.conversations/days/2026-11-20", expected},
		{"overview-crowd", "/", "/v1/summary", crowd},
		{"dataset-long", "/datasets/" + string(statustest.LongName), "/v1/datasets/" + string(statustest.LongName), crowd},
		{"run-crowd", "/runs/20261121t0500-regions", "/v1/runs/20261121t0500-regions", crowd},
		{"run-unknown", "/runs/20261121t0500-early", "/v1/runs/20261121t0500-early", unknown},
		{"overview-paused", "/", "/v1/summary", paused},
		{"dataset-paused", "/datasets/shop.message_parts", "/v1/datasets/shop.message_parts", paused},
		{"run-paused", "/runs/20261121t0500-nightly", "/v1/runs/20261121t0500-nightly", paused},
		{"incidents", "/incidents", "", busy},
		{"schedules", "/schedules", "", busy},
		{"lineage-map", "/lineage", "", warren},
		{"lineage-group", "/lineage?group=3.fct_…", "", warren},
		{"lineage-focus", "/lineage?focus=fct_subject_125", "", warren},
		{"not-found", "/nowhere", "", busy},
	}
}

type shot struct {
	name, path, api string
	world           *statustest.World
}

// Every page says what the API says, with scripts and without; it fits every screen, can be read in light and dark,
// and weighs little. Its pictures are in artifacts/status.
func TestPages(t *testing.T) {
	browser := testenv.Browser(t)
	testenv.Still(browser, t)
	for _, shot := range shots() {
		t.Run(shot.name, func(t *testing.T) {
			s := serve(t, shot.world)
			if strings.HasSuffix(shot.name, "-expected") {
				estimated(t, s)
			}
			url := listen(t, s)
			var said struct {
				Sentence string `json:"sentence"`
			}
			if shot.api != "" {
				_, body := get(t, s, shot.api)
				if err := json.Unmarshal([]byte(body), &said); err != nil || said.Sentence == "" {
					t.Fatalf("%s: %v in %s", shot.api, err, body)
				}
			}
			for _, on := range []bool{false, true} {
				if err := chromedp.Do(browser, scripts(on)); err != nil {
					t.Fatal(err)
				}
				visit(t, browser, url+shot.path)
				if got := in[string](t, browser, headingText); said.Sentence != "" && got != said.Sentence || got == "" {
					t.Errorf("scripts %v: the page says %q, the API %q", on, got, said.Sentence)
				}
				if n := in[int](t, browser, `document.querySelectorAll("[style]").length`); n > 0 {
					t.Errorf("scripts %v: %d inline styles, which the policy refuses", on, n)
				}
				if live := in[bool](t, browser, `document.documentElement.classList.contains("script")`); live != on {
					t.Errorf("scripts %v: the page thinks %v", on, live)
				}
			}
			weight := in[float64](t, browser, `performance.getEntries().reduce((s, e) => s + (e.transferSize || 0), 0)`)
			if weight > 100_000 {
				t.Errorf("the page weighs %.0f bytes", weight)
			}
			for _, view := range testenv.Views() {
				if err := chromedp.Do(browser, testenv.SetView(view)); err != nil {
					t.Fatal(err)
				}
				if over := in[int](t, browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("%s: the page is %d pixels too wide", view.Name, over)
				}
				if bad := in[[]string](t, browser, weak); len(bad) > 0 {
					t.Errorf("%s: too little contrast: %q", view.Name, bad)
				}
				testenv.Screenshot(browser, t, "status/"+shot.name, view)
			}
		})
	}
}

// The overview's table is the API's list, row by row.
func TestOverviewRows(t *testing.T) {
	w := statustest.Busy()
	w.Flags()
	s := serve(t, w)
	url := listen(t, s)
	browser := testenv.Browser(t)
	visit(t, browser, url+"/")
	_, body := get(t, s, "/v1/datasets")
	var list api.Datasets
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, d := range list.Datasets {
		want[string(d.Name)] = shortDate(d.Headline.CompleteThrough, w.Night)
	}
	got := in[map[string]string](t, browser, `Object.fromEntries([...document.querySelectorAll(".datasets tbody tr")].map((r) => [r.querySelector(".name").textContent, r.querySelector(".through").firstChild.data]))`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := in[int](t, browser, `document.querySelectorAll(".datasets tbody .cells > *").length`); n != len(want)*cellsShown {
		t.Errorf("%d day-cells", n)
	}
	if bad := in[[]string](t, browser, `[...document.querySelectorAll(".datasets .cells a")].filter((a) => !/^\/datasets\/[a-z._]+\/\d{4}-\d\d-\d\d$/.test(a.getAttribute("href")) || !a.title).map((a) => a.outerHTML)`); len(bad) > 0 {
		t.Errorf("cells without a day or a title: %q", bad)
	}
}

// An analyst finds a dataset by typing, and the address keeps what was typed.
func TestSearch(t *testing.T) {
	s := serve(t, statustest.Busy())
	browser := testenv.Browser(t)
	visit(t, browser, listen(t, s)+"/")
	if err := chromedp.Do(browser, testenv.Type("[name=q]", "conv")); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(browser, chromedp.Poll[bool](`document.querySelectorAll(".datasets tbody tr").length === 2 && location.search === "?q=conv" && document.activeElement.value === "conv"`, chromedp.WithPollingTimeout(0))); err != nil {
		t.Fatalf("%v; the page shows %q at %q", err, in[[]string](t, browser, `[...document.querySelectorAll(".datasets .name")].map((e) => e.textContent)`), in[string](t, browser, `location.search + " " + document.activeElement.value`))
	}
	in[bool](t, browser, `document.activeElement.blur(), document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }))`)
	if name := in[string](t, browser, `document.activeElement.name`); name != "q" {
		t.Errorf("the key / leads to %q", name)
	}
	for path, rows := range map[string]int{"/?q=CONV": 2, "/?owner=billing@example.com": 5, "/?owner=billing@example.com&q=churn": 1, "/?state=attention": 4, "/?q=nothing": 0} {
		_, page := get(t, s, path)
		if n := strings.Count(page, `class="first"`); n != rows {
			t.Errorf("%s shows %d datasets, want %d", path, n, rows)
		}
	}
}

// A page that is open changes when the ledger does, without being loaded again.
func TestPageIsLive(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	browser := testenv.Browser(t)
	visit(t, browser, listen(t, s)+"/datasets/shop.conversations")
	in[bool](t, browser, `window.untouched = true`)
	w.Publish(elt.Version{ID: "v", Dataset: "shop.conversations", Date: w.Night, Run: statustest.RunOf("nightly", w.Night), PublishedAt: w.At, Rows: 7, Checks: elt.ChecksPassed})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(browser, chromedp.Poll[bool](headingText+` === "shop.conversations is complete through Fri 20 Nov." && window.untouched`, chromedp.WithPollingTimeout(0))); err != nil {
		t.Fatalf("%v; the page says %q", err, in[string](t, browser, headingText))
	}
}

// A board that is too old says so, grey, and keeps what it knew.
func TestStalePage(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	w.Fail(errors.New("the ledger is away"))
	s.feed.now = func() time.Time { return w.At.Add(3 * time.Minute) }
	browser := testenv.Browser(t)
	visit(t, browser, listen(t, s)+"/")
	if got := in[string](t, browser, `document.getElementById("checked").textContent`); got != "Checked 3 min ago — UNKNOWN" {
		t.Errorf("the page says %q", got)
	}
	if n := in[int](t, browser, `document.querySelectorAll(".datasets tbody tr").length`); n != 15 {
		t.Errorf("%d datasets of the last snapshot", n)
	}
	for _, view := range testenv.Views()[:2] {
		testenv.Screenshot(browser, t, "status/overview-stale", view)
	}
}

// A person who may not read sees the form, signs in, and lands where they wanted to go.
func TestSignIn(t *testing.T) {
	s := serve(t, statustest.Busy(), func(o *Options) { o.Public, o.Token = false, testToken })
	url := listen(t, s)
	browser := testenv.Browser(t)
	visit(t, browser, url+"/datasets/revenue")
	testenv.Screenshot(browser, t, "status/sign-in", testenv.Views()[0])
	if err := chromedp.Do(browser, testenv.Type("#token", "wrong\r"), chromedp.WaitVisible("#wrong"), testenv.Type("#token", testToken+"\r"), chromedp.WaitVisible(".crumb")); err != nil {
		t.Fatal(err)
	}
	if at := in[string](t, browser, `location.pathname`); at != "/datasets/revenue" {
		t.Errorf("signed in to %s", at)
	}
	if answer, err := http.Get(url + "/datasets/revenue"); err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("another browser: %v, %v", answer, err)
	}
}

// paper has the tab show pages as a printer gets them.
func paper(dark string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: dark}},
		})
		return err
	})
}

// On paper a page is what it says, without what can only be clicked: dark on white whatever the reader prefers, no wider
// than a sheet, with the moment as of which it is.
func TestPrint(t *testing.T) {
	s, keys, _ := serveTokens(t)
	url := listen(t, s)
	browser := testenv.Browser(t)
	testenv.Still(browser, t)
	visit(t, browser, url+"/login")
	if err := chromedp.Do(browser, testenv.Type("#token", keys.Add("head", elt.Admin, time.Time{})+"\r"), chromedp.WaitVisible(".who")); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"overview": "/", "dataset": "/datasets/revenue", "day": "/datasets/finance.invoices/2026-11-20", "run": "/runs/20261121t0500-nightly", "incident": "/incidents/inc-0007",
		"schedules": "/schedules", "as-of": "/?as_of=2026-11-21T06:00:00Z",
	} {
		visit(t, browser, url+path)
		sheet := testenv.View{Name: "print", Width: 720, Height: 1040, Scale: 1}
		for _, scheme := range []string{"light", "dark"} {
			if err := chromedp.Do(browser, testenv.SetView(sheet), paper(scheme)); err != nil {
				t.Fatal(err)
			}
			if bad := in[[]string](t, browser, weak); len(bad) > 0 {
				t.Errorf("%s, %s: too little contrast: %q", name, scheme, bad)
			}
			if behind := in[string](t, browser, `getComputedStyle(document.body).backgroundColor`); behind != "rgb(255, 255, 255)" {
				t.Errorf("%s, %s: the paper is %s", name, scheme, behind)
			}
		}
		if over := in[int](t, browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s is %d pixels wider than a sheet", name, over)
		}
		if left := in[[]string](t, browser, `[...document.querySelectorAll("nav, button, input:not([type=hidden]), .skip")].filter((e) => e.checkVisibility()).map((e) => e.outerHTML)`); len(left) > 0 {
			t.Errorf("%s has on paper what can only be clicked: %q", name, left)
		}
		if text := in[string](t, browser, `document.body.innerText`); !strings.Contains(text, "21 Nov 2026") && !strings.Contains(text, "21 November 2026") {
			t.Errorf("%s does not say of when it is: %s", name, text)
		}
		testenv.Picture(browser, t, "status/print-"+name)
	}
}
