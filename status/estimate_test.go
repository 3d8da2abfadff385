package status

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// estimated has the service estimate, and take a snapshot that shows it.
func estimated(t *testing.T, s *Service) view {
	t.Helper()
	if err := s.Estimate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, _ := s.current()
	return v
}

func datasetOf(t *testing.T, s *Service, name string) api.OneDataset {
	t.Helper()
	_, text := get(t, s, "/v1/datasets/"+name)
	var body api.OneDataset
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return body
}

// punctual is the busy world with a nightly run that is as far as it usually is.
func punctual() *statustest.World {
	w := statustest.Busy()
	w.Work("shop.conversations", elt.LoadStep, 60*time.Minute, 71)
	w.Succeed("shop.message_parts", elt.ExtractStep, 2*time.Minute, 62*time.Minute)
	w.Work("shop.message_parts", elt.LoadStep, 62*time.Minute, 40)
	return w
}

func TestEstimates(t *testing.T) {
	w := punctual()
	s := serve(t, w)
	v := estimated(t, s)
	_, detail := v.describeDataset(v.byName["shop.conversations"])
	if !strings.HasPrefix(detail, "Fri 20 Nov is loading, 70% done. Expected 06:") || !strings.Contains(detail, "Due 07:00.") || strings.Contains(detail, "Usually") {
		t.Errorf("a day on its way: %s", detail)
	}
	moving := datasetOf(t, s, "shop.conversations")
	if moving.ExpectedAt.Before(w.At) || moving.LikelyBy.Before(moving.ExpectedAt) || moving.LikelyBy.Sub(w.At) > 3*time.Hour {
		t.Errorf("at %s it is expected %s, likely by %s", w.At, moving.ExpectedAt, moving.LikelyBy)
	}
	if moving.DeadlineRisk == nil || *moving.DeadlineRisk < 0 || *moving.DeadlineRisk > 1 || len(moving.CriticalPath) == 0 {
		t.Errorf("risk and path are %+v", moving.Estimate)
	}
	if r := moving.EstimateRecord; r == nil || r.Nights != 14 || r.Kept < 7 {
		t.Errorf("the record is %+v", r)
	}
	for name, why := range map[string]string{"shop.users": "is ready", "finance.invoices": "failed", "revenue": "is blocked"} {
		if d := datasetOf(t, s, name); !d.ExpectedAt.IsZero() || d.NoEstimate != "" {
			t.Errorf("%s %s, and yet %+v", name, why, d.Estimate)
		}
	}
	if g := gateOf(t, <-ask(t, s, "/v1/ready?need=shop.conversations@2026-11-20")); g.PollAfter < 60 || g.PollAfter > 120 {
		t.Errorf("%s are left until it is expected, and a poller is to come back after %v s", moving.ExpectedAt.Sub(w.At), g.PollAfter)
	}
	for path, want := range map[string]string{
		"/datasets/shop.conversations":            "likely by",
		"/datasets/shop.conversations/2026-11-20": "Expected 06:",
		"/datasets/shop.users":                    "arrived by the likely-by time",
		"/":                                       "about 06:",
	} {
		if _, page := get(t, s, path); !strings.Contains(page, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
}

// A step that has run longer than it ever did gives a reason and no number.
func TestNoEstimate(t *testing.T) {
	w := punctual()
	w.Work("shop.message_parts", elt.LoadStep, -6*time.Hour, 88)
	s := serve(t, w)
	v := estimated(t, s)
	_, detail := v.describeDataset(v.byName["response_times"])
	if want := "Nobody can tell when it comes: the load of shop.message_parts has run for 7 h 14 min, longer than it ever did."; !strings.Contains(detail, want) {
		t.Errorf("it says %q, want %q", detail, want)
	}
	if d := datasetOf(t, s, "response_times"); d.NoEstimate != "longer_than_ever" || d.DeadlineRisk != nil || !d.ExpectedAt.IsZero() {
		t.Errorf("%+v", d.Estimate)
	}
}

// A day is at risk once it has been likelier than not to miss its deadline for two minutes, and an estimate that is not
// renewed is not shown.
func TestAtRisk(t *testing.T) {
	w := punctual()
	day := w.Day("shop.conversations", w.Night)
	day.Deadline = w.At.Add(5 * time.Minute)
	w.SetDay(day)
	s := serve(t, w)
	state := func() elt.DeadlineState { return datasetOf(t, s, "shop.conversations").Headline.Latest.Deadline }
	estimated(t, s)
	if got := state(); got != elt.DeadlineOnTrack {
		t.Errorf("at first it is %s", got)
	}
	w.At = w.At.Add(2 * time.Minute)
	w.Work("shop.conversations", elt.LoadStep, 60*time.Minute, 75) // its lease is extended
	w.Work("shop.message_parts", elt.LoadStep, 62*time.Minute, 45)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := estimated(t, s)
	if got := state(); got != elt.DeadlineAtRisk {
		t.Errorf("after two minutes it is %s", got)
	}
	if tr := v.troubleWith("shop.conversations"); tr == nil || tr.Title != "shop.conversations is likely to be late: it is due 06:19" {
		t.Errorf("the trouble is %+v", tr)
	}
	w.At = w.At.Add(2*time.Minute + time.Second)
	w.Work("shop.conversations", elt.LoadStep, 60*time.Minute, 80)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := datasetOf(t, s, "shop.conversations"); !d.ExpectedAt.IsZero() || d.Headline.Latest.Deadline != elt.DeadlineOnTrack {
		t.Errorf("an old estimate is shown: %+v, %s", d.Estimate, d.Headline.Latest.Deadline)
	}
}
