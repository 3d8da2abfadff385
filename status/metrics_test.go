package status

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// Steps are counted and timed from the ledger's events, whichever process ran them; what was before the
// process started is not counted.
func TestMetrics(t *testing.T) {
	w := statustest.Calm(5)
	s := serve(t, w)
	_, before := get(t, s, "/metrics")
	if strings.Contains(before, "daybreak_step_events_total{") {
		t.Error("history is counted")
	}
	w.Begin("finance")
	w.Work("finance.invoices", elt.ExtractStep, time.Minute, 10)
	w.At = w.At.Add(90 * time.Second)
	w.Succeed("finance.invoices", elt.ExtractStep, time.Minute, 2*time.Minute)
	w.Work("finance.invoices", elt.LoadStep, 2*time.Minute, 10)
	w.Break("finance.invoices", elt.LoadStep)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	get(t, s, "/v1/summary")
	_, page := get(t, s, "/metrics")
	for _, want := range []string{
		`daybreak_step_events_total{kind="extract",state="succeeded"} 1`,
		`daybreak_step_events_total{kind="load",state="failed"} 1`,
		`daybreak_step_duration_seconds_sum{kind="extract",outcome="succeeded"} 90`,
		`daybreak_step_duration_seconds_count{kind="load",outcome="failed"} 1`,
		`daybreak_run_events_total{event="running"} 1`,
		`daybreak_days{state="ready"} 70`,
		`daybreak_days{state="failed"} 1`,
		`daybreak_dataset_state{dataset="revenue",deadline="at_risk",schedule="finance",state="blocked"} 1`,
		`daybreak_dataset_complete_through_timestamp_seconds{dataset="shop.users"} 1.7952192e+09`,
		`daybreak_evaluator_lag_seconds 0`,
		`daybreak_status_stale 0`,
		`daybreak_http_requests_total{method="GET",route="/v1/summary",status="200"} 1`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(page, "/v1/summary?") {
		t.Error("a path is a label")
	}
}

// The alert rules and the dashboard of the book ask for nothing that is not told.
func TestMonitoringAsksForWhatIsTold(t *testing.T) {
	s := serve(t, statustest.Busy())
	get(t, s, "/v1/summary")
	s.metrics.observe(nil)
	s.metrics.observe([]elt.Event{{Kind: "run.created"}, {Kind: "step.running", Step: "r/load/x"}, {Kind: "step.succeeded", Step: "r/load/x"}})
	_, told := get(t, s, "/metrics")
	name := regexp.MustCompile(`daybreak_[a-z_]+`)
	for _, file := range []string{"alerts.yaml", "grafana.json"} {
		b, err := os.ReadFile("../docs/monitoring/" + file)
		if err != nil {
			t.Fatal(err)
		}
		asked := name.FindAllString(string(b), -1)
		if len(asked) < 8 {
			t.Errorf("%s asks for %v alone", file, asked)
		}
		for _, n := range asked {
			if !strings.Contains(told, "\n"+n+"{") && !strings.Contains(told, "\n"+n+" ") {
				t.Errorf("%s asks for %s, which is not told", file, n)
			}
		}
	}
}
