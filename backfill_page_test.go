package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
)

// Whoever is on call plans a backfill on the page, looks, starts it, and watches it end, with scripts and without.
func TestABackfillIsPlannedAndStartedOnThePage(t *testing.T) {
	t.Parallel()
	dir, from, to, want := rewritten(t)
	token := strings.TrimSpace(must(t, dir, nil, "token", "create", "on-call", "--role", "operator").out)
	url := serving(t, dir)
	browser := testenv.Browser(t)
	act(t, browser, chromedp.Navigate(url+"/login"), testenv.Type("#token", token+"\r"), chromedp.WaitVisible(".who"))
	for _, scripts := range []bool{false, true} {
		act(t, browser, withScripts(scripts), chromedp.Navigate(url+"/backfills/plan?datasets=app.conversations&from="+from+"&to="+to+"&mode=all"))
		if says := shown[string](t, browser, heading); !strings.HasPrefix(says, "Bring ") || !strings.HasSuffix(says, " days again?") {
			t.Fatalf("the plan says %q", says)
		}
		if _, err := chromedp.RunResponse(browser, testenv.Type("[name=reason]", "states were wrong\r")); err != nil {
			t.Fatal(err)
		}
		at := shown[string](t, browser, `location.pathname`)
		if !strings.HasPrefix(at, "/backfills/backfill-") {
			t.Fatalf("starting it leads to %s", at)
		}
		if scripts { // it becomes another page by itself
			act(t, browser, chromedp.WaitVisible(".facts .pill.ready"))
		} else { // whoever looks again sees it
			untilWithin(t, processTime, "the backfill has ended", func() bool { return told[api.Backfill](t, url+"/v1"+at).Backfill.State.Terminal() })
			act(t, browser, chromedp.Navigate(url+at))
			if !shown[bool](t, browser, `document.querySelector(".facts .pill.ready") !== null`) {
				t.Errorf("it has ended, and the page says %q", shown[string](t, browser, heading))
			}
		}
		if says := shown[string](t, browser, heading); !strings.HasSuffix(says, "are brought.") {
			t.Errorf("it ended and says %q", says)
		}
	}
	follow(t, browser, `nav a[href="/backfills"]`, "/backfills")
	list := told[api.Backfills](t, url+"/v1/backfills")
	if len(list.Backfills) != 2 || list.Backfills[0].State != elt.BackfillSucceeded || !strings.HasPrefix(list.Backfills[0].Actor, "on-call") {
		t.Errorf("the API says %+v", list.Backfills)
	}
	got := contents(t, dir)
	for relation, rows := range want {
		if got[relation] != rows {
			t.Errorf("%s is not what two backfills should leave", relation)
		}
	}
}
