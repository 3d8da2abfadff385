package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/testenv"
	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// fed is a connection over which octets come in pieces of a size, and then the end.
type fed struct {
	net.Conn
	octets []byte
	piece  int
}

func (f *fed) Read(p []byte) (int, error) {
	if len(f.octets) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.octets[:min(max(f.piece, 1), len(f.octets))])
	f.octets = f.octets[n:]
	return n, nil
}

func (*fed) SetReadDeadline(time.Time) error { return nil }

// noSocket is the socket of a connection that has none.
type noSocket struct{ syscall.RawConn }

func (noSocket) Control(func(uintptr)) error { return nil }

// message returns a message of that letter.
func message(letter byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{letter}, uint32(4+len(body))), body...)
}

// sorted says what is of rows, and what is of others, among octets: up to where they are messages, and without the
// beginning of one of rows, or of a header.
func sorted(octets []byte) (rows, others []byte) {
	for len(octets) >= messageHeader {
		size := 1 + int(int32(binary.BigEndian.Uint32(octets[1:])))
		switch {
		case size < messageHeader || size > largestMessage:
			return rows, append(others, octets...)
		case octets[0] != copyData:
			size = min(size, len(octets))
			others = append(others, octets[:size]...)
		case size > len(octets):
			return rows, others
		default:
			rows = append(rows, octets[messageHeader:size]...)
		}
		octets = octets[size:]
	}
	return rows, others
}

// FuzzMessages: whatever comes, in pieces of whatever size, rows get what is theirs and the caller everything else, in
// order; and a length that cannot be is the caller's to refuse.
func FuzzMessages(f *testing.F) {
	whole := slices.Concat(message('H', []byte{1, 0, 1, 0, 0}), message('d', []byte("one")), message('d', nil), message('N', []byte("by the way")),
		message('d', []byte("two")), message('c', nil), message('C', []byte("COPY 2\x00")), message('Z', []byte("T")))
	for piece := range whole {
		f.Add(whole, piece, 8192)
	}
	f.Add(whole, 7, 1)
	f.Add([]byte{'d', 0, 0, 0, 3, 1, 2, 3}, 3, 3)
	f.Add([]byte{'d', 0xff, 0xff, 0xff, 0xff, 1, 2, 3}, 3, 3)
	f.Add([]byte{'d', 0x7f, 0xff, 0xff, 0xff, 1, 2, 3}, 3, 3)
	f.Add([]byte{'d', 0x30, 0, 0, 0, 1, 2, 3}, 3, 3)
	f.Fuzz(func(t *testing.T, octets []byte, piece, asked int) {
		var rows bytes.Buffer
		r := &receiver{Conn: &fed{octets: octets, piece: piece}, raw: noSocket{}, framed: true}
		defer r.inBulk(&rows)()
		var others []byte
		to := make([]byte, min(max(asked, 1), 1<<16))
		for {
			n, err := r.Read(to)
			others = append(others, to[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || n == 0 {
				t.Fatalf("%d octets came, and %v", n, err)
			}
		}
		wantRows, wantOthers := sorted(octets)
		if !bytes.Equal(wantRows, rows.Bytes()) || !bytes.Equal(wantOthers, others) {
			t.Errorf("of %x\nrows got   %x\nand not   %x\nothers got %x\nand not   %x", octets, rows.Bytes(), wantRows, others, wantOthers)
		}
	})
}

// TestRowsOfAnySize sends rows that are smaller and larger than what is read at once, and reads in bulk and not, by turns: also
// where a message of which the caller has a part already is one of rows.
func TestRowsOfAnySize(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		var octets, want []byte
		for _, size := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 100_000), rapid.IntRange(receiveBuffer-10, receiveBuffer+10),
			rapid.IntRange(0, 2*receiveBuffer+10)), 1, 4).Draw(t, "sizes") {
			row := bytes.Repeat([]byte{byte(size), byte(size >> 8), byte(size >> 16)}, size/3+1)[:size]
			octets, want = append(octets, message('d', row)...), append(want, row...)
		}
		octets = append(octets, message('Z', []byte("T"))...)
		var rows bytes.Buffer
		r := &receiver{Conn: &fed{octets: octets, piece: rapid.IntRange(16<<10, 2*receiveBuffer).Draw(t, "piece")}, raw: noSocket{}, framed: true}
		early := make([]byte, rapid.IntRange(0, min(20, len(octets)-6)).Draw(t, "early"))
		if _, err := io.ReadFull(r, early); err != nil {
			t.Fatal(err)
		}
		end := r.inBulk(&rows)
		others, err := io.ReadAll(r)
		end()
		if err != nil {
			t.Fatal(err)
		}
		// What the caller had the beginning of, it has whole.
		others = slices.Concat(early, others)
		var passed []byte
		for rest := others; len(rest) > 0; {
			size, ok := messageSize(rest)
			if !ok || size > len(rest) {
				t.Fatalf("%d octets were passed on that are no message", len(rest))
			}
			if rest[0] == copyData {
				passed = append(passed, rest[messageHeader:size]...)
			}
			rest = rest[size:]
		}
		if !bytes.Equal(append(passed, rows.Bytes()...), want) {
			t.Fatal("the rows are not what was sent")
		}
		if len(r.buffer) > 2*receiveBuffer {
			t.Fatalf("%d octets are held on to", len(r.buffer))
		}
	})
}

// TestRowsThatFail: an error of who takes the rows ends the reading, with that error.
func TestRowsThatFail(t *testing.T) {
	full := errors.New("full")
	r := &receiver{Conn: &fed{octets: slices.Concat(message('d', []byte("one")), message('Z', []byte("T"))), piece: 100}, raw: noSocket{}, framed: true}
	defer r.inBulk(failing{full})()
	if n, err := r.Read(make([]byte, 100)); n != 0 || !errors.Is(err, full) {
		t.Errorf("%d octets came, and %v", n, err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// inPlace counts the rows that come from a receiver's own buffer.
type inPlace struct {
	*receiver
	rows, others int
}

func (i *inPlace) Write(p []byte) (int, error) {
	if from := i.begin - len(p); len(p) > 0 && from >= 0 && &i.buffer[from] == &p[0] {
		i.rows++
	} else {
		i.others++
	}
	return len(p), nil
}

// TestCopiedInPlace: a server's rows are decoded where they were received, whatever statements and notices come
// between; an error ends them as it should, and the session goes on.
func TestCopiedInPlace(t *testing.T) {
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
	rows := &inPlace{receiver: conn.PgConn().Conn().(*receiver)}
	for range 3 {
		before := rows.rows
		tag, err := copyTo(t.Context(), conn, rows, "COPY (SELECT i, repeat('x', i % 1000) FROM generate_series(1, 20000) i) TO STDOUT (FORMAT binary)")
		if err != nil || tag.RowsAffected() != 20_000 || rows.rows-before < 20_000 || rows.others > 0 {
			t.Errorf("%v, %v: %d rows came in place, %d otherwise", tag, err, rows.rows-before, rows.others)
		}
		if _, err := copyTo(t.Context(), conn, rows, "COPY (SELECT 1 / (500 - i) FROM generate_series(1, 1000) i) TO STDOUT (FORMAT binary)"); !isPgError(err, "22012") {
			t.Errorf("a division by zero in the midst is %v", err)
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT 6 * 7").Scan(&n); err != nil || n != 42 {
			t.Errorf("afterwards the session says %d, %v", n, err)
		}
	}
	full := errors.New("full")
	if _, err := copyTo(t.Context(), conn, failing{full}, "COPY (SELECT 1) TO STDOUT (FORMAT binary)"); !errors.Is(err, full) {
		t.Errorf("rows that nobody takes end with %v", err)
	}
	if !conn.IsClosed() {
		t.Error("the session goes on in the middle of a statement")
	}
}

func isPgError(err error, code string) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == code
}
