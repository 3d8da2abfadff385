package testenv

import (
	"net/http/httptest"
	"testing"
	"time"
)

// Close closes a server with all that is connected to it. Without that, Close of httptest waits until everybody has an answer:
// for ever, for a stream of events that somebody asks for at the last moment.
func Close(t testing.TB, s *httptest.Server) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.Close()
	}()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for over := time.After(patience); ; {
		s.CloseClientConnections()
		select {
		case <-closed:
			return
		case <-over:
			t.Errorf("%s answers somebody who has been gone for %s", s.URL, patience)
			return
		case <-again.C:
		}
	}
}
