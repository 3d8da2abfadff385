package statustest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Controls keeps what people say of schedules and of what they bring, in memory.
type Controls struct {
	now     func() time.Time
	mu      sync.Mutex
	ticks   []elt.Tick
	pauses  []elt.Pause
	windows []elt.Maintenance
}

// NewControls returns the controls of the schedule nightly, of which one date ran, one was skipped and one is held.
func NewControls(now func() time.Time) *Controls {
	date := elt.DateOf(now()).AddDays(-1)
	tick := func(back int) elt.Tick {
		d := date.AddDays(-back)
		return elt.Tick{Schedule: "nightly", Date: d, DueAt: d.AddDays(1).At(5, 0, time.UTC)}
	}
	ran, skipped, held := tick(2), tick(1), tick(0)
	ran.Run, skipped.Skipped = "20261121t0500-nightly", "Founders' Day (calendar company)"
	held.Hold = &elt.Hold{Kind: elt.HoldDependency, Reason: "waits for revenue of " + held.Date.String() + ", until 09:00 at most", Waits: []elt.DatasetName{"revenue"}}
	return &Controls{now: now, ticks: []elt.Tick{held, skipped, ran}}
}

// Ticks is part of status.Controls.
func (c *Controls) Ticks(_ context.Context, s elt.ScheduleName, limit int) (out []elt.Tick, err error) {
	for _, t := range c.ticks {
		if t.Schedule == s && len(out) < limit {
			out = append(out, t)
		}
	}
	return out, nil
}

// Pauses is part of status.Controls.
func (c *Controls) Pauses(context.Context) ([]elt.Pause, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pauses), nil
}

// Maintenance is part of status.Controls.
func (c *Controls) Maintenance(context.Context, time.Time) ([]elt.Maintenance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.windows), nil
}

// Workers is part of status.Controls.
func (c *Controls) Workers(context.Context) ([]elt.Worker, error) {
	since, seen := c.now().Add(-30*time.Hour), c.now().Add(-4*time.Second)
	return []elt.Worker{
		{ID: "db1:17:a1b2c3", Host: "db1", Process: 17, Command: "serve", Version: "0.1.0", Kinds: []elt.StepKind{}, StartedAt: since, SeenAt: seen, Leads: true, Alive: true, Steps: []elt.StepID{}},
		{ID: "etl1:4711:d4e5f6", Host: "etl1", Process: 4711, Command: "worker", Version: "0.1.0", Kinds: elt.StepKinds(), Threads: 4, StartedAt: since, SeenAt: seen, Alive: true,
			Steps: []elt.StepID{"20261121t0500-nightly/extract/shop.orders"}},
		{ID: "etl2:4712:a7b8c9", Host: "etl2", Process: 4712, Command: "worker", Version: "0.1.0", Kinds: []elt.StepKind{elt.ExtractStep}, Threads: 8, StartedAt: since, SeenAt: c.now().Add(-5 * time.Minute), Steps: []elt.StepID{}},
	}, nil
}

// PauseSchedule is part of status.Controls.
func (c *Controls) PauseSchedule(_ context.Context, p elt.Pause) (elt.Pause, error) {
	if p.Reason == "" {
		return p, &elt.Error{Code: "bad_pause", Class: elt.Config, What: "a pause needs a reason", Do: "say why"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.At = c.now()
	c.pauses = append(slices.DeleteFunc(c.pauses, func(o elt.Pause) bool { return o.Schedule == p.Schedule }), p)
	return p, nil
}

// ResumeSchedule is part of status.Controls.
func (c *Controls) ResumeSchedule(_ context.Context, s elt.ScheduleName, _, _ string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.pauses)
	c.pauses = slices.DeleteFunc(c.pauses, func(o elt.Pause) bool { return o.Schedule == s })
	return len(c.pauses) < before, nil
}

// AddMaintenance is part of status.Controls.
func (c *Controls) AddMaintenance(_ context.Context, m elt.Maintenance) (elt.Maintenance, error) {
	if err := m.Check(); err != nil {
		return m, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.ID, m.CreatedAt = "maintenance-1", c.now()
	c.windows = append(c.windows, m)
	return m, nil
}

// EndMaintenance is part of status.Controls.
func (c *Controls) EndMaintenance(_ context.Context, id elt.MaintenanceID, actor, _ string) (elt.Maintenance, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.windows {
		if m := &c.windows[i]; m.ID == id {
			changed := m.Until().After(c.now())
			if changed {
				m.EndedAt, m.EndedBy = c.now(), actor
			}
			return *m, changed, nil
		}
	}
	return elt.Maintenance{}, false, &elt.Error{Code: "maintenance_unknown", Class: elt.Data, What: "no such window", Do: "look"}
}
