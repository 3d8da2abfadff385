package elt

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// ManifestFormat is the version of the manifest's JSON that this code writes.
const ManifestFormat = 1

// Mode says what an extraction brings.
type Mode string

// The modes.
const (
	Full        Mode = "full"        // every row; a load replaces the table
	Incremental Mode = "incremental" // the rows of a window; a load upserts by key
)

// Object is what the lake knows of one of its objects.
type Object struct {
	Key    string
	Bytes  int64
	SHA256 string // of the bytes, in hexadecimal; empty where only a listing was asked
	// ModifiedAt is the store's own time of writing.
	ModifiedAt time.Time
}

// Part is one Parquet object of a manifest.
type Part struct {
	Key    string `json:"key"`    // the object's key in the lake
	Rows   int64  `json:"rows"`   // rows that were written to it
	Bytes  int64  `json:"bytes"`  // the object's size
	SHA256 string `json:"sha256"` // of the object's bytes, in hexadecimal
}

// SourcePosition says at which moment of which server the rows were read.
type SourcePosition struct {
	Source   SourceName `json:"source"`
	Server   string     `json:"server"`             // engine and identity: "postgres 15.8 7301…"
	Snapshot string     `json:"snapshot,omitempty"` // the engine's own name of the snapshot
	TakenAt  time.Time  `json:"taken_at"`           // by the source's clock
	Epoch    int        `json:"epoch,omitempty"`    // which of the run's snapshots of the source this is, from 1
	// CrossTableConsistent is true when the snapshot was opened for every table of the run. A table that had to be read in
	// a later one says so itself.
	CrossTableConsistent bool `json:"cross_table_consistent"`
	// OpenSince is when the oldest transaction began that was open just before; zero when there was none, or nobody
	// needed to know.
	OpenSince time.Time `json:"open_since,omitzero"`
}

// Manifest is the hand-over from extract to load: what was read, where it lies, and the facts that it
// must show again in the warehouse. It is written last: no manifest, no load.
type Manifest struct {
	Format  int            `json:"format"`
	Dataset DatasetName    `json:"dataset"`
	Date    Date           `json:"date"`
	Run     RunID          `json:"run"`
	Attempt int            `json:"attempt"`
	Mode    Mode           `json:"mode"`
	Key     []string       `json:"primary_key,omitempty"`
	Cursor  string         `json:"cursor,omitempty"`  // the cursor column, incremental only
	Window  *Window        `json:"window,omitempty"`  // incremental only; a zero From reads everything below To
	First   bool           `json:"first,omitempty"`   // incremental only: nothing was published before it
	Range   *CursorRange   `json:"range,omitempty"`   // incremental only: the window with its overlap, as the cursor's values
	Numbers *Numbers       `json:"numbers,omitempty"` // incremental only, instead of a window where the cursor is an integer
	Source  SourcePosition `json:"source"`
	Schema  Schema         `json:"schema"`
	Parts   []Part         `json:"parts"`
	Stats   TableStats     `json:"stats"`
	MaskKey string         `json:"mask_key,omitempty"` // id of the key that hashed columns, never the key
	// Fidelity counts every value that was not held as it is, by the policy of its column.
	Fidelity    []PolicyUse      `json:"fidelity,omitempty"`
	Quarantined *QuarantinedRows `json:"quarantined,omitempty"`
	// Changes are how the columns differ from those of the version that was published before.
	Changes   []SchemaChange `json:"schema_changes,omitempty"`
	Ignored   []string       `json:"ignored_columns,omitempty"` // of the source, by on_new_column: ignore
	CreatedAt time.Time      `json:"created_at"`
	// NullCursors is how many rows had no cursor: they were brought, or left out, as NullPolicy says.
	NullCursors int64       `json:"null_cursors,omitempty"`
	NullPolicy  NullCursors `json:"null_policy,omitempty"`
	Keys        *KeySet     `json:"keys,omitempty"`        // every key of the table, where deletes are found by them
	SoftDelete  string      `json:"soft_delete,omitempty"` // the column that flags deleted rows
	// SourceDigest is what the source itself made of the rows in the snapshot in which they were read, at the level
	// rows. Uncompared are the columns of which it cannot say what became of them: hashed ones, and those with a type
	// rule of their own.
	SourceDigest *RowDigest `json:"source_digest,omitempty"`
	Uncompared   []string   `json:"uncompared,omitempty"`
}

// SavedManifest is what the ledger knows of a manifest without reading it.
type SavedManifest struct {
	Key     string
	Dataset DatasetName
	Run     RunID
	SavedAt time.Time
}

// Forgotten counts what a ledger has dropped because it was old.
type Forgotten struct{ Days, Runs, Versions, Events int }

// Rows returns the number of rows over all parts.
func (m *Manifest) Rows() int64 { return rowsOf(m.Parts) }

func rowsOf(parts []Part) (n int64) {
	for _, p := range parts {
		n += p.Rows
	}
	return n
}

// SetAside returns how many rows are quarantined.
func (m *Manifest) SetAside() int64 {
	if m.Quarantined == nil {
		return 0
	}
	return m.Quarantined.Rows
}

// Bytes returns the size of all parts.
func (m *Manifest) Bytes() (n int64) {
	for _, p := range m.Parts {
		n += p.Bytes
	}
	return n
}

// Prefix returns the folder in the lake that holds the manifest's parts and the manifest itself.
func (m *Manifest) Prefix() string { return AttemptPrefix(m.Dataset, m.Date, m.Run, m.Attempt) }

// ObjectKey returns the manifest's own key in the lake.
func (m *Manifest) ObjectKey() string { return m.Prefix() + "manifest.json" }

// AttemptPrefix returns the lake folder of one attempt, ending in a slash. It is unique to the attempt,
// so a stale worker cannot overwrite what a newer one wrote.
func AttemptPrefix(d DatasetName, date Date, run RunID, attempt int) string {
	return fmt.Sprintf("%s/date=%s/run=%s/attempt=%d/", d, date, run, attempt)
}

// Encode returns the manifest as indented JSON.
func (m *Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest of %s %s: %w", m.Dataset, m.Date, err)
	}
	return append(b, '\n'), nil
}

// DecodeManifest reads a manifest and checks that it is whole: a known format, rows that add up, a
// checksum for each part.
func DecodeManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Format != ManifestFormat {
		return nil, fmt.Errorf("decode manifest of %s %s: format %d, this version reads %d", m.Dataset, m.Date, m.Format, ManifestFormat)
	}
	if m.Rows() != m.Stats.Rows {
		return nil, fmt.Errorf("decode manifest of %s %s: parts hold %d rows, its stats say %d", m.Dataset, m.Date, m.Rows(), m.Stats.Rows)
	}
	if m.Dataset == "" || m.Date.IsZero() || m.Run == "" || m.Attempt < 1 {
		return nil, fmt.Errorf("decode manifest of %q %s: it does not say which attempt of which run it is of", m.Dataset, m.Date)
	}
	parts := m.Parts
	if q := m.Quarantined; q != nil {
		parts = slices.Concat(parts, q.Parts)
		if rowsOf(q.Parts) != q.Rows {
			return nil, fmt.Errorf("decode manifest of %s %s: %d rows are quarantined in parts of %d", m.Dataset, m.Date, q.Rows, rowsOf(q.Parts))
		}
	}
	if m.Keys != nil {
		if m.Keys.Rows() != m.Keys.Stats.Rows {
			return nil, fmt.Errorf("decode manifest of %s %s: the parts of its keys hold %d, their stats say %d", m.Dataset, m.Date, m.Keys.Rows(), m.Keys.Stats.Rows)
		}
		parts = slices.Concat(parts, m.Keys.Parts)
	}
	seen := make(map[string]bool, len(parts))
	for _, p := range parts {
		if seen[p.Key] {
			return nil, fmt.Errorf("decode manifest of %s %s: part %q is listed twice", m.Dataset, m.Date, p.Key)
		}
		seen[p.Key] = true
		if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != 32 || p.Key == "" || p.Rows < 0 || p.Bytes < 0 {
			return nil, fmt.Errorf("decode manifest of %s %s: part %q is incomplete", m.Dataset, m.Date, p.Key)
		}
	}
	return &m, nil
}
