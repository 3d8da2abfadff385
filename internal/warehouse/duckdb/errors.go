package duckdb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/internal/warehouse"
)

// The codes of this package; docs/runbook.md explains them.
const (
	codeLocked         elt.Code = "warehouse_locked"
	codeUnreadable     elt.Code = "warehouse_unreadable"
	codeStopped        elt.Code = "warehouse_stopped"
	codeIO             elt.Code = "warehouse_io"
	codeDiskFull       elt.Code = "disk_full"
	codeOutOfMemory    elt.Code = "out_of_memory"
	codeNoReadCopy     elt.Code = "read_copy_missing"
	codeNotReadable    elt.Code = "relation_unreadable"
	codeFileBusy       elt.Code = "file_busy"
	codeFileUnreadable elt.Code = "file_unreadable"
)

var (
	lockHolder = regexp.MustCompile(`Conflicting lock is held in (.*?) ?\(PID (\d+)\)`)
	lineNumber = regexp.MustCompile(`(?m)^LINE (\d+):`)
	quotedText = regexp.MustCompile(`'[^']*'`)
	errorKind  = regexp.MustCompile(`^(?:[A-Za-z-]+ )+Error: `)
)

// openError explains why a DuckDB file could not be opened.
func openError(path string, err error) error {
	text := err.Error()
	if m := lockHolder.FindStringSubmatch(text); m != nil {
		return &elt.Error{
			Code: codeLocked, Class: elt.Conflict,
			What: fmt.Sprintf("cannot open the warehouse %s: process %s (%s) has it open", path, m[2], m[1]),
			Do:   fmt.Sprintf("wait for process %s or stop it; to read, use daybreak query, which opens the read copy", m[2]),
		}
	}
	if full := exhausted(path, text); full != nil {
		return full
	}
	return &elt.Error{
		Code: codeUnreadable, Class: elt.Config,
		What: fmt.Sprintf("cannot open the warehouse %s: %s", path, essence(text)),
		Do:   "check that the path is right, that it is a DuckDB file and that this user may write it; otherwise restore it: the read copy is a whole warehouse as it was last published, so put a copy of that in its place (and no .wal file beside it)",
	}
}

// exhausted returns the error of a resource that ran out, or nil when that is not what text tells.
func exhausted(what, text string) error {
	for _, sign := range []string{"no space left on device", "file too large", "disk quota exceeded"} {
		if strings.Contains(strings.ToLower(text), sign) { // DuckDB writes them with a capital, Go without
			return &elt.Error{
				Code: codeDiskFull, Class: elt.Quota,
				What: fmt.Sprintf("%s: the warehouse's disk is full (%s)", what, sign),
				Do:   "free some space or move the warehouse to a larger disk; what was published before is untouched",
			}
		}
	}
	if strings.Contains(text, "Out of Memory Error") {
		return &elt.Error{
			Code: codeOutOfMemory, Class: elt.Quota,
			What: fmt.Sprintf("%s: DuckDB ran out of its memory limit", what),
			Do:   "raise the warehouse's memory limit, give its temporary folder more disk, or make the model smaller",
		}
	}
	return nil
}

// fail explains an error of DuckDB's while doing what; the text of an error that has a code is kept.
func (w *Warehouse) fail(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*elt.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	text := err.Error()
	if full := exhausted(what, text); full != nil {
		return full
	}
	sentence := what + ": " + essence(text)
	switch kind := errorType(err); {
	case kind == duckdb.ErrorTypeFatal || strings.Contains(text, "database has been invalidated"):
		return &elt.Error{
			Code: codeStopped, Class: elt.Transient, What: sentence,
			Do: "start daybreak again: DuckDB stopped after a fault and opens with its last commit",
		}
	case kind == duckdb.ErrorTypeTransaction || strings.Contains(text, "write-write conflict"):
		return warehouse.Busy(sentence)
	case kind == duckdb.ErrorTypeIO:
		return &elt.Error{Code: codeIO, Class: elt.Transient, What: sentence, Do: "check the warehouse's disk; the step is tried again"}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// refused explains why DuckDB refuses SQL or a file that a person wrote: class data, under the given code.
// Failures that are not the text's fault keep their own codes. before is the number of lines that stand
// ahead of the person's own in what DuckDB was given.
func (w *Warehouse) refused(ctx context.Context, code elt.Code, what, do string, before int, err error) error {
	if failed := w.fail(ctx, what, err); failed == nil || elt.CodeOf(failed) != "" || ctx.Err() != nil {
		return failed
	}
	if m := lineNumber.FindStringSubmatch(err.Error()); m != nil && before > 0 {
		if line, _ := strconv.Atoi(m[1]); line > before {
			what += fmt.Sprintf(", line %d", line-before)
		}
	}
	return &elt.Error{Code: code, Class: elt.Data, What: what + ": " + essence(err.Error()), Do: do}
}

func errorType(err error) duckdb.ErrorType {
	if e, ok := errors.AsType[*duckdb.Error](err); ok {
		return e.Type
	}
	return duckdb.ErrorTypeInvalid
}

// essence cuts DuckDB's message to what a person needs: the first line without its kind, and the hint where
// there is one. Values that a conversion choked on are left out: messages reach pages that everybody reads.
func essence(text string) string {
	if _, after, ok := strings.Cut(text, "could not connect to database: "); ok {
		text = after
	}
	lines := strings.Split(text, "\n")
	first := lines[0]
	kind := errorKind.FindString(first)
	first = strings.TrimPrefix(first, kind)
	if strings.HasPrefix(kind, "Conversion") || strings.HasPrefix(kind, "Invalid Input") {
		first, _, _ = strings.Cut(first, " Input:")
		first = quotedText.ReplaceAllString(first, "'…'")
	}
	for _, l := range lines[1:] {
		l, _, _ = strings.Cut(l, ". Could not convert")
		if strings.HasPrefix(l, "Did you mean") || strings.HasPrefix(l, "Candidate") || strings.HasPrefix(l, "Error when converting") {
			first = strings.TrimRight(first, "!. ") + ". " + l
			break
		}
	}
	if runes := []rune(first); len(runes) > 300 {
		first = string(runes[:300]) + "…"
	}
	return strings.TrimRight(first, "! ")
}
