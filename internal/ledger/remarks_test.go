package ledger_test

import (
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

func TestRemarks(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		in := must2(l.OpenIncident(ctx, trouble("shop.orders")))(t)
		date := day("2026-01-05")
		of := must(l.Remark(ctx, elt.Remark{Incident: in.ID, Actor: "anne", Text: "on it"}))(t)
		pinned := must(l.Remark(ctx, elt.Remark{Dataset: "shop.orders", Date: date, Actor: "ben", Text: "half of it"}))(t)
		must(l.Remark(ctx, elt.Remark{Dataset: "shop.orders", Actor: "ben", Text: "moves in March"}))(t)
		_, err := l.Remark(ctx, elt.Remark{Incident: "incident-99", Actor: "anne", Text: "x"})
		wantCode(t, err, "incident_unknown")
		if got := must(l.Remarks(ctx, in.ID, "", 10))(t); len(got) != 1 || got[0].ID != of.ID || got[0].At.IsZero() {
			t.Errorf("of the incident: %+v", got)
		}
		if got := must(l.Remarks(ctx, "", "shop.orders", 10))(t); len(got) != 2 || got[1].Date != date || got[0].Text != "moves in March" {
			t.Errorf("of the dataset: %+v", got)
		}
		if got := must(l.Remarks(ctx, "", "", 10))(t); len(got) != 0 {
			t.Errorf("of nothing: %+v", got)
		}
		for range 2 {
			ok(t, l.RemoveRemark(ctx, pinned.ID, "anne"))
		}
		wantCode(t, l.RemoveRemark(ctx, "remark-0", "anne"), "remark_unknown")
		if got := must(l.Remarks(ctx, "", "shop.orders", 10))(t); len(got) != 1 {
			t.Errorf("of the dataset, after one was removed: %+v", got)
		}
	})
}

// Whoever acknowledges an incident is told of once; taking it over is told again, and one that is resolved is refused.
func TestAcknowledge(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		ok(t, l.SyncDestinations(ctx, []elt.DestinationName{"slack"}))
		in := must2(l.OpenIncident(ctx, trouble("shop.orders")))(t)
		for i, by := range []string{"anne", "anne", "ben"} {
			if changed := must(l.AcknowledgeIncident(ctx, in.ID, by))(t); changed != (i != 1) {
				t.Errorf("%s: changed is %v", by, changed)
			}
		}
		if got := must(l.Incidents(ctx, true, 1))(t); got[0].AcknowledgedBy != "ben" {
			t.Errorf("looked after by %q", got[0].AcknowledgedBy)
		}
		if got := told(t, l); len(got) != 3 {
			t.Errorf("told: %v", got)
		}
		ok(t, l.ResolveIncident(ctx, in.ID))
		_, err := l.AcknowledgeIncident(ctx, in.ID, "anne")
		wantCode(t, err, "incident_resolved")
		_, err = l.AcknowledgeIncident(ctx, "incident-99", "anne")
		wantCode(t, err, "incident_unknown")
	})
}
