package lake

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// Body reads what a Put stores, or a Stat hashes, on behalf of a driver: it stops with the context, counts
// and hashes what passes, and keeps the failure of the reader apart from that of the store.
type Body struct {
	ctx    context.Context
	r      io.Reader
	digest hash.Hash
	size   int64
	err    error
}

// NewBody returns the body that r yields.
func NewBody(ctx context.Context, r io.Reader) *Body {
	return &Body{ctx: ctx, r: r, digest: sha256.New()}
}

// Read reads on, until the context is cancelled.
func (b *Body) Read(p []byte) (int, error) {
	if b.err = context.Cause(b.ctx); b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.size += int64(n)
	b.digest.Write(p[:n]) // a hash never fails
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Err returns the reader's own failure, or the context's. Only without one was the end the end.
func (b *Body) Err() error { return b.err }

// Size returns the number of bytes that passed.
func (b *Body) Size() int64 { return b.size }

// SHA256 returns the digest of the bytes that passed.
func (b *Body) SHA256() []byte { return b.digest.Sum(nil) }
