package status

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

// Going back is planned, looked at and confirmed; what was not looked at is not done, and doing it twice does it once.
func TestRollback(t *testing.T) {
	s, acts, _ := serveTokens(t)
	header := []string{"Authorization", "Bearer " + acts.Add("head", elt.Admin, time.Time{})}
	const path = "/v1/datasets/revenue/rollback"
	var plan api.Rollback
	getJSON(t, s, path, &plan, header...)
	if !plan.Needed || plan.Target.Date.String() != "2026-11-19" || len(plan.Versions) != 2 || len(plan.PlanToken) != 24 {
		t.Fatalf("the plan is %+v", plan)
	}
	var named api.Rollback
	getJSON(t, s, path+"?version=2026-11-19", &named, header...)
	if named.PlanToken != plan.PlanToken {
		t.Error("the same plan has two tokens")
	}
	body := func(token, reason string) string {
		b, err := json.Marshal(map[string]string{"plan_token": token, "reason": reason, "version": string(plan.Target.ID)})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for sent, want := range map[string]struct {
		status int
		says   string
	}{
		body(plan.PlanToken, ""):                       {http.StatusBadRequest, "the reason is missing"},
		body(strings.Repeat("0", 24), "wrong rates"):   {http.StatusConflict, "plan_stale"},
		`{"reason":"wrong rates"}`:                     {http.StatusConflict, "plan_stale"},
		`{"reason":"x","version":"../etc"}`:            {http.StatusBadRequest, "neither a version nor a date"},
		`{"reason":"x","version":"revenue@no-such-1"}`: {http.StatusNotFound, "version_unknown"},
	} {
		if answer, text := post(t, s, path, sent, header...); answer.StatusCode != want.status || !strings.Contains(strings.ToLower(text), want.says) {
			t.Errorf("%s: %d %s", sent, answer.StatusCode, text)
		}
	}
	if len(acts.Asked) != 0 {
		t.Fatalf("something was done: %v", acts.Asked)
	}
	once := append(header, "Idempotency-Key", "back-1")
	for range 2 {
		if answer, text := post(t, s, path, body(plan.PlanToken, "wrong rates"), once...); answer.StatusCode != http.StatusOK || !strings.Contains(text, "20261121t0600-rollback") {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
	}
	if answer, text := post(t, s, path, body(plan.PlanToken, "wrong rates"), header...); answer.StatusCode != http.StatusConflict {
		t.Errorf("a plan of before is confirmed again: %d %s", answer.StatusCode, text)
	}
	if diff := cmp.Diff([]string{"rollback revenue to " + string(plan.Target.ID) + " by head (" + string(tokenID(t, header[1])) + "): wrong rates"}, acts.Asked); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
}

// An admin marks a day as bad and takes that back, on the page and by the API; gates say impossible meanwhile.
func TestWithdraw(t *testing.T) {
	s, acts, _ := serveTokens(t)
	cookie := postForm(t, s, "/login", url.Values{"token": {acts.Add("head", elt.Admin, time.Time{})}}).Cookies()[0]
	header := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	const day = "/datasets/shop.users/2026-11-19"
	verdict := func() api.Verdict {
		t.Helper()
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		var gate api.Gate
		getJSON(t, s, "/v1/ready?need=shop.users@2026-11-19", &gate, header...)
		return gate.Verdict
	}
	// step opens the page that the day's page leads to, and sends the form on it as it is.
	step := func(label string) {
		t.Helper()
		_, page := get(t, s, day, header...)
		if !strings.Contains(page, label) || !strings.Contains(page, day+"/withdraw") {
			t.Fatalf("the day's page does not lead to %q", label)
		}
		_, look := get(t, s, day+"/withdraw", header...)
		form := regexp.MustCompile(`action="(/datasets/shop\.users/days/[^"]+)"`).FindStringSubmatch(look)
		if form == nil {
			t.Fatalf("there is nothing to confirm: %s", look)
		}
		answer := postForm(t, s, form[1], url.Values{"reason": {"wrong rates"}, "next": {day}}, header...)
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != day {
			t.Fatalf("%s: %d", form[1], answer.StatusCode)
		}
	}
	if verdict() != api.Ready {
		t.Fatal("the day is not ready")
	}
	step("Withdraw this day")
	if got := verdict(); got != api.Impossible {
		t.Errorf("a withdrawn day is %s for gates", got)
	}
	step("Take the withdrawal back")
	if got := verdict(); got != api.Ready {
		t.Errorf("a day that is withdrawn no more is %s for gates", got)
	}
	for path, want := range map[string]int{
		"/v1/datasets/shop.users/days/2026-11-19/withdraw": http.StatusOK, "/v1/datasets/shop.users/days/2001-11-19/withdraw": http.StatusNotFound,
		"/v1/datasets/nobody/days/2026-11-19/reinstate": http.StatusNotFound, "/v1/datasets/shop.users/days/soon/reinstate": http.StatusBadRequest,
	} {
		if answer, text := post(t, s, path, `{"reason":"x"}`, header...); answer.StatusCode != want {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
	operator := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	if _, page := get(t, s, day, operator...); strings.Contains(page, "/withdraw") {
		t.Error("an operator is led to what only admins may do")
	}
	if _, page := get(t, s, "/datasets/shop.users/rollback", header...); !strings.Contains(strings.ReplaceAll(page, "<wbr>", ""), "Roll shop.users back to the data of") || !strings.Contains(page, `name="plan_token"`) {
		t.Errorf("the page of a rollback: %s", page)
	}
}
