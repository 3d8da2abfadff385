package status

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// What a page may weigh on its way, with its style and its script; what it and a body of the API may be unpacked; and of
// how many elements a page may consist.
const (
	mostSent, mostUnpacked, mostElements = 100_000, 1_500_000, 15_000
)

// weigh returns how many bytes of a path are sent to somebody who takes gzip, and to somebody who does not.
func weigh(t *testing.T, s *Service, path string) (packed, plain int) {
	t.Helper()
	for _, encoding := range []string{"gzip", ""} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if !strings.HasPrefix(path, "/v1/") {
			r.Header.Set("Accept", "text/html")
		}
		r.Header.Set("Accept-Encoding", encoding)
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Encoding") != encoding {
			t.Fatalf("%s: %d, %q", path, rec.Code, rec.Header().Get("Content-Encoding"))
		}
		if encoding == "" {
			plain = rec.Body.Len()
			continue
		}
		packed = rec.Body.Len()
		unpacked, err := gzip.NewReader(rec.Body)
		if err == nil {
			_, err = io.Copy(io.Discard, unpacked)
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return packed, plain
}

// With two thousand datasets the overview weighs what it may, in a calm night and when nothing came, and somebody with a
// phone finds what they look for.
func TestTheOverviewOfTwoThousand(t *testing.T) {
	browser := testenv.Browser(t)
	phone := testenv.Views()[2]
	for name, w := range map[string]*statustest.World{"calm": statustest.Crowd(1985), "outage": statustest.Outage(985, 1000)} {
		t.Run(name, func(t *testing.T) {
			s := bare(t, w)
			around := 0
			for _, path := range []string{"/static/daybreak.css", "/static/daybreak.js"} {
				packed, _ := weigh(t, s, path)
				around += packed
			}
			for path, beside := range map[string]int{"/": around, "/?state=attention": around, "/?q=region": around, "/v1/summary": 0, "/v1/datasets": 0, "/v1/datasets?limit=1000": 0} {
				packed, plain := weigh(t, s, path)
				t.Logf("%s: %d bytes packed, %d with what it asks for, %d unpacked", path, packed, packed+beside, plain)
				if packed+beside > mostSent || plain > mostUnpacked {
					t.Errorf("%s weighs %d bytes and %d unpacked, at most %d and %d may be", path, packed+beside, plain, mostSent, mostUnpacked)
				}
			}
			if err := chromedp.Do(browser, testenv.SetView(phone)); err != nil {
				t.Fatal(err)
			}
			visit(t, browser, listen(t, s)+"/")
			if sent := in[float64](t, browser, `performance.getEntries().reduce((s, e) => s + (e.transferSize || 0), 0)`); sent > mostSent {
				t.Errorf("the browser was sent %.0f bytes", sent)
			}
			elements := in[int](t, browser, `document.querySelectorAll("*").length`)
			height := in[int](t, browser, `document.documentElement.scrollHeight`)
			t.Logf("%d elements, %d screens of a phone", elements, height/int(phone.Height))
			if elements > mostElements {
				t.Errorf("the page has %d elements, at most %d may be", elements, mostElements)
			}
			if over := in[int](t, browser, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("the page is %d pixels too wide", over)
			}
			testenv.Screenshot(browser, t, "status/two-thousand-"+name, phone)
			findOnPhone(t, browser)
		})
	}
}

// findOnPhone looks for one dataset of the two thousand, and opens it.
func findOnPhone(t *testing.T, browser context.Context) {
	t.Helper()
	if err := chromedp.Do(browser, testenv.Type("[name=q]", "satisfac")); err != nil {
		t.Fatal(err)
	}
	const found = `document.querySelectorAll(".datasets tbody tr").length === 1 && document.querySelector(".datasets .name").textContent === "satisfaction"`
	if _, err := chromedp.Run(browser, chromedp.Poll[bool](found, chromedp.WithPollingTimeout(0))); err != nil {
		t.Fatalf("%v: %q", err, in[[]string](t, browser, `[...document.querySelectorAll(".datasets .name")].map((a) => a.textContent)`))
	}
	if _, err := chromedp.RunResponse(browser, testenv.Click(`.datasets a.name`)); err != nil {
		t.Fatal(err)
	}
	if at, says := in[string](t, browser, `location.pathname`), in[string](t, browser, headingText); at != "/datasets/satisfaction" || !strings.HasPrefix(says, "satisfaction is complete through ") {
		t.Errorf("at %s it says %q", at, says)
	}
}
