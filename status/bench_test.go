package status

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/status/statustest"
)

// bare is a service whose answers nobody holds against the API's description.
func bare(t testing.TB, w *statustest.World) *Service {
	t.Helper()
	s, err := New(Options{Ledger: w, Public: true, Location: w.Zone, Schedules: w.Schedules, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// mostAllocations is what routing, headers, metrics and the recorder of a test take, with a little room.
const mostAllocations = 50

// What pollers ask for again and again costs as little as a route can: nothing is built or encoded for it.
func TestPollersCostLittle(t *testing.T) {
	s := bare(t, statustest.Busy())
	first := httptest.NewRequest(http.MethodGet, "/v1/datasets/shop.users", nil)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, first)
	again := first.Clone(t.Context())
	again.Header.Set("If-None-Match", rec.Header().Get("ETag"))
	for want, r := range map[int]*http.Request{http.StatusOK: first, http.StatusNotModified: again} {
		allocs := testing.AllocsPerRun(100, func() {
			rec := httptest.NewRecorder()
			if s.Handler().ServeHTTP(rec, r); rec.Code != want {
				t.Fatalf("%d, want %d", rec.Code, want)
			}
		})
		t.Logf("an answer %d takes %.0f allocations", want, allocs)
		if allocs > mostAllocations {
			t.Errorf("an answer %d takes %.0f allocations, want at most %d", want, allocs, mostAllocations)
		}
	}
}

// silent is a connection that takes an answer and keeps nothing of it.
type silent struct {
	header http.Header
	code   int
}

func (w *silent) Header() http.Header         { return w.header }
func (w *silent) Write(b []byte) (int, error) { return len(b), nil }
func (w *silent) WriteHeader(code int)        { w.code = code }

// BenchmarkPollers answers one poller in turns with a body and without, so that the ratio holds whatever else the
// machine does: what the service itself takes, without a connection.
func BenchmarkPollers(b *testing.B) {
	for name, header := range map[string]string{"public": "", "with a token": "Bearer " + testToken} {
		b.Run(name, func(b *testing.B) {
			w := statustest.Busy()
			s, err := New(Options{Ledger: w, Public: header == "", Token: testToken, RequestsPerSecond: 1 << 30, Location: w.Zone, Schedules: w.Schedules, Now: w.Now})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
			full := httptest.NewRequest(http.MethodGet, "/v1/datasets/shop.users", nil)
			if header != "" {
				full.Header.Set("Authorization", header)
			}
			ask := func(r *http.Request, want int) (string, time.Duration) {
				w := silent{header: make(http.Header)}
				began := time.Now()
				if s.Handler().ServeHTTP(&w, r); w.code != want {
					b.Fatalf("%d, want %d", w.code, want)
				}
				return w.header.Get("ETag"), time.Since(began)
			}
			tag, _ := ask(full, http.StatusOK)
			same := full.Clone(b.Context())
			same.Header.Set("If-None-Match", tag)
			var answered, spared time.Duration
			for b.Loop() {
				_, took := ask(full, http.StatusOK)
				answered += took
				_, took = ask(same, http.StatusNotModified)
				spared += took
			}
			b.ReportMetric(float64(answered.Nanoseconds())/float64(b.N), "ns/200")
			b.ReportMetric(float64(spared.Nanoseconds())/float64(b.N), "ns/304")
			b.ReportMetric(float64(answered)/float64(spared), "200/304")
		})
	}
}

// BenchmarkPages renders what is looked at most, for a company with three hundred datasets of ninety days.
func BenchmarkPages(b *testing.B) {
	s := bare(b, statustest.Crowd(300))
	for _, path := range []string{"/", "/datasets/shop.users", "/v1/datasets/shop.users", "/v1/datasets/shop.users/days"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
