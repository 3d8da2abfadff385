package testenv

import (
	"testing"
	"time"
)

// Eventually waits until it holds, for as long as a machine may take that does much else; what is what is waited for.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, patience, what, holds)
}

// Within waits that long until it holds.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

// Receive returns what comes next from a channel, and waits for it as Eventually does.
func Receive[T any](t testing.TB, what string, from <-chan T) (next T) {
	t.Helper()
	select {
	case next = <-from:
	case <-time.After(patience):
		t.Fatalf("waited %s in vain: %s", patience, what)
	}
	return next
}
