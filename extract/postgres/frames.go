package postgres

import "encoding/binary"

// What a server sends is messages: a letter, a length in four octets that counts itself, and the rest. A COPY sends each of
// its rows in one of its own.
const (
	messageHeader = 5
	// copyData is the letter of a COPY's data.
	copyData = 'd'
	// largestMessage is the longest that a server sends, a row of a gigabyte.
	largestMessage = 1<<30 + messageHeader
	// trusted is how long a message may say to be before as much memory is asked for as that takes.
	trusted = 16 << 20
)

// taker takes the first of the messages that are held, as many as it knows what to do with, and returns how many octets they have.
type taker interface {
	take(held []byte) (int, error)
}

// passage is where a stream of messages has been passed on to.
type passage struct {
	header [messageHeader]byte
	have   int  // octets of a header that is not at its end
	left   int  // octets of the message that are still to come
	lost   bool // what came are no messages
}

// between reports whether a message ends here.
func (p *passage) between() bool { return p.have == 0 && p.left == 0 && !p.lost }

// note follows what is passed on.
func (p *passage) note(octets []byte) {
	for len(octets) > 0 && !p.lost {
		if p.left > 0 {
			n := min(p.left, len(octets))
			p.left, octets = p.left-n, octets[n:]
			continue
		}
		n := copy(p.header[p.have:], octets)
		p.have, octets = p.have+n, octets[n:]
		if p.have == messageHeader {
			size, ok := messageSize(p.header[:])
			p.have, p.left, p.lost = 0, size-messageHeader, !ok
		}
	}
}

// messageSize returns how long the message is that begins with the header, and whether any can be.
func messageSize(header []byte) (int, bool) {
	size := 1 + int(int32(binary.BigEndian.Uint32(header[1:])))
	return size, size >= messageHeader && size <= largestMessage
}

// next returns how many of the octets may be passed on before it must be looked at what comes behind them.
func (p *passage) next(octets int) int {
	switch {
	case p.lost:
		return octets
	case p.left > 0:
		return min(octets, p.left)
	}
	return min(octets, messageHeader-p.have)
}

// divert hands the data of a COPY to rows, from the buffer itself, until something else comes, which it passes on.
func (r *receiver) divert(to []byte) (int, error) {
	for r.passed.between() && r.bulk.Load() { // which may end while this waits
		if r.many != nil {
			n, err := r.many.take(r.buffer[r.begin:r.end])
			r.begin += n
			if err != nil {
				return 0, err
			}
		}
		held, size := r.buffer[r.begin:r.end], messageHeader
		if len(held) >= size {
			var ok bool
			if size, ok = messageSize(held); !ok || held[0] != copyData {
				break
			}
			if len(held) >= size {
				r.begin += size
				if _, err := r.rows.Write(held[messageHeader:size]); err != nil {
					return 0, err
				}
				continue
			}
		}
		if err := r.more(size); err != nil {
			return 0, err
		}
	}
	if r.begin == r.end {
		if err := r.more(1); err != nil {
			return 0, err
		}
	}
	n := copy(to, r.buffer[r.begin:r.begin+r.passed.next(r.end-r.begin)])
	r.passed.note(to[:n])
	r.begin += n
	return n, nil
}

// more reads more, and makes room for so many octets from what is held on.
func (r *receiver) more(size int) error {
	held := r.buffer[r.begin:r.end]
	switch room := len(r.buffer); {
	case room < size: // no more than comes: what a message says of its length need not be so
		r.buffer = make([]byte, min(size, max(2*room, trusted))+receiveBuffer)
	case room > 2*receiveBuffer && size < receiveBuffer: // after a large row
		r.buffer = make([]byte, receiveBuffer)
	}
	r.begin, r.end = 0, copy(r.buffer, held)
	return r.fill()
}
