package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
	"github.com/daybreak-data/daybreak/internal/testenv/ledgers"
)

// patience is how long anything here may take on a busy machine. A message that took a sender longer would come twice.
const patience = 3 * time.Minute

// post is one request that a destination got.
type post struct {
	key, signature, path string
	body                 []byte
}

// endpoint is a destination on loopback that answers as it is told.
type endpoint struct {
	*httptest.Server
	posts chan post
}

func newEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{posts: make(chan post, 10_000)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.posts <- post{r.Header.Get("Idempotency-Key"), r.Header.Get("Daybreak-Signature"), r.URL.Path, body}
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) url() string { return e.URL + token }

// next returns the next request.
func (e *endpoint) next(t *testing.T) post {
	t.Helper()
	select {
	case p := <-e.posts:
		return p
	case <-time.After(patience):
		t.Fatal("nothing was sent")
	}
	return post{}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// journal is a log that tests read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// office is a ledger with senders at work on its outbox.
type office struct {
	*ledger.Ledger
	log  journal
	stop func()
}

// open opens a ledger and starts its senders; change may alter their options.
func open(t *testing.T, change func(*Options), destinations ...Destination) *office {
	t.Helper()
	o := &office{}
	log := slog.New(slog.NewTextHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := ledger.Open(t.Context(), ledgers.SQLite(t), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	o.Ledger = l
	ok(t, l.Migrate(t.Context()))
	var names []elt.DestinationName
	for _, d := range destinations {
		names = append(names, d.Name())
	}
	ok(t, l.SyncDestinations(t.Context(), names))
	options := Options{
		Destinations: destinations, Outbox: l, AllowPrivate: true, Log: log, Now: time.Now,
		Look: 5 * time.Millisecond, Timeout: patience, FirstRetry: time.Millisecond, MaxRetry: 20 * time.Millisecond,
	}
	if change != nil {
		change(&options)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { New(options).Run(ctx) })
	o.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(func() {
		o.stop()
		o.leaksNothing(t)
	})
	return o
}

// leaksNothing looks for addresses and secrets wherever they must not be.
func (o *office) leaksNothing(t *testing.T) {
	t.Helper()
	messages, err := o.Messages(context.WithoutCancel(t.Context()), "", 10_000)
	ok(t, err)
	stored, err := json.Marshal(messages)
	ok(t, err)
	for where, text := range map[string]string{"ledger": string(stored), "log": o.log.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "http:") {
			t.Errorf("the %s shows an address or a secret:\n%s", where, text)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) open(t *testing.T, cause elt.DatasetName) elt.Incident {
	t.Helper()
	in, _, err := o.OpenIncident(t.Context(), elt.Incident{
		Cause: cause, Date: elt.Date{Year: 2026, Month: 11, Day: 20}, Title: string(cause) + " is late", Affected: []elt.DatasetName{cause},
	})
	ok(t, err)
	return in
}

// await waits until every message has ended, or is as done says, and returns them in the order of their events.
func (o *office) await(t *testing.T, done func(elt.Message) bool) []elt.Message {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		messages, err := o.Messages(t.Context(), "", 10_000)
		ok(t, err)
		if !slices.ContainsFunc(messages, func(m elt.Message) bool { return !done(m) }) {
			slices.Reverse(messages)
			return messages
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not done: %v", ends(messages))
		}
	}
}

func ended(m elt.Message) bool { return !m.EndedAt.IsZero() }

// ends tells how messages ended, or how their latest attempt failed.
func ends(messages []elt.Message) (out []string) {
	for _, m := range messages {
		s := fmt.Sprintf("%s %s", m.Notice.Kind, m.State)
		if m.Error != nil {
			s += " " + string(m.Error.Code)
		}
		out = append(out, s)
	}
	return out
}
