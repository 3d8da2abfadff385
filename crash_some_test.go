//go:build !long

package main

import (
	"slices"
	"time"
)

// processTime is how long the processes of one test may be at work, all in all.
const processTime = 20 * time.Minute

// moments chooses n passages of a command, spread evenly from the first to the last, and the first one of each of the names.
// The build tag long chooses all.
func moments(n int, names ...string) func([]passage) []passage {
	return func(all []passage) (out []passage) {
		for i := range min(n, len(all)) {
			out = append(out, all[i*(len(all)-1)/max(1, n-1)])
		}
		for _, p := range all {
			if p.nth == 1 && slices.Contains(names, p.name) && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
		return out
	}
}
