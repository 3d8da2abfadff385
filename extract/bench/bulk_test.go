package bench

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	bulkMark   = 512 << 10             // octets that must be there before the kernel wakes the reader
	bulkBuffer = 1 << 20               // octets asked for at once
	bulkTail   = 20 * time.Millisecond // after which fewer will do
)

// bulkConn receives in large pieces and keeps nothing of what is not asked for: the least that a reader of a COPY can do.
type bulkConn struct {
	net.Conn
	raw    syscall.RawConn
	buffer [bulkBuffer]byte
	rest   []byte
}

// dialBulk connects to a server whose answers are read in bulk. Deadlines of the caller are not kept: a benchmark has none.
func dialBulk(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("bulk reading needs TCP"), conn.Close())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &bulkConn{Conn: conn, raw: raw}, nil
}

func (c *bulkConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		n, err := c.receive()
		if err != nil {
			return 0, err
		}
		c.rest = c.buffer[:n]
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// receive waits for much, and after a while takes what there is.
func (c *bulkConn) receive() (int, error) {
	n, err := c.within(bulkMark, time.Now().Add(bulkTail))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return c.within(1, time.Time{})
	}
	return n, err
}

func (c *bulkConn) within(mark int, deadline time.Time) (int, error) {
	var set error
	if err := c.raw.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, mark) }); err != nil {
		return 0, err
	}
	if err := errors.Join(set, c.SetReadDeadline(deadline)); err != nil {
		return 0, err
	}
	return c.Conn.Read(c.buffer[:])
}
