package app

import (
	"errors"
	"fmt"
	"io"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Exit codes. 1 to 3 belong to the wait command alone, so that a script can tell "not ready" from "broken";
// everything else is 64 or more, as in sysexits.h.
const (
	ExitOK         = 0
	ExitImpossible = 1 // wait: waiting cannot help
	ExitTimeout    = 2 // wait: not ready in time
	ExitUnknown    = 3 // wait: nobody can vouch for it

	ExitUsage       = 64 // the command line is wrong
	ExitData        = 65 // the data is not what was declared
	ExitUnavailable = 69 // a server did not answer
	ExitInternal    = 70 // a fault of Daybreak
	ExitBusy        = 75 // somebody else holds what is needed; try again
	ExitQuota       = 76 // a limit was reached
	ExitConfig      = 78 // a file of the workspace is wrong
)

// exitStatus is an error that has been told already, or that is an answer rather than a failure.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Report prints err for a person and returns the exit code of its kind; nil is 0.
func Report(stderr io.Writer, err error) int {
	var status exitStatus
	var problems elt.Problems
	var e *elt.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &problems):
		for _, p := range problems {
			if !p.Warning {
				fmt.Fprintln(stderr, problemLine(p))
			}
		}
		return ExitConfig
	case errors.As(err, &e):
		fmt.Fprintf(stderr, "daybreak: %v\n", err)
		if e.Do != "" {
			fmt.Fprintf(stderr, "  to do: %s\n", e.Do)
		}
		fmt.Fprintf(stderr, "  code:  %s (docs/runbook.md)\n", e.Code)
		return exitOf(e.Class)
	}
	fmt.Fprintf(stderr, "daybreak: %v\n", err)
	return ExitInternal
}

// problemLine is a problem of a file as it is printed, with the code under which docs/runbook.md explains it.
func problemLine(p elt.Problem) string { return fmt.Sprintf("%s [%s]", p, p.Code) }

func exitOf(c elt.Class) int {
	switch c {
	case elt.Transient:
		return ExitUnavailable
	case elt.Data:
		return ExitData
	case elt.Config:
		return ExitConfig
	case elt.Budget, elt.Conflict:
		return ExitBusy
	case elt.Quota:
		return ExitQuota
	}
	return ExitInternal
}
