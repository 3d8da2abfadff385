package main

import (
	"testing"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A backfill of two dates that is killed at any moment goes on where it stopped, and ends like one that nobody disturbed. In
// between, people read the week as it was, or with its first date brought again, or with both.
func TestKilledBackfills(t *testing.T) {
	t.Parallel()
	scene{
		name: "a backfill", args: []string{"backfill", "resume", "backfill-1"}, again: 75, // backfill_ended
		stage: func(t *testing.T) string {
			return copyOf(t, begunOnce.get(func() string {
				dir := copyInto(t, folder(t, "begun"), week(t))
				begun(t, dir, daysOf(t, 2)...)
				return dir
			}))
		},
		halfway: []passage{{"run.finished", 1}},
		must: []string{
			"step.claimed", "step.done", "step.recorded", "run.finish", "run.finished", "ledger.commit", "ledger.committed",
			"extract.snapshot_open", "extract.parts_stored", "extract.manifest_stored", "extract.manifest_record", "load.stage", "load.staged", "transform.built",
			"duckdb.publish_item", "duckdb.published", "duckdb.copy_renamed", "publish.begin", "publish.visible", "publish.recorded", "publish.described",
		},
		settled: func(t *testing.T, dir string) {
			if b := backfillOf(t, dir, "backfill-1"); b.State != elt.BackfillSucceeded || b.Progress[elt.BackfillDaySucceeded] != 4 {
				t.Errorf("it is %s: %v", b.State, b.Progress)
			}
			wantWeek(t, dir, 3)
		},
	}.play(t, moments(4, "publish.visible", "publish.recorded", "run.finished", "extract.manifest_record"))
}

var begunOnce fixture[string]
