package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/ledger"
)

// What is older than a date goes, but for what is needed: current versions, those that were named, and the runs whose
// manifests versions were made from. The audit trail stays whole.
func TestForget(t *testing.T) {
	onEach(t, func(t *testing.T, l *ledger.Ledger, _ string) {
		ctx := t.Context()
		_, steps := begin(t, l) // run-1 of 2026-01-05
		lease := must(l.Claim(ctx, steps[0].ID, "w", hour))(t)
		m := manifest(t, lease)
		ok(t, l.SaveManifest(ctx, lease, m))
		made := version("shop.users", day("2026-01-05"), "run-1", "2026-01-06T05:00:00Z")
		made.Manifest = m.ObjectKey()
		old := version("revenue", day("2026-01-04"), "run-0", "2026-01-05T05:00:00Z")
		named := version("revenue", day("2026-01-03"), "run-n", "2026-01-04T05:00:00Z")
		last := version("revenue", day("2026-02-05"), "run-2", "2026-02-06T05:00:00Z")
		ok(t, l.RecordVersions(ctx, []elt.Version{made, old, named, last}))
		for id, date := range map[elt.RunID]string{"run-0": "2026-01-04", "run-n": "2026-01-03", "run-2": "2026-02-05"} {
			_, _, err := l.CreateRun(ctx, elt.Run{ID: id, Schedule: "nightly", Date: day(date), Kind: elt.ManualRun}, nil, []elt.Day{{Dataset: "revenue", Date: day(date)}})
			ok(t, err)
			ok(t, l.FinishRun(ctx, id, elt.RunSucceeded))
		}
		ok(t, l.Audit(ctx, elt.AuditEntry{Actor: "ops", Action: "rollback", Target: "revenue"}))
		needed := map[elt.VersionID]bool{named.ID: true}
		before := must(l.Revision(ctx))(t)
		would, err := l.Forget(ctx, day("2026-02-01"), needed, true)
		ok(t, err)
		if revision := must(l.Revision(ctx))(t); revision != before {
			t.Error("a dry run changed the ledger")
		}
		did, err := l.Forget(ctx, day("2026-02-01"), needed, false)
		ok(t, err)
		if diff := cmp.Diff(would, did); diff != "" || did.Runs != 2 || did.Versions != 1 || did.Days == 0 {
			t.Errorf("it would have dropped %+v and dropped %+v", would, did)
		}
		for run, there := range map[elt.RunID]bool{"run-1": true, "run-2": true, "run-0": false, "run-n": false} {
			if _, err := l.Run(ctx, run); (err == nil) != there {
				t.Errorf("%s: %v", run, err)
			}
		}
		for id, there := range map[elt.VersionID]bool{made.ID: true, last.ID: true, named.ID: true, old.ID: false} {
			if _, err := l.Version(ctx, id); (err == nil) != there {
				t.Errorf("%s: %v", id, err)
			}
		}
		if saved := must(l.SavedManifests(ctx))(t); len(saved) != 1 || saved[0].Key != m.ObjectKey() || saved[0].Run != "run-1" || saved[0].SavedAt.IsZero() {
			t.Errorf("manifests %+v", saved)
		}
		if acts, _, err := l.AuditTrail(ctx, 0, 10); err != nil || len(acts) != 1 {
			t.Errorf("audit trail %v, %v", acts, err)
		}
		again, err := l.Forget(ctx, day("2026-02-01"), needed, false)
		if ok(t, err); again != (elt.Forgotten{}) {
			t.Errorf("forgotten twice: %+v", again)
		}
	})
}
