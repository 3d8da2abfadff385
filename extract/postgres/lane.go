package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/daybreak-data/daybreak/extract"
	"github.com/daybreak-data/daybreak/extract/parquet"
	"github.com/daybreak-data/daybreak/internal/elt"
)

// tries is how many sessions are tried on one chunk, while the snapshot lives.
const tries = 4

// lane reads chunks of a table one after the other, in one session as long as that lives.
type lane struct {
	*reading
	to *parquet.Writer
	in *session // nil until the first is needed, and after one was lost
	// without says that the lane has no slot any more, which it would give back.
	without bool
}

// try does something in a session of the snapshot, and again in another when the session is lost meanwhile. That the
// snapshot has no session to give is final.
func (l *lane) try(ctx context.Context, do func(context.Context, *session) error) error {
	for tried := 1; ; tried++ {
		if l.in == nil {
			var err error
			if l.in, err = l.snapshot.session(ctx); err != nil {
				if tried > 1 && ctx.Err() == nil {
					err = &elt.Error{Code: lost.code, Class: lost.class, Do: lost.do, Err: err,
						What: fmt.Sprintf("table %s of source %s: a session was lost, and no other could take its place", l.table.info.Name, l.snapshot.source.opts.Name)}
				}
				return err
			}
		}
		within, release := l.snapshot.readers.lend(ctx, l.in)
		err := do(within, l.in)
		release()
		if err == nil {
			return nil
		}
		err = errors.Join(err, l.snapshot.readers.drop(l.in)) // it may be in the middle of a statement
		l.in = nil
		if ctx.Err() != nil || l.to.Failed() || !sessionLost(err) || l.alone || tried == tries {
			return err
		}
		l.snapshot.source.opts.Log.Warn("a session was lost, another goes on in the same snapshot", "dataset", l.request.Extraction.Dataset,
			"source", l.snapshot.source.opts.Name, "try", tried+1, "error", err)
	}
}

// sessionLost reports whether a statement failed for a reason that another session need not meet.
func sessionLost(err error) bool {
	code := elt.CodeOf(err)
	return code == extract.CodeConnectionLost || code == codeReplicaConflict
}

// read reads a chunk, once production has room for it. What came of it before its session was lost is discarded.
func (l *lane) read(ctx context.Context, number int, c chunk) error {
	l.widen(ctx, l.to)
	if err := l.snapshot.pace.Wait(ctx, l.request.Paused); err != nil {
		return err
	}
	if _, err := l.to.Begin(number); err != nil {
		return err
	}
	var rows int64
	var digests []elt.RowDigest
	begun := false
	err := l.try(ctx, func(ctx context.Context, in *session) error {
		if begun {
			if _, err := l.to.Discard(); err != nil {
				return err
			}
		}
		begun, rows, digests = true, 0, nil
		for _, p := range c {
			n, err := l.copy(ctx, in, p, l.to)
			if err != nil {
				return err
			}
			sum, err := l.digest(ctx, in, p)
			if err != nil {
				return err
			}
			rows, digests = rows+n, append(digests, sum)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, sum := range digests {
		l.request.Facts.Rows(sum)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows += rows
	l.reading.read++
	return nil
}

// end lets others have the session.
func (l *lane) end() error {
	if l.in == nil {
		return nil
	}
	in := l.in
	l.in = nil
	return l.snapshot.readers.put(in)
}
