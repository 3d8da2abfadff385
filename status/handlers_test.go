package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// filled is a route's path with parameters that exist in the busy world.
func filled(path string) string {
	file := "daybreak.css"
	if strings.HasPrefix(path, "/badge/") {
		file = "shop.users.svg"
	}
	return strings.NewReplacer(":dataset", "shop.users", ":date", "2026-11-20", ":run", "20261121t0500-nightly", ":file", file,
		":incident", "inc-0007", ":remark", "remark-1", ":token", "aaaaaaaa", ":schedule", "nightly", ":window", "maintenance-1", ":backfill", "backfill-2").Replace(path)
}

// Every route that is not marked open answers 401 to whoever has no token, and something else to
// whoever has: by bearer token, and by the session that the form gives.
func TestEveryRouteNeedsTheToken(t *testing.T) {
	s := serve(t, statustest.Busy(), func(o *Options) { o.Public = false }, forOperators)
	login := postForm(t, s, "/login", url.Values{"token": {testToken}, "next": {"/runs"}})
	if login.StatusCode != http.StatusSeeOther || login.Header.Get("Location") != "/runs" || len(login.Cookies()) != 1 {
		t.Fatalf("login: %d to %q", login.StatusCode, login.Header.Get("Location"))
	}
	cookie := login.Cookies()[0]
	if !cookie.HttpOnly || strings.Contains(cookie.Value, testToken) {
		t.Errorf("the session cookie is readable by scripts or holds the token: %v", cookie)
	}
	for _, r := range s.routes() {
		if r.method != http.MethodGet || r.path == "/v1/events" { // the stream never ends: TestEvents asks it
			continue
		}
		path := filled(r.path)
		if r.path == "/v1/ready" || r.path == "/v1/wait" {
			path += "?need=shop.users@2026-11-20"
		}
		t.Run(r.path, func(t *testing.T) {
			for _, bad := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + testToken, "Bearer " + testToken + "x"} {
				answer, body := get(t, s, path, "Authorization", bad)
				if r.open != (answer.StatusCode != http.StatusUnauthorized) {
					t.Errorf("with %q: %d, open is %v", bad, answer.StatusCode, r.open)
				}
				if !r.open && (strings.Contains(body, "finance") || strings.Contains(body, "as_of") || strings.Contains(body, "2026-11-21T")) {
					t.Errorf("with %q the refusal tells of datasets", bad)
				}
			}
			for name, value := range map[string]string{"Authorization": "bearer " + testToken, "Cookie": cookie.Name + "=" + cookie.Value} {
				if answer, body := get(t, s, path, name, value); answer.StatusCode != http.StatusOK {
					t.Errorf("with %s: %d %s", name, answer.StatusCode, body)
				}
			}
			if answer, _ := get(t, s, path, "Cookie", cookie.Name+"=9999999999.00"); !r.open && answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("a forged session: %d", answer.StatusCode)
			}
		})
	}
	for _, path := range []string{"/nope", "/v1/nope", "/v1", "/static/../routes.go", "/healthz/", "//healthz", "/datasets"} {
		if answer, _ := get(t, s, path); answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s without a token: %d", path, answer.StatusCode)
		}
	}
}

func TestSessionsExpire(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	o := Options{Token: testToken, Now: func() time.Time { return now }}
	a := newAccess(o)
	value := a.ownSession()
	if !a.isOwnSession(value) {
		t.Fatal("a fresh session is refused")
	}
	o.Token += "!"
	if newAccess(o).isOwnSession(value) {
		t.Error("a session outlives its token")
	}
	now = now.Add(sessionLength)
	if a.isOwnSession(value) {
		t.Error("a session never ends")
	}
}

func postForm(t *testing.T, s *Service, path string, form url.Values, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func TestLogin(t *testing.T) {
	s := serve(t, statustest.Busy(), func(o *Options) { o.Public, o.Token = false, testToken })
	for _, test := range []struct {
		token, next, header string
		status              int
		location            string
	}{
		{testToken, "/datasets/shop.users", "", http.StatusSeeOther, "/datasets/shop.users"},
		{testToken, "https://elsewhere.example/", "", http.StatusSeeOther, "/"},
		{testToken, "//elsewhere.example/", "", http.StatusSeeOther, "/"},
		{testToken, `/\elsewhere.example/`, "", http.StatusSeeOther, "/"},
		{"wrong", "/", "", http.StatusUnauthorized, ""},
		{"", "/", "", http.StatusUnauthorized, ""},
		{testToken, "/", "cross-site", http.StatusForbidden, ""},
	} {
		answer := postForm(t, s, "/login", url.Values{"token": {test.token}, "next": {test.next}}, "Sec-Fetch-Site", test.header)
		if answer.StatusCode != test.status || answer.Header.Get("Location") != test.location {
			t.Errorf("token %q next %q: %d to %q, want %d to %q", test.token, test.next, answer.StatusCode, answer.Header.Get("Location"), test.status, test.location)
		}
	}
	large := postForm(t, s, "/login", url.Values{"token": {strings.Repeat("x", 70<<10)}})
	if large.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 70 KiB: %d", large.StatusCode)
	}
}

func TestNewDenies(t *testing.T) {
	for name, o := range map[string]Options{"status_no_token": {}, "status_weak_token": {Token: "short"}} {
		o.Ledger = statustest.Calm(1)
		_, err := New(o)
		var e *elt.Error
		if !errors.As(err, &e) || string(e.Code) != name {
			t.Errorf("New gave %v, want %s", err, name)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", Secret("x"), Options{Token: "hidden"}, Options{Token: "hidden"}, Secret("hidden")); strings.Contains(text, "hidden") {
		t.Errorf("a secret prints: %s", text)
	}
}

// Every refusal of the API is problem+json with a code, says how old what is known is, and is not cached.
func TestProblems(t *testing.T) {
	s := serve(t, statustest.Busy())
	for path, want := range map[string]struct {
		status int
		code   elt.Code
	}{
		"/v1/nope":                            {404, codeRouteUnknown},
		"/v1/datasets/nope":                   {404, codeDatasetUnknown},
		"/v1/datasets/%2e%2e%2f":              {404, codeDatasetUnknown},
		"/v1/datasets?limit=0":                {400, codeBadRequest},
		"/v1/datasets?limit=9999":             {400, codeBadRequest},
		"/v1/datasets/shop.users/days?from=x": {400, codeBadRequest},
		"/v1/datasets/shop.users/days?from=2026-11-20&to=2026-11-01": {400, codeBadRequest},
		"/v1/datasets/shop.users/days?from=2020-01-01&to=2026-11-01": {400, codeBadRequest},
		"/v1/datasets/shop.users/days/2026-02-30":                    {400, codeBadRequest},
		"/v1/datasets/shop.users/days/2019-01-01":                    {404, codeDayUnknown},
		"/v1/datasets/nope/lineage":                                  {404, codeDatasetUnknown},
		"/v1/runs/nope":                                              {404, codeRunUnknown},
		"/v1/runs/%00/steps":                                         {404, codeRunUnknown},
		"/v1/runs?state=odd":                                         {400, codeBadRequest},
		"/v1/runs?cursor=%2f":                                        {400, codeBadRequest},
		"/v1/runs?schedule=..%2f":                                    {400, codeBadRequest},
		"/v1/ready":                                                  {400, codeBadNeed},
		"/v1/ready?need=shop.users":                                  {400, codeBadNeed},
		"/v1/ready?need=shop.users@yesterday":                        {400, codeBadNeed},
		"/v1/ready?need=Shop@2026-11-20":                             {400, codeBadNeed},
		"/v1/ready?need=nope@2026-11-20":                             {404, codeDatasetUnknown},
		"/v1/wait?need=shop.users@2026-11-20&timeout=1h":             {400, codeBadRequest},
		"/v1/wait?need=shop.users@2026-11-20&timeout=soon":           {400, codeBadRequest},
		"/v1/events?after=-1":                                        {400, codeBadRequest},
	} {
		answer, body := get(t, s, path)
		var p api.ProblemDetails
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %v in %s", path, err, body)
			continue
		}
		if answer.StatusCode != want.status || p.Status != want.status || p.Code != want.code {
			t.Errorf("%s: %d %s, want %d %s", path, answer.StatusCode, p.Code, want.status, want.code)
		}
		if answer.Header.Get("Content-Type") != "application/problem+json" || p.Detail == "" || p.Do == "" || p.AsOf == nil || p.EvaluatorLag == nil || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: incomplete problem %+v", path, p)
		}
	}
	r := httptest.NewRequest(http.MethodDelete, "/v1/summary", nil)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", rec.Code)
	}
}

// Headers that keep a page's content to itself are on every answer, and every body tells its age.
func TestHeadersAndAge(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w, forOperators)
	for _, r := range s.routes() {
		if r.method != http.MethodGet || r.path == "/v1/events" {
			continue
		}
		path := filled(r.path)
		if strings.HasSuffix(path, "/ready") || strings.HasSuffix(path, "/wait") {
			path += "?need=shop.users@2026-11-20"
		}
		answer, body := get(t, s, path, "Authorization", "Bearer "+testToken)
		csp := answer.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: unguarded: %v", path, answer.Header)
		}
		if strings.HasPrefix(path, "/v1/") {
			var m api.Meta
			if err := json.Unmarshal([]byte(body), &m); err != nil || !m.AsOf.Equal(w.At) {
				t.Errorf("%s: as_of %v, %v", path, m.AsOf, err)
			}
		}
	}
}

// A resource's ETag changes when the resource does, and only then.
func TestETag(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	tag := func(path string) string {
		answer, _ := get(t, s, path)
		return answer.Header.Get("ETag")
	}
	paths := []string{
		"/v1/summary", "/v1/datasets", "/v1/datasets/shop.users", "/v1/datasets/churn", "/v1/datasets/shop.users/days", "/v1/datasets/shop.users/days/2026-11-20",
		"/v1/datasets/shop.users/lineage", "/v1/runs", "/v1/runs/20261121t0500-nightly", "/v1/runs/20261121t0500-nightly/steps", "/v1/schedules", "/v1/incidents",
	}
	before := make(map[string]string)
	for _, path := range paths {
		before[path] = tag(path)
		answer, body := get(t, s, path, "If-None-Match", `"other", `+before[path])
		if answer.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s with its own ETag: %d", path, answer.StatusCode)
		}
	}
	day := w.Day("churn", w.Night)
	day.Withdrawn = "wrong"
	w.SetDay(day)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, changes := range map[string]bool{"/v1/datasets/churn": true, "/v1/summary": true, "/v1/datasets": true, "/v1/datasets/shop.users": false, "/v1/datasets/shop.users/days": false, "/v1/runs": false} {
		if got := tag(path); (got != before[path]) != changes {
			t.Errorf("%s: the ETag went from %s to %s, want a change: %v", path, before[path], got, changes)
		}
	}
}

func TestPaging(t *testing.T) {
	s := serve(t, statustest.Busy())
	var names []string
	for cursor, pages := "", 0; ; pages++ {
		_, body := get(t, s, "/v1/datasets?limit=4&cursor="+cursor)
		var page api.Datasets
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Datasets {
			names = append(names, string(d.Name))
		}
		if cursor = page.Next; cursor == "" {
			if pages != 3 || len(names) != 15 {
				t.Errorf("%d more pages with %d datasets", pages, len(names))
			}
			break
		}
	}
	seen := make(map[elt.RunID]bool)
	for cursor := ""; ; {
		_, body := get(t, s, "/v1/runs?limit=50&cursor="+cursor)
		var page api.Runs
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Runs {
			if seen[r.ID] {
				t.Fatalf("run %s twice", r.ID)
			}
			seen[r.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 95*3 {
		t.Errorf("%d runs", len(seen))
	}
}

// What the ledger's failure looks like: the last snapshot keeps serving until it is too old, then pages
// say unknown and gates refuse; what was ready stays ready in the facts.
func TestStale(t *testing.T) {
	w := statustest.Calm(10)
	s := serve(t, w)
	now := w.At
	s.now, s.feed.now = func() time.Time { return now }, func() time.Time { return now }
	w.Fail(errors.New("the ledger's disk is full"))
	now = now.Add(20 * time.Second)
	if err := s.Refresh(t.Context()); err == nil {
		t.Fatal("a failing ledger is read")
	}
	if answer, _ := get(t, s, "/v1/ready?need=shop.users@2026-11-20"); answer.StatusCode != http.StatusOK {
		t.Errorf("a gate 20 s after the last look: %d", answer.StatusCode)
	}
	now = now.Add(160 * time.Second)
	answer, body := get(t, s, "/v1/ready?need=shop.users@2026-11-20")
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(body, string(codeStatusStale)) {
		t.Errorf("a gate 3 min after the last look: %d %s", answer.StatusCode, body)
	}
	if answer, _ := get(t, s, "/readyz"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", answer.StatusCode)
	}
	if answer, _ := get(t, s, "/healthz"); answer.StatusCode != http.StatusOK {
		t.Errorf("healthz: %d", answer.StatusCode)
	}
	_, body = get(t, s, "/v1/datasets/shop.users")
	var d api.OneDataset
	if err := json.Unmarshal([]byte(body), &d); err != nil || d.Headline.Latest.State != elt.DayReady || d.EvaluatorLag != 180 {
		t.Errorf("facts of a stale board: %s, lag %v, %v", d.Headline.Latest.State, d.EvaluatorLag, err)
	}
	_, page := get(t, s, "/")
	for _, want := range []string{`class="stale"`, "Unknown: the ledger was last read 3 min ago.", "<strong>UNKNOWN</strong>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the stale page lacks %q", want)
		}
	}
	if _, page := get(t, s, "/datasets/shop.users"); !strings.Contains(page, "Unknown: the ledger was last read 3 min ago.") {
		t.Error("a dataset's stale page does not say so")
	}
	if answer, _ := get(t, s, "/runs"); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("runs need the ledger: %d", answer.StatusCode)
	}
	w.Fail(nil)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer, _ := get(t, s, "/v1/ready?need=shop.users@2026-11-20"); answer.StatusCode != http.StatusOK {
		t.Errorf("after the ledger came back: %d", answer.StatusCode)
	}
}

// Before the first snapshot nothing is claimed.
func TestNothingKnownYet(t *testing.T) {
	w := statustest.Calm(1)
	w.Fail(errors.New("connection refused"))
	s, err := New(Options{Ledger: w, Public: true, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	answer, body := get(t, s, "/")
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "Nothing is known yet.") || strings.Contains(body, "connection refused") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if answer, body := get(t, s, "/v1/summary"); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, string(codeNothingKnownYet)) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	w.Fail(nil)
	if answer, _ := get(t, s, "/"); answer.StatusCode != http.StatusOK {
		t.Errorf("the first request does not look for itself: %d", answer.StatusCode)
	}
}

// The facts are read again only when they may have changed.
func TestFeedReadsFactsOnChange(t *testing.T) {
	w := statustest.Calm(3)
	s := serve(t, w)
	now := w.At
	s.feed.now = func() time.Time { return now }
	reads := w.FactsRead()
	for range 10 {
		now = now.Add(time.Second)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if w.FactsRead() != reads {
		t.Errorf("%d readings without a change", w.FactsRead()-reads)
	}
	if v, _ := s.current(); v.lag != 0 || !v.asOf.Equal(w.At.Add(10*time.Second)) {
		t.Errorf("as of %v, lag %v", v.asOf, v.lag)
	}
	now = now.Add(24 * time.Hour)
	if err := s.Refresh(t.Context()); err != nil || w.FactsRead() != reads+1 {
		t.Errorf("%d readings when the day had changed, %v", w.FactsRead()-reads, err)
	}
}

// A reading that takes long is not begun again at once, however busy the ledger is.
func TestFeedRests(t *testing.T) {
	w := statustest.Calm(3)
	s := serve(t, w)
	now := w.At
	s.feed.now = func() time.Time { return now }
	v, _ := s.current()
	v.cost = time.Second
	reads := w.FactsRead()
	for range 4 * restPart {
		w.SetDay(w.Day("churn", w.Night))
		now = now.Add(time.Second / 4)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.FactsRead() - reads; n != 1 {
		t.Errorf("%d readings in %d seconds, each of which takes one", n, restPart)
	}
}

// Whatever is asked, the service never fails by itself.
func FuzzRequests(f *testing.F) {
	w := statustest.Busy()
	w.Flags()
	s, err := New(Options{Ledger: w, Public: true, Location: w.Zone, Schedules: w.Schedules, Now: w.Now})
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range s.routes() {
		if r.path != "/v1/events" {
			f.Add(filled(r.path), "need=shop.users@2026-11-20&timeout=0", "If-None-Match", "*")
		}
	}
	f.Add("/", "q=%ff&owner=\x00&state=attention&after=x", "Accept", "text/html")
	f.Add("/v1/datasets/shop.users/days", "from=0001-01-01&to=9999-12-31", "Cookie", "daybreak_session=.")
	f.Add("/v1/runs", "limit=1&cursor=a&from=2026-01-01", "Last-Event-ID", "99999999999999999999")
	f.Fuzz(func(t *testing.T, path, query, header, value string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + strings.TrimLeft(path, "/"), RawQuery: query}
		if strings.HasPrefix(r.URL.Path, "/v1/events") || strings.HasPrefix(r.URL.Path, "/v1/wait") && !strings.Contains(query, "timeout=0") {
			return // these answer for as long as they are listened to
		}
		r.Header[http.CanonicalHeaderKey(header)] = []string{value}
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("GET %q ?%q, %q: %q answered %d: %s", path, query, header, value, rec.Code, rec.Body)
		}
	})
}
