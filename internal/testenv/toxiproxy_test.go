package testenv_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daybreak-data/daybreak/internal/testenv"
)

func TestToxiproxyDoesWhatNetworksDo(t *testing.T) {
	const page = 100_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(strings.Repeat("x", page)))
	}))
	defer server.Close()
	// get returns how much of the page came, and how, on a connection of its own.
	get := func(t *testing.T, p *testenv.Proxy, limit time.Duration) (int, time.Duration, error) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, time.Since(begun), err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return len(b), time.Since(begun), err
	}
	const patience, late = 5 * time.Minute, 200 * time.Millisecond
	swallowed := func(n int, _ time.Duration, err error) bool {
		return n == 0 && errors.Is(err, context.DeadlineExceeded)
	}
	slow := func(n int, took time.Duration, err error) bool { return n == page && err == nil && took >= late }
	for name, test := range map[string]struct {
		toxic testenv.Toxic
		to    testenv.Direction
		limit time.Duration
		fits  func(n int, took time.Duration, err error) bool
	}{
		"half-open": {testenv.HalfOpen(), testenv.Answers, late, swallowed},
		"deaf":      {testenv.HalfOpen(), testenv.Requests, late, swallowed},
		"late":      {testenv.Latency(late), testenv.Answers, patience, slow},
		"slow":      {testenv.Bandwidth(page / 400), testenv.Answers, patience, slow},
		"reset": {testenv.ResetPeer(), testenv.Answers, patience, func(n int, _ time.Duration, err error) bool {
			return n == 0 && err != nil && !os.IsTimeout(err)
		}},
		"limited": {testenv.LimitData(page / 2), testenv.Answers, patience, func(n int, _ time.Duration, err error) bool {
			return n > 0 && n <= page/2 && errors.Is(err, io.ErrUnexpectedEOF)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := testenv.Toxiproxy(t).Before(t, server.URL)
			if n, _, err := get(t, p, patience); n != page || err != nil {
				t.Fatalf("without a toxic: %d bytes, %v", n, err)
			}
			remove := p.Add(t, test.toxic, test.to)
			if n, took, err := get(t, p, test.limit); !test.fits(n, took, err) {
				t.Errorf("with the toxic: %d bytes within %s, %v", n, took, err)
			}
			remove()
			if n, _, err := get(t, p, patience); n != page || err != nil {
				t.Errorf("after the toxic: %d bytes, %v", n, err)
			}
		})
	}
}

func TestToxiproxyCutsPostgres(t *testing.T) {
	p := testenv.Toxiproxy(t).Before(t, testenv.Postgres(t).URL)
	conn, err := pgx.Connect(t.Context(), p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	p.Cut(t)
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the cut")
	}
	var refused *net.OpError
	if _, err := net.Dial("tcp", p.Addr); !errors.As(err, &refused) {
		t.Errorf("a connection was taken after the cut: %v", err)
	}
	p.Restore(t)
	if n := ask[int](t, p.URL, "SELECT 1"); n != 1 {
		t.Errorf("after the cut: %d", n)
	}
}
