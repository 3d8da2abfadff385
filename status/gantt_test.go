package status

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// However long a night is and wherever, its axis has a few round ticks.
func TestTicks(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("Kathmandu", 5*3600+45*60), time.FixedZone("Marquesas", -9*3600-30*60)}
	property.Check(t, func(t *rapid.T) {
		a := axis{
			from:   time.UnixMilli(rapid.Int64Range(1.7e12, 1.9e12).Draw(t, "from")),
			length: time.Duration(rapid.Int64Range(int64(100*time.Millisecond), int64(72*time.Hour)).Draw(t, "length")),
		}
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		marks, start := a.ticks(zone)
		if len(marks) < 1 || len(marks) > 6 || len(marks) < 2 && a.length < 24*time.Hour {
			t.Fatalf("%d ticks over %v", len(marks), a.length)
		}
		if (start.ISO != "") != (a.length < time.Minute) {
			t.Errorf("over %v the axis begins at %q", a.length, start.ISO)
		}
		for _, m := range marks {
			if a.length > 2*time.Hour && !strings.HasSuffix(m.Text, ":00") && !strings.HasSuffix(m.Text, ":30") {
				t.Errorf("%s is not round, over %v in %v", m.Text, a.length, zone)
			}
		}
	})
}

// What is wrong is open, first, and signed; each attempt has its bar.
func TestGanttRows(t *testing.T) {
	w := statustest.Busy()
	w.Retry("finance.subscriptions", elt.ExtractStep, 9*time.Minute)
	s := serve(t, w)
	v, _ := s.current()
	run, err := w.Run(t.Context(), statustest.RunOf("finance", w.Night))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := w.Steps(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	var full []api.Step
	for _, st := range steps {
		f, err := s.stepBody(t.Context(), st, v.asOf)
		if err != nil {
			t.Fatal(err)
		}
		full = append(full, f)
	}
	g := v.drawGantt(run, full, usual{}, w.Night.AddDays(1))
	if len(g.Ticks) < 2 || g.Now == nil || g.Due == nil {
		t.Errorf("ticks %v, now %v, due %v", g.Ticks, g.Now, g.Due)
	}
	want := map[string]struct {
		pill string
		open bool
	}{
		"finance.invoices": {"Failed to extract", true}, "finance.subscriptions": {"Retries 06:23", true},
		"revenue": {"Held up", false}, "churn": {"Built", false}, "board_report": {"Held up", false}, "Publish": {"To come", false},
	}
	for i, r := range g.Rows {
		if want[r.Name].pill != r.Pill.Text || want[r.Name].open != r.Open || r.Open != (i < 2) {
			t.Errorf("row %d: %s is %q, open %v", i, r.Name, r.Pill.Text, r.Open)
		}
		if r.Open && (len(r.Bars) < 3 || r.Bars[2].Icon == "") {
			t.Errorf("%s: three attempts as %v", r.Name, r.Bars)
		}
	}
}

// What a reader opened or shut stays so when the page refreshes itself.
func TestOpenedStaysOpen(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	browser := testenv.Browser(t)
	visit(t, browser, listen(t, s)+"/runs/"+string(statustest.RunOf("finance", w.Night)))
	if err := chromedp.Do(browser, testenv.Click("#steps-churn .g-state"), testenv.Click(`[id="steps-finance.invoices"] > summary .g-state`)); err != nil {
		t.Fatal(err)
	}
	w.Succeed("churn", elt.TestStep, 9*time.Minute, 10*time.Minute)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(browser, chromedp.Poll[bool](`document.querySelector("#steps-churn > summary .pill").textContent.includes("Done")`, chromedp.WithPollingTimeout(0))); err != nil {
		t.Fatal(err)
	}
	if open := in[[]string](t, browser, `[...document.querySelectorAll("details[open]")].map((d) => d.id)`); len(open) != 1 || open[0] != "steps-churn" {
		t.Errorf("open after a refresh: %q", open)
	}
}
