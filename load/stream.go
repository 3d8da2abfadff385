package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Streamer is a warehouse that takes parts as they are read from the lake, so that none lies on this machine's disk.
// open returns a part from its start; a reader that ends in an error leaves nothing of its part in the warehouse.
type Streamer interface {
	StageStreams(ctx context.Context, run elt.RunID, m *elt.Manifest, relation string, open func(ctx context.Context, part int) (io.ReadCloser, error), progress func(rows int64)) (int64, error)
}

// stage has the warehouse take the manifest's parts: as streams where it can, else from files. told is told how far
// it is, one call at a time.
func (l *Loader) stage(ctx context.Context, m *elt.Manifest, relation string, told func(elt.Progress)) (int64, error) {
	report := &report{done: elt.Progress{RowsExpected: m.Rows()}, tell: told, parts: make([]int64, len(m.Parts))}
	told(report.done)
	if s, ok := l.warehouse.(Streamer); ok {
		open := func(ctx context.Context, part int) (io.ReadCloser, error) { return l.open(ctx, m, part, report) }
		return s.StageStreams(ctx, m.Run, m, relation, open, report.rows)
	}
	files, release, err := l.fetch(ctx, m, report.bytes)
	if err != nil {
		return 0, err
	}
	defer release()
	return l.warehouse.Stage(ctx, m.Run, m, relation, files, report.rows)
}

// report adds up how far a load is.
type report struct {
	mu    sync.Mutex
	done  elt.Progress
	parts []int64 // bytes of each part that were read
	tell  func(elt.Progress)
}

func (r *report) rows(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Rows = n
	r.tell(r.done)
}

func (r *report) bytes(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Bytes = n
	r.tell(r.done)
}

// part notes how much of a part was read; one that is sent again counts once.
func (r *report) part(i int, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done.Bytes += max(0, n-r.parts[i])
	r.parts[i] = max(n, r.parts[i])
	r.tell(r.done)
}

// open returns a part of the lake that ends with an error, instead of its end, when it is not what was written.
func (l *Loader) open(ctx context.Context, m *elt.Manifest, i int, r *report) (io.ReadCloser, error) {
	part, err := l.openPart(ctx, m, m.Parts[i])
	if err != nil {
		return nil, err
	}
	return &checked{ReadCloser: part, in: &cancellable{ctx, part}, hash: sha256.New(), manifest: m, part: m.Parts[i], tell: func(n int64) { r.part(i, n) }}, nil
}

// checked is a part whose checksum is taken as it passes.
type checked struct {
	io.ReadCloser
	in       io.Reader
	hash     hash.Hash
	n        int64
	manifest *elt.Manifest
	part     elt.Part
	tell     func(n int64)
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.hash.Write(b[:n]) // never fails
	c.n += int64(n)
	switch {
	case c.n > c.part.Bytes, errors.Is(err, io.EOF):
		c.tell(min(c.n, c.part.Bytes))
		if wrong := corrupt(c.manifest, c.part, c.n, hex.EncodeToString(c.hash.Sum(nil))); wrong != nil {
			return 0, wrong
		}
	}
	return n, err
}
