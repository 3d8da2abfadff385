package extract

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/daybreak-data/daybreak/extract/parquet"
)

// AppendText appends a text as a source sent it, which must be UTF-8.
func AppendText(to *parquet.Vector, raw []byte) error {
	if !ascii(raw) && !utf8.Valid(raw) {
		return Refuse(fmt.Sprintf(`\x%x`, raw[:min(len(raw), 64)]), "is not UTF-8")
	}
	to.AppendOctets(raw)
	return nil
}

// AppendTexts appends the texts of several rows, which lie in data, without their first octets, so many. Where one is no UTF-8 it
// appends nothing and returns false.
func AppendTexts(to *parquet.Vector, data []byte, cells []parquet.Cell, without int) bool {
	if to.AppendCells(data, cells, without) {
		return true
	}
	for _, c := range cells {
		if c.Size >= 0 && !utf8.Valid(data[int(c.From)+without:int(c.From)+int(c.Size)]) {
			for range cells {
				to.DropRow()
			}
			return false
		}
	}
	return true
}

// ascii reports whether a text has nothing but ASCII, eight octets at a time where it is long enough.
func ascii(x []byte) bool {
	const eight, high = 8, 0x8080808080808080
	var all uint64
	switch n := len(x); {
	case n >= eight:
		all = binary.NativeEndian.Uint64(x[n-eight:])
		for ; len(x) > eight; x = x[eight:] {
			all |= binary.NativeEndian.Uint64(x)
		}
	case n >= eight/2:
		all = uint64(binary.NativeEndian.Uint32(x) | binary.NativeEndian.Uint32(x[n-eight/2:]))
	default:
		for _, b := range x {
			all |= uint64(b)
		}
	}
	return all&high == 0
}
