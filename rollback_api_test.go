package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/status/api"
)

// Through the API of a running service an admin looks at a plan, confirms it, and people read the earlier rows; the trail
// says by whom, and a request that is sent again rolls nothing back again.
func TestRollbackThroughTheAPI(t *testing.T) {
	t.Parallel()
	dir, date := brought(t), lastDate(t)
	must(t, dir, nil, "run", "--date", date.String())
	token := strings.TrimSpace(must(t, dir, nil, "token", "create", "head of data", "--role", "admin").out)
	s, stop := serve(t, dir, nil)
	defer stop()
	ask := func(method, path, body string, into any) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "back-to-yesterday")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	const path = "/v1/datasets/mrr/rollback"
	var plan api.Rollback
	if status := ask(http.MethodGet, path, "", &plan); status != http.StatusOK || plan.Target.Date != date.AddDays(-1) || len(plan.Lost) != 1 || plan.Lost[0] != date {
		t.Fatalf("%d: the plan is %+v", status, plan)
	}
	confirm, err := json.Marshal(map[string]string{"version": string(plan.Target.ID), "plan_token": plan.PlanToken, "reason": "prices in cents"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var done api.Done
		if status := ask(http.MethodPost, path, string(confirm), &done); status != http.StatusOK || !done.Changed {
			t.Fatalf("%d: %+v", status, done)
		}
	}
	until(t, "people read the earlier version", func() bool {
		return get[api.OneDataset](t, s, "/v1/datasets/mrr").Headline.CompleteThrough == date.AddDays(-1)
	})
	if gate := get[api.Gate](t, s, "/v1/ready?need=mrr@"+date.String()); gate.Verdict != api.Impossible {
		t.Errorf("the gate of the day that was rolled back says %s", gate.Verdict)
	}
	var trail api.Audit
	ask(http.MethodGet, "/v1/audit", "", &trail)
	times := 0
	for _, e := range trail.Entries {
		if e.Action == "rollback" && strings.HasPrefix(e.Actor, "head of data (") && e.Reason == "prices in cents" {
			times++
		}
	}
	if times != 1 {
		t.Errorf("the trail tells of the rollback %d times: %+v", times, trail.Entries)
	}
	var stale api.ProblemDetails
	other := strings.Replace(string(confirm), plan.PlanToken, strings.Repeat("0", 24), 1)
	if status := ask(http.MethodPost, path, other, &stale); status != http.StatusConflict {
		t.Errorf("another request under the same key: %d %s", status, stale.Code)
	}
}
