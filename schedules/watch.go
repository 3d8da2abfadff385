package schedules

import (
	"context"
	"log/slog"
	"slices"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// IncidentBook is what the watch asks of the ledger.
type IncidentBook interface {
	Facts(ctx context.Context, from, to elt.Date) (elt.Facts, error)
	Incidents(ctx context.Context, openOnly bool, limit int) ([]elt.Incident, error)
	OpenIncident(ctx context.Context, in elt.Incident) (elt.Incident, bool, error)
	UpdateIncident(ctx context.Context, in elt.Incident) error
	ResolveIncident(ctx context.Context, id elt.IncidentID) error
}

// Watch keeps the incidents in step with the board: one for each root cause that touches a deadline, and
// resolved by the data alone.
type Watch struct {
	Ledger IncidentBook
	Days   int // how many days back a deadline is watched
	// AtRisk tells the days that will probably miss their deadline, by what is estimated; nil when nobody estimates.
	AtRisk func() []elt.DayKey
	Log    *slog.Logger
}

// maxOpen bounds how many open incidents one look compares.
const maxOpen = 1000

// Look opens, updates and resolves incidents by what the ledger says now.
func (w *Watch) Look(ctx context.Context, today elt.Date) error {
	facts, err := w.Ledger.Facts(ctx, today.AddDays(-w.Days), today.AddDays(1))
	if err != nil {
		return err
	}
	board := elt.NewBoard(facts)
	if w.AtRisk != nil {
		for _, key := range w.AtRisk() {
			if d := board.Days[key]; d.Deadline == elt.DeadlineOnTrack {
				d.Deadline = elt.DeadlineAtRisk
				board.Days[key] = d
			}
		}
	}
	open, err := w.Ledger.Incidents(ctx, true, maxOpen)
	if err != nil {
		return err
	}
	for _, in := range open {
		if !in.Healed(board) {
			continue
		}
		w.Log.Info("incident resolved by the data", "incident", in.ID, "cause", in.Cause, "date", in.Date)
		if err := w.Ledger.ResolveIncident(ctx, in.ID); err != nil {
			return err
		}
	}
	for _, in := range elt.Troubles(board) {
		i := slices.IndexFunc(open, func(o elt.Incident) bool { return o.Cause == in.Cause && o.Date == in.Date })
		if i >= 0 {
			if err := w.update(ctx, open[i], in); err != nil {
				return err
			}
			continue
		}
		opened, fresh, err := w.Ledger.OpenIncident(ctx, in)
		if err != nil {
			return err
		}
		if fresh {
			w.Log.Warn("incident", "incident", opened.ID, "title", in.Title, "date", in.Date, "affected", len(in.Affected))
		}
	}
	return nil
}

// update writes down what is new about an open incident. Days that were affected stay named until all are ready.
func (w *Watch) update(ctx context.Context, open, seen elt.Incident) error {
	affected := slices.Concat(open.Affected, seen.Affected)
	slices.Sort(affected)
	affected = slices.Compact(affected)
	if seen.Title == open.Title && slices.Equal(affected, open.Affected) {
		return nil
	}
	open.Title, open.Failure, open.Affected = seen.Title, seen.Failure, affected
	return w.Ledger.UpdateIncident(ctx, open)
}
