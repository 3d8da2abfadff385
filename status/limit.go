package status

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// mostLimited bounds the memory of limits: with more callers than that at once, all begin anew.
const mostLimited = 10_000

// limits keep one caller from taking the service away from the others. A caller is a token, or an address where nobody
// has signed in.
type limits struct {
	perSecond int // 0 for no limit

	mu  sync.Mutex
	all map[string]*rate.Limiter
}

func newLimits(perSecond int) *limits {
	return &limits{perSecond: perSecond, all: make(map[string]*rate.Limiter)}
}

// none reports that nobody is limited.
func (l *limits) none() bool { return l.perSecond <= 0 }

// allow reports whether the caller may ask now. Twice as many requests as in a second may come at once.
func (l *limits) allow(who string) bool {
	if l.none() {
		return true
	}
	l.mu.Lock()
	limiter := l.all[who]
	if limiter == nil {
		if len(l.all) >= mostLimited {
			clear(l.all)
		}
		limiter = rate.NewLimiter(rate.Limit(l.perSecond), 2*l.perSecond)
		l.all[who] = limiter
	}
	l.mu.Unlock()
	return limiter.Allow()
}

// limit refuses a caller's requests beyond the limit. It comes before the guard, so that guessing tokens is limited too.
func (s *Service) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.limits.none() || s.limits.allow(s.limitedAs(c.Request())) {
			return next(c)
		}
		p := refuse(http.StatusTooManyRequests, codeTooManyRequests, fmt.Sprintf("more than %d requests came in a second", s.limits.perSecond),
			"wait as Retry-After says; /v1/wait and /v1/events tell of a change without asking again and again")
		p.retryAfter = 1
		return p
	}
}

// limitedAs names the caller: by their token where it is known to be one, else by their address, which is the
// connection's, as a header could claim anything. The ledger is not asked: that would be work for whoever guesses.
func (s *Service) limitedAs(r *http.Request) string {
	if who := s.access.known(r); who.Name != "" {
		return who.actor()
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
