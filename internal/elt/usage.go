package elt

import (
	"context"
	"sync"
	"time"
)

// Usage is what a warehouse that bills by use has done for an attempt.
type Usage struct {
	Jobs        int           `json:"jobs,omitempty"`
	BytesBilled int64         `json:"bytes_billed,omitempty"`
	SlotTime    time.Duration `json:"slot_time,omitempty"` // of all slots together, in nanoseconds
}

// IsZero reports whether nothing was used.
func (u Usage) IsZero() bool { return u == Usage{} }

// Plus returns the sum of two usages.
func (u Usage) Plus(v Usage) Usage {
	return Usage{u.Jobs + v.Jobs, u.BytesBilled + v.BytesBilled, u.SlotTime + v.SlotTime}
}

// Spending is what a run has spent of its budget, on all machines, in bytes.
type Spending struct {
	Billed   int64 // by steps that have ended
	ByTables int64 // of that, by those that load and verify
	Reserved int64 // for models that are being built
}

// Meter adds up what one attempt uses. Whoever begins the attempt puts it into the context, and the warehouse adds to
// it, however deep in between; failed jobs count as well. It is safe for concurrent use.
type Meter struct {
	mu   sync.Mutex
	used Usage
}

type meterKey struct{}

// WithMeter returns a context under which usage is added to the meter.
func WithMeter(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// AddUsage adds to the context's meter; without one, nobody counts.
func AddUsage(ctx context.Context, u Usage) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.used = m.used.Plus(u)
	}
}

// UsedSoFar returns what was added to the context's meter; nothing without one.
func UsedSoFar(ctx context.Context) Usage {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		return m.Used()
	}
	return Usage{}
}

// Used returns what was added so far.
func (m *Meter) Used() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}
