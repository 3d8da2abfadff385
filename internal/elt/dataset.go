package elt

import "time"

// DatasetKind says where a dataset comes from.
type DatasetKind string

// The kinds of dataset.
const (
	TableDataset DatasetKind = "table" // extracted from a source
	ModelDataset DatasetKind = "model" // made by SQL
	SeedDataset  DatasetKind = "seed"  // a CSV file of sql/seeds
)

// Dataset is what everyone may know about a dataset: the catalogue entry that the ledger keeps and the
// status service shows.
type Dataset struct {
	Name        DatasetName   `json:"name"`
	Kind        DatasetKind   `json:"kind"`
	Schedule    ScheduleName  `json:"schedule"`
	Description string        `json:"description,omitempty"`
	Owners      []string      `json:"owners"`
	Tags        []string      `json:"tags,omitempty"`
	Inputs      []DatasetName `json:"inputs,omitempty"` // what it is made from; empty for a table
	Columns     []ColumnDoc   `json:"columns,omitempty"`
	// Relation is the published name in the warehouse: "shop.users", "analytics.revenue".
	Relation string `json:"relation"`
	// Materialized is table, view, incremental or ephemeral for a model; full or incremental for a table.
	Materialized string `json:"materialized,omitempty"`
	// DeadlineTime is the wall-clock time by which a day must be ready, "07:00"; empty for none.
	DeadlineTime string `json:"deadline_time,omitempty"`
	// Zone is the schedule's IANA zone: data dates and deadlines are in it.
	Zone string `json:"zone"`
	// Retired is true for a dataset that left the configuration: its history stays.
	Retired bool `json:"retired,omitempty"`
}

// ColumnDoc describes a column to people.
type ColumnDoc struct {
	Name        string   `json:"name"`
	Type        string   `json:"type,omitempty"`
	Description string   `json:"description,omitempty"`
	Tests       []string `json:"tests,omitempty"`
}

// Extraction says how a table dataset is read from its source. schedules parses it, extract obeys it.
type Extraction struct {
	Dataset DatasetName
	Source  SourceName
	Table   string // as the source names it, with its schema where it has one: "public.users"
	Mode    Mode
	Key     []string // primary key; required for incremental
	Cursor  string   // incremental only: the column whose value says when a row last changed
	// CursorZone is the zone in which a cursor without zone is written; nil when it has one.
	CursorZone *time.Location
	Overlap    time.Duration // read again this far before the window, for late commits
	// OverlapNumbers says that the cursor is an integer, and how far below what was brought it is read again; nil for a
	// cursor that tells a time.
	OverlapNumbers *int64
	NullCursors    NullCursors // incremental only; empty means NullsFail
	Deletes        DeleteRule  // incremental only
	Verify         Level       // empty means LevelColumns
	// Start is the first data date of an incremental dataset's history; zero means from the beginning.
	Start Date
	// ColumnRules are the dataset's own, Defaults those of its source for what they leave open.
	ColumnRules
	Defaults   ColumnRules
	Drift      DriftRules // every field may be empty
	DecidePII  bool       // each column that looks personal must be decided upon
	AllowEmpty bool       // a full load of zero rows may replace a table that had rows
	Layout     Layout     // of the published table
	Expect     ExpectedRows
}

// Version is one published content of a dataset. It is visible if and only if the publish transaction
// that wrote it into the warehouse committed.
type Version struct {
	ID          VersionID   `json:"id"`
	Dataset     DatasetName `json:"dataset"`
	Date        Date        `json:"date"`
	Run         RunID       `json:"run"`
	Fence       int64       `json:"fence"`
	Manifest    string      `json:"manifest,omitempty"` // the manifest's key in the lake; empty for a model
	Rows        int64       `json:"rows"`
	PublishedAt time.Time   `json:"published_at"`
	// Checks is how it stood the checks: passed, warned or none.
	Checks Checks `json:"checks"`
	Level  Level  `json:"level,omitempty"` // how deep a table was verified
	// Deletes is how many published rows went because the source no longer has them.
	Deletes int64 `json:"deletes,omitempty"`
	// Inputs are the versions that it was made from.
	Inputs map[DatasetName]VersionID `json:"inputs,omitempty"`
	// Restores is the version whose content this one brought back, by a rollback or from the lake. What was published
	// between the two is rolled back by it.
	Restores VersionID `json:"restores,omitempty"`
	// RolledBack says why nobody reads this version any more, or is empty; only the ledger knows it.
	RolledBack string `json:"rolled_back,omitempty"`
}

// Checks sums up the verification and tests of a version.
type Checks string

// The outcomes of checks.
const (
	ChecksPassed Checks = "passed"
	ChecksWarned Checks = "warned" // a test of severity warn found rows
	ChecksNone   Checks = "none"   // nobody checked anything
)

// NewVersionID returns the ID of what the run publishes for the dataset.
func NewVersionID(d DatasetName, run RunID) VersionID {
	return VersionID(string(d) + "@" + string(run))
}
