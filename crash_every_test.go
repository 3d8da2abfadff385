//go:build long

package main

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// processTime is how long the processes of one test may be at work, all in all: a soak is as long as is wanted.
const processTime = 80 * time.Minute

// moments chooses every passage of a command; without the build tag long, a few. Each failpoint comes at its first passage,
// then each at its last, then at the middle one, the quarters, and so on between those that came: whoever stops early has
// tried every failpoint, and its passages evenly.
func moments(int, ...string) func([]passage) []passage {
	return func(all []passage) []passage {
		last := make(map[string]int)
		for _, p := range all {
			last[p.name] = max(last[p.name], p.nth)
		}
		inTurn := slices.Clone(all)
		slices.SortStableFunc(inTurn, func(a, b passage) int { return cmp.Compare(turn(a.nth, last[a.name]), turn(b.nth, last[b.name])) })
		return inTurn
	}
}

// turn says when the nth of so many passages comes: the first, the last, then those between, the rounder in binary the
// sooner.
func turn(nth, last int) int {
	switch nth {
	case 1:
		return 0
	case last:
		return 1
	}
	return 2 + bits.Len(uint(last)) - bits.TrailingZeros(uint(nth))
}
