package postgres

import (
	"encoding/binary"
	"testing"
)

// BenchmarkRows decodes rows of an integer, a text and a list of decimals, none of which needs a policy.
func BenchmarkRows(b *testing.B) {
	whole := stream()
	header, rows := whole[:len(copyHeader)+8+3], whole[len(copyHeader)+8+3:]
	rows = rows[:len(rows)-2] // without the end
	block := []byte{}
	for range 2000 {
		block = append(block, rows...)
	}
	if binary.BigEndian.Uint16(block) != 3 {
		b.Fatal("the block does not begin with a row of three values")
	}
	r, to := reader()
	defer to.Abort(nil)
	if _, err := r.Write(header); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		r.batch.Reset()
		if _, err := r.Write(block); err != nil {
			b.Fatal(err)
		}
	}
}
