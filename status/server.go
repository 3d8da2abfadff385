package status

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/daybreak-data/daybreak/internal/elt"
)

const bodyLimit = "64K"

// newHandler puts the routes behind what guards them. The guard wraps everything, unknown paths too,
// and lets pass by exact method and route, so that a route which is forgotten is closed.
func (s *Service) newHandler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	streams, roles := make(map[string]bool), make(map[string]elt.Role)
	for _, r := range s.routes() {
		streams[r.path] = r.stream
		roles[r.method+" "+r.path] = r.needs()
	}
	e.Use(
		s.measure,
		secureHeaders,
		s.recoverPanic,
		s.limit,
		s.guard(roles),
		s.past,
		s.unchanged,
		middleware.BodyLimit(bodyLimit),
		middleware.GzipWithConfig(middleware.GzipConfig{
			MinLength: 1024,
			Skipper:   func(c echo.Context) bool { return streams[c.Path()] || c.Request().Method == http.MethodHead },
		}),
		s.answered,
	)
	s.addRoutes(e)
	return e
}

func (s *Service) addRoutes(e *echo.Echo) {
	for _, r := range s.routes() {
		e.Add(r.method, r.path, r.handler)
		if r.method == http.MethodGet && !r.stream {
			e.Add(http.MethodHead, r.path, r.handler)
		}
	}
}

// newPastHandler has the routes answered by the service as it was. Whoever asks was let in by the one that is.
func (s *Service) newPastHandler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	e.Use(
		s.recoverPanic,
		func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				c.Set(callerKey, s.access.who(c.Request()))
				return next(c)
			}
		},
		s.unchanged,
		middleware.GzipWithConfig(middleware.GzipConfig{MinLength: 1024, Skipper: func(c echo.Context) bool { return c.Request().Method == http.MethodHead }}),
		s.answered,
	)
	s.addRoutes(e)
	return e
}

// anybody is the role that open routes ask for: none.
const anybody elt.Role = "anybody"

// guard refuses whoever may not do what the route does. A path that is no route asks for a viewer, so that strangers do
// not learn which paths there are.
func (s *Service) guard(roles map[string]elt.Role) echo.MiddlewareFunc {
	crossOrigin := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := crossOrigin.Check(c.Request()); err != nil {
				return refuse(http.StatusForbidden, codeCrossOrigin, "another site sent this form", "open the page itself and try again")
			}
			method := c.Request().Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			needs := cmp.Or(roles[method+" "+c.Path()], elt.Viewer)
			if needs == anybody {
				return next(c)
			}
			who := s.access.who(c.Request())
			switch {
			case who.Role.Includes(needs):
				c.Set(callerKey, who)
				return next(c)
			case who.Name == "":
				return refuse(http.StatusUnauthorized, codeUnauthorized, "this needs a token", "send Authorization: Bearer TOKEN, or sign in at /login")
			}
			return refuse(http.StatusForbidden, codeForbidden, fmt.Sprintf("this needs the role %s, and %s is %s", needs, who.Name, who.Role),
				"ask whoever may make tokens for one: daybreak token create --role "+string(needs))
		}
	}
}

// secureHeaders are on every answer, errors included.
func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	policy := strings.Join([]string{
		"default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'",
		"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		return next(c)
	}
}

// recoverPanic turns a panic of a handler into an error, so that it is answered and logged as one.
func (s *Service) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisablePrintStack: true,
		LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { // echo's stack would be cut, or on stderr
			s.log.Error("a handler panicked", "error", err, "stack", string(debug.Stack()))
			return err
		},
	})(next)
}

// measure counts and times each request under its route, never under its path.
func (s *Service) measure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		route := c.Path()
		if route == "" {
			route = "none"
		}
		s.metrics.request(route, c.Request().Method, c.Response().Status, time.Since(began))
		return nil
	}
}
