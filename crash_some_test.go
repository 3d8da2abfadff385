//go:build !long

package main

// moments chooses n passages of a command, spread evenly. The build tag long chooses every one.
func moments(n int) func([]passage) []passage { return some(n) }
