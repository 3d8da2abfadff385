package elt

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is the stable machine-readable name of what went wrong; docs/runbook.md explains each.
type Code string

// Class tells what can be done about an error: retrying, waiting, or calling somebody.
type Class string

// The classes of error.
const (
	Transient Class = "transient" // the next attempt may well pass: a connection cut, a 503
	Budget    Class = "budget"    // the source asked for rest; later
	Data      Class = "data"      // the data is not what was declared; the same attempt fails again
	Config    Class = "config"    // a file of the workspace is wrong; people must change it
	Quota     Class = "quota"     // a limit was reached that time or money lifts
	Conflict  Class = "conflict"  // somebody else holds what is needed
	Internal  Class = "internal"  // a fault of Daybreak
)

// Error is a failure that an operator can act on: one sentence that says what, where and why, and one
// that says what to do.
type Error struct {
	Code  Code
	Class Class
	What  string // "cannot read table public.users of source shop: permission denied"
	Do    string // "grant SELECT on public.users to daybreak"
	Err   error  // the cause, or nil; its text is part of Error() unless What already holds it
}

// Error returns the sentence and its cause.
func (e *Error) Error() string {
	if e.Err == nil || strings.Contains(e.What, e.Err.Error()) {
		return e.What
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Failure is an error as the ledger keeps it and the page shows it.
type Failure struct {
	Code    Code   `json:"code"`
	Class   Class  `json:"class"`
	Message string `json:"message"`
	Do      string `json:"do,omitempty"`
}

// Interrupted is the code of an attempt that was stopped from outside: it counts as no failure.
const Interrupted Code = "interrupted"

// WindowOpen is the code of an attempt that came too early: rows may still come into its window. The day waits.
const WindowOpen Code = "window_open"

// CodeOf returns the code of the outermost Error in err's chain, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// NewFailure returns err as the ledger keeps it. An error without a code is internal_error.
func NewFailure(err error) *Failure {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return &Failure{e.Code, e.Class, err.Error(), e.Do}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Failure{Interrupted, Transient, err.Error(), "nothing: the step is taken up again"}
	}
	return &Failure{"internal_error", Internal, err.Error(), "report it with the step's log"}
}

// Problem is something wrong in a file of the workspace.
type Problem struct {
	File    string // relative to the workspace
	Line    int    // from 1; 0 when the whole file is meant
	Column  int    // from 1; 0 when unknown
	Code    Code
	What    string
	Do      string
	Warning bool // true when the workspace works all the same
}

// String returns "schedules/nightly.yaml:12:5: unknown key "tabel"; did you mean "table"?".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if p.File != "" {
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.What)
	if p.Do != "" {
		b.WriteString("; " + p.Do)
	}
	return b.String()
}

// Problems is every problem that a check found. As an error it lists those that are not warnings.
type Problems []Problem

// Error returns the problems, one a line.
func (ps Problems) Error() string {
	var lines []string
	for _, p := range ps {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error, or nil when it holds nothing but warnings.
func (ps Problems) Err() error {
	for _, p := range ps {
		if !p.Warning {
			return ps
		}
	}
	return nil
}
