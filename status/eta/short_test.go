//go:build !long

package eta_test

// A sample of the nights, over all weekdays, with fewer simulations than the page plays: seconds, also with the race detector.
const (
	replayStride      = 8
	replaySimulations = 300
	wholeReplay       = false
)
