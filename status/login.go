package status

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Login lets people sign in with an account that they have elsewhere.
type Login interface {
	// Begin returns where to send a browser that wants to go on to next, and what it brings back.
	Begin(ctx context.Context, next string) (redirect, ticket string, err error)
	// Finish returns who has come back, what they may do, and where they wanted to go.
	Finish(ctx context.Context, answer url.Values, ticket string) (name string, role elt.Role, next string, err error)
}

// ticketCookie is what a browser brings back from a sign-in elsewhere. It is sent to the callback alone.
const ticketCookie = "daybreak_login"

const (
	loginPath    = "/login/account"
	callbackPath = "/login/callback"
)

func (s *Service) loginRoutes() []route {
	if s.opts.Login == nil || s.opts.Tokens == nil {
		return nil
	}
	refuses := refusals{http.StatusServiceUnavailable: {"login_away", codeLedgerAway}, http.StatusBadRequest: {"login_refused"}, http.StatusForbidden: {"login_forbidden"}}
	return []route{
		{method: http.MethodGet, path: loginPath, handler: s.beginLogin, caller: "the link of the login page", open: true, leads: true, refuses: refuses,
			query: []parameter{{"next", "the page to go on to"}}},
		{method: http.MethodGet, path: callbackPath, handler: s.finishLogin, caller: "a browser that comes back from its provider", open: true, leads: true, refuses: refuses},
	}
}

// secure reports whether browsers reach the service by TLS, so that its cookies are never sent without.
func (s *Service) secure(c echo.Context) bool {
	return c.Scheme() == "https" || strings.HasPrefix(s.opts.BaseURL, "https://")
}

func (s *Service) ticket(c echo.Context, value string, age int) *http.Cookie {
	return &http.Cookie{Name: ticketCookie, Value: value, Path: callbackPath, MaxAge: age, HttpOnly: true, Secure: s.secure(c), SameSite: http.SameSiteLaxMode}
}

func (s *Service) beginLogin(c echo.Context) error {
	redirect, ticket, err := s.opts.Login.Begin(c.Request().Context(), localPath(c.QueryParam("next")))
	if err != nil {
		return s.notSignedIn(err)
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	c.SetCookie(s.ticket(c, ticket, 600))
	return c.Redirect(http.StatusSeeOther, redirect)
}

// finishLogin gives a browser a session whose holder the provider vouches for.
func (s *Service) finishLogin(c echo.Context) error {
	ticket := ""
	if cookie, err := c.Cookie(ticketCookie); err == nil {
		ticket = cookie.Value
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	c.SetCookie(s.ticket(c, "", -1))
	name, role, next, err := s.opts.Login.Finish(c.Request().Context(), c.QueryParams(), ticket)
	if err != nil {
		return s.notSignedIn(err)
	}
	cookie, err := s.access.begin(c.Request().Context(), caller{Name: name, Role: role}, s.secure(c))
	if err != nil {
		return ledgerAway(err)
	}
	s.log.Info("signed in", "name", name, "role", role)
	c.SetCookie(cookie)
	return c.Redirect(http.StatusSeeOther, localPath(next))
}

// notSignedIn gives what kept somebody out the status that it deserves.
func (s *Service) notSignedIn(err error) error {
	f := elt.NewFailure(err)
	s.log.Warn("nobody signed in", "code", f.Code, "reason", f.Message)
	status := http.StatusForbidden
	switch f.Code {
	case "login_away":
		status = http.StatusServiceUnavailable
	case "login_refused":
		status = http.StatusBadRequest
	case "login_forbidden":
	default:
		return err
	}
	return refuse(status, f.Code, strings.SplitN(f.Message, ": Get ", 2)[0], f.Do)
}
