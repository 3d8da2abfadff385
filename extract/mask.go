package extract

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// The rules of elt.Column.Masked.
const (
	MaskHash   = "hash"
	MaskRedact = "redact"
)

// Redacted stands for every value of a redacted column that is not NULL.
const Redacted = "***"

// Masker replaces values by their HMAC-SHA-256 under a secret key: equal values stay equal, so that tables
// can still be joined, and nobody without the key can try out what they were.
type Masker struct{ key []byte }

// NewMasker returns a Masker for the key, nil when there is none.
func NewMasker(key []byte) *Masker {
	if len(key) == 0 {
		return nil
	}
	return &Masker{key}
}

// ID names the key without giving it away: another key shows another ID.
func (m *Masker) ID() string {
	sum := sha256.Sum256(append([]byte("daybreak mask key\x00"), m.key...))
	return hex.EncodeToString(sum[:4])
}

// Hasher hashes values one after the other, on one goroutine.
type Hasher struct {
	mac hash.Hash
	sum []byte
}

// Hasher returns a Hasher of the key.
func (m *Masker) Hasher() *Hasher { return &Hasher{mac: hmac.New(sha256.New, m.key)} }

// Hex returns the hash of a value's canonical text in hexadecimal; it is valid until the next call.
func (h *Hasher) Hex(text []byte) []byte {
	h.mac.Reset()
	h.mac.Write(text)
	h.sum = h.mac.Sum(h.sum[:0])
	n := len(h.sum)
	h.sum = hex.AppendEncode(h.sum, h.sum[:n])
	return h.sum[n:]
}
