package schedules

import (
	"context"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// How long insist waits before it asks the ledger again; the wait doubles from the first to the longest.
const (
	firstInsistence   = 100 * time.Millisecond
	longestInsistence = 2 * time.Second
)

// insist writes to the ledger until it has taken it, refuses it, or ctx ends. A step's work is done once and may have taken
// hours: that the ledger's connection breaks just when its end is recorded must not have it done again. To write the same
// end twice, because the first answer was lost on its way, changes nothing.
func insist(ctx context.Context, write func() error) error {
	for wait := firstInsistence; ; wait = min(2*wait, longestInsistence) {
		err := write()
		if err == nil || elt.NewFailure(err).Class != elt.Transient {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}
