//go:build !long

package main

// moments chooses n passages of a command, spread evenly, and the first one of each name. The build tag long chooses all.
func moments(n int, names ...string) func([]passage) []passage { return some(n, names...) }
