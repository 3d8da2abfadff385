package api

import (
	"fmt"
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Meta is in every body: how old the answer is.
type Meta struct {
	// AsOf is the ledger's clock at the last successful look at it.
	AsOf time.Time `json:"as_of"`
	// EvaluatorLag is how many seconds ago that was.
	EvaluatorLag float64 `json:"evaluator_lag_s"`
}

// Summary is the state of everything in one body.
type Summary struct {
	Meta
	Title    string               `json:"title"`
	Version  string               `json:"version"`
	Sentence string               `json:"sentence"` // "Friday's data is ready."
	Detail   string               `json:"detail"`
	Date     elt.Date             `json:"date"`     // the data date that Counts is about
	Datasets int                  `json:"datasets"` // those that are not retired
	Counts   map[elt.DayState]int `json:"counts"`   // of Date
	Trouble  []Trouble            `json:"trouble"`  // worst first, a hundred at most
	Troubles int                  `json:"troubles"` // how many there are
	Next     *elt.Tick            `json:"next,omitempty"`
}

// Trouble is one root cause, with everything that it holds up.
type Trouble struct {
	Severity      Severity          `json:"severity"`
	Title         string            `json:"title"`
	Detail        string            `json:"detail,omitempty"`
	Do            string            `json:"do,omitempty"`
	Dataset       elt.DatasetName   `json:"dataset"` // where the cause lies
	Date          elt.Date          `json:"date"`
	State         elt.DayState      `json:"state"`
	Affected      []elt.DatasetName `json:"affected,omitempty"` // without the cause itself
	Since         time.Time         `json:"since,omitzero"`
	NextAttemptAt time.Time         `json:"next_attempt_at,omitzero"`
	Owners        []string          `json:"owners,omitempty"`
	Incident      elt.IncidentID    `json:"incident,omitempty"`
	Failure       *elt.Failure      `json:"failure,omitempty"`
}

// Severity orders troubles.
type Severity string

// The severities, worst first.
const (
	P1      Severity = "p1"      // it touches a deadline, or an incident is open
	Problem Severity = "problem" // it will not come without a person, but no deadline is at stake
	Notice  Severity = "notice"  // Daybreak is dealing with it
)

// Dataset is a dataset with its headline.
type Dataset struct {
	elt.Dataset
	Sentence string       `json:"sentence"` // "Conversations is complete through Thu 19 Nov."
	Detail   string       `json:"detail"`
	Headline elt.Headline `json:"headline"`
	// Usually is the wall-clock time in Zone at which its last days became ready: the median of at
	// most thirty, empty below three.
	Usually string `json:"usually,omitempty"`
	Estimate
	EstimateRecord *EstimateRecord   `json:"estimate_record,omitempty"`
	Progress       *Progress         `json:"progress,omitempty"` // of the step at work on the latest day
	Feeds          []elt.DatasetName `json:"feeds,omitempty"`    // what is made from it
}

// Estimate is when a day that is on its way will be there. All of it is absent where nothing is estimated.
type Estimate struct {
	ExpectedAt time.Time `json:"expected_at,omitzero"` // half of such nights are there by then
	LikelyBy   time.Time `json:"likely_by,omitzero"`   // nine in ten are
	// DeadlineRisk is the probability that the deadline is missed, from 0 to 1; absent without a deadline.
	DeadlineRisk *float64 `json:"deadline_risk,omitempty"`
	// NoEstimate says why there is no number: too_few_nights, longer_than_ever, will_not_arrive, nobody_vouches or
	// too_unreliable; docs/eta.md explains each.
	NoEstimate    string `json:"no_estimate,omitempty"`
	NoEstimateWhy string `json:"no_estimate_why,omitempty"`
	// CriticalPath is what the arrival hangs on, the step at work first.
	CriticalPath []PathStep `json:"critical_path,omitempty"`
}

// PathStep is a step of a critical path.
type PathStep struct {
	Step    elt.StepKind    `json:"step"`
	Dataset elt.DatasetName `json:"dataset,omitempty"` // empty for the run's publish step
}

// EstimateRecord is how the estimates of a dataset's last nights have done.
type EstimateRecord struct {
	Nights         int     `json:"nights"`
	Kept           int     `json:"kept"`      // arrived by the likely-by time; nine in ten should
	Silent         int     `json:"silent"`    // without a number, which counts as not kept
	PinballSeconds float64 `json:"pinball_s"` // mean pinball loss of both times; lower is better
}

// String returns "12 of the last 14 arrived by the likely-by time", and "" for a record of nothing.
func (r *EstimateRecord) String() string {
	if r == nil || r.Nights == 0 {
		return ""
	}
	return fmt.Sprintf("%d of the last %d arrived by the likely-by time", r.Kept, r.Nights)
}

// Datasets is a page of the catalogue, by name.
type Datasets struct {
	Meta
	Datasets []Dataset `json:"datasets"`
	Next     string    `json:"next,omitempty"` // the cursor of the next page
}

// OneDataset is a dataset as its own resource.
type OneDataset struct {
	Meta
	Dataset
	// Fidelity counts the values of the version that people read which are not held as they were in the source.
	Fidelity    []elt.PolicyUse `json:"fidelity,omitempty"`
	Quarantined int64           `json:"quarantined,omitempty"` // rows of it that are left out, and kept in the lake
	// SchemaChanges are how its columns have changed, the latest first, twenty at most.
	SchemaChanges []elt.DatasetChanges `json:"schema_changes,omitempty"`
}

// Days are a dataset's days in date order; dates of which nothing is known are left out.
type Days struct {
	Meta
	Dataset elt.DatasetName `json:"dataset"`
	From    elt.Date        `json:"from"`
	To      elt.Date        `json:"to"`
	Days    []elt.DayStatus `json:"days"`
}

// Day is what happened on one day of a dataset.
type Day struct {
	Meta
	elt.DayStatus
	Estimate
	Sentence string       `json:"sentence"`
	Detail   string       `json:"detail"`
	Inputs   []Input      `json:"inputs,omitempty"`   // what its version was made from
	Manifest string       `json:"manifest,omitempty"` // the manifest's key in the lake
	Steps    []Step       `json:"steps"`              // of the run that brings it, and that run's publish step
	Checks   []elt.Check  `json:"tests,omitempty"`
	Source   *SourceFacts `json:"source,omitempty"`
}

// Input is a version that another was made from.
type Input struct {
	Dataset elt.DatasetName `json:"dataset"`
	Read    elt.VersionID   `json:"read"`
	Current elt.VersionID   `json:"current,omitempty"` // differs from Read when the reader is outdated
}

// SourceFacts say what was read where, without any value of it.
type SourceFacts struct {
	elt.SourcePosition
	Mode    elt.Mode     `json:"mode"`
	Window  *elt.Window  `json:"window,omitempty"`
	Numbers *elt.Numbers `json:"numbers,omitempty"` // instead of a window where the cursor is an integer
	Parts   int          `json:"parts"`
	Rows    int64        `json:"rows"`
	Bytes   int64        `json:"bytes"`
	Columns int          `json:"columns"`
	Masked  []string     `json:"masked,omitempty"`
	MaskKey string       `json:"mask_key,omitempty"` // the id of the key that hashed columns
	// Fidelity counts the values that are not held as they are in the source, by the policy of their column.
	Fidelity      []elt.PolicyUse    `json:"fidelity,omitempty"`
	Quarantined   int64              `json:"quarantined,omitempty"`    // rows that are left out, and kept in the lake
	SchemaChanges []elt.SchemaChange `json:"schema_changes,omitempty"` // since the version before
	Keys          int64              `json:"keys,omitempty"`           // that were compared to find deletes
	NullCursors   int64              `json:"null_cursors,omitempty"`
	NullPolicy    elt.NullCursors    `json:"null_policy,omitempty"`
	Uncompared    []string           `json:"uncompared,omitempty"` // columns that the source could not vouch for at the level rows
}

// Progress is how far a step is, and how fast.
type Progress struct {
	Step elt.StepKind `json:"step"`
	elt.Progress
	RowsPerSecond  float64 `json:"rows_per_second,omitempty"`
	BytesPerSecond float64 `json:"bytes_per_second,omitempty"`
}

// Step is a step with its attempts and its speed.
type Step struct {
	elt.Step
	Seconds        float64       `json:"seconds,omitempty"` // from its first start to its end, or to now
	RowsPerSecond  float64       `json:"rows_per_second,omitempty"`
	BytesPerSecond float64       `json:"bytes_per_second,omitempty"`
	Attempts       []elt.Attempt `json:"attempts,omitempty"`
	// LeaseLost is true when the step is running under a lease that has run out.
	LeaseLost bool `json:"lease_lost,omitempty"`
}

// Lineage is what a dataset comes from and goes to, however far.
type Lineage struct {
	Meta
	Dataset elt.DatasetName `json:"dataset"`
	Nodes   []LineageNode   `json:"nodes"`
	Edges   []LineageEdge   `json:"edges"`
}

// LineageNode is a dataset of the lineage. Distance is negative upstream, positive downstream.
type LineageNode struct {
	Dataset  elt.DatasetName `json:"dataset"`
	Kind     elt.DatasetKind `json:"kind"`
	State    elt.DayState    `json:"state,omitempty"`
	Distance int             `json:"distance"`
}

// LineageEdge says that To is made from From.
type LineageEdge struct {
	From elt.DatasetName `json:"from"`
	To   elt.DatasetName `json:"to"`
}

// Runs is a page of runs, newest first.
type Runs struct {
	Meta
	Runs []elt.Run `json:"runs"`
	Next string    `json:"next,omitempty"`
}

// Run is a run with how far it is.
type Run struct {
	Meta
	elt.Run
	Sentence string                `json:"sentence"`
	Steps    map[elt.StepState]int `json:"steps"`
	Usage    elt.Usage             `json:"usage,omitzero"` // what the warehouse has done for it, where that is billed
}

// Steps are a run's steps in the order in which they can run.
type Steps struct {
	Meta
	Run   elt.RunID `json:"run"`
	Steps []Step    `json:"steps"`
}

// Schedule is a schedule with its next fires.
type Schedule struct {
	Name     elt.ScheduleName `json:"name"`
	Zone     string           `json:"zone"`
	When     string           `json:"when"`               // "at 02:00", or the cron expression
	Deadline string           `json:"deadline,omitempty"` // "07:00"
	CatchUp  string           `json:"catch_up,omitempty"`
	Datasets int              `json:"datasets"`
	Next     []elt.Tick       `json:"next"`
	Paused   *elt.Pause       `json:"paused,omitempty"` // while it rests: by whom and why

	Calendar   elt.CalendarName  `json:"calendar,omitempty"`
	OnHoliday  string            `json:"on_holiday,omitempty"` // "skip" or "run"
	Overlap    string            `json:"overlap,omitempty"`    // "queue", "skip" or "cancel"
	WaitFor    []elt.DatasetName `json:"wait_for,omitempty"`
	WaitAtMost string            `json:"wait_at_most,omitempty"` // "4h0m0s"
}

// Ticks are what became of a schedule's dates, the newest first.
type Ticks struct {
	Meta
	Ticks []elt.Tick `json:"ticks"`
}

// MaintenanceWindows are those that last, are to come, or were over lately.
type MaintenanceWindows struct {
	Meta
	Windows []elt.Maintenance `json:"windows"`
}

// Workers are the processes that work, those that are alive first.
type Workers struct {
	Meta
	Workers []elt.Worker `json:"workers"`
}

// Schedules is the list of schedules.
type Schedules struct {
	Meta
	Schedules []Schedule `json:"schedules"`
}

// Incidents are the open incidents and the latest resolved ones, newest first.
type Incidents struct {
	Meta
	Incidents []elt.Incident `json:"incidents"`
}

// Verdict is a gate's answer.
type Verdict string

// The verdicts, best first. Of several needs the worst counts: impossible, unknown, waiting, ready.
const (
	Ready      Verdict = "ready"      // every need is met
	Waiting    Verdict = "waiting"    // not yet; waiting may help
	Unknown    Verdict = "unknown"    // nobody can vouch for it
	Impossible Verdict = "impossible" // waiting cannot help without a person
)

// Gate answers whether needs are met.
type Gate struct {
	Meta
	Ready   bool    `json:"ready"`
	Verdict Verdict `json:"verdict"`
	Needs   []Need  `json:"needs"`
	// PollAfter is how many seconds a poller should leave before it asks again.
	PollAfter float64 `json:"poll_after_s"`
	// TimedOut is true when a wait ended because its time was up.
	TimedOut bool `json:"timed_out,omitempty"`
}

// Need is one need of a gate.
type Need struct {
	Dataset elt.DatasetName `json:"dataset"`
	Date    elt.Date        `json:"date"`
	Verdict Verdict         `json:"verdict"`
	Reason  string          `json:"reason"` // a sentence
	Day     *elt.DayStatus  `json:"day,omitempty"`
	Last    *elt.Date       `json:"last_expected,omitempty"` // of a day that is not expected: the last one before it that was
}

// ProblemDetails is the body of every error (RFC 9457).
type ProblemDetails struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail"`
	Code     elt.Code `json:"code"`
	Do       string   `json:"do,omitempty"`
	Instance string   `json:"instance,omitempty"`
	// AsOf and EvaluatorLag are absent while nothing is known yet.
	AsOf         *time.Time `json:"as_of,omitempty"`
	EvaluatorLag *float64   `json:"evaluator_lag_s,omitempty"`
}

// ModelSQL is the SQL of a model, for operators.
type ModelSQL struct {
	Meta
	Dataset  elt.DatasetName `json:"dataset"`
	File     string          `json:"file"`
	Written  string          `json:"written"`  // with its macros
	Compiled string          `json:"compiled"` // as it runs for Date
	Date     elt.Date        `json:"date"`
}

// FailingRows are some of the rows that failed a day's tests, for operators, without what is masked.
type FailingRows struct {
	Meta
	Dataset elt.DatasetName   `json:"dataset"`
	Date    elt.Date          `json:"date"`
	Run     elt.RunID         `json:"run,omitempty"`
	Tests   []elt.FailingRows `json:"tests"`
}

// Health says that the process answers.
type Health struct {
	Status  string `json:"status"` // alive
	Version string `json:"version"`
}

// Readiness says that the service knows what it speaks of.
type Readiness struct {
	Meta
	Status string `json:"status"` // ready
}
