package schedules

import (
	"time"

	"github.com/daybreak-data/daybreak/internal/elt"
)

// Schedule is one file of the workspace's schedules folder: what is brought every night, when, and by when
// it must be there.
type Schedule struct {
	Name elt.ScheduleName
	File string         // relative to the workspace: "schedules/nightly.yaml"
	Zone *time.Location // data dates, ticks and deadlines are in it
	// Hour and Minute are the wall-clock time of the tick on the date after the data date.
	Hour, Minute int
	Cron         string        // the expression as it was written; empty with at:
	CatchUp      CatchUp       // what becomes of ticks that nobody was there for
	Deadline     string        // "07:00", the default of its datasets; empty for none
	Holidays     *elt.Calendar // dates on which no data is due; nil for none
	OnHoliday    OnHoliday
	Overlap      Overlap // what becomes of a tick while an earlier date is still being brought
	WaitFor      WaitFor
	Retries      Retries
	Owners       []string // the default of its tables
	Tables       []Table  // in the file's order
	// Models are selectors of the models that it builds; none builds no model.
	Models []string

	calendar calendar
}

// CatchUp says what happens to ticks that were missed while no process was there.
type CatchUp string

// The ways to catch up.
const (
	CatchUpLatest CatchUp = "latest" // the newest runs, the earlier ones are recorded as skipped
	CatchUpAll    CatchUp = "all"    // each runs, oldest first
)

// OnHoliday says what happens on a date on which no data is due.
type OnHoliday string

// What can happen on a holiday.
const (
	SkipHolidays OnHoliday = "skip" // nothing runs, and nothing is expected
	RunHolidays  OnHoliday = "run"  // the date is brought as any other, but nobody waits for it: its deadlines rest
)

// Overlap says what becomes of a tick that is due while a run of an earlier date still goes on.
type Overlap string

// The ways to deal with an overlap.
const (
	OverlapQueue  Overlap = "queue"  // it waits for its turn; with catch_up: latest only the newest does
	OverlapSkip   Overlap = "skip"   // its date is left out
	OverlapCancel Overlap = "cancel" // the earlier run is cancelled
)

// WaitFor is what a schedule waits for before it starts: datasets of other schedules, of the same date.
type WaitFor struct {
	Datasets []elt.DatasetName
	AtMost   time.Duration // after its own time; then the tick is skipped, and its days are blocked
}

// Table is one extracted dataset of a schedule.
type Table struct {
	elt.Extraction
	Description  string
	Owners       []string
	Tags         []string
	Deadline     string // "07:00"; empty for none
	Line, Column int    // where the file names it
}

// Place puts a problem that was found elsewhere, such as in the source's catalog, at the dataset's place in
// the schedule's file, or at the file's beginning when it does not name the dataset.
func (s *Schedule) Place(p elt.Problem, dataset elt.DatasetName) elt.Problem {
	p.File, p.Line, p.Column = s.File, 1, 1
	for _, t := range s.Tables {
		if t.Dataset == dataset {
			p.Line, p.Column = t.Line, t.Column
		}
	}
	return p
}
