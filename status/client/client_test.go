package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/client"
	"github.com/daybreak-data/daybreak/status/statustest"
)

const token = "a-token-of-some-length"

func serve(t *testing.T, w *statustest.World) *httptest.Server {
	t.Helper()
	s, err := status.New(status.Options{Ledger: w, Token: token, Location: w.Zone, Schedules: w.Schedules, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { testenv.Close(t, server) })
	return server
}

func connect(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.New(url, token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func need(t *testing.T, text string) client.Need {
	t.Helper()
	n, err := client.ParseNeed(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReading(t *testing.T) {
	w := statustest.Busy()
	c := connect(t, serve(t, w).URL+"/", token)
	summary, err := c.Summary(t.Context())
	if err != nil || summary.Datasets != 15 || summary.Date != w.Night || len(summary.Trouble) != 1 {
		t.Errorf("summary: %+v, %v", summary, err)
	}
	all, err := c.Datasets(t.Context())
	if err != nil || len(all) != 15 {
		t.Errorf("%d datasets, %v", len(all), err)
	}
	d, err := c.Dataset(t.Context(), "shop.conversations")
	if err != nil || d.Progress == nil || d.Progress.Step != elt.LoadStep || d.Progress.RowsExpected != 11_604_020 || d.Progress.RowsPerSecond <= 0 {
		t.Errorf("dataset: %+v, %v", d.Progress, err)
	}
	day, err := c.Day(t.Context(), "finance.invoices", w.Night)
	if err != nil || day.State != elt.DayFailed || len(day.Steps) != 4 || len(day.Steps[0].Attempts) != 3 {
		t.Errorf("day: %+v, %v", day, err)
	}
	for text, want := range map[string]api.Verdict{"shop.users@2026-11-20": api.Ready, "revenue@2026-11-20": api.Impossible, "response_times@2026-11-20": api.Waiting} {
		if g, err := c.Ready(t.Context(), need(t, text)); err != nil || g.Verdict != want {
			t.Errorf("%s: %s, %v", text, g.Verdict, err)
		}
	}
	if g, err := c.Wait(t.Context(), need(t, "shop.users@2026-11-20"), need(t, "revenue@2026-11-20")); err != nil || g.Verdict != api.Impossible {
		t.Errorf("wait: %+v, %v", g, err)
	}
}

// Whose time is up while the service still waits is told what it said last.
func TestWaitInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := statustest.Busy()
		s, err := status.New(status.Options{Ledger: w, Public: true, Location: w.Zone, Now: w.Now})
		if err != nil {
			t.Fatal(err)
		}
		c := connect(t, "http://status.example", "")
		c.Use(inMemory{s.Handler()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g, err := c.Wait(ctx, need(t, "response_times@2026-11-20")); err != nil || g.Verdict != api.Waiting || !g.TimedOut {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

func TestErrors(t *testing.T) {
	w := statustest.Busy()
	server := serve(t, w)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, test := range map[string]struct {
		url, token string
		code       elt.Code
		unknown    bool
	}{
		"wrong token": {server.URL, "wrong", "unauthorized", false},
		"no service":  {"http://" + testenv.NobodyListens(t), token, "status_unreachable", true},
		"not ours":    {other.URL, token, "bad_answer", false},
	} {
		_, err := connect(t, test.url, test.token).Summary(t.Context())
		var e *client.Error
		if !errors.As(err, &e) || e.Code != test.code || client.IsUnknown(err) != test.unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := connect(t, server.URL, token).Wait(t.Context(), need(t, "nope@2026-11-20"))
	var e *client.Error
	if !errors.As(err, &e) || e.Code != "dataset_unknown" || e.Do == "" {
		t.Errorf("a dataset that is not there: %v", err)
	}
	for _, url := range []string{"", "example.com", "ftp://example.com", "http://"} {
		if _, err := client.New(url, ""); err == nil {
			t.Errorf("%q is taken for an address", url)
		}
	}
	for _, text := range []string{"orders", "@2026-01-05", "orders@soon", "Orders@2026-01-05"} {
		if _, err := client.ParseNeed(text); err == nil {
			t.Errorf("%q is taken for a need", text)
		}
	}
}

// inMemory answers requests by calling a handler: no sockets, so that time can be the bubble's.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	m.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// A service that is away for a while does not end a wait; one that stays away makes it unknown.
func TestWaitOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := statustest.Busy()
		s, err := status.New(status.Options{Ledger: w, Public: true, Location: w.Zone, Now: w.Now})
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		c := connect(t, "http://status.example", "")
		c.Use(inMemory{http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if asked++; asked <= 3 {
				rw.Header().Set("Retry-After", "7")
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			s.Handler().ServeHTTP(rw, r)
		})})
		began := time.Now()
		g, err := c.Wait(t.Context(), need(t, "shop.users@2026-11-20"))
		if err != nil || g.Verdict != api.Ready || asked != 4 || time.Since(began) != 21*time.Second {
			t.Errorf("%s after %d questions in %v, %v", g.Verdict, asked, time.Since(began), err)
		}
		c.Use(inMemory{http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if g, err := c.Wait(ctx, need(t, "shop.users@2026-11-20")); !client.IsUnknown(err) || g.Ready {
			t.Errorf("a service that stays away: %+v, %v", g, err)
		}
	})
}
