package status

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// spare answers a poller that has what the snapshot says already before anything else is done for its request: its limit
// and its right to ask are looked at as everybody's are, and nothing is routed, built or compressed. Whatever it does not
// answer goes its usual way, refusals too.
func (s *Service) spare(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tags := r.Header["If-None-Match"]
		if len(tags) == 0 || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		began := time.Now()
		a, made := s.feed.answer(r.RequestURI)
		if !made || !matches(tags[0], a.tag) || !s.limits.none() && !s.limits.allow(s.limitedAs(r)) || !s.access.who(r).Role.Includes(a.reader) {
			next.ServeHTTP(w, r)
			return
		}
		// What else a 200 says in its headers stays true of the copy that the poller has: RFC 9110, 15.4.5.
		h := w.Header()
		h["Etag"], h["Cache-Control"], h["Vary"] = a.tags, noCache, varies
		w.WriteHeader(http.StatusNotModified)
		a.spared.inc(time.Since(began))
	})
}

// spared counts the answers of a route that were spared.
type spared struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

func (m *metrics) spared(route string) spared {
	return spared{m.requests.WithLabelValues(route, http.MethodGet, "304"), m.httpSeconds.WithLabelValues(route)}
}

func (s spared) inc(took time.Duration) {
	s.requests.Inc()
	s.seconds.Observe(took.Seconds())
}

// readers are the roles that the routes ask for of those who read them.
func readers(routes []route) map[string]elt.Role {
	roles := make(map[string]elt.Role)
	for _, r := range routes {
		if r.method == http.MethodGet {
			roles[r.path] = r.needs()
		}
	}
	return roles
}
