package mysql

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// told is a connection whose other side has said everything already.
type told struct {
	net.Conn
	io.Reader
}

func (c told) Read(b []byte) (int, error)  { return c.Reader.Read(b) }
func (c told) Write(b []byte) (int, error) { return len(b), nil }

// packets joins packets, numbered from 1 as an answer is.
func packets(bodies ...string) []byte {
	var out []byte
	for i, b := range bodies {
		out = append(out, byte(len(b)), byte(len(b)>>8), byte(len(b)>>16), byte(i+1))
		out = append(out, b...)
	}
	return out
}

// answer reads an answer to its end, and returns its rows and the error that ended it.
func answer(octets []byte) (rows [][]string, err error) {
	w := &wire{conn: told{Reader: bytes.NewReader(octets)}}
	n, err := w.query("SELECT 1")
	if err != nil {
		return nil, err
	}
	cells := make([][]byte, n)
	for {
		if err := w.row(cells, len(rows) == 0); err != nil {
			return rows, err
		}
		row := make([]string, n)
		for i, c := range cells {
			row[i] = string(c)
			if c == nil {
				row[i] = "NULL"
			}
		}
		rows = append(rows, row)
	}
}

func TestAnswers(t *testing.T) {
	const oldEnd, newEnd = "\xfe\x00\x00\x02\x00", "\xfe\x00\x00\x02\x00\x00\x00"
	for name, c := range map[string]struct {
		octets []byte
		rows   int
		err    string
	}{
		"old":               {packets("\x02", "def", "def", oldEnd, "\x01a\xfb", "\x00\x01b", oldEnd), 2, "EOF"},
		"new":               {packets("\x02", "def", "def", "\x01a\xfb", "\x00\x01b", newEnd), 2, "EOF"},
		"old, empty":        {packets("\x01", "def", oldEnd, oldEnd), 0, "EOF"},
		"new, empty":        {packets("\x01", "def", newEnd), 0, "EOF"},
		"refused":           {packets("\xff\x7a\x04#42S02no such table"), 0, "Error 1146 (42S02): no such table"},
		"refused in rows":   {packets("\x01", "def", "\x01a", "\xff\x25\x05#70100interrupted"), 1, "Error 1317 (70100): interrupted"},
		"cut":               {packets("\x01", "def", "\x01a"), 1, "unexpected EOF"},
		"cut in a packet":   {packets("\x01", "def", "\x05abcde")[:15], 0, "unexpected EOF"},
		"out of order":      {append(packets("\x01", "def"), 1, 0, 0, 9, 'a'), 0, errWire.Error()},
		"short row":         {packets("\x02", "def", "def", "\x01a"), 0, errWire.Error()},
		"long row":          {packets("\x01", "def", "\x01ab"), 0, errWire.Error()},
		"long value":        {packets("\x01", "def", "\x09a"), 0, errWire.Error()},
		"no rows at all":    {packets("\x00\x00\x00\x02\x00\x00\x00"), 0, errWire.Error()},
		"a wish for a file": {packets("\xfb/etc/passwd"), 0, errWire.Error()},
		"nothing":           {nil, 0, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := answer(c.octets)
			if len(rows) != c.rows || err == nil || err.Error() != c.err {
				t.Errorf("%d rows and %v, expected %d and %s", len(rows), err, c.rows, c.err)
			}
		})
	}
}

// FuzzAnswers: whatever a server sends, reading it ends, and with an error unless it was whole.
func FuzzAnswers(f *testing.F) {
	f.Add(packets("\x02", "def", "def", "\x01a\xfb", "\x00\x01b", "\xfe\x00\x00\x02\x00\x00\x00"))
	f.Add(packets("\x01", "def", "\xfc\x05\x00abcde"))
	f.Add(packets("\xff\x7a\x04"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		if _, err := answer(octets); err == nil {
			t.Error("it ended without an end")
		}
	})
}
