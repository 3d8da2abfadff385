// Package workers holds what several worker processes do to one source: the tests that kill them, stop them and take
// their server away, and the benchmark of how much faster two are than one. It has no code of its own.
package workers
