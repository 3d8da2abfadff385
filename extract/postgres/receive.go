package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// receiveBuffer is how much one read of the network takes at most.
	receiveBuffer = 1 << 20
	// lowWater is how much must have come before the kernel wakes this process. Woken for every small packet it
	// would spend more time on waking up than on the rows.
	lowWater = 512 << 10
	// patience is how long to wait for that much before taking what there is.
	patience = 20 * time.Millisecond
)

// keepAlive finds out within a minute that the other end is gone, and keeps what lies between from forgetting an idle
// connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 4}

// buffered returns a way to dial whose TCP connections can receive in bulk.
func buffered(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if err := tcp.SetKeepAliveConfig(keepAlive); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return conn, nil //nolint:nilerr // it serves as it is
		}
		return &receiver{Conn: tcp, raw: raw}, nil
	}
}

// inBulk has a session's connection receive in bulk until the function that it returns is called. It does
// nothing to a connection that is encrypted, whose records want to be read as they come, or not of TCP.
func inBulk(session *pgx.Conn) (end func()) {
	r, ok := session.PgConn().Conn().(*receiver)
	if !ok {
		return func() {}
	}
	r.bulk.Store(true)
	return func() { r.bulk.Store(false) }
}

// receiver is a TCP connection that, when told so, is woken for large amounts alone. Reading is for one
// goroutine; deadlines may be set by any.
type receiver struct {
	net.Conn
	raw   syscall.RawConn
	bulk  atomic.Bool
	since atomic.Int64 // when the read began that waits, in nanoseconds since 1970; 0 when none does
	mark  int          // the low-water mark that the kernel has; 0 is its own
	armed bool         // the kernel's deadline may be another than the caller's

	buffer     []byte
	begin, end int // what of the buffer is still to be read

	mu       sync.Mutex
	deadline time.Time // as the caller set it
}

// waits returns for how long the read waits that is going on.
func (r *receiver) waits() time.Duration {
	since := r.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// Read implements net.Conn.
func (r *receiver) Read(p []byte) (int, error) {
	if r.begin == r.end {
		r.since.Store(time.Now().UnixNano())
		defer r.since.Store(0)
		if !r.bulk.Load() {
			if err := r.relax(); err != nil {
				return 0, err
			}
			return r.Conn.Read(p)
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buffer[r.begin:r.end])
	r.begin += n
	return n, nil
}

// fill reads something into the buffer: at once what is there, else a large amount, or what comes when that
// takes too long.
func (r *receiver) fill() error {
	if r.buffer == nil {
		r.buffer = make([]byte, receiveBuffer)
	}
	mark, wait := lowWater, patience
	for {
		if err := r.wakeAt(mark); err != nil {
			return err
		}
		if err := r.waitFor(wait); err != nil {
			return err
		}
		n, err := r.Conn.Read(r.buffer)
		r.begin, r.end = 0, n
		switch {
		case n > 0:
			return nil // an error comes again with the next read
		case err == nil || !os.IsTimeout(err) || wait == 0 || r.late():
			return err
		}
		mark, wait = 1, 0
	}
}

// relax undoes what receiving in bulk has set.
func (r *receiver) relax() error {
	if err := r.wakeAt(0); err != nil || !r.armed {
		return err
	}
	return r.waitFor(0)
}

// wakeAt sets the low-water mark.
func (r *receiver) wakeAt(mark int) error {
	if r.mark == mark || r.mark == 0 && mark == 1 {
		return nil
	}
	var failed error
	err := r.raw.Control(func(fd uintptr) { failed = setLowWater(fd, max(mark, 1)) })
	if err == nil {
		err = failed
	}
	if err == nil {
		r.mark = mark
	}
	return err
}

// waitFor ends the next read after that time, or without a limit, and never later than the caller wants.
func (r *receiver) waitFor(d time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	until := r.deadline
	if own := time.Now().Add(d); d > 0 && (until.IsZero() || own.Before(until)) {
		until = own
	}
	r.armed = d > 0
	return r.Conn.SetReadDeadline(until)
}

// late reports whether the caller's own deadline has passed.
func (r *receiver) late() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.deadline.IsZero() && !time.Now().Before(r.deadline)
}

// SetDeadline implements net.Conn.
func (r *receiver) SetDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	return r.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (r *receiver) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	return r.Conn.SetReadDeadline(t)
}
