package status

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

const testToken = "a-token-of-some-length"

// serve returns a service over the world with its first snapshot taken. The service's clock is the world's.
func serve(t *testing.T, w *statustest.World, change ...func(*Options)) *Service {
	t.Helper()
	o := Options{Ledger: w, Public: true, Location: w.Zone, Schedules: w.Schedules, Now: w.Now, Title: "Acme data", Version: "1.0.0"}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.handler = underContract(t, s)
	return s
}

// get asks the service as a browser would where the path is a page's.
func get(t *testing.T, s *Service, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if !strings.HasPrefix(path, "/v1/") {
		r.Header.Set("Accept", "text/html")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	b, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result(), string(b)
}

// forOperators gives the service a token of an operator's, and SQL to show.
func forOperators(o *Options) {
	o.Token, o.TokenRole = testToken, elt.Operator
	o.SQL = func(d elt.DatasetName) (api.ModelSQL, bool) {
		return api.ModelSQL{Dataset: d, File: "sql/models/" + string(d) + ".sql", Written: "select {{ one() }}", Compiled: "select 1", Date: elt.Date{Year: 2026, Month: 11, Day: 20}}, true
	}
}
