package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// getEvents streams what the ledger records. A client that sends Last-Event-ID (or ?after=) first gets
// what came since; others begin now. A comment each fifteen seconds tells how fresh the service is.
func (s *Service) getEvents(c echo.Context) error {
	v, err := s.look(c)
	if err != nil {
		return err
	}
	last, err := s.lastEventID(c)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(http.StatusOK)
	stream := &eventStream{c: c, control: http.NewResponseController(c.Response())}
	s.metrics.subscribers.Inc()
	defer s.metrics.subscribers.Dec()
	if stream.comment("retry: 2000\n: ", v) != nil {
		return nil // the client left; there is nobody to tell
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	ctx := c.Request().Context()
	for {
		events, changed, err := s.feed.since(ctx, last)
		if err != nil {
			s.log.Warn("an event stream ends: its reader will come back", "after", last, "error", err)
			return nil
		}
		if len(events) > 0 {
			if stream.send(events) != nil {
				return nil
			}
			last = events[len(events)-1].Seq
			continue // there may be more than one page
		}
		select {
		case <-changed:
			if v, _ := s.current(); stream.comment(": ", v) != nil {
				return nil
			}
		case <-heartbeat.C:
			if v, _ := s.current(); stream.comment(": ", v) != nil {
				return nil
			}
		case <-s.closing:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) lastEventID(c echo.Context) (int64, error) {
	text := c.Request().Header.Get("Last-Event-ID")
	if text == "" {
		text = c.QueryParam("after")
	}
	if text == "" && !c.QueryParams().Has("after") {
		return s.feed.newest(), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest("Last-Event-ID %q is not an event's number", shortened(text))
	}
	return n, nil
}

// eventStream writes to one client, never for longer than writeGrace: a reader that stopped reading is
// let go instead of being waited for.
type eventStream struct {
	c       echo.Context
	control *http.ResponseController
	buf     bytes.Buffer
}

func (e *eventStream) send(events []elt.Event) error {
	for _, event := range events {
		data, err := json.Marshal(event)
		if err != nil {
			return fmt.Errorf("encode event %d: %w", event.Seq, err)
		}
		fmt.Fprintf(&e.buf, "id: %d\ndata: %s\n\n", event.Seq, data)
	}
	return e.flush()
}

// comment is a line that clients ignore; it keeps proxies from closing the connection.
func (e *eventStream) comment(prefix string, v view) error {
	fmt.Fprintf(&e.buf, "%sas_of=%s lag=%.1fs\n\n", prefix, v.asOf.UTC().Format(time.RFC3339), v.lag.Seconds())
	return e.flush()
}

func (e *eventStream) flush() error {
	defer e.buf.Reset()
	// Deadlines are the connection's and go by the machine's own clock. A server without them (a
	// test's recorder) needs none.
	_ = e.control.SetWriteDeadline(time.Now().Add(writeGrace))
	if _, err := e.c.Response().Write(e.buf.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}
