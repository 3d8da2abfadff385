package ledger

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// fault is what an engine's error means to people.
type fault struct {
	code   elt.Code
	class  elt.Class
	reason string
	do     string
}

// fault returns err as an error that an operator can act on.
func (l *Ledger) fault(op string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	f, ok := l.engine.diagnose(err)
	if !ok {
		return &elt.Error{
			Code: "ledger_error", Class: elt.Internal, Err: err,
			What: fmt.Sprintf("cannot %s: the ledger %s refused it", op, l.engine.name()),
			Do:   "report it with this message",
		}
	}
	return &elt.Error{
		Code: f.code, Class: f.class, Err: err, Do: f.do,
		What: fmt.Sprintf("cannot %s: ledger %s: %s", op, l.engine.name(), f.reason),
	}
}

func (l *Ledger) unreachable(op string, err error) error {
	return &elt.Error{
		Code: "ledger_unreachable", Class: elt.Transient, Err: err,
		What: fmt.Sprintf("cannot %s: ledger %s", op, l.engine.name()),
		Do:   "nothing: it is tried again; if it lasts, check the ledger's server or disk",
	}
}

// isCut reports whether the connection ended in the middle of something.
func isCut(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func unknown(what string, id any) error {
	return &elt.Error{
		Code: elt.Code(what + "_unknown"), Class: elt.Data,
		What: fmt.Sprintf("the ledger knows no %s %q", what, id),
		Do:   "check the spelling",
	}
}

// leaseLost is the answer to every write under a fence that is no longer the step's.
func leaseLost(lease elt.Lease, op string) error {
	return &elt.Error{
		Code: "lease_lost", Class: elt.Conflict,
		What: fmt.Sprintf("cannot %s: attempt %d no longer holds step %s (fence %d)", op, lease.Attempt, lease.Step, lease.Fence),
		Do:   "nothing: the step belongs to a newer attempt, or its run was cancelled; this one stops without effect",
	}
}
