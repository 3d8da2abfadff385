package postgres

import (
	"context"
	"errors"
	"io"
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

// framed is called when the protocol begins on a connection. What comes over a receiver from here on is messages, unless
// it is encrypted.
func framed(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
	if r, ok := conn.(*receiver); ok {
		r.framed = true
	}
	return conn, nil
}

// copyTo has the server send rows. Over a connection whose octets are messages as they come they are received in bulk, and
// what is of rows goes to them from the connection's own buffer; pgx sees the rest, and does everything else.
func copyTo(ctx context.Context, session *pgx.Conn, rows io.Writer, statement string) (pgconn.CommandTag, error) {
	if r, ok := session.PgConn().Conn().(*receiver); ok && r.framed {
		defer r.inBulk(rows)()
	}
	return session.PgConn().CopyTo(ctx, rows, statement)
}

// inBulk has the connection receive in bulk, and rows take what a COPY sends, until the function that it returns is called.
func (r *receiver) inBulk(rows io.Writer) (end func()) {
	r.use.Lock()
	defer r.use.Unlock()
	r.rows = rows
	r.many, _ = rows.(taker)
	r.bulk.Store(true)
	return func() {
		r.use.Lock() // nobody hands anything to rows any more
		defer r.use.Unlock()
		r.bulk.Store(false)
		if len(r.buffer) > 2*receiveBuffer && r.begin == r.end && !r.reads {
			r.buffer, r.begin, r.end = nil, 0, 0
		}
	}
}

// receiver is a TCP connection that, when told so, is woken for large amounts alone. Reading is for one goroutine at a time,
// which need not be the one that has the statements: pgx reads ahead on another once a statement takes long to be sent.
// Deadlines may be set by any.
type receiver struct {
	net.Conn
	raw   syscall.RawConn
	bulk  atomic.Bool
	since atomic.Int64 // when the read began that waits, in nanoseconds since 1970; 0 when none does

	use   sync.Mutex // of what follows, but while a read waits for the network
	reads bool       // one does
	mark  int        // the low-water mark that the kernel has; 0 is its own
	armed bool       // the kernel's deadline may be another than the caller's
	// setMark sets the mark that is wanted, and unset is why that failed.
	setMark func(fd uintptr)
	wanted  int
	unset   error

	framed bool      // what comes is messages
	passed passage   // of messages, to the caller
	rows   io.Writer // takes what a COPY sends while receiving in bulk
	many   taker     // the same, if it takes more than one message at once

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

// Read implements net.Conn. In bulk it returns with the first octets that are not of rows.
func (r *receiver) Read(p []byte) (n int, err error) {
	r.use.Lock()
	defer r.use.Unlock()
	switch {
	case r.bulk.Load():
		return r.divert(p)
	case r.begin < r.end:
		n = copy(p, r.buffer[r.begin:r.end])
		r.begin += n
	default:
		n, err = r.readNow(p)
		if n > 0 && r.bulk.Load() { // who read ahead waited for it when the COPY began: its rows must not come by two ways
			r.hold(p[:n])
			return r.divert(p)
		}
	}
	if r.framed {
		r.passed.note(p[:n])
	}
	return n, err
}

// hold keeps octets for later in the buffer, which is empty.
func (r *receiver) hold(octets []byte) {
	if len(r.buffer) < len(octets) {
		r.buffer = make([]byte, max(len(octets), receiveBuffer))
	}
	r.begin, r.end = 0, copy(r.buffer, octets)
}

// await reads from the network. Others may begin and end to receive in bulk meanwhile.
func (r *receiver) await(p []byte) (int, error) {
	r.reads = true
	r.use.Unlock()
	n, err := r.Conn.Read(p)
	r.use.Lock()
	r.reads = false
	return n, err
}

// readNow reads whatever comes first.
func (r *receiver) readNow(p []byte) (int, error) {
	r.since.Store(time.Now().UnixNano())
	defer r.since.Store(0)
	if err := r.relax(); err != nil {
		return 0, err
	}
	return r.await(p)
}

// fill reads something behind what the buffer holds: at once what is there, else a large amount, or what comes when that
// takes too long.
func (r *receiver) fill() error {
	r.since.Store(time.Now().UnixNano())
	defer r.since.Store(0)
	mark, wait := lowWater, patience
	for {
		if err := r.wakeAt(mark); err != nil {
			return err
		}
		if err := r.waitFor(wait); err != nil {
			return err
		}
		n, err := r.await(r.buffer[r.end:])
		r.end += n
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
	if r.setMark == nil { // made once, and not for each of the many marks
		r.setMark = func(fd uintptr) { r.unset = setLowWater(fd, max(r.wanted, 1)) }
	}
	r.wanted = mark
	err := r.raw.Control(r.setMark)
	if err == nil {
		err = r.unset
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
