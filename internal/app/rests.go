package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/schedules"
)

// Missing returns those of the datasets that are expected for the date and not ready. It implements schedules.Starter.
func (n *nights) Missing(ctx context.Context, datasets []elt.DatasetName, date elt.Date) (missing []elt.DatasetName, err error) {
	facts, err := n.ledger.Facts(ctx, date, date)
	if err != nil {
		return nil, err
	}
	board := elt.NewBoard(facts)
	for _, d := range datasets {
		// A day of which nobody has said anything yet is not there either.
		if s, known := board.Days[elt.DayKey{Dataset: d, Date: date}]; !known || !s.Good() && (s.State != elt.DayNotExpected || s.Comes()) {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// Resting returns the window that covers all that the schedule brings, nil when there is none. While only some of it is
// covered, the rest is brought. It implements schedules.Starter.
func (n *nights) Resting(s *schedules.Schedule, windows []elt.Maintenance, now time.Time) *elt.Maintenance {
	last := (*elt.Maintenance)(nil)
	covering := n.catalog.maintained(windows, now)
	for _, d := range n.catalog.of(s.Name) {
		m, rests := covering[d.Name]
		if !rests {
			return nil
		}
		if last == nil || m.Until().Before(last.Until()) { // as soon as one of them is free, there is something to bring
			last = &m
		}
	}
	return last
}

// maintained returns the datasets that are under maintenance at that moment, each with the window that lasts longest.
func (c *catalog) maintained(windows []elt.Maintenance, now time.Time) map[elt.DatasetName]elt.Maintenance {
	lasting := slices.DeleteFunc(slices.Clone(windows), func(m elt.Maintenance) bool { return !m.Holds(now) })
	out := make(map[elt.DatasetName]elt.Maintenance)
	for name, covering := range elt.Maintained(c.datasets, lasting) {
		out[name] = slices.MaxFunc(covering, func(a, b elt.Maintenance) int { return a.Until().Compare(b.Until()) })
	}
	return out
}

// rests returns whether a dataset is under maintenance at that moment.
func (p *parts) rests(ctx context.Context, now time.Time) (func(elt.DatasetName) bool, error) {
	windows, err := p.ledger.Maintenance(ctx, now)
	if err != nil {
		return nil, err
	}
	covered := p.ws.catalog.maintained(windows, now)
	return func(d elt.DatasetName) bool { _, rests := covered[d]; return rests }, nil
}

// notUnderMaintenance refuses to begin by hand what a window covers.
func (n *nights) notUnderMaintenance(ctx context.Context, s *schedules.Schedule, chosen func(elt.DatasetName) bool) error {
	now, err := n.ledger.Now(ctx)
	if err != nil {
		return err
	}
	windows, err := n.ledger.Maintenance(ctx, now)
	if err != nil {
		return err
	}
	covered := n.catalog.maintained(windows, now)
	for _, d := range n.catalog.of(s.Name) {
		if m, rests := covered[d.Name]; rests && chosen(d.Name) {
			return &elt.Error{
				Code: "under_maintenance", Class: elt.Conflict,
				What: fmt.Sprintf("%s is under maintenance until %s: %s", d.Name, m.Until().In(s.Zone).Format("Mon 2 Jan 15:04 MST"), m.Reason),
				Do:   "wait until it is over, or end it: daybreak maintenance end " + string(m.ID),
			}
		}
	}
	return nil
}
