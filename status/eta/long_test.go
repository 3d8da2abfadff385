//go:build long

package eta_test

import "testing"

// Every night: minutes, and with the race detector a quarter of an hour. More simulations change the figures by a tenth.
const (
	replayStride      = 1
	replaySimulations = 500
	wholeReplay       = true
)

// TestReplayOfTheTuningSeeds shows what the constants were chosen by: the same figures should come out as on the
// held-out seeds, or they were chosen too well.
func TestReplayOfTheTuningSeeds(t *testing.T) {
	byMoment, bySeed := evaluateAll(tuningSeeds, grown, replayStride, replaySimulations)
	t.Logf("10 tuning seeds\n%s", table(byMoment[:], bySeed))
}
