package status

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
)

func bodyOf(t *testing.T, fields map[string]string) string {
	t.Helper()
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// with returns the fields with some of them changed.
func with(fields map[string]string, changes ...string) map[string]string {
	out := maps.Clone(fields)
	for i := 0; i+1 < len(changes); i += 2 {
		out[changes[i]] = changes[i+1]
	}
	return out
}

// A backfill is planned, looked at and started; what was not looked at is not started, and starting it twice does so once.
func TestBackfillByAPI(t *testing.T) {
	s, acts, _ := serveTokens(t)
	header := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	asked := map[string]string{"datasets": "finance.invoices", "from": "2026-11-10", "to": "2026-11-12", "mode": "all"}
	answer, text := post(t, s, "/v1/backfills/plan", bodyOf(t, asked), header...)
	var planned api.Done
	if err := json.Unmarshal([]byte(text), &planned); err != nil || answer.StatusCode != http.StatusOK || planned.Plan == nil {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	plan := planned.Plan
	if plan.Days != 6 || plan.Dates != 3 || len(plan.Spans) != 2 || plan.Spans[0].Days != 3 || plan.Counts[elt.BuildDay] != 3 || planned.Changed {
		t.Errorf("planned %+v", plan)
	}
	start := with(asked, "plan_token", string(plan.PlanToken), "reason", "credit notes")
	for name, c := range map[string]struct {
		path   string
		fields map[string]string
		status int
		says   string
	}{
		"no reason":           {"/v1/backfills", with(start, "reason", ""), http.StatusBadRequest, "the reason is missing"},
		"no token":            {"/v1/backfills", with(start, "plan_token", ""), http.StatusBadRequest, "none that a plan was given"},
		"rubbish for a token": {"/v1/backfills", with(start, "plan_token", strings.Repeat("x", 40)), http.StatusConflict, "plan_stale"},
		"another range":       {"/v1/backfills", with(start, "to", "2026-11-13"), http.StatusConflict, "it would bring 8 days now, and 6 then"},
		"no dates":            {"/v1/backfills/plan", with(asked, "from", "", "to", ""), http.StatusBadRequest, "lacks the first or the last"},
		"dates turned round":  {"/v1/backfills/plan", with(asked, "to", "2026-11-01"), http.StatusBadRequest, "is before its first"},
		"a date that is none": {"/v1/backfills/plan", with(asked, "from", "soon"), http.StatusBadRequest, "is not a date"},
		"a century":           {"/v1/backfills/plan", with(asked, "to", "2126-11-01"), http.StatusBadRequest, "of at most 3660"},
		"no dataset":          {"/v1/backfills/plan", with(asked, "datasets", " "), http.StatusBadRequest, "names no dataset"},
		"nothing selected":    {"/v1/backfills/plan", with(asked, "datasets", "nothing"), http.StatusBadRequest, "nothing_selected"},
		"an unknown mode":     {"/v1/backfills/plan", with(asked, "mode", "some"), http.StatusBadRequest, "no mode of a backfill"},
		"half downstream":     {"/v1/backfills/plan", with(asked, "downstream", "maybe"), http.StatusBadRequest, "neither true nor false"},
		"an unknown one":      {"/v1/backfills/backfill-9/pause", nil, http.StatusNotFound, "backfill_unknown"},
		"one that has ended":  {"/v1/backfills/backfill-1/pause", nil, http.StatusConflict, "backfill_ended"},
		"cancel without why":  {"/v1/backfills/backfill-2/cancel", nil, http.StatusBadRequest, "the reason is missing"},
	} {
		if answer, text := post(t, s, c.path, bodyOf(t, c.fields), header...); answer.StatusCode != c.status || !strings.Contains(strings.ToLower(text), strings.ToLower(c.says)) {
			t.Errorf("%s: %d %s", name, answer.StatusCode, text)
		}
	}
	if len(acts.Asked) != 0 {
		t.Fatalf("something was done: %v", acts.Asked)
	}
	for range 2 {
		if answer, text := post(t, s, "/v1/backfills", bodyOf(t, start), append(header, "Idempotency-Key", "b-1")...); answer.StatusCode != http.StatusOK || !strings.Contains(text, `"backfill-2"`) {
			t.Errorf("started: %d %s", answer.StatusCode, text)
		}
	}
	for _, what := range []string{"pause", "resume", "resume", "cancel"} {
		fields := map[string]string{}
		if what == "cancel" {
			fields["reason"] = "slow"
		}
		if answer, text := post(t, s, "/v1/backfills/backfill-2/"+what, bodyOf(t, fields), header...); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", what, answer.StatusCode, text)
		}
	}
	who := "on-call (" + string(tokenID(t, header[1])) + ")"
	want := []string{
		"backfill all days of finance.invoices, 2026-11-10 to 2026-11-12, with what is made from it by " + who + ": credit notes",
		"pause backfill-2 by " + who + ": ", "resume backfill-2 by " + who + ": ", "cancel backfill-2 by " + who + ": slow",
	}
	if diff := cmp.Diff(want, acts.Asked); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	var list api.Backfills
	getJSON(t, s, "/v1/backfills?limit=1", &list, header...)
	if len(list.Backfills) != 1 || list.Backfills[0].State != elt.BackfillCancelled || list.Next != "2" {
		t.Errorf("listed %+v", list)
	}
	var days api.BackfillDays
	getJSON(t, s, "/v1/backfills/backfill-2/days?state=failed", &days, header...)
	if len(days.Days) != 1 || days.Next != "" || !strings.Contains(days.Days[0].Says, "division by zero") {
		t.Errorf("failed %+v", days)
	}
	getJSON(t, s, "/v1/backfills/backfill-2/days?limit=10&cursor=20", &days, header...)
	if len(days.Days) != 8 {
		t.Errorf("the last page has %d days", len(days.Days))
	}
}

// Viewers read how far a backfill is and see no form; nobody but operators plans or starts one.
func TestBackfillPages(t *testing.T) {
	s, acts, _ := serveTokens(t)
	operator := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	viewer := []string{"Authorization", "Bearer " + acts.Add("analyst", elt.Viewer, time.Time{})}
	const plan = "/backfills/plan?datasets=finance.invoices&from=2026-11-10&to=2026-11-12&mode=all"
	for path, want := range map[string][]string{
		"/backfills":            {"1 backfill is under way.", "credit notes were counted twice", "Show the plan"},
		"/backfills/backfill-2": {"of 26 days are brought.", "division by zero", "Cancel for ever", "14 days left", "2 cannot be brought"},
		plan:                    {"Bring 6 days again?", "Read from the source", "Every day was asked for", `name="plan_token"`, "Start it"},
	} {
		if answer, page := get(t, s, path, operator...); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, answer.StatusCode, page)
		} else {
			for _, text := range want {
				if !strings.Contains(strings.ReplaceAll(page, "\u00a0", " "), text) {
					t.Errorf("%s does not say %q:\n%s", path, text, page)
				}
			}
		}
	}
	if _, page := get(t, s, "/backfills/backfill-2", viewer...); strings.Contains(page, "<form class=\"act") || !strings.Contains(page, "brought.") {
		t.Error("a viewer is offered what only operators may, or nothing")
	}
	if answer, _ := get(t, s, plan, viewer...); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer plans: %d", answer.StatusCode)
	}
	_, page := get(t, s, plan, operator...)
	_, token, _ := strings.Cut(page, `name="plan_token" value="`)
	token, _, _ = strings.Cut(token, `"`)
	form := url.Values{"datasets": {"finance.invoices"}, "from": {"2026-11-10"}, "to": {"2026-11-12"}, "mode": {"all"}, "downstream": {"true"}, "plan_token": {token}, "reason": {"credit notes"}}
	if answer := postForm(t, s, "/backfills", form, operator...); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/backfills/backfill-2" {
		t.Errorf("started: %d to %s", answer.StatusCode, answer.Header.Get("Location"))
	}
	acts.Publish("revenue@later")
	if answer := postForm(t, s, "/backfills", form, operator...); answer.StatusCode != http.StatusConflict {
		t.Errorf("a stale plan is started: %d", answer.StatusCode)
	}
}
