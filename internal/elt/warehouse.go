package elt

// Materialization is how a model becomes a relation.
type Materialization string

// The materializations.
const (
	AsTable       Materialization = "table"
	AsView        Materialization = "view"
	AsIncremental Materialization = "incremental" // rows of the run's SELECT are merged into what is published
	AsEphemeral   Materialization = "ephemeral"   // never a relation: inlined into what refers to it
)

// Strategy is how the rows of an incremental build meet those that are published.
type Strategy string

// The strategies.
const (
	Append       Strategy = "append"        // added as they are
	DeleteInsert Strategy = "delete+insert" // published rows with one of the new rows' keys go, then all new rows come
	Merge        Strategy = "merge"         // as DeleteInsert, and a key may come only once
	Replace      Strategy = "replace"       // published rows within the new rows' cursor range go, then all new rows come
)

// Build asks a warehouse for the staging relation of one model of one run. Building it again replaces it.
type Build struct {
	Run          RunID
	Dataset      DatasetName
	Relation     string // the published name: "analytics.revenue"
	Materialized Materialization
	Strategy     Strategy // incremental over an existing relation only; empty means rebuild whole
	Key          []string // incremental only; compared null-safe
	// OnSchemaChange is for a Strategy: what becomes of columns that are not those of the existing relation.
	OnSchemaChange SchemaPolicy
	SQL            string // a SELECT over staging names
}

// BuiltModel is what came of a Build.
type BuiltModel struct {
	Rows    int64
	Changes []SchemaChange // of the columns, as OnSchemaChange has let them pass; the publication needs them again
}

// Publication is one swap: every item becomes visible in it, or none does.
type Publication struct {
	Run   RunID
	Fence int64 // the warehouse refuses a fence lower than one that it has seen for the same item
	Items []PublicationItem
	// Held are the published names of what the run should have renewed and did not: they keep their rows, also
	// where they are views of something that Items replace.
	Held []string
}

// Restoration makes a version that was published before visible again, as a new version.
type Restoration struct {
	Version  Version // the new one; Restores names the one whose content it brings back
	Fence    int64
	Relation string // the published name
}

// PublicationItem is one dataset of a publication. Its staging relation is that of (Run, Dataset).
type PublicationItem struct {
	Version  Version
	Relation string // the published name
	// ViewSQL is the SELECT of a view over published names; empty for everything that has rows of its own.
	ViewSQL string
	// Strategy and Key say how staged rows meet the published ones; an empty Strategy replaces the relation.
	Strategy Strategy
	Key      []string
	// SoftDelete is the column whose flagged rows are not published; empty where there is none.
	SoftDelete string
	// Cursor and Range are of the strategy Replace: which published rows the staged ones take the place of.
	Cursor string
	Range  *CursorRange
	// Changes are how the columns of the staged rows may differ from the published ones.
	Changes []SchemaChange
}

// Exchange is a relation that passes between the warehouse and the place in which another program builds a night: a
// file, or datasets of the night's own.
type Exchange struct {
	Dataset DatasetName
	From    string // the SQL name of the relation in the warehouse; only for what is handed out
	Schema  string // where it lies in the place
	Name    string
	Kept    bool // the program adds rows to it: a view of it would not do
}
