package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"
)

// The protocol's marks in the first octet of a packet, and in place of a value's length.
const (
	comQuery   = 0x03
	packetErr  = 0xff
	packetEnd  = 0xfe
	valueNull  = 0xfb
	longestOne = 1<<24 - 1 // a packet of this length goes on in the next
	endOfOld   = 5         // octets of the packet that older servers end column definitions and rows with
)

// errWire says that what came is not what the protocol has there.
var errWire = errors.New("the server sent what is no part of its protocol")

// wire reads results from the connection beneath the driver, while the driver is at rest: a value stays where it was
// received until it is decoded, and costs no allocation.
type wire struct {
	conn       net.Conn
	buffer     []byte
	start, end int // what is received and not yet read
	sequence   byte
	joined     []byte // a packet that came in several
	ended      ending // of the last result
}

// ending is what a server says at the end of a result.
type ending struct {
	inTransaction bool
	warnings      int
}

// receiveOctets is how much is asked of the connection at once.
const receiveOctets = 256 << 10

// fill makes n octets available from start on.
func (w *wire) fill(n int) error {
	if w.end-w.start >= n {
		return nil
	}
	if w.start+n > len(w.buffer) {
		into := w.buffer
		if n > len(into) {
			into = make([]byte, n+receiveOctets)
		}
		w.end = copy(into, w.buffer[w.start:w.end])
		w.start, w.buffer = 0, into
	}
	got, err := io.ReadAtLeast(w.conn, w.buffer[w.end:], n-(w.end-w.start))
	w.end += got
	if errors.Is(err, io.EOF) { // the end of the connection is not the end of the rows
		err = io.ErrUnexpectedEOF
	}
	return err
}

// packet returns the next packet; it is valid until the next call.
func (w *wire) packet() ([]byte, error) {
	w.joined = w.joined[:0]
	for {
		if err := w.fill(4); err != nil {
			return nil, err
		}
		head := w.buffer[w.start : w.start+4]
		size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		if head[3] != w.sequence {
			return nil, errWire
		}
		w.sequence++
		w.start += 4
		if err := w.fill(size); err != nil {
			return nil, err
		}
		body := w.buffer[w.start : w.start+size]
		w.start += size
		if size < longestOne && len(w.joined) == 0 {
			return body, nil
		}
		if w.joined = append(w.joined, body...); size < longestOne {
			return w.joined, nil
		}
	}
}

// query sends a statement and reads what comes before its rows: how many columns there are, and their definitions,
// which the catalog has told better.
func (w *wire) query(statement string) (columns int, err error) {
	size := len(statement) + 1
	if size >= longestOne {
		return 0, fmt.Errorf("a statement of %d octets", size)
	}
	message := append([]byte{byte(size), byte(size >> 8), byte(size >> 16), 0, comQuery}, statement...)
	if _, err := w.conn.Write(message); err != nil {
		return 0, err
	}
	w.sequence = 1
	first, err := w.packet()
	if err != nil {
		return 0, err
	}
	if len(first) > 0 && first[0] == packetErr {
		return 0, serverSaid(first)
	}
	count, _, ok := cutLength(first)
	if !ok || count == 0 || count > 1<<16 {
		return 0, errWire
	}
	for range count {
		if _, err := w.packet(); err != nil {
			return 0, err
		}
	}
	return int(count), nil
}

// row reads the next row into cells: nil is NULL. The end is io.EOF.
func (w *wire) row(cells [][]byte, first bool) error {
	data, err := w.packet()
	if err != nil {
		return err
	}
	if first && len(data) == endOfOld && data[0] == packetEnd { // of the column definitions
		if data, err = w.packet(); err != nil {
			return err
		}
	}
	switch {
	case len(data) == 0:
		return errWire
	case data[0] == packetErr:
		return serverSaid(data)
	case data[0] == packetEnd && len(data) < longestOne: // a value so long would make a longer packet
		if w.ended, err = cutEnding(data); err != nil {
			return err
		}
		return io.EOF
	}
	return cutRow(data, cells)
}

// cutEnding reads the packet behind the last row: older servers' has the warnings first, others' has two numbers before.
func cutEnding(data []byte) (e ending, err error) {
	const inTransaction = 0x0001
	if len(data) == endOfOld {
		return ending{data[3]&inTransaction != 0, int(binary.LittleEndian.Uint16(data[1:]))}, nil
	}
	data = data[1:]
	for range 2 {
		var ok bool
		if _, data, ok = cutLength(data); !ok {
			return e, errWire
		}
	}
	if len(data) < 4 {
		return e, errWire
	}
	return ending{data[0]&inTransaction != 0, int(binary.LittleEndian.Uint16(data[2:]))}, nil
}

// cutRow cuts a row into its cells.
func cutRow(data []byte, cells [][]byte) error {
	for i := range cells {
		if len(data) > 0 && data[0] == valueNull {
			cells[i], data = nil, data[1:]
			continue
		}
		size, rest, ok := cutLength(data)
		if !ok || size > uint64(len(rest)) {
			return errWire
		}
		cells[i], data = rest[:size:size], rest[size:]
	}
	if len(data) > 0 {
		return errWire
	}
	return nil
}

// cutLength reads a number of the protocol's variable length.
func cutLength(data []byte) (n uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, nil, false
	}
	var width int
	switch mark := data[0]; mark {
	case 0xfc, 0xfd:
		width = int(mark) - 0xfa
	case 0xfe:
		width = 8
	case valueNull, packetErr:
		return 0, nil, false
	default:
		return uint64(mark), data[1:], true
	}
	if data = data[1:]; len(data) < width {
		return 0, nil, false
	}
	var all [8]byte
	copy(all[:], data[:width])
	return binary.LittleEndian.Uint64(all[:]), data[width:], true
}

// serverSaid reads an error of the server.
func serverSaid(data []byte) error {
	if len(data) < 3 {
		return errWire
	}
	e := &mysql.MySQLError{Number: binary.LittleEndian.Uint16(data[1:])}
	message := data[3:]
	if len(message) >= 6 && message[0] == '#' {
		copy(e.SQLState[:], message[1:6])
		message = message[6:]
	}
	e.Message = string(message)
	return e
}

// rawResult is a result that is read from the wire.
type rawResult struct {
	wire  *wire
	cells [][]byte
	begun bool
	stop  func() bool // ends the watch over the context
}

// rawQuery begins a result on the wire. When ctx ends, the connection is of no use any more.
func (w *session) rawQuery(ctx context.Context, statement string) (*rawResult, error) {
	r := &rawResult{wire: w.wire}
	r.stop = context.AfterFunc(ctx, func() {
		if err := w.wire.conn.Close(); err != nil {
			w.source.opts.Log.Debug("a connection could not be cut", "source", w.source.opts.Name, "error", err)
		}
	})
	columns, err := r.wire.query(statement)
	if err != nil {
		r.stop()
		return nil, err
	}
	r.cells = make([][]byte, columns)
	return r, nil
}

func (r *rawResult) next() ([][]byte, error) {
	err := r.wire.row(r.cells, !r.begun)
	r.begun = true
	if err != nil {
		r.stop()
		return nil, err
	}
	return r.cells, nil
}
