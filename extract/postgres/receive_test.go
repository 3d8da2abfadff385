package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/testenv"
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
				if err := testenv.Receive(t, "the read ends", ended); !errors.Is(err, os.ErrDeadlineExceeded) {
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

// TestReadAhead: a read that has waited since before a COPY began, as pgx may have one, brings none of its rows to the caller.
func TestReadAhead(t *testing.T) {
	r, server := pair(t)
	whole := slices.Concat(message('H', []byte{1, 0, 1, 0, 0}), message('d', []byte("one")), message('d', []byte("two")), message('c', nil), message('Z', []byte("T")))
	others := make(chan []byte, 1)
	began := make(chan struct{})
	go func() {
		var got []byte
		p := make([]byte, 8192)
		for len(got) < len(whole)-len(message('d', []byte("one")))-len(message('d', []byte("two"))) {
			if len(got) == 0 {
				close(began)
			}
			n, err := r.Read(p)
			if err != nil {
				t.Error(err)
				break
			}
			got = append(got, p[:n]...)
		}
		others <- got
	}()
	testenv.Receive(t, "a read begins", began)
	testenv.Eventually(t, "a read waits", func() bool { return r.waits() > 0 })
	var rows bytes.Buffer
	end := r.inBulk(&rows)
	if _, err := server.Write(whole); err != nil {
		t.Fatal(err)
	}
	got := testenv.Receive(t, "everything has come", others)
	end()
	if want := slices.Concat(whole[:10], message('c', nil), message('Z', []byte("T"))); rows.String() != "onetwo" || !bytes.Equal(got, want) {
		t.Errorf("of rows is %q, and %q of others", &rows, got)
	}
}

// slowly writes and takes its time to say so.
type slowly struct{ net.Conn }

func (s slowly) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	<-time.After(40 * time.Millisecond) // pgx reads ahead from the fifteenth on
	return n, err
}

// header is the first that a COPY sends.
type header struct {
	first []byte
	more  int
}

func (h *header) Write(p []byte) (int, error) {
	if h.first == nil {
		h.first = bytes.Clone(p)
	} else {
		h.more++
	}
	return len(p), nil
}

// TestSlowWrites: on a machine so busy that statements take long to be sent, pgx reads their answers on another goroutine:
// the rows come in their order, and all of them.
func TestSlowWrites(t *testing.T) {
	s, err := New(Options{Name: "shop", URL: testenv.Postgres(t).URL})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := hangUp(conn); err != nil {
			t.Error(err)
		}
	}()
	r := conn.PgConn().Conn().(*receiver)
	r.use.Lock() // a read may wait already
	r.Conn = slowly{r.Conn}
	r.use.Unlock()
	for range 3 {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT 6 * 7").Scan(&n); err != nil || n != 42 {
			t.Fatal(n, err)
		}
		for range 3 {
			var rows header
			tag, err := copyTo(t.Context(), conn, &rows, "COPY (SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i) TO STDOUT (FORMAT binary)")
			if err != nil || !bytes.HasPrefix(rows.first, []byte(copyHeader)) || int64(rows.more) < 5000 || tag.RowsAffected() != 5000 {
				t.Errorf("%v, %v: %d rows came, the first is %.40q", tag, err, rows.more, rows.first)
			}
		}
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
