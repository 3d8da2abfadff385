package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asClients makes the test binary the clients of a benchmark, in a process of their own: what they take is then not
// counted as the server's.
const asClients = "DAYBREAK_TEST_AS_CLIENTS"

// asking is what clients are told: over how many connections to send which requests, one after the other, and for how long.
type asking struct {
	Address  string
	Requests []string
	Want     int
	Clients  int
	Long     time.Duration
}

// pace is how many requests were answered, how long they took, and what that took the server.
type pace struct {
	PerSecond float64
	P50, P99  time.Duration
	Bytes     int           // of an answer, its headers included
	CPU       time.Duration // of the server, for an answer
}

func (p pace) String() string {
	return fmt.Sprintf("%.0f answers/s of %d bytes, half within %.2f ms, 99%% within %.2f ms, %.2f µs of the server's processor each",
		p.PerSecond, p.Bytes, ms(p.P50), ms(p.P99), float64(p.CPU)/float64(time.Microsecond))
}

func (p pace) better(q pace) pace {
	if p.PerSecond > q.PerSecond {
		q.PerSecond, q.P50, q.P99 = p.PerSecond, p.P50, p.P99
	}
	if p.CPU > 0 {
		q.CPU = min(p.CPU, q.CPU)
	}
	return q
}

// askAll has clients ask this process for a second and a half.
func askAll(b *testing.B, address string, want int, requests []string) (p pace) {
	job, err := json.Marshal(asking{address, requests, want, benchClients, 1500 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), asClients+"=1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(job), os.Stderr
	before := processorTime(b)
	said, err := cmd.Output()
	took := processorTime(b) - before
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(said, &p); err != nil {
		b.Fatal(err)
	}
	p.CPU = time.Duration(float64(took) / (p.PerSecond * 1.5))
	return p
}

// processorTime is what this process has taken of processors, the kernel's work for it included.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// clients does what it is told and says how fast that went.
func clients(in io.Reader, out io.Writer) error {
	var a asking
	if err := json.NewDecoder(in).Decode(&a); err != nil {
		return err
	}
	var mu sync.Mutex
	var all []time.Duration
	var wrong error
	var p pace
	began := time.Now()
	var working sync.WaitGroup
	for first := range a.Clients {
		working.Go(func() {
			took, size, err := a.client(first, began)
			mu.Lock()
			defer mu.Unlock()
			all, p.Bytes, wrong = append(all, took...), size, errors.Join(wrong, err)
		})
	}
	working.Wait()
	elapsed := time.Since(began)
	if wrong != nil || len(all) == 0 {
		return fmt.Errorf("%d answers: %w", len(all), wrong)
	}
	slices.Sort(all)
	p.PerSecond, p.P50, p.P99 = float64(len(all))/elapsed.Seconds(), all[len(all)/2], all[len(all)*99/100]
	return json.NewEncoder(out).Encode(p)
}

// client asks over one connection. It reads no more of an answer than where it ends, so that the machine is the server's.
func (a asking) client(first int, began time.Time) (took []time.Duration, size int, err error) {
	conn, err := net.Dial("tcp", a.Address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	status := fmt.Appendf(nil, "HTTP/1.1 %d ", a.Want)
	answer := make([]byte, 16<<10)
	for i := first; time.Since(began) < a.Long; i += a.Clients {
		sent := time.Now()
		if _, err := io.WriteString(conn, a.Requests[i%len(a.Requests)]); err != nil {
			return took, size, err
		}
		have, whole := 0, 0
		for whole == 0 || have < whole {
			n, err := conn.Read(answer[have:])
			if err != nil {
				return took, size, err
			}
			have += n
			if whole, err = answerLength(answer[:have]); err != nil {
				return took, size, err
			}
		}
		if !bytes.HasPrefix(answer, status) {
			return took, size, fmt.Errorf("answered %.200q, want %d", answer[:have], a.Want)
		}
		took, size = append(took, time.Since(sent)), whole
	}
	return took, size, nil
}

// answerLength is how long an answer will be, 0 while that is not known.
func answerLength(answer []byte) (int, error) {
	head, _, ended := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ended {
		return 0, nil
	}
	_, rest, told := bytes.Cut(head, []byte("Content-Length: "))
	if !told {
		return len(head) + 4, nil // of an answer that was not modified
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	return len(head) + 4 + n, err
}
