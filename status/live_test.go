package status

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/status/api"
	"github.com/daybreak-data/daybreak/status/statustest"
)

// ask starts a request and returns a channel with its answer.
func ask(t *testing.T, s *Service, path string) <-chan *httptest.ResponseRecorder {
	t.Helper()
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		done <- rec
	}()
	return done
}

func gateOf(t *testing.T, rec *httptest.ResponseRecorder) api.Gate {
	t.Helper()
	var g api.Gate
	if err := json.Unmarshal(rec.Body.Bytes(), &g); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return g
}

// A wait answers at once when it is settled, wakes on the change that settles it, sleeps through every
// other change, and ends when its time is up. Time is the bubble's: nothing here waits for real.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := statustest.Busy()
		began := time.Now()
		w.Tick(func() time.Duration { return time.Since(began) })
		s := serve(t, w, func(o *Options) { o.Now = w.Now })
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- s.Run(ctx) }()

		for path, want := range map[string]api.Verdict{
			"/v1/wait?need=shop.users@2026-11-20":                    api.Ready,
			"/v1/wait?need=shop.users@2026-11-20,revenue@2026-11-20": api.Impossible,
			"/v1/wait?need=shop.campaigns@2026-11-15":                api.Impossible,
			"/v1/wait?need=shop.users@2020-01-01":                    api.Impossible,
		} {
			if g := gateOf(t, <-ask(t, s, path)); g.Verdict != want || g.TimedOut {
				t.Errorf("%s: %s, want %s at once", path, g.Verdict, want)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("settled needs took %v", took)
		}

		timed := ask(t, s, "/v1/wait?need=shop.conversations@2026-11-20&timeout=5s")
		waits := ask(t, s, "/v1/wait?need=shop.conversations@2026-11-20&timeout=50s")
		if g := gateOf(t, <-timed); g.Verdict != api.Waiting || !g.TimedOut || g.PollAfter < 5 || g.PollAfter > 10 {
			t.Errorf("a wait whose time is up: %+v", g)
		}
		w.SetIncident(elt.Incident{ID: "elsewhere", Cause: "churn", Date: w.Night, OpenedAt: w.Now()})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		select {
		case <-waits:
			t.Fatal("a change elsewhere ended the wait")
		default:
		}
		w.Publish(elt.Version{ID: "v", Dataset: "shop.conversations", Date: w.Night, Run: statustest.RunOf("nightly", w.Night), PublishedAt: w.Now(), Rows: 7})
		published := time.Now()
		if g := gateOf(t, <-waits); g.Verdict != api.Ready || g.Needs[0].Day.Rows != 7 {
			t.Errorf("after publishing: %+v", g)
		}
		if took := time.Since(published); took > 500*time.Millisecond {
			t.Errorf("the wait woke %v after the change", took)
		}

		// A ledger that went away: nobody is kept waiting for news that cannot come.
		waits = ask(t, s, "/v1/wait?need=shop.message_parts@2026-11-20&timeout=5m")
		synctest.Wait()
		w.Fail(context.DeadlineExceeded)
		if rec := <-waits; rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), string(codeStatusStale)) {
			t.Errorf("a wait on a stale board: %d %s", rec.Code, rec.Body)
		}
		w.Fail(nil)
		time.Sleep(time.Second)
		waits = ask(t, s, "/v1/wait?need=shop.message_parts@2026-11-20&timeout=5m")
		synctest.Wait()
		stop()
		if rec := <-waits; rec.Code != http.StatusServiceUnavailable {
			t.Errorf("a wait while the service stops: %d", rec.Code)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// A lease that runs out changes a day without any change of the ledger.
func TestUnknownByTimeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := statustest.Busy()
		began := time.Now()
		w.Tick(func() time.Duration { return time.Since(began) })
		s := serve(t, w, func(o *Options) { o.Now = w.Now })
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- s.Run(ctx) }()
		if v, _ := s.current(); v.byName["shop.conversations"].headline.Latest.State != elt.DayRunning {
			t.Fatal("not running to begin with")
		}
		time.Sleep(62 * time.Second)
		synctest.Wait()
		v, _ := s.current()
		if d := v.byName["shop.conversations"].headline.Latest; d.State != elt.DayUnknown {
			t.Errorf("%s a minute after the last sign of life", d.State)
		}
		if g := gateOf(t, <-ask(t, s, "/v1/ready?need=shop.conversations@2026-11-20")); g.Verdict != api.Unknown {
			t.Errorf("its gate says %s", g.Verdict)
		}
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// reader reads events of a stream.
type reader struct {
	*bufio.Scanner
	close func() error
	url   string
	last  int64 // of the events that it has
}

// open begins a stream after an event, or now where last is empty.
func open(t *testing.T, url, last string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // an event that never comes ends the stream
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%d %s", answer.StatusCode, kind)
	}
	r := &reader{Scanner: bufio.NewScanner(answer.Body), close: answer.Body.Close, url: url}
	for r.Scan() && !strings.HasPrefix(r.Text(), ": as_of=") { // the greeting: from here on nothing is missed
	}
	return r
}

// next returns the next event. A reader that stands still for as long as the service's patience is let go, and goes on where it
// was, as browsers do.
func (r *reader) next(t *testing.T) elt.Event {
	t.Helper()
	for range 3 {
		for r.Scan() {
			if data, ok := strings.CutPrefix(r.Text(), "data: "); ok {
				var e elt.Event
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Fatal(err)
				}
				r.last = e.Seq
				return e
			}
		}
		t.Logf("the stream ended after event %d: %v", r.last, r.Err())
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		last := r.last
		*r = *open(t, r.url, strconv.FormatInt(last, 10))
		r.last = last
	}
	t.Fatalf("three streams ended after event %d", r.last)
	return elt.Event{}
}

// A stream tells every event once and in order, from where a reader left off, over the ring and beyond.
func TestEvents(t *testing.T) {
	w := statustest.Busy()
	s := serve(t, w)
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer("", s.Handler())
	server.Start()
	t.Cleanup(func() { testenv.Close(t, server) })
	newest := s.feed.newest()
	if newest < ringEvents {
		t.Fatalf("the world has only %d events: the ring would hold them all", newest)
	}
	live := open(t, server.URL, "")
	live.last = newest
	defer func() { live.close() }()
	again := open(t, server.URL, "1")
	again.last = 1
	defer func() { again.close() }()
	for want := int64(2); want <= newest; want++ { // at once: who stops reading is let go
		if e := again.next(t); e.Seq != want {
			t.Fatalf("event %d came where %d was due", e.Seq, want)
		}
	}
	day := w.Day("churn", w.Night)
	w.SetDay(day)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]*reader{"a new reader": live, "one who read on": again} {
		if e := reader.next(t); e.Seq != newest+1 || e.Dataset != "churn" {
			t.Errorf("%s got %+v", name, e)
		}
	}
}
