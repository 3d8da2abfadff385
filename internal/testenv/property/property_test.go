package property_test

import (
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/daybreak-data/daybreak/internal/testenv/property"
)

// TestTheSeedDecides draws twice: the same, unless the seed is a random one.
func TestTheSeedDecides(t *testing.T) {
	draw := func() (drawn []uint64) {
		property.Check(t, func(r *rapid.T) { drawn = append(drawn, rapid.Uint64().Draw(r, "n")) })
		return drawn
	}
	first, second := draw(), draw()
	if random := flag.Lookup("rapid.seed").Value.String() == "0"; slices.Equal(first, second) == random || len(first) < 2 {
		t.Errorf("drawn were %v and %v; the seed is random: %v", first, second, random)
	}
}
