package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// pair returns a connection as the source dials it, and the server's end.
func pair(t testing.TB) (*receiver, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := buffered((&net.Dialer{}).DialContext)(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	r := client.(*receiver)
	r.framed, r.rows = true, io.Discard
	return r, server
}

// TestReceivedAsSent sends a message in pieces and reads it in others, in bulk and not, by turns.
func TestReceivedAsSent(t *testing.T) {
	r, server := pair(t)
	property.Check(t, func(t *rapid.T) {
		sent := message('D', bytes.Repeat([]byte("0123456789abcdef"), rapid.IntRange(1, 200_000).Draw(t, "sixteens")))
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+len(rest)/3)
				if _, err := server.Write(rest[:n]); err != nil {
					return // the reader says why
				}
				rest = rest[n:]
			}
		}()
		var got []byte
		for len(got) < len(sent) {
			r.bulk.Store(rapid.Bool().Draw(t, "bulk"))
			piece := make([]byte, min(rapid.IntRange(1, 1<<20).Draw(t, "piece"), len(sent)-len(got)))
			n, err := io.ReadFull(r, piece)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, piece[:n]...)
		}
		if !bytes.Equal(sent, got) {
			t.Fatal("what came is not what was sent")
		}
	})
}

// TestReceiveEnds: the end and a reset are seen below the mark, and what came before the end is not lost.
func TestReceiveEnds(t *testing.T) {
	for name, reset := range map[string]bool{"end": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			r, server := pair(t)
			r.bulk.Store(true)
			if !reset {
				if _, err := server.Write(message('N', []byte("tail"))); err != nil {
					t.Fatal(err)
				}
			} else if err := server.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			server.Close()
			got, err := io.ReadAll(r)
			if reset && err == nil || !reset && (err != nil || string(got) != string(message('N', []byte("tail")))) {
				t.Errorf("%q came, and %v", got, err)
			}
		})
	}
}

// TestReceiveDeadlines: a deadline that is set while a read waits ends it, as a cancelled context must.
func TestReceiveDeadlines(t *testing.T) {
	for name, set := range map[string]func(*receiver, time.Time) error{"Deadline": (*receiver).SetDeadline, "ReadDeadline": (*receiver).SetReadDeadline} {
		t.Run(name, func(t *testing.T) {
			r, server := pair(t)
			r.bulk.Store(true)
			for _, before := range []time.Duration{0, 3 * patience} { // before and after the mark was lowered
				ended := make(chan error)
				go func() {
					_, err := r.Read(make([]byte, 1))
					ended <- err
				}()
				timer := time.AfterFunc(before, func() {
					if err := set(r, time.Unix(1, 0)); err != nil {
						t.Error(err)
					}
				})
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the read ended with %v", err)
				}
				timer.Stop()
				if err := set(r, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			// Without a deadline the connection serves again, in bulk and not, for longer than it is patient.
			for _, bulk := range []bool{true, false} {
				r.bulk.Store(bulk)
				time.AfterFunc(3*patience, func() {
					if _, err := server.Write(message('c', nil)); err != nil {
						t.Error(err)
					}
				})
				if _, err := io.ReadFull(r, make([]byte, messageHeader)); err != nil {
					t.Errorf("after the deadline, in bulk %v: %v", bulk, err)
				}
			}
		})
	}
}

// TestDialsAsItIs: what is not of TCP is left alone, and an error stays an error.
func TestDialsAsItIs(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	conn, err := buffered(func(context.Context, string, string) (net.Conn, error) { return ours, nil })(t.Context(), "unix", "")
	if err != nil || conn != ours {
		t.Errorf("a pipe became %T, %v", conn, err)
	}
	refused := errors.New("refused")
	if _, err := buffered(func(context.Context, string, string) (net.Conn, error) { return nil, refused })(t.Context(), "tcp", ""); !errors.Is(err, refused) {
		t.Errorf("the error is %v", err)
	}
}
