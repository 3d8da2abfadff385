package status

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// account lets ann in as an operator, unless it is told to fail.
type account struct{ err error }

func (a *account) Begin(_ context.Context, next string) (redirect, ticket string, err error) {
	return "https://login.example.com/authorize?state=s", "ticket for " + next, a.err
}

func (a *account) Finish(_ context.Context, answer url.Values, ticket string) (name string, role elt.Role, next string, err error) {
	if a.err != nil {
		return "", "", "", a.err
	}
	if answer.Get("state") != "s" || !strings.HasPrefix(ticket, "ticket for ") {
		return "", "", "", &elt.Error{Code: "login_refused", Class: elt.Config, What: "the answer belongs to another sign-in", Do: "begin again at /login"}
	}
	return "ann@example.com", elt.Operator, strings.TrimPrefix(ticket, "ticket for "), nil
}

// Somebody who signs in elsewhere gets a session of their own, acts under their name, and is out when they sign out.
func TestSignInWithAnAccount(t *testing.T) {
	elsewhere := &account{}
	s, acts, _ := serveTokens(t, func(o *Options) { o.Login, o.LoginName = elsewhere, "Acme" })
	if _, body := get(t, s, "/login?next=/runs", "Accept", "text/html"); !strings.Contains(body, `href="/login/account?next=%2Fruns"`) || !strings.Contains(body, "Sign in with Acme") {
		t.Errorf("the login page does not offer it:\n%s", body)
	}
	begun, _ := get(t, s, "/login/account?next=/runs")
	ticket := begun.Cookies()
	if begun.StatusCode != http.StatusSeeOther || begun.Header.Get("Location") != "https://login.example.com/authorize?state=s" || len(ticket) != 1 ||
		!ticket[0].HttpOnly || ticket[0].SameSite != http.SameSiteLaxMode || ticket[0].Path != "/login/callback" {
		t.Fatalf("%d to %q with %v", begun.StatusCode, begun.Header.Get("Location"), ticket)
	}
	for query, cookie := range map[string]string{"state=s": "", "state=x": ticket[0].Name + "=" + ticket[0].Value} {
		answer, body := get(t, s, "/login/callback?"+query, "Cookie", cookie)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "login_refused") || sessionOfAnswer(answer) != "" {
			t.Errorf("%s: %d %s", query, answer.StatusCode, body)
		}
	}
	done, _ := get(t, s, "/login/callback?state=s&code=c", "Cookie", ticket[0].Name+"="+ticket[0].Value)
	session := sessionOfAnswer(done)
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/runs" || session == "" {
		t.Fatalf("%d to %q with %v", done.StatusCode, done.Header.Get("Location"), done.Cookies())
	}
	if answer, body := get(t, s, "/audit", "Cookie", session); answer.StatusCode != http.StatusOK || !strings.Contains(body, "ann@example.com") {
		t.Errorf("with the session: %d", answer.StatusCode)
	}
	if answer, _ := get(t, s, "/tokens", "Cookie", session); answer.StatusCode != http.StatusForbidden {
		t.Errorf("an operator sees the tokens: %d", answer.StatusCode)
	}
	if answer := postForm(t, s, "/runs/20261121t0500-nightly/cancel", url.Values{"reason": {"wrong date"}}, "Cookie", session); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("cancel: %d", answer.StatusCode)
	}
	if len(acts.Asked) != 1 || !strings.Contains(acts.Asked[0], "by ann@example.com: wrong date") {
		t.Errorf("%q", acts.Asked)
	}
	postForm(t, s, "/logout", nil, "Cookie", session)
	if answer, _ := get(t, s, "/audit", "Cookie", session); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", answer.StatusCode)
	}
}

func sessionOfAnswer(answer *http.Response) string {
	for _, c := range answer.Cookies() {
		if c.Name == sessionCookie && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// What keeps somebody out is one sentence with its status, and never an error of ours.
func TestSignInThatFails(t *testing.T) {
	elsewhere := &account{}
	s, _, _ := serveTokens(t, func(o *Options) { o.Login, o.LoginName = elsewhere, "Acme" })
	for code, status := range map[elt.Code]int{"login_away": http.StatusServiceUnavailable, "login_refused": http.StatusBadRequest, "login_forbidden": http.StatusForbidden} {
		elsewhere.err = &elt.Error{Code: code, Class: elt.Config, What: "it is so", Do: "do this"}
		for _, path := range []string{"/login/account", "/login/callback?state=s"} {
			answer, body := get(t, s, path)
			if answer.StatusCode != status || !strings.Contains(body, string(code)) || !strings.Contains(body, "It is so.") {
				t.Errorf("%s %s: %d %s", path, code, answer.StatusCode, body)
			}
		}
	}
}
