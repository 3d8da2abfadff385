package status

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// What an operator asks for is done once, by their name, and is in the audit trail; what cannot be done says why.
func TestActs(t *testing.T) {
	s, acts, _ := serveTokens(t)
	header := []string{"Authorization", "Bearer " + acts.Add("on-call", elt.Operator, time.Time{})}
	incident := incidentOf(t, s, header...)
	for _, test := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/runs/nothing/retry", "{}", http.StatusNotFound, "run_unknown"},
		{"/v1/runs/20261121t0500-nightly/cancel", "{}", http.StatusBadRequest, "reason is missing"},
		{"/v1/runs/20261121t0500-nightly/cancel", `{"reason":"wrong date"}`, http.StatusOK, "Nothing more of run"},
		{"/v1/datasets/nothing/days/2026-11-20/retry", "", http.StatusNotFound, "dataset_unknown"},
		{"/v1/datasets/shop.users/days/2020-01-01/retry", "", http.StatusNotFound, "day_unknown"},
		{"/v1/datasets/shop.users/notes", `{"text":"Moved to the new server"}`, http.StatusOK, "It is kept."},
		{"/v1/datasets/shop.users/notes", `{"text":"Half a day is missing","date":"2026-11-20"}`, http.StatusOK, `"date": "2026-11-20"`},
		{"/v1/datasets/shop.users/notes", `{"text":"x","date":"soon"}`, http.StatusBadRequest, "is not a date"},
		{"/v1/datasets/shop.users/notes", `{"text":""}`, http.StatusBadRequest, "text is missing"},
		{"/v1/datasets/shop.users/notes", `{"words":"x"}`, http.StatusBadRequest, "does not take"},
		{"/v1/datasets/shop.users/notes", `{"text":"` + strings.Repeat("x", fieldLimit+1) + `"}`, http.StatusBadRequest, "of at most"},
		{"/v1/datasets/shop.users/notes", `["x"]`, http.StatusBadRequest, "not a JSON object"},
		{"/v1/datasets/shop.users/notes", `{"text":1}`, http.StatusBadRequest, "not a JSON object"},
		{"/v1/notes/remark-9/remove", "", http.StatusNotFound, "remark_unknown"},
		{"/v1/incidents/" + incident + "/acknowledge", "", http.StatusOK, "on-call looks after"},
		{"/v1/incidents/nothing/acknowledge", "", http.StatusNotFound, "incident_unknown"},
		{"/v1/incidents/" + incident + "/updates", `{"text":"The upstream job restarts at six"}`, http.StatusOK, "It is kept."},
		{"/v1/tokens", `{"name":"x","role":"viewer"}`, http.StatusForbidden, "needs the role admin"},
	} {
		answer, body := post(t, s, test.path, test.body, header...)
		if answer.StatusCode != test.status || !strings.Contains(strings.ReplaceAll(body, `":"`, `": "`), test.says) {
			t.Errorf("%s %s: %d %s", test.path, shortened(test.body), answer.StatusCode, body)
		}
	}
	if answer, body := post(t, s, "/v1/notes/remark-1/remove", "x", append(header, "Content-Type", "text/plain")...); answer.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a body that is not JSON: %d %s", answer.StatusCode, body)
	}
	who := "on-call (" + string(tokenID(t, header[1])) + ")"
	if diff := cmp.Diff([]string{"cancel 20261121t0500-nightly by " + who + ": wrong date", "acknowledge " + incident + " by on-call"}, acts.Asked); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	var notes api.Remarks
	getJSON(t, s, "/v1/datasets/shop.users/notes", &notes, header...)
	if len(notes.Remarks) != 2 || notes.Remarks[0].Date.String() != "2026-11-20" || notes.Remarks[0].Actor != "on-call" {
		t.Errorf("notes: %+v", notes.Remarks)
	}
	for page, want := range map[string]string{
		"/datasets/shop.users": "Moved to the new server", "/datasets/shop.users/2026-11-20": "Half a day is missing", "/incidents": "The upstream job restarts at six",
		"/audit": "wrong date",
	} {
		if _, body := get(t, s, page, header...); !strings.Contains(body, want) {
			t.Errorf("%s does not say %q", page, want)
		}
	}
	var told api.Messages
	getJSON(t, s, "/v1/incidents/"+incident+"/messages", &told, header...)
	if _, body := get(t, s, "/incidents", header...); len(told.Messages) != 2 || !strings.Contains(body, "Delivered") || !strings.Contains(body, "To be tried again, attempt 3") {
		t.Errorf("told: %+v", told.Messages)
	}
	if _, body := get(t, s, "/datasets/shop.users/2026-11-19", header...); strings.Contains(body, "Half a day is missing") || !strings.Contains(body, "Moved to the new server") {
		t.Error("another day shows the note of one day, or not that of the dataset")
	}
}

// A request with an Idempotency-Key that is sent again is answered as before, and nothing is done again; another request
// under the same key is refused; a failed one may be sent again.
func TestRepeatedRequests(t *testing.T) {
	s, acts, _ := serveTokens(t)
	header := []string{"Authorization", "Bearer " + acts.Add("robot", elt.Admin, time.Time{}), "Idempotency-Key", "k-1"}
	path, body := "/v1/runs/20261121t0500-nightly/cancel", `{"reason":"wrong date"}`
	_, first := post(t, s, path, body, header...)
	answer, second := post(t, s, path, body, header...)
	if first != second || answer.Header.Get("Idempotency-Replayed") != "true" || len(acts.Asked) != 1 {
		t.Errorf("first %s, second %s, done: %v", first, second, acts.Asked)
	}
	if answer, body := post(t, s, path, `{"reason":"another"}`, header...); answer.StatusCode != http.StatusConflict || !strings.Contains(body, "idempotency_key_reused") {
		t.Errorf("another request: %d %s", answer.StatusCode, body)
	}
	header[3] = "k-2"
	for range 2 {
		if answer, body := post(t, s, path, `{}`, header...); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("a request that fails: %d %s", answer.StatusCode, body)
		}
	}
	header[3] = "k-3"
	made := `{"name":"reports","role":"viewer"}`
	_, first = post(t, s, "/v1/tokens", made, header...)
	if _, second := post(t, s, "/v1/tokens", made, header...); !strings.Contains(first, "daybreak_") || strings.Contains(second, "daybreak_") {
		t.Errorf("a token's text is told %s, and again %s", first, second)
	}
	header[3] = "with a space"
	if answer, _ := post(t, s, path, body, header...); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a key with spaces: %d", answer.StatusCode)
	}
}

// The forms of the pages do the same and lead back; they are there for those alone who may.
func TestForms(t *testing.T) {
	s, acts, _ := serveTokens(t)
	admin := acts.Add("head", elt.Admin, time.Time{})
	cookie := postForm(t, s, "/login", url.Values{"token": {admin}}).Cookies()[0]
	header := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	incident := incidentOf(t, s, header...)
	for path, form := range map[string]url.Values{
		"/datasets/shop.users/notes":              {"text": {"Seen"}, "next": {"/datasets/shop.users"}},
		"/incidents/" + incident + "/acknowledge": {"next": {"/incidents"}},
		"/runs/20261121t0500-nightly/cancel":      {"reason": {"wrong"}, "next": {"//elsewhere.example"}},
	} {
		answer := postForm(t, s, path, form, header...)
		want := form.Get("next")
		if strings.HasPrefix(want, "//") {
			want = "/"
		}
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != want {
			t.Errorf("%s: %d to %q", path, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	if answer := postForm(t, s, "/datasets/shop.users/notes", url.Values{"text": {"x"}}, append(header, "Sec-Fetch-Site", "cross-site")...); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %d", answer.StatusCode)
	}
	if len(acts.Asked) != 2 {
		t.Errorf("done: %v", acts.Asked)
	}
	viewer := []string{"Authorization", "Bearer " + acts.Add("reader", elt.Viewer, time.Time{})}
	for _, page := range []string{"/datasets/shop.users", "/datasets/shop.users/2026-11-20", "/runs/20261121t0500-nightly", "/incidents"} {
		if _, body := get(t, s, page, header...); !strings.Contains(body, `class="act"`) {
			t.Errorf("%s has no form for an admin", page)
		}
		if _, body := get(t, s, page, viewer...); strings.Contains(body, `class="act"`) || strings.Contains(body, "/audit") {
			t.Errorf("%s has a form for a viewer", page)
		}
	}
	answer := postForm(t, s, "/tokens", url.Values{"name": {"reports"}, "role": {"viewer"}, "expires_in": {"720h"}}, header...)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a token was made: %d, %q", answer.StatusCode, answer.Header.Get("Cache-Control"))
	}
	if _, body := get(t, s, "/tokens", header...); strings.Contains(body, "daybreak_") || !strings.Contains(body, "reports") {
		t.Error("the page of tokens shows a text, or not the token")
	}
}

func tokenID(t *testing.T, bearer string) elt.TokenID {
	t.Helper()
	id, _, ok := elt.ParseToken(strings.TrimPrefix(bearer, "Bearer "))
	if !ok {
		t.Fatalf("%q holds no token", bearer)
	}
	return id
}

func getJSON(t *testing.T, s *Service, path string, into any, header ...string) {
	t.Helper()
	answer, body := get(t, s, path, header...)
	if err := json.Unmarshal([]byte(body), into); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s: %v", path, answer.StatusCode, body, err)
	}
}

// incidentOf returns the open incident of the busy world.
func incidentOf(t *testing.T, s *Service, header ...string) string {
	t.Helper()
	var all api.Incidents
	getJSON(t, s, "/v1/incidents?open=true", &all, header...)
	if len(all.Incidents) == 0 {
		t.Fatal("no incident is open")
	}
	return string(all.Incidents[0].ID)
}

// Whatever is sent, with whatever headers, an act never fails by itself, and what it refuses is described.
func FuzzActs(f *testing.F) {
	w := statustest.Busy()
	acts := statustest.NewActs(statustest.NewKeys(w.Ledger, w.Now))
	s, err := New(Options{Version: "1.0.0", Ledger: w, Public: true, Tokens: acts, Acts: acts, Location: w.Zone, Schedules: w.Schedules, Now: w.Now})
	if err != nil {
		f.Fatal(err)
	}
	admin := "Bearer " + acts.Add("head", elt.Admin, time.Time{})
	for _, r := range s.routes() {
		if r.method == http.MethodPost {
			f.Add(filled(r.path), "application/json", `{"text":"x","reason":"y","name":"n","role":"viewer","date":"2026-11-20"}`, "Idempotency-Key", "k")
			f.Add(filled(r.path), "application/x-www-form-urlencoded", "text=x&reason=%00&name=n&role=admin&next=//elsewhere", "Sec-Fetch-Site", "cross-site")
		}
	}
	f.Add("/v1/runs/%00/cancel", "application/json", `{"reason":"\u0000"}`, "Content-Encoding", "gzip")
	f.Add("/v1/datasets/shop.users/notes", "application/json; charset=\xff", "{\"text\":\"\xff\"}", "Authorization", "Basic x")
	contract := underContract(f, s)
	f.Fuzz(func(t *testing.T, path, kind, body, header, value string) {
		contract := *contract
		contract.t = t
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/" + strings.TrimLeft(path, "/")}
		r.Header.Set("Authorization", admin)
		r.Header.Set("Content-Type", kind)
		r.Header[http.CanonicalHeaderKey(header)] = []string{value}
		rec := httptest.NewRecorder()
		contract.ServeHTTP(rec, r)
		if rec.Code >= http.StatusInternalServerError {
			t.Errorf("POST %q %q, %q, %q: %q answered %d: %s", path, kind, body, header, value, rec.Code, rec.Body)
		}
	})
}
