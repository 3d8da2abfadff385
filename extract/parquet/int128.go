package parquet

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// Int128 is a signed integer of 128 bits in two's complement: a decimal of up to 38 digits, scaled.
type Int128 struct {
	Hi int64
	Lo uint64
}

// ToInt128 returns x.
func ToInt128(x int64) Int128 { return Int128{x >> 63, uint64(x)} }

// Int64 returns i as an int64, and whether it fits.
func (i Int128) Int64() (int64, bool) {
	return int64(i.Lo), i.Hi == int64(i.Lo)>>63
}

// Compare returns -1, 0 or +1 as i is less than, equal to or greater than j.
func (i Int128) Compare(j Int128) int {
	switch {
	case i.Hi < j.Hi, i.Hi == j.Hi && i.Lo < j.Lo:
		return -1
	case i == j:
		return 0
	}
	return 1
}

// Neg returns -i.
func (i Int128) Neg() Int128 {
	lo, borrow := bits.Sub64(0, i.Lo, 0)
	hi, _ := bits.Sub64(0, uint64(i.Hi), borrow)
	return Int128{int64(hi), lo}
}

// Abs returns i without its sign.
func (i Int128) Abs() Int128 {
	if i.Hi < 0 {
		return i.Neg()
	}
	return i
}

// MulAdd returns i*m + a for a non-negative i; ok is false when that needs more than 127 bits.
func (i Int128) MulAdd(m, a uint64) (r Int128, ok bool) {
	carry, lo := bits.Mul64(i.Lo, m)
	over, hi := bits.Mul64(uint64(i.Hi), m)
	hi, c1 := bits.Add64(hi, carry, 0)
	lo, c2 := bits.Add64(lo, a, 0)
	hi, c3 := bits.Add64(hi, 0, c2)
	return Int128{int64(hi), lo}, over == 0 && c1 == 0 && c3 == 0 && int64(hi) >= 0
}

// String returns i in base ten.
func (i Int128) String() string {
	if small, ok := i.Int64(); ok {
		return big.NewInt(small).String()
	}
	return sum192{lo: i.Lo, mid: uint64(i.Hi), hi: i.Hi >> 63}.String()
}

// bigEndian appends the 16 octets that Parquet keeps of a wide decimal.
func (i Int128) bigEndian(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(i.Hi))
	return binary.BigEndian.AppendUint64(b, i.Lo)
}

func fromBigEndian(b []byte) Int128 {
	return Int128{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
}

// sum192 adds integers of up to 128 bits without ever overflowing: it has room for 2^64 of them.
type sum192 struct {
	lo, mid uint64
	hi      int64
}

func (s *sum192) add(x Int128) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, x.Lo, 0)
	s.mid, carry = bits.Add64(s.mid, uint64(x.Hi), carry)
	s.hi += x.Hi>>63 + int64(carry)
}

// merge adds another sum.
func (s *sum192) merge(o sum192) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, o.lo, 0)
	s.mid, carry = bits.Add64(s.mid, o.mid, carry)
	s.hi += o.hi + int64(carry)
}

// String returns the sum in base ten.
func (s sum192) String() string {
	b := big.NewInt(s.hi)
	b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(s.mid))
	b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(s.lo))
	return b.String()
}
