package extract

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Budget is what a source may be asked for at most. Its server is production's first, and Daybreak's second.
type Budget struct {
	// StatementTimeout is how long one statement, such as the reading of one chunk, may take. 4 h by default.
	StatementTimeout time.Duration
	// LockTimeout is how long to wait for a table that somebody holds, such as a migration. 5 s by default.
	LockTimeout time.Duration
	// SnapshotAge is how long one snapshot may be held: what was deleted cannot be cleaned up meanwhile. 8 h by default.
	SnapshotAge time.Duration
	// ReplicaLag is how far a replica may lag behind. Without it nobody looks.
	ReplicaLag time.Duration
	// LockWait is how long somebody may wait to alter a table that is held. 5 s by default.
	LockWait time.Duration
}

// OrDefaults returns the budget with what is not set, or not positive, as it is by default.
func (b Budget) OrDefaults() Budget {
	for d, value := range map[*time.Duration]time.Duration{
		&b.StatementTimeout: 4 * time.Hour, &b.LockTimeout: 5 * time.Second, &b.SnapshotAge: 8 * time.Hour,
		&b.ReplicaLag: 0, &b.LockWait: 5 * time.Second,
	} {
		if *d <= 0 {
			*d = value
		}
	}
	return b
}

// CodeSourceBudget is the code with which a Snapshot says that it was let go, for production's sake.
const CodeSourceBudget elt.Code = "source_budget"

// OverBudget returns the error of a snapshot that was let go because of why, such as "the snapshot is held for 8h0m0s,
// at most 8h0m0s". Night rests before it takes another.
func OverBudget(source elt.SourceName, why, do string) error {
	return &elt.Error{Code: CodeSourceBudget, Class: elt.Budget, What: fmt.Sprintf("source %s was given rest: %s", source, why), Do: do}
}

// Pace holds reading back while a source is over its budget. Whoever watches the source sets it; whoever reads asks
// at the end of each chunk. Its zero value goes on.
type Pace struct {
	mu      sync.Mutex
	why     string
	changed chan struct{} // closed with the next change
}

// Set pauses for that reason, and goes on with none.
func (p *Pace) Set(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == why {
		return
	}
	p.why = why
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// look returns why to pause, and what is closed when that changes.
func (p *Pace) look() (why string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.why, p.changed
}

// Wait returns when reading may go on, or with the cause of ctx. paused is told why it does not, and "" when it does again.
func (p *Pace) Wait(ctx context.Context, paused func(why string)) error {
	waited := false
	for {
		why, changed := p.look()
		if why == "" {
			if waited {
				paused("")
			}
			return context.Cause(ctx)
		}
		waited = true
		paused(why)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
