package workers_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/testenv"
)

// BenchmarkWorkersOfOneTable reads a night that is one large table and a few small ones with one worker process and with two, each
// of them on a machine of its own, whose network carries so much for all of its connections together. It reports the seconds of
// both and their ratio.
func BenchmarkWorkersOfOneTable(b *testing.B) {
	server := testenv.Postgres(b)
	var took [3][]time.Duration
	for b.Loop() {
		for range rounds {
			for workers := 1; workers <= 2; workers++ {
				took[workers] = append(took[workers], tableOf(b, server.Database(b), workers))
			}
		}
	}
	var median [3]float64
	for workers := 1; workers <= 2; workers++ {
		slices.Sort(took[workers])
		median[workers] = took[workers][len(took[workers])/2].Seconds()
		b.ReportMetric(median[workers], fmt.Sprintf("s/%d-workers", workers))
	}
	b.ReportMetric(median[1]/median[2], "times-faster")
}

// tableOf returns how long the workers took, from the first one's start to the end of the run.
func tableOf(b *testing.B, source string, workers int) time.Duration {
	b.Helper()
	n := newNightOf(b, source, append([]int{300_000}, slices.Repeat([]int{2000}, 6)...), 0)
	n.worker.Threads, n.worker.Connections, n.worker.Level, n.worker.Lease, n.worker.ChunkBytes = 2, 10, elt.LevelColumns, 30*time.Second, 1<<20
	n.goOn()
	began := time.Now()
	for i := range workers {
		w := n.worker
		w.Name, w.Source = elt.WorkerID(rune('a'+i)), machine(b, source, 4<<20)
		w.start(b)
	}
	n.await("the run has ended", ended, string(runID))
	took := time.Since(began)
	all := n.manifests()
	n.oneMoment(all)
	b.Logf("%d workers: %s, %d of %d parts of the large table brought by the other", workers, took.Round(time.Millisecond), len(lent(all[0])), len(all[0].Parts))
	return took
}

// machine returns the source's address as a machine reaches it whose network carries so many octets a second to it.
func machine(b *testing.B, source string, speed int) string {
	b.Helper()
	to, err := url.Parse(source)
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	card := &network{speed: speed}
	server := to.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil { // closed
				return
			}
			go card.connect(client, server)
		}
	}()
	to.Host = listener.Addr().String()
	return to.String()
}

// network carries so many octets a second, of all connections together.
type network struct {
	speed int

	mu   sync.Mutex
	free time.Time // when what was let through has been carried
}

func (n *network) connect(client net.Conn, server string) {
	defer client.Close()
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return // the client finds out
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, client) // either end may close whenever it likes
		conn.Close()
	}()
	_, _ = io.Copy(client, pacedReader{conn, n})
}

// carry waits until so many octets have been carried.
func (n *network) carry(octets int) {
	n.mu.Lock()
	if now := time.Now(); n.free.Before(now) {
		n.free = now
	}
	n.free = n.free.Add(time.Duration(octets) * time.Second / time.Duration(n.speed))
	until := n.free
	n.mu.Unlock()
	<-time.After(time.Until(until))
}

type pacedReader struct {
	io.Reader
	by *network
}

func (r pacedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), 16<<10)])
	r.by.carry(n)
	return n, err
}
