package demo

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// dice is one reproducible stream of chance. Every part of the generator has its own, so that a change to
// one does not reshuffle the others.
type dice struct{ *rand.Rand }

func newDice(seed int64, stream string) dice {
	h := fnv.New64a()
	h.Write([]byte(stream))
	return dice{rand.New(rand.NewPCG(uint64(seed), h.Sum64()))}
}

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// between returns an integer from lo to hi, both included.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// logNormal returns a positive number with a long tail: half of them are below the median.
func (d dice) logNormal(median, sigma float64) float64 {
	return median * math.Exp(sigma*d.NormFloat64())
}

// after returns a delay with a long tail, in whole milliseconds.
func (d dice) after(median time.Duration, sigma float64) time.Duration {
	return time.Duration(d.logNormal(float64(median), sigma)).Round(time.Millisecond)
}

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }

// weights chooses indexes in proportion to their weight.
type weights struct{ sums []float64 }

func newWeights[T any](from []T, weight func(T) float64) weights {
	sums := make([]float64, len(from))
	var sum float64
	for i, v := range from {
		sum += weight(v)
		sums[i] = sum
	}
	return weights{sums}
}

func (w weights) pick(d dice) int { return w.pickBelow(d, len(w.sums)) }

// pickBelow chooses among the first n indexes only.
func (w weights) pickBelow(d dice, n int) int {
	i, _ := slices.BinarySearch(w.sums[:n], d.Float64()*w.sums[n-1])
	return min(i, n-1)
}
