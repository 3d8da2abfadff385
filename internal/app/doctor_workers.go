package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/daybreak-data/daybreak/internal/ledger"
)

// examineWorkers tells which processes share the ledger. Where none can, there is nothing to tell.
func examineWorkers(ctx context.Context, book *ledger.Ledger) []finding {
	const check = "workers"
	if !book.Shared() {
		return nil
	}
	workers, err := book.Workers(ctx)
	if err != nil {
		return []finding{bad(check, err)}
	}
	var alive, silent []string
	led := false
	for _, w := range workers {
		name := fmt.Sprintf("%s on %s", w.Command, w.Host)
		if !w.Alive {
			silent = append(silent, fmt.Sprintf("%s (process %d, last seen %s)", name, w.Process, w.SeenAt.UTC().Format(time.DateTime)))
			continue
		}
		alive = append(alive, fmt.Sprintf("%s at %s", name, plural(len(w.Steps), "step")))
		led = led || w.Command == "serve"
	}
	switch {
	case len(silent) > 0:
		return []finding{doubt(check, "worker_silent", "no sign of life of "+strings.Join(silent, ", "), "look after that machine and its log; its steps have been taken over, and it leaves the list after a day")}
	case len(alive) > 0 && !led:
		return []finding{doubt(check, "nobody_decides", "workers are alive, and no daybreak serve decides what they do", "start daybreak serve")}
	case len(alive) == 0:
		return []finding{good(check, "none is at work")}
	}
	return []finding{good(check, "%s", strings.Join(alive, ", "))}
}
