package status

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// serveTokens serves the busy world to holders of tokens, with a clock that the test sets.
func serveTokens(t *testing.T, change ...func(*Options)) (*Service, *statustest.Acts, *time.Time) {
	t.Helper()
	world := statustest.Busy()
	now := world.Now()
	keys := statustest.NewActs(statustest.NewKeys(world.Ledger, func() time.Time { return now }))
	s := serve(t, world, append([]func(*Options){func(o *Options) {
		o.Public, o.Token, o.Tokens, o.Acts, o.Rollbacks = false, "", keys, keys, keys
		controls := statustest.NewControls(world.Now)
		o.Controls, o.Trigger = controls, triggered
		o.Past = func(context.Context, time.Time) (PastLedger, error) {
			return struct {
				Ledger
				CalendarLedger
				remarkLedger
			}{world, controls, keys}, nil
		}
		o.Now = func() time.Time { return now }
		o.Backfills, o.BackfillDesk = keys, keys
	}}, change...)...)
	return s, keys, &now
}

// askAs sends a request to a route as the table writes it, with parameters that exist in the busy world.
func askAs(t *testing.T, s *Service, r route, header ...string) *http.Response {
	t.Helper()
	path := filled(r.path)
	if r.path == "/v1/ready" || r.path == "/v1/wait" {
		path += "?need=shop.users@2026-11-20"
	}
	if r.method == http.MethodGet {
		answer, _ := get(t, s, path, header...)
		return answer
	}
	answer, _ := post(t, s, path, "{}", header...)
	return answer
}

// post sends JSON as a program does.
func post(t *testing.T, s *Service, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	return rec.Result(), rec.Body.String()
}

// Every route, as nobody, as a viewer, an operator, an admin, and with tokens that have ended: only who may is let in.
func TestEveryRouteAsksForItsRole(t *testing.T) {
	s, keys, now := serveTokens(t, func(o *Options) { o.StaleAfter = time.Hour })
	expired, revoked := keys.Add("old", elt.Admin, now.Add(time.Minute)), keys.Add("gone", elt.Admin, time.Time{})
	keys.Revoke(revoked)
	*now = now.Add(time.Minute)
	unknown, _ := elt.NewTokenText()
	holders := map[string]elt.Role{
		"": "", "Bearer " + expired: "", "Bearer " + revoked: "", "Bearer " + unknown: "", "Bearer " + unknown[:20]: "",
	}
	for _, role := range elt.Roles() {
		holders["Bearer "+keys.Add("a "+string(role), role, time.Time{})] = role
	}
	known := make(map[string]route)
	for _, r := range s.routes() {
		known[r.method+" "+r.path] = r
	}
	handler, ok := s.newHandler().(*echo.Echo)
	if !ok {
		t.Fatal("the handler is no router that could be walked")
	}
	walked := 0
	for _, registered := range handler.Routes() { // by the router itself: a route that is not in the table is found, too
		method := registered.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		r, ok := known[method+" "+registered.Path]
		if !ok {
			t.Errorf("%s %s is not in the table of routes", registered.Method, registered.Path)
			continue
		}
		if registered.Method == http.MethodHead || r.path == "/logout" { // which ends what the test holds
			continue
		}
		walked++
		for header, role := range holders {
			if r.path == "/v1/events" && role.Includes(r.needs()) {
				continue // the stream never ends: TestEvents reads it
			}
			status := askAs(t, s, r, "Authorization", header).StatusCode
			switch {
			case r.needs() == anybody || role.Includes(r.needs()):
				if status == http.StatusForbidden || status == http.StatusUnauthorized && r.path != "/login" || status >= http.StatusInternalServerError {
					t.Errorf("%s %s as %q: %d, and it may", r.method, r.path, role, status)
				}
			case role == "" && status != http.StatusUnauthorized:
				t.Errorf("%s %s as nobody: %d", r.method, r.path, status)
			case role != "" && status != http.StatusForbidden:
				t.Errorf("%s %s as %q: %d, want 403", r.method, r.path, role, status)
			}
		}
	}
	if walked != len(known)-1 {
		t.Errorf("%d routes of %d were walked", walked, len(known))
	}
}

// What is no route, and a route that only an admin may use because nobody said who else, are closed.
func TestWhatNobodyThoughtOfIsClosed(t *testing.T) {
	for _, r := range []route{{method: http.MethodPost}, {method: http.MethodDelete}, {method: "BREW"}} {
		if r.needs() != elt.Admin {
			t.Errorf("%s without a role asks for %q", r.method, r.needs())
		}
	}
	if (elt.Role("")).Includes(elt.Viewer) || elt.Admin.Includes("") || elt.Admin.Includes(anybody) || elt.Viewer.Includes(elt.Operator) {
		t.Error("a role includes what it must not")
	}
}

// A session has its token's rights and ends with it; signing out ends it before.
func TestSessionsOfTokens(t *testing.T) {
	s, keys, now := serveTokens(t)
	text := keys.Add("on-call", elt.Operator, time.Time{})
	signIn := func() string {
		answer := postForm(t, s, "/login", url.Values{"token": {text}})
		if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
			t.Fatalf("login: %d", answer.StatusCode)
		}
		cookie := answer.Cookies()[0]
		if strings.Contains(text, cookie.Value) || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
			t.Errorf("the cookie is %v", cookie)
		}
		return cookie.Name + "=" + cookie.Value
	}
	wants := func(cookie string, status int) {
		t.Helper()
		*now = now.Add(2 * believed)
		if answer, body := get(t, s, "/", "Cookie", cookie, "Accept", "text/html"); answer.StatusCode != status ||
			(status == http.StatusOK) != strings.Contains(body, "Signed in as on-call (operator)") {
			t.Errorf("%d, want %d", answer.StatusCode, status)
		}
	}
	first, second := signIn(), signIn()
	wants(first, http.StatusOK)
	if answer := postForm(t, s, "/logout", nil, "Cookie", first); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %d", answer.StatusCode)
	}
	wants(first, http.StatusUnauthorized)
	wants(second, http.StatusOK)
	keys.Revoke(text)
	wants(second, http.StatusUnauthorized)
}

// While the ledger is away, whoever it vouched for in the last five minutes reads the last snapshot; strangers do not.
func TestCallersWhileTheLedgerIsAway(t *testing.T) {
	s, keys, now := serveTokens(t, func(o *Options) { o.StaleAfter = time.Hour })
	text, other := keys.Add("reports", elt.Viewer, time.Time{}), keys.Add("new", elt.Viewer, time.Time{})
	wants := func(token string, status int) {
		t.Helper()
		if answer, body := get(t, s, "/v1/summary", "Authorization", "Bearer "+token); answer.StatusCode != status {
			t.Errorf("%d, want %d: %s", answer.StatusCode, status, body)
		}
	}
	wants(text, http.StatusOK)
	keys.Fail(errors.New("away"))
	*now = now.Add(remembered - time.Second)
	wants(text, http.StatusOK)
	wants(other, http.StatusUnauthorized)
	*now = now.Add(time.Second)
	wants(text, http.StatusUnauthorized)
	keys.Fail(nil)
	wants(text, http.StatusOK)
}

// Hundreds of requests of one token are one question to the ledger.
func TestCallersAreAskedAboutSeldom(t *testing.T) {
	s, keys, _ := serveTokens(t)
	text := keys.Add("poller", elt.Viewer, time.Time{})
	for range 200 {
		if answer, _ := get(t, s, "/v1/summary", "Authorization", "Bearer "+text); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.StatusCode)
		}
	}
	if keys.Lookups != 1 {
		t.Errorf("the ledger was asked %d times", keys.Lookups)
	}
}

// One caller's flood is refused and takes nothing from another; whoever waits a second may ask again.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := statustest.Busy()
		keys := statustest.NewKeys(world.Ledger, world.Now)
		s := serve(t, world, func(o *Options) { o.Public, o.Tokens, o.RequestsPerSecond = false, keys, 5 })
		flood, calm := "Bearer "+keys.Add("flood", elt.Viewer, time.Time{}), "Bearer "+keys.Add("calm", elt.Viewer, time.Time{})
		count := func(header string, requests int) (answered, refused int) {
			for range requests {
				switch answer, _ := get(t, s, "/v1/summary", "Authorization", header); answer.StatusCode {
				case http.StatusOK, http.StatusUnauthorized:
					answered++
				case http.StatusTooManyRequests:
					if refused++; answer.Header.Get("Retry-After") == "" {
						t.Error("a refusal does not say when to come again")
					}
				default:
					t.Fatalf("%d", answer.StatusCode)
				}
			}
			return answered, refused
		}
		if answered, refused := count("Bearer wrong", 40); answered != 10 || refused != 30 {
			t.Errorf("whoever guesses: %d answered, %d refused", answered, refused)
		}
		time.Sleep(time.Second)
		if answered, _ := count(flood, 40); answered < 10 || answered > 16 {
			t.Errorf("a flood: %d answered", answered)
		}
		time.Sleep(time.Second)
		if answered, refused := count(calm, 5); answered != 5 {
			t.Errorf("another caller: %d answered, %d refused", answered, refused)
		}
	})
}
