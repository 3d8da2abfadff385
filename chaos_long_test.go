//go:build long

package main

import (
	"math/rand/v2"
	"testing"
)

// A thousand datasets under a hundred faults and eight deaths, from a seed that is another one each time.
func TestAThousandDatasetsUnderChaos(t *testing.T) {
	nightOfChaos(t, seedOf(t, rand.Uint64N(1_000_000)), 1000, 100, 8, false)
}
