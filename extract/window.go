package extract

import (
	"cmp"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// newRange returns the range of cursor values that the window asks for, the overlap before it included.
func newRange(cursor elt.Column, e elt.Extraction, w elt.Window) *Range {
	r := &Range{Cursor: cursor, All: w.From.IsZero(), Window: w, Nulls: nulls(e)}
	r.To = reading(w.To, cursor.Type.Kind, e.CursorZone)
	if !r.All {
		from := w.From.Add(-e.Overlap)
		r.From = reading(from, cursor.Type.Kind, e.CursorZone)
		// When clocks go back soon after, later instants read lower: they are in the range, too.
		if e.CursorZone != nil && cursor.Type.Kind != elt.Timestamp {
			if _, change := from.In(e.CursorZone).ZoneBounds(); !change.IsZero() && change.Sub(from) < 24*time.Hour {
				r.From = min(r.From, reading(change, cursor.Type.Kind, e.CursorZone))
			}
		}
	}
	return r
}

// openRange returns the range of an integer cursor's values, whose end is what the snapshot sees.
func openRange(cursor elt.Column, e elt.Extraction, n *elt.Numbers) *Range {
	r := &Range{Cursor: cursor, All: n.From == nil, Open: true, Nulls: nulls(e)}
	if n.From != nil {
		r.From = *n.From
	}
	return r
}

func nulls(e elt.Extraction) elt.NullCursors { return cmp.Or(e.NullCursors, elt.NullsFail) }

// reading returns how a cursor of that kind would show the instant t.
func reading(t time.Time, kind elt.Kind, zone *time.Location) int64 {
	if kind == elt.Timestamp {
		return t.UnixMicro()
	}
	if zone == nil {
		zone = time.UTC
	}
	_, offset := t.In(zone).Zone()
	wall := t.Add(time.Duration(offset) * time.Second)
	if kind == elt.DateKind {
		return floorDiv(wall.Unix(), 86400)
	}
	return wall.UnixMicro()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
