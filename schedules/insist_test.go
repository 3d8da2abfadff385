package schedules

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// The end of a step is written until the ledger has it; what it refuses is told at once, and nobody waits beyond the lease.
func TestInsist(t *testing.T) {
	away := &elt.Error{Code: "ledger_unreachable", Class: elt.Transient}
	lost := &elt.Error{Code: "lease_lost", Class: elt.Conflict}
	for name, c := range map[string]struct {
		answers []error // the last one is given again and again
		want    error
		writes  int
		took    time.Duration
	}{
		"at once":                   {[]error{nil}, nil, 1, 0},
		"after a restart":           {[]error{away, away, away, nil}, nil, 4, 700 * time.Millisecond},
		"refused":                   {[]error{lost}, lost, 1, 0},
		"refused after a restart":   {[]error{away, lost}, lost, 2, 100 * time.Millisecond},
		"away for as long as it is": {[]error{away}, away, 19, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				begun, writes := time.Now(), 0
				err := insist(ctx, func() error {
					writes++
					return c.answers[min(writes, len(c.answers))-1]
				})
				if !errors.Is(err, c.want) || writes != c.writes || time.Since(begun) != c.took {
					t.Errorf("%v after %d writes and %s, want %v after %d and %s", err, writes, time.Since(begun), c.want, c.writes, c.took)
				}
			})
		})
	}
}
