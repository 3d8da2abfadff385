//go:build long

package main

// moments chooses every passage of a command; without the build tag long, n of them.
func moments(int) func([]passage) []passage { return func(all []passage) []passage { return all } }
