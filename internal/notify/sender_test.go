package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// token stands in the path of every address here, as Slack's webhooks have it: it must be seen nowhere else.
const (
	token  = "/services/hunter2"
	secret = "hunter2-0123456789"
)

func TestAMessageIsDelivered(t *testing.T) {
	slack, pager := newEndpoint(t, status(200)), newEndpoint(t, status(204))
	o := open(t, nil, Slack(slack.url(), "#data"), Webhook("pager", pager.url(), secret))
	in := o.open(t, "shop.users")
	got := slack.next(t)
	if got.key != string(in.ID)+"/opened/1/slack" || got.signature != "" || got.path != token || !bytes.Contains(got.body, []byte(`"channel":"#data"`)) {
		t.Errorf("Slack got %s %s %s %s", got.key, got.signature, got.path, got.body)
	}
	got = pager.next(t)
	if got.key != string(in.ID)+"/opened/1/pager" || !bytes.Contains(got.body, []byte(`"event":"incident.opened"`)) {
		t.Errorf("the webhook got %s %s", got.key, got.body)
	}
	stamp, sum, _ := strings.Cut(strings.TrimPrefix(got.signature, "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", stamp, got.body)
	if want := hex.EncodeToString(mac.Sum(nil)); sum != want {
		t.Errorf("the signature is %s, want %s", got.signature, want)
	}
	if diff := cmp.Diff([]string{"opened delivered", "opened delivered"}, ends(o.await(t, ended))); diff != "" {
		t.Error(diff)
	}
}

// What a destination answers decides whether it is asked again; the key and the body stay the same.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   elt.Code // of the failure
		again  bool
	}{
		"500": {status(500), "destination_failed", true},
		"503": {status(503), "destination_failed", true},
		"429": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		}, "destination_busy", true},
		"a connection that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		}, "destination_unreachable", true},
		"404": {status(404), "destination_refused", false},
		"408": {status(408), "destination_refused", false},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "destination_redirects", false},
		"rubbish": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			fmt.Fprint(w, "hunter2 <script> no_service")
		}, "destination_refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			var healthy atomic.Bool
			e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if healthy.Load() {
					return
				}
				c.answer(w, r)
			})
			o := open(t, nil, Webhook("pager", e.url(), secret))
			o.open(t, "shop.users")
			first := e.next(t)
			if !c.again {
				got := o.await(t, ended)
				if diff := cmp.Diff([]string{"opened failed " + string(c.code)}, ends(got)); diff != "" || got[0].Attempt != 1 || len(e.posts) != 0 {
					t.Errorf("%s %+v, and %d more requests", diff, got, len(e.posts))
				}
				return
			}
			second := e.next(t)
			if second.key != first.key || !bytes.Equal(first.body, second.body) || second.path != token {
				t.Errorf("first %s %s, then %s %s", first.key, first.body, second.key, second.body)
			}
			e.next(t)
			healthy.Store(true)
			got := o.await(t, ended)
			if diff := cmp.Diff([]string{"opened delivered " + string(c.code)}, ends(got)); diff != "" || got[0].Attempt < 3 {
				t.Errorf("%s after %d attempts", diff, got[0].Attempt)
			}
		})
	}
}

func TestSlackSaysWhy(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); fmt.Fprintln(w, "no_service") })
	o := open(t, nil, Slack(e.url(), ""))
	o.open(t, "shop.users")
	if m := o.await(t, ended)[0]; m.Error.Message != "slack answered 404 (no_service)" {
		t.Errorf("%+v", m.Error)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(429)
	})
	o := open(t, nil, Slack(e.url(), ""))
	o.open(t, "shop.users")
	o.open(t, "shop.orders")
	got := o.await(t, func(m elt.Message) bool {
		return m.Attempt > 0 && m.State == elt.MessagePending || m.Notice.Incident.Cause == "shop.orders"
	})
	if wait := got[0].NextAttemptAt.Sub(got[0].ClaimedAt); wait < 30*time.Minute {
		t.Errorf("the next attempt is after %s", wait)
	}
	o.stop()
	e.next(t)
	if len(e.posts) != 0 {
		t.Error("another message was sent to a destination that asked for rest")
	}
}

// forgetful is an outbox whose process dies between sending a message and recording that, a few times.
type forgetful struct {
	*ledger.Ledger
	deaths atomic.Int32
}

// ClaimMessage claims with a lease that is over at once, as it is when the process comes back.
func (f *forgetful) ClaimMessage(ctx context.Context, to elt.DestinationName, _ time.Duration) (elt.Message, bool, error) {
	return f.Ledger.ClaimMessage(ctx, to, 0)
}

func (f *forgetful) FinishMessage(ctx context.Context, m elt.Message, d elt.Delivery) error {
	if f.deaths.Add(-1) >= 0 {
		return errors.New("killed")
	}
	return f.Ledger.FinishMessage(ctx, m, d)
}

func TestACrashBetweenSendingAndRecording(t *testing.T) {
	e := newEndpoint(t, status(200))
	o := open(t, func(options *Options) {
		f := &forgetful{Ledger: options.Outbox.(*ledger.Ledger)}
		f.deaths.Store(3)
		options.Outbox = f
	}, Slack(e.url(), ""))
	in := o.open(t, "shop.users")
	ok(t, o.ResolveIncident(t.Context(), in.ID))
	if diff := cmp.Diff([]string{"opened delivered", "resolved delivered"}, ends(o.await(t, ended))); diff != "" {
		t.Error(diff)
	}
	var keys []string
	for len(e.posts) > 0 {
		keys = append(keys, strings.TrimPrefix(e.next(t).key, string(in.ID)))
	}
	want := []string{"/opened/1/slack", "/opened/1/slack", "/opened/1/slack", "/opened/1/slack", "/resolved/2/slack"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}

// 200 incidents at once, each with an update and its end, over a destination that fails every third time: everything
// arrives, once, and in the order of each incident.
func TestManyIncidents(t *testing.T) {
	var requests atomic.Int64
	const incidents = 200
	taken := make(chan string, 10*incidents)
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%3 == 0 {
			w.WriteHeader(500)
			return
		}
		taken <- r.Header.Get("Idempotency-Key")
	})
	o := open(t, func(o *Options) { o.MaxRetry = 2 * time.Millisecond }, Slack(e.url(), ""))
	for i := range incidents {
		in := o.open(t, elt.DatasetName(fmt.Sprintf("shop.t%d", i)))
		in.Affected = append(in.Affected, "revenue")
		ok(t, o.UpdateIncident(t.Context(), in))
		ok(t, o.ResolveIncident(t.Context(), in.ID))
	}
	of := make(map[string][]string)
	for range 3 * incidents { // each is waited for: a slow machine takes as long as it takes
		select {
		case key := <-taken:
			incident, rest, _ := strings.Cut(key, "/")
			of[incident] = append(of[incident], rest)
		case <-time.After(patience):
			t.Fatal("nothing more is sent")
		}
	}
	for _, m := range o.await(t, ended) {
		if m.State != elt.MessageDelivered {
			t.Errorf("%s is %s", m.ID, m.State)
		}
	}
	if len(taken) > 0 {
		t.Errorf("%d messages were taken twice", len(taken))
	}
	if len(of) != incidents {
		t.Errorf("%d incidents were told", len(of))
	}
	for incident, got := range of {
		if diff := cmp.Diff([]string{"opened/1/slack", "updated/2/slack", "resolved/3/slack"}, got); diff != "" {
			t.Errorf("%s: %s", incident, diff)
		}
	}
}

// A destination that never answers delays nobody but itself.
func TestADeadSlackHoldsUpNobody(t *testing.T) {
	release := make(chan struct{})
	dead := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	alive := newEndpoint(t, status(200))
	o := open(t, func(o *Options) { o.Timeout = time.Hour }, Slack(dead.url(), ""), Webhook("pager", alive.url(), secret))
	o.open(t, "shop.users")
	dead.next(t)
	began := time.Now()
	for i := range 50 {
		in := o.open(t, elt.DatasetName(fmt.Sprintf("shop.t%d", i)))
		ok(t, o.ResolveIncident(t.Context(), in.ID))
	}
	o.await(t, func(m elt.Message) bool { return ended(m) || m.Destination == "slack" })
	t.Logf("50 incidents were opened, resolved and told in %s while Slack hung", time.Since(began))
	if len(dead.posts) != 0 {
		t.Error("more was sent to a destination that has not answered yet")
	}
	ending := time.Now()
	o.stop()
	if took := time.Since(ending); took > patience {
		t.Errorf("the senders took %s to end", took)
	}
}

// queue is an outbox that hands out what it holds, once.
type queue chan elt.Message

func (q queue) ClaimMessage(context.Context, elt.DestinationName, time.Duration) (m elt.Message, found bool, err error) {
	select {
	case m, found = <-q:
	default:
	}
	return m, found, nil
}

func (queue) FinishMessage(context.Context, elt.Message, elt.Delivery) error { return nil }

// A message that fails for the thousandth time waits long for its next attempt, and the others do not.
func TestOneBadMessageDelaysNoOther(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "bad" {
			w.WriteHeader(500)
		}
	})
	q := make(queue, 2)
	q <- elt.Message{ID: "bad", Attempt: 1000}
	q <- elt.Message{ID: "good", Attempt: 1}
	s := New(Options{
		Destinations: []Destination{Slack(e.url(), "")}, Outbox: q, AllowPrivate: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		FirstRetry: time.Millisecond, MaxRetry: 24 * time.Hour, GiveUp: 1000 * time.Hour,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	for _, want := range []string{"bad", "good"} {
		if got := e.next(t).key; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
	cancel()
	running.Wait()
}

func TestAnAnswerThatNeverEnds(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		junk := bytes.Repeat([]byte("x"), 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	})
	o := open(t, nil, Slack(e.url(), ""))
	o.open(t, "shop.users")
	if diff := cmp.Diff([]string{"opened delivered"}, ends(o.await(t, ended))); diff != "" {
		t.Error(diff)
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	e := newEndpoint(t, status(200))
	o := open(t, func(o *Options) { o.AllowPrivate = false }, Slack(e.url(), ""), Webhook("pager", strings.Replace(e.url(), "127.0.0.1", "localhost", 1), secret))
	o.open(t, "shop.users")
	if diff := cmp.Diff([]string{"opened failed destination_private", "opened failed destination_private"}, ends(o.await(t, ended))); diff != "" {
		t.Error(diff)
	}
	if len(e.posts) != 0 {
		t.Error("a private address was connected to")
	}
}

func TestACertificateThatNobodyVouchesFor(t *testing.T) {
	e := httptest.NewTLSServer(status(200))
	t.Cleanup(e.Close)
	e.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	o := open(t, nil, Slack(e.URL+token, ""))
	o.open(t, "shop.users")
	m := o.await(t, func(m elt.Message) bool { return m.Error != nil })[0]
	if m.Error.Code != "destination_unreachable" || m.Error.Message != "slack cannot be reached: its certificate is not trusted" {
		t.Errorf("%+v", m.Error)
	}
}

func TestAMessageIsGivenUpInTheEnd(t *testing.T) {
	e := newEndpoint(t, status(500))
	o := open(t, func(o *Options) { o.GiveUp = 30 * time.Millisecond }, Slack(e.url(), ""))
	in := o.open(t, "shop.users")
	o.await(t, ended)
	ok(t, o.ResolveIncident(t.Context(), in.ID))
	got := o.await(t, ended)
	if diff := cmp.Diff([]string{"opened failed notice_expired", "resolved failed notice_expired"}, ends(got)); diff != "" {
		t.Error(diff)
	}
	if !strings.HasSuffix(got[0].Error.Message, "slack answered 500") {
		t.Errorf("%+v", got[0].Error)
	}
}

// A message that is on its way when the process is to end is recorded as it ended.
func TestTheEndOfTheProcess(t *testing.T) {
	stopping := make(chan struct{})
	e := newEndpoint(t, func(http.ResponseWriter, *http.Request) { <-stopping })
	o := open(t, func(o *Options) { o.Grace = patience }, Slack(e.url(), ""))
	o.open(t, "shop.users")
	e.next(t)
	go close(stopping)
	o.stop()
	if diff := cmp.Diff([]string{"opened delivered"}, ends(o.await(t, ended))); diff != "" {
		t.Error(diff)
	}
}

func TestDestinationsPrintAsTheirNames(t *testing.T) {
	o := Options{Destinations: []Destination{Slack("https://example.com"+token, ""), Webhook("pager", "https://example.com"+token, secret)}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if s := fmt.Sprintf(verb, o); strings.Contains(s, "hunter2") || strings.Contains(s, "example.com") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
	var j journal
	slog.New(slog.NewJSONHandler(&j, nil)).Info("", "one", o.Destinations[0], "all", o.Destinations)
	if s := j.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, `"one":"slack"`) {
		t.Errorf("logged as %s", s)
	}
}

func TestBackoff(t *testing.T) {
	s := New(Options{})
	for failures, most := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 9: 512 * time.Second, 10: 10 * time.Minute, 1_000_000: 10 * time.Minute} {
		for range 100 {
			if got := s.backoff(failures); got < most/2 || got > most {
				t.Fatalf("after %d failures the wait is %s, want between %s and %s", failures, got, most/2, most)
			}
		}
	}
}
