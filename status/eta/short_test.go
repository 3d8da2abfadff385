//go:build !long

package eta_test

// A sample of the nights, with fewer simulations than the page plays: seconds, also with the race detector.
const (
	replayStride      = 7
	replaySimulations = 300
)
