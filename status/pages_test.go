package status

import (
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/statustest"
)

func TestScreens(t *testing.T) {
	type shot struct {
		name, path string
		world      *statustest.World
	}
	flags := statustest.Busy()
	flags.Flags()
	busy := statustest.Busy()
	shots := []shot{
		{"overview", "/", busy},
		{"overview-calm", "/", statustest.Calm(95)},
		{"overview-flags", "/", flags},
		{"dataset", "/datasets/shop.conversations", busy},
		{"dataset-blocked", "/datasets/revenue", busy},
		{"day", "/datasets/finance.invoices/2026-11-20", busy},
		{"day-ready", "/datasets/shop.users/2026-11-20", busy},
		{"day-model", "/datasets/active_users/2026-11-20", flags},
		{"run", "/runs/20261121t0500-nightly", busy},
		{"run-done", "/runs/20261120t0500-nightly", busy},
		{"runs", "/runs", busy},
		{"incidents", "/incidents", busy},
		{"schedules", "/schedules", busy},
		{"not-found", "/nowhere", busy},
	}
	browser := testenv.Browser(t)
	for _, shot := range shots {
		server := httptest.NewServer(serve(t, shot.world).Handler())
		for _, view := range testenv.Views() {
			if err := chromedp.Do(browser, testenv.SetView(view), chromedp.Navigate(server.URL+shot.path)); err != nil {
				t.Fatal(err)
			}
			testenv.Screenshot(browser, t, "status/"+shot.name, view)
		}
		server.CloseClientConnections()
		server.Close()
	}
}
