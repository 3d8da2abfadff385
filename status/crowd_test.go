package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/status/statustest"
)

const crowd = 1000

// running starts the service, within a bubble, over a world in which time passes. stop ends it.
func running(t *testing.T) (s *Service, w *statustest.World, stop func()) {
	t.Helper()
	w = statustest.Busy()
	began := time.Now()
	w.Tick(func() time.Duration { return time.Since(began) })
	s = serve(t, w, func(o *Options) { o.Now = w.Now })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, w, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A thousand waiters: each has the answer that the data gives, within the half second that it takes to look; those that wait
// for something else sleep on; and when the ledger goes away nobody is told that anything is ready, or kept waiting.
func TestAThousandWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, stop := running(t)
		defer stop()
		counts := func(answers []<-chan *httptest.ResponseRecorder) map[string]int {
			got := make(map[string]int)
			for _, a := range answers {
				rec := <-a
				verdict := fmt.Sprint(rec.Code)
				if rec.Code == http.StatusOK {
					verdict = string(gateOf(t, rec).Verdict)
				}
				got[verdict]++
			}
			return got
		}
		wait := func(n int, need string) (answers []<-chan *httptest.ResponseRecorder) {
			for i := range n {
				answers = append(answers, ask(t, s, fmt.Sprintf("/v1/wait?timeout=5m&as=job-%d&need=%s@%s", i, need, w.Night)))
			}
			synctest.Wait()
			return answers
		}
		patient := wait(10, "churn")
		many := wait(crowd, "shop.conversations")
		w.Publish(elt.Version{ID: "v", Dataset: "shop.conversations", Date: w.Night, Run: statustest.RunOf("nightly", w.Night), PublishedAt: w.Now(), Rows: 7})
		published := time.Now()
		if got := counts(many); got["ready"] != crowd {
			t.Errorf("after the publication %v", got)
		}
		if took := time.Since(published); took > time.Second {
			t.Errorf("it took %s to tell everybody", took)
		}
		for _, p := range patient {
			select {
			case rec := <-p:
				t.Fatalf("woken for nothing: %s", rec.Body)
			default:
			}
		}
		more := wait(crowd, "shop.message_parts")
		w.Fail(errors.New("cut"))
		away := time.Now()
		if got := counts(append(more, patient...)); got["503"] != crowd+len(patient) {
			t.Errorf("while the ledger is away %v", got)
		}
		if took := time.Since(away); took > time.Minute {
			t.Errorf("they were kept waiting for %s", took)
		}
		w.Fail(nil)
		again := wait(1, "shop.conversations") // the next look finds the ledger again
		if got := counts(again); got["ready"]+got["503"] != 1 {
			t.Errorf("when it is back %v", got)
		}
	})
}

// pipes is a listener whose connections are pipes within the process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A reader of the stream that stops reading is let go after a few seconds, and nobody waits for it meanwhile.
func TestAReaderThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, stop := running(t)
		defer stop()
		listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := NewServer("", s.Handler())
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		defer func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}()
		stream := func() *bufio.Reader {
			client, conn := net.Pipe()
			listener.conns <- conn
			if _, err := io.WriteString(client, "GET /v1/events HTTP/1.1\r\nHost: status\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close() })
			return bufio.NewReaderSize(client, 64)
		}
		until := func(in *bufio.Reader, word string) {
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatalf("before %s: %v", word, err)
				}
				if strings.Contains(line, word) {
					return
				}
			}
		}
		stuck, awake := stream(), stream()
		until(stuck, "retry:")
		until(awake, "retry:")
		for n := range 20 {
			day := w.Day("churn", w.Night)
			day.Deadline = day.Deadline.Add(time.Duration(n) * time.Second)
			w.SetDay(day)
			said := time.Now()
			until(awake, `"day.changed"`)
			if took := time.Since(said); took > time.Second {
				t.Fatalf("event %d took %s while another reader does not read", n, took)
			}
		}
		for began := time.Now(); time.Since(began) < 2*writeGrace; { // of the bubble's time: heartbeats go by
			until(awake, "as_of=")
		}
		if _, text := get(t, s, "/metrics"); !strings.Contains(text, "daybreak_event_streams 1\n") {
			t.Error("the reader that stopped is still served")
		}
	})
}
