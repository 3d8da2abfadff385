package status

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// peopled is what people see of the pages: every page of the table of routes, with all that an admin may do on it, and
// pages in situations that only some days have.
func peopled(s *Service) []string {
	paths := []string{
		"/?q=reven", "/?q=nothing-matches", "/?owner=billing@example.com", "/datasets/revenue", "/datasets/finance.invoices/2026-11-20",
		"/runs/20261121t0500-finance", "/runs/20261120t0500-nightly", "/nowhere",
		"/backfills/plan?datasets=shop.users&from=2026-11-01&to=2026-11-20",
	}
	for _, path := range []string{"/", "/schedules/nightly"} {
		paths = append(paths, path+"?as_of=2026-11-21T06:00:00Z")
	}
	for _, r := range s.routes() {
		if r.method == http.MethodGet && r.tag() == "pages" && !slices.Contains(paths, filled(r.path)) {
			paths = append(paths, filled(r.path))
		}
	}
	slices.Sort(paths)
	return paths
}

// Nothing on any page keeps anybody from using it, in light and dark, on a desk and on a phone: axe-core finds no
// violation. A page weighs less than 100 KB and asks for its style and its one script, and for nothing else.
func TestPagesKeepNobodyOut(t *testing.T) {
	s, keys, _ := serveTokens(t)
	keys.Add("finance-reports", elt.Viewer, time.Time{})
	keys.Revoke(keys.Add("gone", elt.Viewer, time.Time{}))
	admin := keys.Add("head of data", elt.Admin, time.Time{})
	header := []string{"Authorization", "Bearer " + admin}
	for path, text := range map[string]string{
		"/v1/datasets/shop.users/notes":                             "Refunds are booked on the day of the order from November on.",
		"/v1/incidents/" + incidentOf(t, s, header...) + "/updates": "The password was rotated; the night is tried again.",
	} {
		if answer, body := post(t, s, path, `{"text":"`+text+`"}`, header...); answer.StatusCode != http.StatusOK {
			t.Fatal(body)
		}
	}
	for path, body := range map[string]string{
		"/v1/schedules/nightly/pause": `{"reason":"the replica is moved to another machine","until":"2026-11-22T06:00"}`,
		"/v1/maintenance":             `{"reason":"the replica is moved to another machine, and nobody knows how long that takes","from":"2026-11-21 20:00","to":"4h","timezone":"Europe/Dublin","sources":"shop,finance"}`,
	} {
		if answer, body := post(t, s, path, body, header...); answer.StatusCode != http.StatusOK {
			t.Fatal(body)
		}
	}
	keys.Asked = append(keys.Asked, "roll shop.users back to "+string(statustest.LongName)+"@20261120t0500-nightly by head of data: prices in cents")
	url := listen(t, s)
	browser := testenv.Browser(t)
	testenv.Still(browser, t)
	visit(t, browser, url+"/login?next=/incidents")
	lookFor(t, browser, "/login")
	if err := chromedp.Do(browser, testenv.Type("#token", admin+"\r"), chromedp.WaitVisible(".who")); err != nil {
		t.Fatal(err)
	}
	for _, path := range peopled(s) {
		visit(t, browser, url+path)
		lookFor(t, browser, path)
		if weight := in[float64](t, browser, `performance.getEntries().reduce((s, e) => s + (e.transferSize || 0), 0)`); weight > 100_000 {
			t.Errorf("%s weighs %.0f bytes", path, weight)
		}
		asked := in[[]string](t, browser, `performance.getEntriesByType("resource").filter((e) => !/^(fetch|xmlhttprequest|other)$/.test(e.initiatorType)).map((e) => new URL(e.name).pathname).filter((p) => p !== "/static/sun.svg").sort()`)
		if got := strings.Join(slices.Compact(asked), " "); got != "/static/daybreak.css /static/daybreak.js" {
			t.Errorf("%s asks for %s", path, got)
		}
	}
}

// lookFor has axe-core look at the page that is shown, in every view.
func lookFor(t *testing.T, browser context.Context, path string) {
	t.Helper()
	for _, view := range testenv.Views() {
		if err := chromedp.Do(browser, testenv.SetView(view)); err != nil {
			t.Fatal(err)
		}
		for _, b := range testenv.Barriers(browser, t) {
			t.Errorf("%s, %s: %s (%s): %s", path, view.Name, b.Help, b.Rule, strings.Join(b.Nodes, "\n    "))
		}
		if over := in[int](t, browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s, %s: the page is %d pixels too wide", path, view.Name, over)
		}
		if unseen := in[int](t, browser, `[...document.querySelectorAll(".legend .cells > *, .progress .cells > *")].filter((e) => !e.getBoundingClientRect().width).length`); unseen > 0 {
			t.Errorf("%s, %s: %d keys of a legend are not seen", path, view.Name, unseen)
		}
		if view.Dark == view.Phone { // a picture of two is enough for whoever looks at them
			testenv.Screenshot(browser, t, "status/acting"+strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-", ":", "-").Replace(path), view)
		}
	}
}
