package elt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RunKind says what asked for a run.
type RunKind string

// The kinds of run.
const (
	ScheduledRun RunKind = "scheduled"
	ManualRun    RunKind = "manual"
	BackfillRun  RunKind = "backfill"
	RollbackRun  RunKind = "rollback" // makes Target visible again
	ReloadRun    RunKind = "reload"   // brings what is in the lake already, or builds models anew
)

// RunState is where a run is.
type RunState string

// The states of a run.
const (
	RunRunning   RunState = "running"   // some step is not terminal
	RunSucceeded RunState = "succeeded" // every step succeeded
	RunPartial   RunState = "partial"   // something was published, something was held back
	RunFailed    RunState = "failed"    // nothing was published
	RunCancelled RunState = "cancelled" // a person ended it; nothing more starts
)

// Terminal reports whether nothing more will happen in the run.
func (s RunState) Terminal() bool { return s != RunRunning }

// Run is one execution of a schedule or a backfill for one data date.
type Run struct {
	ID         RunID        `json:"id"`
	Schedule   ScheduleName `json:"schedule"`
	Date       Date         `json:"date"`
	Kind       RunKind      `json:"kind"`
	Sequence   int          `json:"sequence"`         // 0, or n for the nth time that a person had a finished date run again
	Reason     string       `json:"reason,omitempty"` // who or what asked for it
	State      RunState     `json:"state"`
	CreatedAt  time.Time    `json:"created_at"`
	FinishedAt time.Time    `json:"finished_at,omitzero"`
	// Target is the version that a rollback brings back, or a reload brings again.
	Target VersionID `json:"target,omitempty"`
	// Options are what a person asked for beyond the date.
	Options RunOptions `json:"options,omitzero"`
	// Backfill is what the run belongs to; empty for most.
	Backfill BackfillID `json:"backfill,omitempty"`
}

// RunOptions narrow or change what a run does with its date. The zero value is a night like any other.
type RunOptions struct {
	Select      []string       `json:"select,omitempty"`
	Exclude     []string       `json:"exclude,omitempty"`
	FullRefresh bool           `json:"full_refresh,omitempty"` // incremental models are built whole
	Vars        map[string]any `json:"vars,omitempty"`         // over those of daybreak.yaml
}

// IsZero reports whether nothing was asked for.
func (o RunOptions) IsZero() bool {
	return len(o.Select) == 0 && len(o.Exclude) == 0 && !o.FullRefresh && len(o.Vars) == 0
}

// Equal reports whether two people asked for the same.
func (o RunOptions) Equal(p RunOptions) bool { return o.String() == p.String() }

// String says what was asked for: "only stg_users+; without tag:slow; incremental models whole; since=2026-01-01".
func (o RunOptions) String() string {
	var parts []string
	if len(o.Select) > 0 {
		parts = append(parts, "only "+strings.Join(o.Select, " "))
	}
	if len(o.Exclude) > 0 {
		parts = append(parts, "without "+strings.Join(o.Exclude, " "))
	}
	if o.FullRefresh {
		parts = append(parts, "incremental models whole")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, o.Vars[name]))
	}
	return strings.Join(parts, "; ")
}

// RunFilter selects runs, newest first; a zero field selects all.
type RunFilter struct {
	Schedule ScheduleName
	From, To Date // data dates, both inclusive
	State    RunState
	Before   RunID // only runs older than this one: the cursor of a paged list
	Limit    int   // 0 means 100
}

// StepKind is what a step does.
type StepKind string

// The kinds of step, in the order in which a dataset meets them.
const (
	ExtractStep   StepKind = "extract"   // source → Parquet parts and a manifest in the lake
	LoadStep      StepKind = "load"      // manifest → staging table
	VerifyStep    StepKind = "verify"    // staging table = manifest, fact by fact
	TransformStep StepKind = "transform" // model → staging table
	TestStep      StepKind = "test"      // the tests of a model or table, on staging
	PublishStep   StepKind = "publish"   // one swap of everything that passed; belongs to the whole run
)

// Built returns the datasets whose rows the steps' run has staged: their verify or transform step has succeeded.
func Built(steps []Step) []DatasetName {
	var built []DatasetName
	for _, s := range steps {
		if s.State == StepSucceeded && (s.Kind == VerifyStep || s.Kind == TransformStep) {
			built = append(built, s.Dataset)
		}
	}
	return built
}

// StepState is where a step is.
type StepState string

// The states of a step.
const (
	StepPending   StepState = "pending"   // its needs are not all met, or nobody has claimed it yet
	StepRunning   StepState = "running"   // claimed under a lease
	StepRetrying  StepState = "retrying"  // an attempt failed; NextAttemptAt is set
	StepSucceeded StepState = "succeeded" // done, and its effect is durable
	StepFailed    StepState = "failed"    // attempts are exhausted, or the error can't be retried
	StepBlocked   StepState = "blocked"   // something that it needs failed or is blocked
	StepCancelled StepState = "cancelled" // its run was cancelled before it ended
)

// Terminal reports whether the step will not change any more within its run, unless a person retries it.
func (s StepState) Terminal() bool {
	switch s {
	case StepSucceeded, StepFailed, StepBlocked, StepCancelled:
		return true
	}
	return false
}

// Step is one piece of a run's work, an idempotent function of its ledger row.
type Step struct {
	ID      StepID      `json:"id"`
	Run     RunID       `json:"run"`
	Kind    StepKind    `json:"kind"`
	Dataset DatasetName `json:"dataset,omitempty"` // empty for the run's own publish step
	Date    Date        `json:"date"`
	// Needs are the steps that must have succeeded first. The publish step instead waits until each
	// of its needs is terminal, and publishes what passed.
	Needs         []StepID  `json:"needs,omitempty"`
	State         StepState `json:"state"`
	Attempt       int       `json:"attempt"`                  // attempts begun
	Worker        WorkerID  `json:"worker,omitempty"`         // that made the latest attempt, or makes it
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"` // retrying only
	LeaseUntil    time.Time `json:"lease_until,omitzero"`     // running only, by the ledger's clock
	StartedAt     time.Time `json:"started_at,omitzero"`      // of the first attempt
	FinishedAt    time.Time `json:"finished_at,omitzero"`     // when it became terminal
	Progress      Progress  `json:"progress"`                 // of the latest attempt
	Result        Result    `json:"result"`                   // of the attempt that succeeded
	Error         *Failure  `json:"error,omitempty"`          // of the latest failed attempt
	Usage         Usage     `json:"usage,omitzero"`           // what the warehouse has done for all attempts that have ended
}

// Progress is how far an attempt is. Expected is 0 where nobody knows.
type Progress struct {
	Rows         int64 `json:"rows"`
	RowsExpected int64 `json:"rows_expected"` // an estimate until the attempt has ended
	Bytes        int64 `json:"bytes"`         // written to the lake, or read from it
	// Paused says why the attempt waits on purpose, such as "source budget (replica lag 90s, at most 30s)"; empty while
	// it works. Of a step that nobody has begun it says for what it waits: "waits for source shop: 2 of 2 are read".
	Paused string `json:"paused,omitempty"`
	// Note is what else a reader should know of the attempt, such as that a table is read again from its beginning.
	Note string `json:"note,omitempty"`
}

// Result is what a successful step leaves for those after it.
type Result struct {
	Rows     int64   `json:"rows,omitempty"`
	Bytes    int64   `json:"bytes,omitempty"`
	Manifest string  `json:"manifest,omitempty"` // extract: the manifest's key in the lake
	Checks   Checks  `json:"checks,omitempty"`   // verify, test
	Level    Level   `json:"level,omitempty"`    // verify: the level that it passed
	Deletes  int64   `json:"deletes,omitempty"`  // load, verify: published rows that the source no longer has
	Notes    []Check `json:"notes,omitempty"`    // test: each test and what it found
	Versions int     `json:"versions,omitempty"` // publish: how many datasets became visible
	// Fidelity, Quarantined and Changes are of an extraction's manifest; Changes also of an incremental model.
	Fidelity    []PolicyUse    `json:"fidelity,omitempty"`
	Quarantined int64          `json:"quarantined,omitempty"`
	Changes     []SchemaChange `json:"schema_changes,omitempty"`
}

// Check is one test's outcome.
type Check struct {
	Name     string `json:"name"`              // "not_null(user_id)"
	Severity string `json:"severity"`          // "error" or "warn"
	Failures int64  `json:"failures"`          // rows that it returned
	Passed   bool   `json:"passed"`            // false also for a warning
	Message  string `json:"message,omitempty"` // a sentence when it did not pass
}

// Sample is some rows of a query, as text; nil is NULL.
type Sample struct {
	Columns []string    `json:"columns"`
	Rows    [][]*string `json:"rows"`
}

// FailingRows are some of the rows that failed a test, for operators only: they are no part of a step's result, which
// everybody may read, and are forgotten after a while.
type FailingRows struct {
	Run     RunID       `json:"run"`
	Dataset DatasetName `json:"dataset"`
	Date    Date        `json:"date"`
	Test    string      `json:"test"`
	Table   string      `json:"table,omitempty"` // in the warehouse, where store_failures asks for one
	Sample  Sample      `json:"sample"`
	SavedAt time.Time   `json:"saved_at,omitzero"`
}

// Attempt is one try at a step.
type Attempt struct {
	Step       StepID    `json:"step"`
	Number     int       `json:"number"` // from 1
	Worker     WorkerID  `json:"worker"`
	Fence      int64     `json:"fence"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Error      *Failure  `json:"error,omitempty"` // nil while running and after success
	// Outcome is how it ended: succeeded, retrying, failed, cancelled, or lost, when its worker fell silent. A step that
	// failed goes on only when a person asks for it.
	Outcome string `json:"outcome,omitempty"`
	Usage   Usage  `json:"usage,omitzero"` // what the warehouse has done for it; known once it has ended
}

// Lease is the right to work on a step until Until, by the ledger's clock. Every write under it carries
// the fence; a write with a fence that is no longer the step's changes nothing.
type Lease struct {
	Step    StepID
	Attempt int
	Fence   int64
	Worker  WorkerID
	Until   time.Time
	// Yields says why whoever holds the lease should end the step now, for another to begin it later; empty while it may go on.
	Yields string
}

// Outcome is how an attempt ended.
type Outcome struct {
	State         StepState // succeeded, failed, retrying or cancelled
	Result        Result
	Error         *Failure
	NextAttemptAt time.Time // retrying only
	Usage         Usage     // what the warehouse has done for the attempt
}

// Tick is the decision about one date of a schedule: run, or skipped for a reason. One that is held is not decided yet.
type Tick struct {
	Schedule ScheduleName `json:"schedule"`
	Date     Date         `json:"date"` // the data date: the one before the tick's own
	DueAt    time.Time    `json:"due_at"`
	Run      RunID        `json:"run,omitempty"`
	Skipped  string       `json:"skipped,omitempty"` // the reason; empty when it ran
	Hold     *Hold        `json:"hold,omitempty"`    // why it is due and neither; nil once it is decided
}

// shortTextLength is how many characters of a value people see of a sample.
const shortTextLength = 200

// ShortText returns a value of a sample as it is kept: a long one without its end.
func ShortText(s string) string {
	if runes := []rune(s); len(runes) > shortTextLength {
		return string(runes[:shortTextLength-1]) + "…"
	}
	return s
}
