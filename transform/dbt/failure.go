package dbt

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/daybreak-data/daybreak/internal/elt"
	"github.com/daybreak-data/daybreak/transform"
)

var (
	inFile   = regexp.MustCompile(`\(([^()\s]+\.(?:sql|ya?ml|csv|py|md))\)`)
	readFile = regexp.MustCompile(`Error reading [^:]+: (\S+\.ya?ml)`)
	atLine   = regexp.MustCompile(`(?m)(?:^\s*line |near line |line )(\d+)\b`)
	kindLine = regexp.MustCompile(`^((?:Compilation|Parsing|Runtime|Database|Dependency|Validation|Internal|dbt \w+) Error)( in \w+(?: \w+)? \S+ \([^()]*\))?$`)
	ansi     = regexp.MustCompile(`\x1b\[[0-9;]*m`)
)

// sentence makes one line of what dbt wrote on several: without its kind, its excerpt of the SQL and the caret.
func sentence(text string) string {
	var parts []string
	for line := range strings.Lines(ansi.ReplaceAllString(text, "")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "LINE ") || strings.HasPrefix(line, "compiled code at") || strings.HasPrefix(line, "------") {
			break
		}
		line = strings.TrimPrefix(line, "Exception on worker thread. ")
		if line != "" && line != "^" && !kindLine.MatchString(line) {
			parts = append(parts, strings.TrimRight(line, " "))
		}
	}
	out := strings.Join(parts, " ")
	if runes := []rune(out); len(runes) > 400 {
		out = string(runes[:400]) + "…"
	}
	return cmp.Or(out, strings.TrimSpace(text), "it does not say why")
}

// parseProblem is what dbt could not parse, at its place in the project.
func parseProblem(folder string, e ended) elt.Problem {
	p := elt.Problem{File: path.Join(folder, "dbt_project.yml"), Code: CodeParse, Do: "correct it; dbt parse says the same"}
	text := cmp.Or(e.said, e.tail)
	switch {
	case strings.Contains(text, "Could not find adapter type") || strings.Contains(text, "No module named 'dbt.adapters"):
		p.Code, p.Do = CodeAdapterMissing, "install the adapter beside dbt: pip install dbt-duckdb, or dbt-bigquery where the warehouse is BigQuery"
	case strings.Contains(text, "dbt deps"):
		p.Do = "run dbt deps in " + folder
	case text == "":
		p.Code, p.Do = CodeFailed, "run dbt parse in "+folder+" and see what it says"
		text = "dbt parse " + e.how() + " and says nothing"
	case e.said == "":
		p.Code, p.Do = CodeFailed, "check that models.dbt_command is dbt; run dbt parse in "+folder
		text = "dbt parse " + e.how() + ": " + text
	}
	if m := inFile.FindStringSubmatch(text); m != nil {
		p.File = path.Join(folder, m[1])
	} else if m := readFile.FindStringSubmatch(text); m != nil {
		p.File = path.Join(folder, m[1])
	}
	if m := atLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
	}
	p.What = sentence(text)
	return p
}

// how says how a process ended.
func (e ended) how() string {
	if e.signal != "" {
		return "was ended by a signal (" + e.signal + ")"
	}
	return fmt.Sprintf("ended with exit code %d", e.code)
}

// failed is the error of a model, seed, snapshot or test that dbt could not build or run.
func (p *Project) failed(n *node, message string) error {
	place := path.Join(p.folder, n.File)
	if m := atLine.FindStringSubmatch(message); m != nil && strings.Contains(message, "Compilation Error") {
		place += ":" + m[1]
	}
	e := &elt.Error{
		Code: CodeModelFailed, Class: elt.Data, What: fmt.Sprintf("%s: dbt could not build the %s: %s", place, n.label(), sentence(message)),
		Do: "correct the " + n.Resource + ", then retry the run; what is made from it keeps its last version",
	}
	switch {
	case strings.Contains(message, "Compilation Error"):
		e.Class = elt.Config
	case diskFull.MatchString(message):
		e.Code, e.Class, e.Do = codeDiskFull, elt.Quota, freeSpace
	case strings.Contains(message, "Out of Memory Error"):
		e.Code, e.Class = codeMemory, elt.Quota
		e.Do = "set memory_limit under models.dbt_profile.settings, give dbt fewer threads, or make the model smaller"
	case overLimit.MatchString(message):
		e.Code, e.Class = codeBudget, elt.Quota
		e.Do = "make it read less: name the columns that it needs, filter by the column of partition_by; or raise warehouse.bigquery.budget.model and retry the run"
	case transientWords.MatchString(message):
		e.Class = elt.Transient
		e.Do = "nothing: the step is tried again"
	}
	return e
}

// diskFull tells that a disk, or what a process may write to it, is full.
var diskFull = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|file too large`)

const freeSpace = "free some space or move the warehouse to a larger disk; what was published before is untouched"

// overLimit tells that BigQuery would bill a query for more than it may.
var overLimit = regexp.MustCompile(`bytesBilledLimitExceeded|exceeded limit for bytes billed`)

// transientWords tell errors of a warehouse that the next attempt may well not meet.
var transientWords = regexp.MustCompile(`backendError|jobBackendError|jobInternalError|rateLimitExceeded|jobRateLimitExceeded|\b50[0-4] (?:POST|GET|Internal|Bad|Service|Gateway)|Connection (?:reset|refused|aborted)|RemoteDisconnected`)

// killed reports whether a signal ended dbt, or the program that it was called through.
func (e ended) killed() bool {
	const bySignal = 128 // and the signal's number: how shells tell
	return e.signal != "" || e.code == bySignal+9 || e.code == bySignal+15 || e.code == bySignal+2
}

// missing is why dbt said nothing of a node that it was asked for.
func missing(n *node, end ended, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("the %s: %w", n.label(), err)
	case end.killed():
		return &elt.Error{
			Code: CodeKilled, Class: elt.Transient, What: fmt.Sprintf("dbt %s before it was done with the %s", end.how(), n.label()),
			Do: "nothing: the step is tried again; if it happens each time, look whether the machine has too little memory",
		}
	case diskFull.MatchString(end.said + end.tail):
		return &elt.Error{
			Code: codeDiskFull, Class: elt.Quota, What: fmt.Sprintf("dbt did not get as far as the %s: its disk is full: %s", n.label(), sentence(cmp.Or(end.said, end.tail))), Do: freeSpace,
		}
	case end.said != "":
		p := parseProblem(".", end)
		return &elt.Error{Code: p.Code, Class: elt.Config, What: fmt.Sprintf("dbt did not get as far as the %s: %s", n.label(), p.What), Do: p.Do}
	case end.code != 0:
		return &elt.Error{
			Code: CodeFailed, Class: elt.Data, What: fmt.Sprintf("dbt %s and says nothing of the %s: %s", end.how(), n.label(), sentence(end.tail)),
			Do: "look at its log, and check that models.dbt_command is dbt",
		}
	}
	return &elt.Error{
		Code: CodeIncomplete, Class: elt.Data, What: fmt.Sprintf("dbt ended well and says nothing of the %s", n.label()),
		Do: "if the project has changed since Daybreak started, start it again; if not, report it with dbt's log",
	}
}

// fileError is an error of one of Daybreak's own files.
func fileError(err error) error {
	if err == nil {
		return nil
	}
	if elt.NoRoom(err) {
		return &elt.Error{
			Code: codeDiskFull, Class: elt.Quota, Err: err, What: "the folder in which dbt works is full",
			Do: freeSpace,
		}
	}
	return fmt.Errorf("prepare dbt's folder: %w", err)
}

// testRefused is the error of a test that dbt could not run.
func (p *Project) testRefused(t *node, d elt.DatasetName, r result) error {
	if r.status == "skipped" {
		return &elt.Error{
			Code: CodeIncomplete, Class: elt.Transient, What: fmt.Sprintf("dbt skipped the test %s of %s because something that it reads went wrong", t.title, d),
			Do: "see what went wrong; the step is tried again",
		}
	}
	err := p.failed(t, r.message)
	if e, ok := errors.AsType[*elt.Error](err); ok && e.Code == CodeModelFailed {
		return &elt.Error{
			Code: transform.CodeTestRefused, Class: e.Class, What: fmt.Sprintf("%s: the test %s of %s cannot run: %s", path.Join(p.folder, t.File), t.title, d, sentence(r.message)),
			Do: "correct the test, or what it reads",
		}
	}
	return err
}

// testsFailed is the error of a dataset whose tests found rows, as the native engine words it.
func testsFailed(d elt.DatasetName, of int, failed []string) error {
	tests := "1 test"
	if of != 1 {
		tests = fmt.Sprintf("%d tests", of)
	}
	return &elt.Error{
		Code: transform.CodeTestFailed, Class: elt.Data,
		What: fmt.Sprintf("%d of %s of %s failed: %s", len(failed), tests, d, strings.Join(failed, "; ")),
		Do:   fmt.Sprintf("correct the data or the model, then retry the run; until then %s and what is made from it keep their last version", d),
	}
}

func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// severity is a test's, as checks have it.
func (t *node) severity() string {
	if strings.EqualFold(t.Config.Severity, "warn") {
		return "warn"
	}
	return "error"
}
