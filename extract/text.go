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

// ascii reports whether a text that is long enough to be looked at eight octets at a time has nothing but ASCII.
func ascii(x []byte) bool {
	const eight, high = 8, 0x8080808080808080
	if len(x) < eight {
		return false
	}
	all := binary.NativeEndian.Uint64(x[len(x)-eight:])
	for ; len(x) > eight; x = x[eight:] {
		all |= binary.NativeEndian.Uint64(x)
	}
	return all&high == 0
}
