package parquet

import "encoding/binary"

// Kinds of fields, as Thrift's compact protocol numbers them.
const (
	thriftFalse  = 2
	thriftShort  = 4
	thriftInt    = 5
	thriftLong   = 6
	thriftOctets = 8
	thriftList   = 9
	thriftStruct = 12
)

// thrift is what is written in Thrift's compact protocol.
type thrift []byte

// field begins a field of a structure, so many numbers after the one before.
func (t *thrift) field(after, kind byte) { *t = append(*t, after<<4|kind) }

// number appends a number, of whatever kind.
func (t *thrift) number(n int64) { *t = binary.AppendVarint(*t, n) }

// numbers appends the next fields, which are numbers of one kind.
func (t *thrift) numbers(kind byte, of ...int64) {
	for _, n := range of {
		t.field(1, kind)
		t.number(n)
	}
}

// list begins a list of so many elements.
func (t *thrift) list(elements int, kind byte) {
	if elements < 15 {
		*t = append(*t, byte(elements)<<4|kind)
		return
	}
	*t = binary.AppendUvarint(append(*t, 15<<4|kind), uint64(elements))
}

// octets appends octets, or a text.
func (t *thrift) octets(of []byte) { *t = append(binary.AppendUvarint(*t, uint64(len(of))), of...) }

// ends ends structures, so many.
func (t *thrift) ends(structures int) {
	for range structures {
		*t = append(*t, 0)
	}
}
