package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// Chunks of a full table that are pages of heap tables can be read by whoever has joined the snapshot: any session that has it
// sees the same rows on them.

var (
	_ extract.Helpful = (*snapshot)(nil)
	_ extract.Cut     = (*reading)(nil)
)

// farPiece is a piece as another worker learns of it.
type farPiece struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	First  int64  `json:"first,omitempty"`
	End    int64  `json:"end,omitempty"`
}

// text writes the chunk for another worker; "" when any other session might see something else.
func (c chunk) text() (string, error) {
	var pieces []farPiece
	for _, p := range c {
		if p.of == nil {
			return "", nil
		}
		pieces = append(pieces, farPiece{p.of.schema, p.of.table, p.first, p.end})
	}
	text, err := json.Marshal(pieces)
	return string(text), err
}

// parseChunk reads what text has written.
func parseChunk(text string) (chunk, error) {
	var pieces []farPiece
	if err := json.Unmarshal([]byte(text), &pieces); err != nil {
		return nil, fmt.Errorf("read what chunk is lent: %w", err)
	}
	c := make(chunk, len(pieces))
	for i, p := range pieces {
		name := tableName{p.Schema, p.Table}
		c[i] = piece{of: &name, from: "ONLY " + name.sql(), first: p.First, end: p.End}
	}
	return c, nil
}

// Left is how many chunks nobody has begun.
func (d *reading) Left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.todo)
}

// Lend takes out chunks that others are to read, the last ones.
func (d *reading) Lend(most int) (lent []elt.LentChunk, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.todo) - 1; i >= 0 && len(lent) < most; i-- {
		number := d.todo[i]
		text, err := d.chunks[number].text()
		if err != nil {
			return nil, fmt.Errorf("lend a chunk of table %s: %w", d.table.info.Name, err)
		}
		if text != "" {
			lent = append(lent, elt.LentChunk{Number: number, Chunk: text})
		}
	}
	d.todo = slices.DeleteFunc(d.todo, func(number int) bool {
		return slices.ContainsFunc(lent, func(c elt.LentChunk) bool { return c.Number == number })
	})
	d.lent += len(lent)
	return lent, nil
}

// Return has a chunk be read here after all.
func (d *reading) Return(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lent--
	d.todo = append(d.todo, number)
	d.stir()
}

// Brought counts a chunk that somebody else has read.
func (d *reading) Brought(rows int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lent--
	d.read++
	d.rows += rows
	d.stir()
}

// Room waits for a connection to read with, or looks for one that nobody waits for; leave gives it back. There is none when
// leave is nil.
func (s *snapshot) Room(ctx context.Context, wait bool) (leave func(), err error) {
	slots := &s.readers.slots
	if !wait {
		if slots.try() {
			return slots.give, nil
		}
		return nil, nil
	}
	ctx, stop := s.within(ctx)
	defer stop()
	if err := slots.take(ctx); err != nil {
		return nil, err
	}
	return slots.give, nil
}

// Wanted reports whether a table of this worker, or another worker, waits for a connection.
func (s *snapshot) Wanted() bool { return s.readers.slots.wanted() }

// ReadChunk reads a chunk that another worker has cut, with a connection for which there is room.
func (s *snapshot) ReadChunk(ctx context.Context, r extract.Request, text string, to *parquet.Writer) (int64, error) {
	t, err := s.table(r.Extraction.Table)
	if err != nil {
		return 0, err
	}
	c, err := parseChunk(text)
	if err != nil {
		return 0, err
	}
	ctx, stop := s.within(ctx)
	defer stop()
	if r.Paused == nil {
		r.Paused = func(string) {}
	}
	d := &reading{snapshot: s, table: t, request: r, chunks: []chunk{c}}
	l := &lane{reading: d, to: to}
	err = l.read(ctx, 0, c)
	if e := l.end(); err == nil && e != nil {
		err = fault(ctx, e, "cannot end reading table %s of source %s", t.info.Name, s.source.opts.Name)
	}
	return d.rows, err
}

// within returns a context that ends with the snapshot, too, and why.
func (s *snapshot) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.closing, func() { cancel(context.Cause(s.closing)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
