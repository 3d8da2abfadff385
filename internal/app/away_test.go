package app

import (
	"errors"
	"testing"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// A night bears its ledger's silence for a minute: two blips hours apart are two, and one that lasts ends the command.
func TestHowLongALedgerMayBeAway(t *testing.T) {
	gone := &elt.Error{Code: "ledger_unreachable", Class: elt.Transient}
	start := time.Date(2026, 1, 6, 2, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		err  error
		at   []time.Duration // when it came, each borne but the last
		ends bool            // whether the last one ends the night
	}{
		"one that is full":            {&elt.Error{Code: "ledger_full", Class: elt.Quota}, []time.Duration{0}, true},
		"a fault of ours":             {errors.New("no such step"), []time.Duration{0}, true},
		"a restart":                   {gone, []time.Duration{0, time.Second, 20 * time.Second}, false},
		"a disk that has died":        {gone, []time.Duration{0, time.Second, 17 * time.Second, 33 * time.Second, 49 * time.Second, 65 * time.Second}, true},
		"two restarts, hours apart":   {gone, []time.Duration{0, 30 * time.Second, 2 * time.Hour, 2*time.Hour + 30*time.Second}, false},
		"a server that answers never": {gone, []time.Duration{0, 30 * time.Second, time.Minute}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var trouble away
			for i, at := range c.at {
				if want := i < len(c.at)-1 || !c.ends; trouble.bears(c.err, start.Add(at)) != want {
					t.Fatalf("after %s it is borne: %t, want %t", at, !want, want)
				}
			}
		})
	}
}
