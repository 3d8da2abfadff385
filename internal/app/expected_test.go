package app

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// A day on its way is told with when it is expected and how often that was kept, in the page's words: by status, and by
// wait while it waits.
func TestExpectedInTheTerminal(t *testing.T) {
	w := statustest.Busy()
	w.Work("shop.conversations", elt.LoadStep, 60*time.Minute, 71)
	w.Succeed("shop.message_parts", elt.ExtractStep, 2*time.Minute, 62*time.Minute)
	w.Work("shop.message_parts", elt.LoadStep, 62*time.Minute, 40)
	service, err := status.New(status.Options{
		Ledger: w, Public: true, Location: w.Zone, Schedules: w.Schedules, Now: func() time.Time { return w.At },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service.Handler())
	t.Cleanup(server.Close)
	said := func(run func(c *Console) error) string {
		var out bytes.Buffer
		err := run(&Console{Out: &out, Err: &out})
		if err != nil && !errors.Is(err, exitStatus(ExitTimeout)) {
			t.Fatal(err)
		}
		return out.String()
	}
	from := Service{URL: server.URL}
	for command, tc := range map[string]struct {
		run  func(c *Console) error
		want string
	}{
		"status": {func(c *Console) error { return (&Status{Service: from}).Run(t.Context(), &Globals{}, c) },
			`(?m)^DATASET .* EXPECTED +DUE .*\n(.*\n)*shop\.conversations .* Sat 0\d:\d\d(, by 0\d:\d\d)? +Sat 07:00 `},
		"status of one": {func(c *Console) error {
			return (&Status{Service: from, Dataset: "shop.conversations"}).Run(t.Context(), &Globals{}, c)
		}, `Expected 0\d:\d\d(, likely by 0\d:\d\d)?\. .*\nOf its estimates, \d+ of the last 14 arrived by the likely-by time\.\n`},
		"wait": {func(c *Console) error {
			return (&Wait{Service: from, Needs: []string{"shop.conversations@" + w.Night.String()}, Timeout: time.Millisecond}).Run(t.Context(), &Globals{}, c)
		}, `^waiting for shop\.conversations@2026-11-20: .* Expected 0\d:\d\d(, likely by 0\d:\d\d)?\. \d+ of the last 14 arrived by the likely-by time\.\n`},
	} {
		if text := said(tc.run); !regexp.MustCompile(tc.want).MatchString(text) {
			t.Errorf("%s says %s", command, text)
		}
	}
}
