//go:build long

package main

import "time"

// processTime is how long the processes of one test may be at work, all in all: a soak is as long as is wanted.
const processTime = 80 * time.Minute

// moments chooses every passage of a command; without the build tag long, a few.
func moments(int, ...string) func([]passage) []passage {
	return func(all []passage) []passage { return all }
}
